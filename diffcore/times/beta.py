"""Grids at the quantiles of a beta distribution, dense at both ends.

    t_k = T Q(1 - k / n),      I_Q(a, b) = p at Q = Q(p)

with I the regularised incomplete beta function (Lee et al. 2024, "Beta Sampling is All You Need",
section 4, with a = b = 0.6). I is summed as

    I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) (1 + sum_k prod_{j < k} (a + b + j) / (a + 1 + j) x)

(Abramowitz & Stegun 1964, 26.5.4), whose terms are positive, or as 1 - I_{1-x}(b, a) where x is
above 1/2.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from .._arguments import number, positive
from ..schedules import DiscreteSchedule
from ._grid import Timed, Times, counted, last_time, require_steps


def beta(schedule: Timed, n: int, a: float = 0.6, b: float = 0.6) -> Times:
    """n times at the quantiles 1, 1 - 1/n, ..., 1/n of Beta(a, b) over [0, T], then 0.

    a, b: below 1 they draw the times towards data and towards noise. Discrete times are rounded to
    whole ones, distinct. Raises ValueError unless a, b > 0, not so small that times coincide, and
    1 <= n (<= T).
    """
    require_steps(schedule, n)
    last = last_time(schedule)
    found = [last * beta_quantile(1.0 - k / n, a, b) for k in range(n + 1)]
    if not isinstance(schedule, DiscreteSchedule) and any(t <= s for t, s in pairwise(found)):
        raise ValueError(f"a and b must leave {n} times apart, got a = {a}, b = {b}")
    return counted(schedule, found)


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x in [0, 1] below which Beta(a, b) has mass p, by bisection to the last digits.

    Raises ValueError unless 0 <= p <= 1 and a, b are positive and finite.
    """
    a, b, p = positive("a", a), positive("b", b), number("p", p)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"p must be in [0, 1], got {p}")
    if p in (0.0, 1.0):
        return p
    if _reaches(0.5, a, b, p, 1.0 - p):
        return _bisect(lambda x: _reaches(x, a, b, p, 1.0 - p))
    # By the distance y from 1, whose digits count there.
    return 1.0 - _bisect(lambda y: _reaches(y, b, a, 1.0 - p, p))


def _bisect(holds: Callable[[float], bool]) -> float:
    """The least number in (0, 1/2] from which on `holds`."""
    low, high = 0.0, 0.5
    while low < (middle := 0.5 * (low + high)) < high:
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def _reaches(x: float, a: float, b: float, p: float, rest: float) -> bool:
    """Whether I_x(a, b) >= p = 1 - rest, x <= 1/2."""
    mass = _lower(x, a, b)
    # Little mass is summed itself, not as what is left of 1; so near to 0 that would take long.
    return mass >= p if mass < 0.9 or x < 1e-4 else _lower(1.0 - x, b, a) <= rest


def _lower(x: float, a: float, b: float) -> float:
    """I_x(a, b) for 0 < x < 1."""
    term = total = 1.0
    k = 0
    while term > 1e-18 * total:
        term *= (a + b + k) / (a + 1.0 + k) * x
        total += term
        k += 1
    if total == math.inf:  # Far above the mode: the mass beyond x is below the least float.
        return 1.0
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) * total / a
