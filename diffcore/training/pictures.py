"""Arrays as pictures: a value x in [-1, 1] is the byte round(127.5 (x + 1)).

A picture is uint8 of shape (height, width) for grey or (height, width, 3) for RGB.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._files import write_atomically
from .._optional import optional

Picture = npt.NDArray[np.uint8]
ANIMATED = {".png": "PNG", ".apng": "PNG", ".gif": "GIF", ".webp": "WEBP"}
GAP, BACKGROUND = 4, 112
"""Pixels between images, and their grey, which is neither the black nor the white of a drawing."""


def to_uint8(x: npt.ArrayLike) -> Picture:
    """[-1, 1] as 0..255, to the nearest; what lies outside is clipped, and NaN is black.

    uint8 passes through. It undoes x = byte / 127.5 - 1 exactly, in float16 and wider.
    """
    host = np.asarray(x)
    if host.dtype == np.uint8:
        return host
    if not np.issubdtype(host.dtype, np.floating):
        raise TypeError(f"x must be floating in [-1, 1] or uint8, got {host.dtype}")
    level = np.clip((host.astype(np.float64) + 1.0) * 127.5, 0.0, 255.0)
    return np.rint(np.nan_to_num(level, nan=0.0)).astype(np.uint8)


def grid(images: npt.ArrayLike, columns: int | None = None, *, scale: int | None = None) -> Picture:
    """Images (N, C, H, W), C = 1 or 3, side by side in rows of `columns`, on grey.

    `columns`: by default the squarest grid. `scale`: every pixel becomes a square of that side; by
    default small images grow to some 64 pixels.
    """
    x = to_uint8(images)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        raise ValueError(
            f"images must have shape (N, 1, H, W) or (N, 3, H, W) with N at least 1, got {x.shape}"
        )
    n, channels, height, width = x.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else columns
    scale = max(1, 64 // max(height, width)) if scale is None else scale
    if columns < 1 or scale < 1:
        raise ValueError(f"columns and scale must be at least 1, got {columns} and {scale}")
    columns = min(columns, n)
    x = x.repeat(scale, axis=2).repeat(scale, axis=3)
    step_y, step_x = height * scale + GAP, width * scale + GAP
    rows = -(-n // columns)
    canvas = np.full((rows * step_y + GAP, columns * step_x + GAP, channels), BACKGROUND, np.uint8)
    for i, image in enumerate(x.transpose(0, 2, 3, 1)):
        top, left = GAP + i // columns * step_y, GAP + i % columns * step_x
        canvas[top : top + height * scale, left : left + width * scale] = image
    return canvas[:, :, 0] if channels == 1 else canvas


def encode_png(picture: Picture) -> bytes:
    """The picture as a PNG file's bytes."""
    buffer = io.BytesIO()
    _pillow(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def save_png(path: str | Path, picture: Picture) -> None:
    """Write the picture as a PNG, whole or not at all."""
    write_atomically(Path(path), encode_png(picture))


def animation(
    path: str | Path, frames: Sequence[Picture], *, milliseconds: int = 80, hold: int = 1500
) -> None:
    """Write frames of one shape as an endless animation; the last stays for `hold` milliseconds.

    The suffix decides: .png or .apng (lossless), .gif, .webp (lossless). Written whole or not at
    all. Raises ValueError for another suffix, and where the frames differ in shape.
    """
    path = Path(path)
    if path.suffix.lower() not in ANIMATED:
        raise ValueError(f"path must end in {', '.join(ANIMATED)}; got {path}")
    if not frames:
        raise ValueError("frames must hold at least one picture")
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        raise ValueError(f"frames must have one shape, got {', '.join(map(str, sorted(shapes)))}")
    kind = ANIMATED[path.suffix.lower()]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    first, *rest = [_pillow(frame) for frame in frames]
    if rest:
        duration = [milliseconds] * len(rest) + [hold]
        options |= {"save_all": True, "append_images": rest, "duration": duration, "loop": 0}
    if rest and kind == "PNG":
        # What shows where animated PNGs are unknown is the last frame, not the first.
        first, options["append_images"], options["default_image"] = rest[-1], [first, *rest], True
    buffer = io.BytesIO()
    first.save(buffer, kind, **options)
    write_atomically(path, buffer.getvalue())


def filmstrip(frames: Sequence[npt.ArrayLike], *, scale: int | None = None) -> Picture:
    """Batches of images, one for each moment, as a grid: a row an image, a column a moment."""
    stacked = np.stack([to_uint8(frame) for frame in frames], axis=1)
    return grid(stacked.reshape(-1, *stacked.shape[2:]), columns=stacked.shape[1], scale=scale)


def _pillow(picture: Picture) -> Any:
    if (
        picture.dtype != np.uint8
        or picture.ndim not in (2, 3)
        or picture.shape[2:] not in ((), (3,))
    ):
        raise ValueError(
            "picture must be uint8 of shape (height, width) or (height, width, 3), "
            f"got {picture.dtype} of shape {picture.shape}"
        )
    return optional("PIL.Image", "data").fromarray(np.ascontiguousarray(picture))
