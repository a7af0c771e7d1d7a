"""An image as a vector: its pixels, or their means over blocks, so that no vector is long.

The blocks are the smallest squares that leave at most 768 numbers: single pixels for 8 x 8 images,
2 x 2 for 32 x 32 grey or RGB, 4 x 4 for 64 x 64 x 3.
"""

import numpy as np
import numpy.typing as npt

from .images import Float

Double = npt.NDArray[np.float64]
LENGTH = 768


def features(images: npt.NDArray[np.floating]) -> Double:
    """(n, C, H, W) -> (n, d), d <= 768 but for C above it; in the images' own units."""
    n, channels, height, width = images.shape
    side = 1
    while channels * -(-height // side) * -(-width // side) > LENGTH and side < max(height, width):
        side += 1
    means = _blocks(height, side) @ images.astype(np.float64) @ _blocks(width, side).T
    return means.reshape(n, -1)


def nearest_two(x: Double, others: Float) -> Double:
    """(n, d), (m, d) -> (n, 2): RMS distances of each row of x to the nearest two of m >= 2."""
    squares = np.sum(others**2, axis=1)
    pairs = [
        # |a - b|^2 written out finds them in float32; the distances themselves do not cancel.
        np.argpartition(squares - 2.0 * (part.astype(np.float32) @ others.T), 1, axis=1)[:, :2]
        for part in np.array_split(x, -(-len(x) // 512))
    ]
    apart = x[:, None, :] - others[np.concatenate(pairs)]
    return np.sort(np.sqrt(np.mean(apart**2, axis=2)), axis=1)


def _blocks(n: int, side: int) -> Double:
    """The matrix that takes means over runs of `side` among n, the last as long as is left."""
    block = np.arange(n) // side
    inside = (np.arange(block[-1] + 1)[:, None] == block).astype(np.float64)
    matrix: Double = inside / inside.sum(axis=1, keepdims=True)
    return matrix
