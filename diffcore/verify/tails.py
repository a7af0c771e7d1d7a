"""How far statistics of normal draws stray, bounded for every number of draws.

    mean:  P(|m| sqrt(N) >= z) <= exp(-z^2 / 2)
    chi^2:  P(X >= N + 2 sqrt(N x) + 2 x) <= e^-x,  P(X <= N - 2 sqrt(N x)) <= e^-x
    sup|F_N - Phi|:  P(D >= sqrt(ln(2 / p) / (2 N))) <= p

(Laurent & Massart 2000, lemma 1; Massart 1990.) No table of quantiles and no limit is needed.
"""

import math

import numpy as np

from .._arrays import Host


def chi_squared(n: int, p: float) -> tuple[float, float]:
    """Bounds below and above of a chi^2 with n degrees of freedom, left with probability p."""
    x = math.log(2.0 / p)
    spread = 2.0 * math.sqrt(n * x)
    return n - spread, n + spread + 2.0 * x


def mean(n: int, p: float) -> float:
    """The bound of |mean of n standard normals|, passed with probability p."""
    return math.sqrt(2.0 * math.log(1.0 / p) / n)


def product(n: int, p: float) -> float:
    """The bound of |sum of n products of independent normals|, passed with probability p.

    A product is (u^2 - v^2) / 2 with independent normal u, v = (a +- b) / sqrt(2).
    """
    x = math.log(4.0 / p)
    return 2.0 * math.sqrt(n * x) + x


def distance(draws: Host) -> float:
    """sup |F_N - Phi| of draws of any shape."""
    ordered = np.sort(draws, axis=None)
    erf = np.array([math.erf(z) for z in (ordered / math.sqrt(2.0)).tolist()])
    phi = 0.5 + 0.5 * erf
    n = len(ordered)
    steps = np.arange(n + 1) / n
    return float(max(np.max(steps[1:] - phi), np.max(phi - steps[:-1])))


def distance_bound(n: int, p: float) -> float:
    """The bound of `distance`, passed by n standard normals with probability p."""
    return math.sqrt(math.log(2.0 / p) / (2.0 * n))
