"""Pictures side by side in one, each with its title, in their own pixels."""

import io
from collections.abc import Mapping
from pathlib import Path

from .._files import write_atomically
from .._optional import optional
from ..training.pictures import Picture

DOTS, GAP, TOP = 100, 24, 40
"""Dots per inch, pixels around a picture, and for its title."""


def write_beside(path: Path, pictures: Mapping[str, Picture]) -> None:
    """Write the pictures, all of one size, from left to right under their titles."""
    height, width = next(iter(pictures.values())).shape[:2]
    n = len(pictures)
    total = n * width + (n + 1) * GAP, height + TOP + GAP
    figure = optional("matplotlib.figure", "plot").Figure(
        (total[0] / DOTS, total[1] / DOTS), dpi=DOTS
    )
    for i, (title, picture) in enumerate(pictures.items()):
        left = GAP + i * (width + GAP)
        axes = figure.add_axes(
            (left / total[0], GAP / total[1], width / total[0], height / total[1])
        )
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue())
