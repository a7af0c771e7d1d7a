"""Weights of Adams methods: w_j = int_{n_t}^{n_s} l_j dn, with n = sigma / alpha.

l_j are the Lagrange polynomials through some times, in a variable of choice: n itself, the half log
SNR lambda = -log n, or the time. Each function takes (schedule, t, s, times) and returns one weight
for each time; they sum to n_s - n_t. t, s and the times have signal and noise.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..schedules import Schedule
from ._between import half_gap
from ._exponential import weigh, weights

Integrals = Callable[[Schedule, float, float, Sequence[float]], list[float]]


def in_noise_level(schedule: Schedule, t: float, s: float, times: Sequence[float]) -> list[float]:
    """Polynomials in n: the weights of Adams and Bashforth, with steps of any length."""
    drops = [_drop(schedule, t, u) for u in (s, *times)]
    return [-w for w in weights(drops[0], drops[1:], 0.0)]


def in_half_log_snr(schedule: Schedule, t: float, s: float, times: Sequence[float]) -> list[float]:
    """Polynomials in lambda, against dn = -n dlambda."""
    h, *nodes = (half_gap(schedule, t, u) for u in (s, *times))
    n = noise_level(schedule, t)
    return [-n * w for w in weights(h, nodes, -1.0)]


def in_time(schedule: Schedule, t: float, s: float, times: Sequence[float]) -> list[float]:
    """Polynomials in time, by quadrature to 1e-14 of n_t; t's schedule is continuous.

    With v = (u - t) / (s - t) and q = n / n_t - 1, by parts:
    int v^k dq = q(1) - k int_0^1 v^{k-1} q dv.
    """

    def q(v: float) -> float:
        return math.expm1(-half_gap(schedule, t, t + (s - t) * v))

    def rest(k: int) -> float:
        return _integral(lambda v: k * v ** (k - 1) * q(v), 0.0, 1.0) if k else 0.0

    whole = q(1.0)
    moments = [whole - rest(k) for k in range(len(times))]
    n = noise_level(schedule, t)
    return [n * w for w in weigh([(u - t) / (s - t) for u in times], moments)]


def noise_level(schedule: Schedule, t: float) -> float:
    """n = sigma / alpha, for alpha > 0."""
    alpha, sigma = schedule(t)
    return float(sigma / alpha)


def _drop(schedule: Schedule, t: float, u: float) -> float:
    """n_t - n_u, which does not cancel where the two are close."""
    return -noise_level(schedule, t) * math.expm1(-half_gap(schedule, t, u))


_NODES, _WEIGHTS = (tuple(a.tolist()) for a in np.polynomial.legendre.leggauss(12))


def _integral(f: Callable[[float], float], low: float, high: float, depth: int = 0) -> float:
    """int_low^high f by Gauss and Legendre's rule, halving until two halves agree with the whole.

    The tolerance, 1e-14, is for the whole; the halves, which are returned, are far closer.
    """
    middle = 0.5 * (low + high)
    halves = _gauss(f, low, middle) + _gauss(f, middle, high)
    if depth == 48 or abs(halves - _gauss(f, low, high)) <= 1e-14:
        return halves
    return _integral(f, low, middle, depth + 1) + _integral(f, middle, high, depth + 1)


def _gauss(f: Callable[[float], float], low: float, high: float) -> float:
    centre, radius = 0.5 * (low + high), 0.5 * (high - low)
    terms = (w * f(centre + radius * x) for x, w in zip(_NODES, _WEIGHTS, strict=True))
    return radius * math.fsum(terms)
