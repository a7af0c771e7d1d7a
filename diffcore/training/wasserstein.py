"""The sliced Wasserstein distance of two sets of points.

    SW_2^2 = mean over directions u of W_2^2(u . x, u . y)
    W_2^2(a, b) = int_0^1 (F_a^-1(q) - F_b^-1(q))^2 dq

on the line, where the best transport keeps the order (Bonneel et al. 2015, "Sliced and Radon
Wasserstein Barycenters"). Quantile functions of sets are steps, so that the integral is a sum.
"""

import math

import numpy as np
import numpy.typing as npt

from .. import noise
from .mmd import Double, checked_pair


def directions(d: int, count: int, seed: int = 0) -> Double:
    """`count` unit vectors (count, d): at even angles over half a turn in the plane, else drawn.

    In the plane the mean of any quadratic form over them is its mean over all directions.
    """
    if d < 1 or count < 1:
        raise ValueError(f"d and count must be positive, got {d} and {count}")
    if d == 2:
        angles = math.pi * (np.arange(count) + 0.5) / count
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    drawn: Double = noise.portable(seed)(np.zeros((count, d)), 0)
    unit: Double = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def sliced_wasserstein(x: npt.ArrayLike, y: npt.ArrayLike, along: npt.ArrayLike) -> float:
    """SW_2, not squared, of points (m, d) and (n, d) over the directions `along` (k, d).

    Raises ValueError for other shapes, and for values that are not finite.
    """
    a, b = checked_pair(x, y)
    u = np.asarray(along, np.float64)
    if u.ndim != 2 or u.shape[1] != a.shape[1] or len(u) == 0:
        raise ValueError(f"along must have shape (k, {a.shape[1]}), k at least 1, got {u.shape}")
    # Between these levels both quantile functions are constant.
    levels = np.union1d(np.arange(1, len(a) + 1) / len(a), np.arange(1, len(b) + 1) / len(b))
    width = np.diff(levels, prepend=0.0)
    middle = levels - 0.5 * width
    of_a = np.minimum((middle * len(a)).astype(np.int64), len(a) - 1)
    of_b = np.minimum((middle * len(b)).astype(np.int64), len(b) - 1)
    total = 0.0
    for direction in u:
        apart = np.sort(a @ direction)[of_a] - np.sort(b @ direction)[of_b]
        total += float(np.sum(width * apart**2))
    return math.sqrt(total / len(u))
