"""The maximum mean discrepancy of two laws, by the unbiased estimate from a sample of each.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y)

with x, x' of one law and y, y' of the other, all independent (Gretton et al. 2012, lemma 6). The
estimate leaves out k(x_i, x_i): its mean is MMD^2 itself at every number of samples, so that it may
be negative where the laws are close. With the polynomial kernel of degree 3 over features it is the
kernel inception distance, KID (Binkowski et al. 2018).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Double = npt.NDArray[np.float64]
Kernel = Callable[[Double, Double], Double]
"""kernel(x, y): (m, d), (n, d) -> (m, n)."""

ROWS = 1024
"""Rows of a kernel's matrix that are held at a time."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """MMD^2 and the standard error of the estimate, by the jackknife."""

    value: float
    error: float


def polynomial(x: Double, y: Double) -> Double:
    """(x . y / d + 1)^3, the kernel of KID."""
    kernel: Double = (x @ y.T / x.shape[1] + 1.0) ** 3
    return kernel


def gaussian(bandwidth: float) -> Kernel:
    """exp(-|x - y|^2 / (2 bandwidth^2))."""
    if not 0.0 < bandwidth < float("inf"):
        raise ValueError(f"bandwidth must be positive and finite, got {bandwidth}")

    def kernel(x: Double, y: Double) -> Double:
        squares = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2.0 * (x @ y.T)
        result: Double = np.exp(np.maximum(squares, 0.0) / (-2.0 * bandwidth**2))
        return result

    return kernel


def squared_mmd(kernel: Kernel, x: npt.ArrayLike, y: npt.ArrayLike) -> Estimate:
    """MMD^2 of the laws of x (m, d) and y (n, d), m and n at least 3.

    Raises ValueError for other shapes, and for values that are not finite.
    """
    a, b = checked_pair(x, y)
    m, n = len(a), len(b)
    within_a = _sums(kernel, a, a)[0] - _diagonal(kernel, a)
    within_b = _sums(kernel, b, b)[0] - _diagonal(kernel, b)
    of_a, of_b = _sums(kernel, a, b)
    total_a, total_b, across = within_a.sum(), within_b.sum(), of_a.sum()
    mean_b, mean_a = total_b / (n * (n - 1)), total_a / (m * (m - 1))
    # What the estimate is without sample i of a, and without sample j of b.
    fewer_a = (total_a - 2.0 * within_a) / ((m - 1) * (m - 2)) + mean_b
    fewer_a -= 2.0 * (across - of_a) / ((m - 1) * n)
    fewer_b = (total_b - 2.0 * within_b) / ((n - 1) * (n - 2)) + mean_a
    fewer_b -= 2.0 * (across - of_b) / (m * (n - 1))
    variance = (m - 1) * np.var(fewer_a) + (n - 1) * np.var(fewer_b)
    value = mean_a + mean_b - 2.0 * across / (m * n)
    return Estimate(value=float(value), error=float(np.sqrt(variance)))


def checked_pair(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Double, Double]:
    """Both as float64 of shape (n, d), n at least 3; ValueError that names the one that is not."""
    pair = np.asarray(x, np.float64), np.asarray(y, np.float64)
    for name, points in zip("xy", pair, strict=True):
        if points.ndim != 2 or len(points) < 3 or not points.size or not np.isfinite(points).all():
            raise ValueError(
                f"{name} must be finite, of shape (n, d) with n at least 3, d 1, got {points.shape}"
            )
    if pair[0].shape[1] != pair[1].shape[1]:
        raise ValueError(f"y must have {pair[0].shape[1]} columns as x has, got {pair[1].shape[1]}")
    return pair


def _sums(kernel: Kernel, x: Double, y: Double) -> tuple[Double, Double]:
    """The sums of each row and of each column of kernel(x, y)."""
    rows, columns = np.empty(len(x)), np.zeros(len(y))
    for start in range(0, len(x), ROWS):
        part = kernel(x[start : start + ROWS], y)
        rows[start : start + ROWS] = part.sum(axis=1)
        columns += part.sum(axis=0)
    return rows, columns


def _diagonal(kernel: Kernel, x: Double) -> Double:
    return np.array([kernel(row[None], row[None])[0, 0] for row in x])
