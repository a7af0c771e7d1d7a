"""Which values a network drops in training, from the portable noise: the same on every backend.

Dropout number k, that of the k-th block in the order they run, keeps a value where its normal of
step k lies above the quantile of p; what is kept is divided by 1 - p (Srivastava et al. 2014,
https://jmlr.org/papers/v15/srivastava14a.html).
"""

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

from .config import UNetConfig
from .layout import Residual, layout


def kept(
    config: UNetConfig, shape: tuple[int, ...], normals: Callable[[tuple[int, ...], int], Any]
) -> dict[int, Any]:
    """The values that are kept, by the number of the block; nothing where nothing is dropped.

    shape: of the network's input, (batch, channels, height, width). normals: called with a shape
    (batch, channels, height, width) and a step, such as `noise.portable(seed)` on an array of it.
    Boolean arrays of the shapes of the states before each `conv_2`.
    """
    if not config.dropout:
        return {}
    threshold = NormalDist().inv_cdf(config.dropout)
    made = {}
    for k, block in enumerate(layout(config)):
        if isinstance(block, Residual):
            height, width = (_side(side, block, config.image_size) for side in shape[2:])
            state = (shape[0], block.out_channels, height, width)
            made[k] = normals(state, k) >= threshold
    return made


def _side(side: int, block: Residual, image_size: int) -> int:
    """The side of the block's inner state for images of that side."""
    here = side * block.side // image_size
    return {"down": here // 2, "up": here * 2, None: here}[block.resample]
