"""Pictures that a command is given: an image, a mask, conditions; floats in [-1, 1]."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..tasks import enlarged, low_resolution
from ..training.decode import Target, pixels
from ..training.sources import folder

Float = npt.NDArray[np.float32]


def image(path: Path, unet: Any) -> Float:
    """The picture as the network's images are, (1, channels, size, size).

    One of another size is cropped to its middle square and resampled. ValueError names the file.
    """
    return _signed(_resized(path, unet.image_size, _channels(unet.channels)))


def mask(path: Path, unet: Any) -> Float:
    """What to keep of an image, (1, 1, size, size): 0 where the mask is light, to be painted anew.

    Raises ValueError where there is nothing to paint.
    """
    light = _resized(path, unet.image_size, 1) >= 128
    if not light.any():
        raise ValueError(f"{path}: the mask is black, so that there is nothing to paint")
    return 1.0 - light.astype(np.float32)


def conditions(path: Path, unet: Any, low: int | None) -> Float:
    """The pictures of a file or a folder as conditions, (n, condition_channels, size, size).

    low: the side that the network's conditions show. A picture of the network's size is averaged
    down to it, one of that side is enlarged; without `low` the first is taken as it is. ValueError
    names a file of another size, and one that is not there.
    """
    size, channels = unet.image_size, _channels(unet.condition_channels)
    _require(path)
    items = folder(path, labels=False).items if path.is_dir() else [(str(path), path)]
    return np.concatenate(
        [
            _condition(name, pixels(file, name, Target(channels=channels)), size, low)
            for name, file in items
        ]
    )


def _condition(name: str, picture: npt.NDArray[np.uint8], size: int, low: int | None) -> Float:
    x = _signed(picture)
    height, width = x.shape[2:]
    if (height, width) == (size, size):
        return low_resolution(x, low) if low else x
    if low is not None and (height, width) == (low, low):
        return enlarged(x, size)
    sides = f"{size} x {size}" + (f" or {low} x {low}" if low else "")
    raise ValueError(f"{name}: a condition must be {sides} pixels, this is {width} x {height}")


def _resized(path: Path, size: int, channels: int) -> npt.NDArray[np.uint8]:
    _require(path)
    return pixels(path, str(path), Target(size=size, channels=channels, fit="resize"))


def _require(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such picture")


def _channels(channels: int) -> int:
    if channels not in (1, 3):
        raise ValueError(f"a picture has 1 or 3 channels, where the network has {channels}")
    return channels


def _signed(picture: npt.NDArray[np.uint8]) -> Float:
    x: Float = (picture[None].astype(np.float64) / 127.5 - 1.0).astype(np.float32)
    return x
