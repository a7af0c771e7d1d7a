"""Data sets by name: scikit-learn's digits, folders, parquet, `.npz`, Hugging Face `datasets`.

Each becomes `Images` of one size, or a ValueError that names the file that cannot be used.
"""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import optional
from . import sources
from .decode import Fit, Target, pixels
from .images import Float, Images
from .sources import Columns, Source

HUGGING_FACE = "hf:"


def load_images(
    source: str | Path,
    *,
    channels: int,
    size: int | None = None,
    fit: Fit = "exact",
    labels: bool = True,
    image_column: str = "",
    label_column: str = "",
    subset: str = "",
) -> Images:
    """All images of `source`, with their labels where it has any and `labels` asks for them.

    `source`: "digits" (scikit-learn's, 8 x 8); a folder of images, its subfolders the classes; a
    parquet file or a folder of them; an `.npz` with images and labels (or x and y); "hf:NAME" or
    "hf:NAME:SPLIT" for the `datasets` library (`subset` its configuration), or a folder that it
    saved. `size`, `channels` and `fit`: see `decode.Target`.

    Raises ValueError that names the file, or the row of a file, that cannot be used.
    """
    target = Target(size=size, channels=channels, fit=fit)
    if str(source) == "digits":
        return _digits(target, labels)
    if str(source).endswith(".npz"):
        return _npz(_existing(Path(source)), target, labels)
    columns = Columns(image=image_column, label=label_column)
    if str(source).startswith(HUGGING_FACE):
        name = str(source).removeprefix(HUGGING_FACE)
        return _decoded(sources.hugging_face(name, subset, columns, labels), target)
    path = _existing(Path(source))
    if path.is_file():
        if path.suffix != ".parquet":
            raise ValueError(f"{path}: must be a .parquet or .npz file, or a folder")
        return _decoded(sources.parquet([path], columns, labels), target)
    if sources.saved_to_disk(path):
        return _decoded(sources.hugging_face(str(path), subset, columns, labels), target)
    tables = sorted(path.glob("*.parquet"))
    if tables:
        return _decoded(sources.parquet(tables, columns, labels), target)
    return _decoded(sources.folder(path, labels), target)


def load_train_and_held_out(
    source: str | Path, *, held_out: float, held_out_source: str = "", **options: Any
) -> tuple[Images, Images]:
    """The images to train on and those to measure the loss on.

    The second come from `held_out_source` where it is given, and are else split off `source`:
    `held_out` is a share in (0, 1) or a number of images. `options` are those of `load_images`.
    """
    images = load_images(source, **options)
    if not held_out_source:
        return images.split(held_out)
    held = load_images(held_out_source, **options)
    if held.shape != images.shape:
        raise ValueError(
            f"{held_out_source}: images of shape {held.shape}, those of {source} have "
            f"{images.shape}"
        )
    if held.classes != images.classes[: len(held.classes)]:
        raise ValueError(
            f"{held_out_source}: classes {', '.join(held.classes)}; those of {source} are "
            f"{', '.join(images.classes) or 'none'}"
        )
    return images, replace(held, classes=images.classes)


def _existing(path: Path) -> Path:
    if not path.exists():
        where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        raise ValueError(
            f"{path}: no such file or folder{where}; a source is 'digits', a folder of images, "
            "a .parquet or .npz file, or hf:NAME"
        )
    return path


def _decoded(source: Source, target: Target) -> Images:
    x: npt.NDArray[np.uint8] | None = None
    for i, (name, stored) in enumerate(source.items):
        image = pixels(stored, name, target)
        if x is None:
            x = np.empty((source.count, *image.shape), np.uint8)
        if image.shape != x.shape[1:]:
            (height, width), (h, w) = image.shape[1:], x.shape[2:]
            raise ValueError(
                f"{name}: the image is {width} x {height} pixels, the first one {w} x {h}; "
                "a size and fit = 'resize' or 'pad' make them equal"
            )
        x[i] = image
    assert x is not None, "a source has at least one image"
    return Images(x=x, labels=source.labels, classes=source.classes)


def _digits(target: Target, labels: bool) -> Images:
    bunch = optional("sklearn.datasets", "data").load_digits()
    grey = bunch.images.astype(np.uint8)
    white = 16
    if target.fit == "resize" and target.size != 8:
        # Resampling needs finer levels than 17.
        grey, white = np.rint(bunch.images * (255 / 16)).astype(np.uint8), 255
    items = ((f"digits, image {i}", image) for i, image in enumerate(grey))
    names = tuple(str(name) for name in bunch.target_names)
    images = _decoded(Source(count=len(grey), items=items), target)
    if not labels:
        return replace(images, white=white)
    return replace(images, white=white, labels=bunch.target.astype(np.int64), classes=names)


def _npz(path: Path, target: Target, labels: bool) -> Images:
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("no zip archive")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    # A truncated archive raises zipfile's, zlib's or NumPy's own errors.
    except Exception as error:
        raise ValueError(f"{path}: not a readable .npz file ({error})") from error
    x, y = arrays.get("images", arrays.get("x")), arrays.get("labels", arrays.get("y"))
    if x is None:
        raise ValueError(
            f"{path}: must hold an array 'images' or 'x', holds {', '.join(arrays) or 'nothing'}"
        )
    x = _channels_last(x, path)
    numbers: dict[str, Any] = {}
    if labels and y is not None:
        if y.shape != (len(x),):
            raise ValueError(f"{path}: labels must have shape ({len(x)},), got {y.shape}")
        numbers = sources.classified(str(path), y.tolist())
    if x.dtype == np.uint8:
        items = ((f"{path}, image {i}", image) for i, image in enumerate(x))
        return replace(_decoded(Source(count=len(x), items=items), target), **numbers)
    return Images(x=_signed(x, path, target), **numbers)


def _channels_last(x: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """(N, H, W), (N, C, H, W) or (N, H, W, C) as (N, H, W, C)."""
    if x.ndim == 3:
        x = x[..., None]
    elif x.ndim == 4 and x.shape[1] in (1, 3):
        x = x.transpose(0, 2, 3, 1)
    if x.ndim != 4 or x.shape[3] not in (1, 3) or 0 in x.shape:
        raise ValueError(
            f"{path}: images must have shape (N, H, W), (N, C, H, W) or (N, H, W, C) with C = 1 or "
            f"3 and N at least 1, got {x.shape}"
        )
    return x


def _signed(x: npt.NDArray[Any], path: Path, target: Target) -> Float:
    if x.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"{path}: images must be uint8 or floating, got {x.dtype}")
    low, high = float(x.min()), float(x.max())
    if not (-1.0 <= low < 0.0 and high <= 1.0):
        raise ValueError(
            f"{path}: floating images must lie in [-1, 1] and use both signs, got "
            f"{low:g}..{high:g}; 2 x - 1 maps from [0, 1]"
        )
    height, width, channels = x.shape[1:]
    if target.size not in (None, height) or target.size not in (None, width):
        raise ValueError(
            f"{path}: the images are {width} x {height} pixels, not {target.size} x {target.size}; "
            "floating images are not resized"
        )
    if channels > target.channels:
        raise ValueError(f"{path}: floating images are not turned grey; store one channel or uint8")
    x = np.broadcast_to(x, (*x.shape[:3], target.channels))
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)
