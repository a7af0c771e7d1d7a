"""The variance of p(x_s | x_t): between the posterior's and the transition's.

    small  sigma_s^2 (1 - r), the posterior's, right for a point mass
    large  sigma_t^2 (1 - r), beta_t for s = t - 1, right for standard normal data
    learned  exp(f log large + (1 - f) log small), f from the network

Ho et al. 2020, section 3.2; Nichol & Dhariwal 2021, "Improved DDPM", eq. 15. r = SNR_t / SNR_s.
"""

import math
from typing import Any, NamedTuple

from .._arguments import require_time
from .._arrays import (
    A,
    Array,
    expand,
    is_number,
    namespace,
    require_floating,
)
from ..process import posterior, transition
from ..schedules import DiscreteSchedule, Schedule, Tables
from ._wide import widen


class LogVariances(NamedTuple):
    """log small and log large: Python floats, or arrays that broadcast against the data."""

    low: Any
    high: Any


def log_variances(schedule: Schedule, t: Any, like: Array, s: Any = None) -> LogVariances:
    """The ends of the range for the step from t to s, by default t - 1 on a discrete schedule.

    At sigma_s = 0 the posterior's variance is 0. Its logarithm is then clipped: to that of the step
    from t = 2 where s is left out (Nichol & Dhariwal 2021, section 3.1), else to log large.
    """
    require_time("t", t, "the data", like)
    if s is None and isinstance(schedule, (DiscreteSchedule, Tables)):
        schedule.posterior_step(t, like)  # Says what is wrong with t.
        low = schedule.at("posterior_log_variance_clipped", t, like)
        return LogVariances(expand(low, like), expand(_log(schedule.at("beta", t, like)), like))
    if s is not None:
        require_time("s", s, "the data", like)
    small = posterior(schedule, t, s, like).variance
    large = transition(schedule, s, t, like).variance
    if is_number(small):
        return LogVariances(_log(small if small > 0.0 else large), _log(large))
    small = namespace(small).where(small > 0.0, small, large)
    return LogVariances(expand(_log(small), like), expand(_log(large), like))


def learned_variance(schedule: Schedule, fraction: A, t: Any, s: Any = None) -> A:
    """The variance at `fraction` of the way from log small to log large.

    fraction: floating array (batch, ...), 0 for small and 1 for large; a network's output v in
    [-1, 1] means (v + 1) / 2. Shape and dtype of `fraction`.
    """
    require_floating("fraction", fraction)
    (f,) = widen(fraction)
    low, high = log_variances(schedule, t, f, s)
    xp = namespace(f)
    return xp.astype(xp.exp(low + f * (high - low)), fraction.dtype, copy=False)  # type: ignore[no-any-return]


def _log(x: Any) -> Any:
    return math.log(x) if is_number(x) else namespace(x).log(x)
