"""One stored image, whatever its form, as (channels, height, width) bytes of the size asked for."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from .._optional import optional

Bytes: TypeAlias = npt.NDArray[np.uint8]
Fit: TypeAlias = Literal["exact", "resize", "pad"]
Stored: TypeAlias = bytes | Path | Bytes
"""An encoded image, a file, or pixels of shape (height, width) or (height, width, channels)."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What every image of a data set has to become.

    `size`: side in pixels, or None for the images' own. `channels`: 1 (grey) or 3 (RGB).
    `fit`: "exact" takes only images that have the size; "resize" crops the middle square and
    resamples it; "pad" centres the image on black (MNIST's 28 on 32).
    """

    size: int | None = None
    channels: int = 3
    fit: Fit = "exact"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {self.channels}")
        if self.size is not None and self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}; got {self.fit!r}")
        if self.size is None and self.fit != "exact":
            raise ValueError(f"size must be given for fit = {self.fit!r}")


def pixels(stored: Stored, name: str, target: Target) -> Bytes:
    """`stored` as uint8 of shape (channels, height, width), grey levels kept as they are.

    Transparent parts are laid on white, 16-bit grey is rounded to 8 bits, and a camera's
    orientation mark is obeyed. Raises ValueError that starts with `name` where the image cannot be
    read or does not have the size.
    """
    image = _fitted(_converted(_opened(stored, name), name, target.channels), name, target)
    host = np.asarray(image)
    return host[None] if host.ndim == 2 else np.ascontiguousarray(host.transpose(2, 0, 1))


def _opened(stored: Stored, name: str) -> Any:
    pillow = optional("PIL.Image", "data")
    if isinstance(stored, np.ndarray):
        if stored.ndim == 3 and stored.shape[2] == 1:
            stored = stored[:, :, 0]
        return pillow.fromarray(np.ascontiguousarray(stored))
    try:
        encoded = stored.read_bytes() if isinstance(stored, Path) else stored
        image = pillow.open(io.BytesIO(encoded))
        image.load()
        return optional("PIL.ImageOps", "data").exif_transpose(image)
    # Pillow's decoders raise whatever their format's parser does, struct.error among others.
    except Exception as error:
        # What Pillow does not know it calls by the address of the object it was given.
        why = "of no format that Pillow knows" if "BytesIO" in str(error) else _first_line(error)
        raise ValueError(f"{name}: not a readable image ({why})") from error


def _converted(image: Any, name: str, channels: int) -> Any:
    pillow = optional("PIL.Image", "data")
    if image.mode.startswith("I;16"):
        rounded = np.rint(np.asarray(image) / 257.0).astype(np.uint8)
        image = pillow.fromarray(rounded)
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"{name}: pixels of mode {image.mode} have no fixed white; store 8 or 16 bits"
        )
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = pillow.new("RGBA", image.size, "white")
        image = pillow.alpha_composite(white, image)
    return image.convert("L" if channels == 1 else "RGB")


def _fitted(image: Any, name: str, target: Target) -> Any:
    size = target.size
    width, height = image.size
    if size is None or (width, height) == (size, size):
        return image
    pillow = optional("PIL.Image", "data")
    if target.fit == "resize":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        middle = image.crop((left, top, left + side, top + side))
        return middle.resize((size, size), pillow.Resampling.LANCZOS)
    if target.fit == "pad" and max(width, height) <= size:
        canvas = pillow.new(image.mode, (size, size))
        canvas.paste(image, ((size - width) // 2, (size - height) // 2))
        return canvas
    remedy = "fit = 'resize'" if max(width, height) > size else "fit = 'resize' or 'pad'"
    raise ValueError(
        f"{name}: the image is {width} x {height} pixels, not {size} x {size}; "
        f"{remedy} makes it fit"
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
