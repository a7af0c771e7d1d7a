"""An image as a condition: in extra channels beside x_t, at x_t's size.

    condition = enlarged(area_average(x_0))      network(x_t and condition, t)

(Saharia et al. 2021, "Image super-resolution via iterative refinement": SR3.) A low-resolution
image is what area averaging leaves of an image, each pixel made as large as the block it stands
for: averaging it again gives it back, so that it is the same condition from either size.
"""

from typing import Any

from .._arguments import function, is_whole
from .._arrays import A, namespace, require_floating
from ..denoisers import Network


def area_average(x: A, side: int) -> A:
    """Images (batch, channels, height, width) as (batch, channels, side, side), by block means.

    Raises ValueError unless `side` divides height and width.
    """
    batch, channels, height, width = _shape("x", x)
    if not is_whole(side) or side < 1 or height % side or width % side:
        raise ValueError(f"side must divide {height} and {width}, got {side}")
    xp, side = namespace(x), int(side)
    blocks = xp.reshape(x, (batch, channels, side, height // side, side, width // side))
    means: A = xp.mean(blocks, axis=(3, 5))
    return means


def enlarged(x: A, side: int) -> A:
    """Images (batch, channels, n, n) as (batch, channels, side, side), each pixel a square.

    Raises ValueError unless n divides `side`.
    """
    batch, channels, height, width = _shape("x", x)
    if not is_whole(side) or side < 1 or side % height or side % width:
        raise ValueError(f"side must be a multiple of {height} and {width}, got {side}")
    xp, side = namespace(x), int(side)
    tall, wide = side // height, side // width
    blocks = xp.broadcast_to(
        x[:, :, :, None, :, None], (batch, channels, height, tall, width, wide)
    )
    large: A = xp.reshape(blocks, (batch, channels, side, side))
    return large


def low_resolution(x: A, side: int) -> A:
    """What `side` x `side` pixels show of square images x, at x's own size and shape."""
    return enlarged(area_average(x, side), _shape("x", x)[2])


def concatenated(network: Any, condition: A) -> Network:
    """A network of more channels as one of x_t alone: network(x_t with `condition` behind it, t).

    condition: (batch, channels, height, width), or with a batch of 1 for all. Raises ValueError
    where x_t has another batch, height or width.
    """
    batch, channels, *sides = _shape("condition", condition)
    function("network", network)

    def conditional(x: Any, t: Any) -> Any:
        n, _, *wanted = _shape("x_t", x)
        if batch not in (1, n) or sides != wanted:
            raise ValueError(
                f"condition must have shape {(n, channels, *wanted)}, or a batch of 1, beside x_t, "
                f"got {tuple(condition.shape)}"
            )
        xp = namespace(x)
        beside = xp.broadcast_to(condition, (n, *condition.shape[1:]))
        return network(xp.concat([x, xp.astype(beside, x.dtype, copy=False)], axis=1), t)

    return conditional


def _shape(name: str, x: Any) -> tuple[int, int, int, int]:
    require_floating(name, x)
    if x.ndim != 4:
        raise ValueError(
            f"{name} must have shape (batch, channels, height, width), got {tuple(x.shape)}"
        )
    batch, channels, height, width = x.shape
    return batch, channels, height, width
