"""Precision and recall of samples: how much of each set lies within the other's manifold.

    precision = share of samples within the balls of the reference
    recall    = share of the reference within the balls of the samples

A set's manifold is the union of balls around its points, each of which reaches to the point's k-th
nearest neighbour in the set (Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric", eqs.
1 and 2). Both depend on the number of points: compare at equal numbers.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arguments import is_whole
from .mmd import Double, checked_pair

ROWS = 1024
"""Points whose distances to a set are held at a time."""


class PrecisionRecall(NamedTuple):
    """Shares, 0 to 1."""

    precision: float
    recall: float


def precision_recall(
    samples: npt.ArrayLike, reference: npt.ArrayLike, k: int = 3
) -> PrecisionRecall:
    """Of samples (m, d) and reference (n, d), both of more than k points; k as in the paper.

    Raises ValueError for other shapes, and for values that are not finite.
    """
    x, y = checked_pair(samples, reference)
    least = min(len(x), len(y))
    if not is_whole(k) or not 1 <= k < least:
        raise ValueError(f"k must be from 1 to {least - 1} for sets of {least} points, got {k!r}")
    centre = y.mean(axis=0)  # Distances from squares keep more digits near the origin.
    x, y = x - centre, y - centre
    return PrecisionRecall(
        precision=_share_within(x, y, _reach(y, k)), recall=_share_within(y, x, _reach(x, k))
    )


def _reach(points: Double, k: int) -> Double:
    """The squared distance of each point to its k-th nearest neighbour."""
    reach = np.empty(len(points))
    for start in range(0, len(points), ROWS):
        squares = _squares(points[start : start + ROWS], points)
        here = np.arange(len(squares))
        squares[here, start + here] = -np.inf  # Itself comes first, whatever rounding does.
        reach[start : start + ROWS] = np.partition(squares, k, axis=1)[:, k]
    return reach


def _share_within(points: Double, centres: Double, reach: Double) -> float:
    inside = 0
    for start in range(0, len(points), ROWS):
        squares = _squares(points[start : start + ROWS], centres)
        inside += int(np.sum(np.any(squares <= reach, axis=1)))
    return inside / len(points)


def _squares(x: Double, y: Double) -> Double:
    squares: Double = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2.0 * (x @ y.T)
    return np.maximum(squares, 0.0)
