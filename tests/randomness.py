"""Tests of randomness, as p-values: how likely a true source is to look at least this bad.

Each check draws from `source(seed, step, rows, elements)`, a float64 array (rows, elements) that
claims to be standard normal, independent over its elements, rows, steps and seeds.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import special, stats

Source = Callable[[int, int, int, int], np.ndarray]
ROWS, ELEMENTS = 512, 1024
EDGES, FINE = (special.ndtri(np.arange(1, n) / n) for n in (64, 4096))
MOMENTS = {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0, 6: 15.0, 8: 105.0}
"""The mean of x^k."""


def two_sided(z: float) -> float:
    """The p-value of a standard normal z."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def uniformity(counts: np.ndarray) -> float:
    """The p-value of Pearson's chi-square for cells that are all as likely, both tails."""
    p = stats.chisquare(counts.ravel()).pvalue
    return float(2.0 * min(p, 1.0 - p))


def independence(x: np.ndarray) -> float:
    """The p-value of the cosines of all pairs of x's rows: their sum of squares, and the largest.

    Of rows of n whose directions are uniform, n cosine^2 has mean 1 and variance
    2 (n - 1) / (n + 2), and the cosines of different pairs are uncorrelated, squared too.
    """
    x = x / np.sqrt(np.sum(x**2, axis=1, keepdims=True))
    z = (x @ x.T * math.sqrt(x.shape[1]))[np.triu_indices(len(x), 1)]
    total = stats.chi2.sf(np.sum(z**2), len(z))
    return float(min(1.0, 2.0 * min(total, len(z) * two_sided(float(np.max(np.abs(z)))))))


def moment(k: int) -> Callable[[Source], float]:
    """A check of the mean of x^k."""
    variance = MOMENTS[2 * k] - MOMENTS[k] ** 2

    def check(source: Source) -> float:
        x = source(0, 0, ROWS, ELEMENTS)
        return two_sided((float(np.mean(x**k)) - MOMENTS[k]) * math.sqrt(x.size / variance))

    return check


def kolmogorov_smirnov(source: Source) -> float:
    return float(stats.kstest(source(1, 0, 256, ELEMENTS).ravel(), "norm").pvalue)


def chi_square(source: Source) -> float:
    """The counts in 4096 cells of equal probability."""
    cells = np.searchsorted(FINE, source(2, 0, ROWS, ELEMENTS).ravel())
    return uniformity(np.bincount(cells, minlength=4096))


def tails(source: Source) -> float:
    """How many lie beyond 3."""
    x, p = source(3, 0, ROWS, ELEMENTS), math.erfc(3.0 / math.sqrt(2.0))
    count = int(np.count_nonzero(np.abs(x) > 3.0))
    return two_sided((count - x.size * p) / math.sqrt(x.size * p * (1.0 - p)))


def neighbours(source: Source) -> float:
    """Each element and the next, in 64 x 64 cells."""
    cells = np.searchsorted(EDGES, source(4, 0, ROWS, ELEMENTS)).reshape(-1, 2)
    return uniformity(np.bincount(64 * cells[:, 0] + cells[:, 1], minlength=64 * 64))


def elements(source: Source) -> float:
    """The correlations of the first 128 elements over many rows."""
    return independence(source(5, 0, 4096, 128).T)


def rows(source: Source) -> float:
    return independence(source(6, 0, 128, ELEMENTS))


def magnitudes(source: Source) -> float:
    """The correlations of the magnitudes, made normal, over rows and over elements."""
    p = special.erf(np.abs(source(7, 0, 256, 256)) / math.sqrt(2.0))
    x = special.ndtri(np.clip(p, 1e-9, 1.0 - 1e-9))
    return min(1.0, 2.0 * min(independence(x), independence(x.T)))


def origins(source: Source) -> float:
    """The correlations of all rows of several seeds and steps with each other."""
    seeds = (0, 1, 2, 3, 2**31, 2**32, 2**32 + 1, 2**62)
    steps = (0, 1, 2, 3, 2**31 - 1)
    drawn = [source(seed, step, 5, ELEMENTS) for seed in seeds for step in steps]
    return independence(np.concatenate(drawn))


def row_norms(source: Source) -> float:
    """The squared norms of rows, against chi-square: neither too unlike nor too much alike."""
    squared = np.sum(source(8, 0, 2048, 64) ** 2, axis=1)
    return float(stats.kstest(squared, stats.chi2(64).cdf).pvalue)


def row_means(source: Source) -> float:
    return float(stats.kstest(np.sum(source(9, 0, 2048, 64), axis=1) / 8.0, "norm").pvalue)


CHECKS: dict[str, Callable[[Source], float]] = {
    **{f"moment {k}": moment(k) for k in (1, 2, 3, 4)},
    **{
        check.__name__: check
        for check in (
            kolmogorov_smirnov,
            chi_square,
            tails,
            neighbours,
            elements,
            rows,
            magnitudes,
            origins,
            row_norms,
            row_means,
        )
    },
}
