"""Grids by noise level, n = sigma / alpha = exp(-log SNR / 2), whatever the schedule.

    karras       n_k = (n_max^(1/rho) + k / (N - 1) (n_min^(1/rho) - n_max^(1/rho)))^rho
    exponential  n_k = n_max (n_min / n_max)^(k / (N - 1)), the limit of rho = infinity

for k < N, then data (Karras et al. 2022, "EDM", eq. 5). On EDM's schedule a time is its noise
level; elsewhere it is the time that has it. On a discrete schedule that is the nearest whole one in
log SNR; on `schedules.interpolate(schedule)` the one in between.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from .._arguments import number, positive
from ..schedules import ContinuousSchedule, DiscreteSchedule, interpolate
from ._grid import Timed, Times, counted, first_time, last_time, numbers, require_steps

EDM_SIGMA_MIN = 0.002
"""Karras et al. 2022, table 1: where a grid ends by default if levels go down to 0."""


def karras(
    schedule: Timed,
    n: int,
    rho: float = 7.0,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
) -> Times:
    """n times from noise level sigma_max to sigma_min, even in n^(1/rho), then 0.

    sigma_min: by default that of time 1 on a discrete or interpolated schedule, else the
    schedule's least, or EDM's 0.002 if that is 0. sigma_max: by default the schedule's largest, to
    be given where that is infinite. With n = 1 it is sigma_max alone. Raises ValueError unless
    0 < sigma_min < sigma_max are levels of the schedule, rho > 0 and 1 <= n (<= T).
    """
    rho = positive("rho", rho)
    low, high = _ends(schedule, n, sigma_min, sigma_max)
    end = (low / high) ** (1.0 / rho)
    fractions = _fractions(_count(schedule, n, low))
    return _times(schedule, [high * (1.0 + f * (end - 1.0)) ** rho for f in fractions], low, high)


def exponential(
    schedule: Timed, n: int, sigma_min: float | None = None, sigma_max: float | None = None
) -> Times:
    """n times from noise level sigma_max to sigma_min, in equal ratios, then 0; as `karras`."""
    low, high = _ends(schedule, n, sigma_min, sigma_max)
    ratio = math.log(low / high)
    fractions = _fractions(_count(schedule, n, low))
    return _times(schedule, [high * math.exp(f * ratio) for f in fractions], low, high)


def uniform_log_snr(
    schedule: Timed, n: int, sigma_min: float | None = None, sigma_max: float | None = None
) -> Times:
    """n steps of equal length in log SNR from noise level sigma_max to sigma_min, where it ends.

    n + 1 times, the last one above 0 (Lu et al. 2022, "DPM-Solver", section 3.1 and appendix D;
    their code's "logSNR"). Defaults and errors as of `karras`; n + 1 <= T on a discrete schedule.
    """
    require_steps(schedule, n)
    if isinstance(schedule, DiscreteSchedule) and n == schedule.T:
        raise ValueError(f"n must be below T = {schedule.T}, since the grid ends above 0, got {n}")
    low, high = _ends(schedule, n + 1, sigma_min, sigma_max)
    ratio = math.log(low / high)
    levels = [high * math.exp(f * ratio) for f in _fractions(n + 1)]
    return _times(schedule, levels, low, high)[:-1]


def from_sigmas(schedule: Timed, sigmas: Sequence[float]) -> Times:
    """The times of the noise levels `sigmas`, descending; 0 is data, infinity pure noise.

    Raises ValueError unless they descend strictly, are levels of the schedule, and no more of them
    are above 0 than a discrete schedule has times.
    """
    levels = numbers("sigmas", sigmas)
    for a, b in pairwise(levels):
        if not a > b:
            raise ValueError(f"sigmas must descend strictly, got {a} then {b}")
    if not levels or not levels[-1] >= 0.0:
        raise ValueError(f"sigmas must be one or more from 0 on, got {levels}")
    require_steps(schedule, max(1, len(levels) - (levels[-1] == 0.0)))
    joined = interpolate(schedule) if isinstance(schedule, DiscreteSchedule) else schedule
    return counted(schedule, [_time(joined, "sigmas", level) for level in levels])


def _ends(
    schedule: Timed, n: int, sigma_min: float | None, sigma_max: float | None
) -> tuple[float, float]:
    require_steps(schedule, n)
    if sigma_max is None:
        sigma_max = _level(schedule, last_time(schedule))
        if sigma_max == math.inf:
            raise ValueError("sigma_max must be given where the schedule ends without signal")
    if sigma_min is None:
        first = first_time(schedule)
        sigma_min = _level(schedule, 0 if first is None else first) or EDM_SIGMA_MIN
    sigma_min, sigma_max = number("sigma_min", sigma_min), number("sigma_max", sigma_max)
    if not 0.0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            "sigma_min must be positive and below a finite sigma_max, "
            f"got sigma_min = {sigma_min}, sigma_max = {sigma_max}"
        )
    return sigma_min, sigma_max


def _count(schedule: Timed, n: int, low: float) -> int:
    """How many levels n steps visit before 0; one more where the last of them is time 0's own."""
    return n + (low == _level(schedule, 0))


def _fractions(n: int) -> list[float]:
    return [k / (n - 1) for k in range(n)] if n > 1 else [0.0]


def _times(schedule: Timed, levels: Sequence[float], low: float, high: float) -> Times:
    """The levels' times and 0; the ends, whose last digit may be rounded, as given."""
    joined = interpolate(schedule) if isinstance(schedule, DiscreteSchedule) else schedule
    ends = _time(joined, "sigma_max", high), _time(joined, "sigma_min", low)
    inner = [_time(joined, "sigma", level) for level in levels[1:-1]]
    found = [ends[0], *inner, ends[1]] if len(levels) > 1 else ends[:1]
    return counted(schedule, (*found, 0.0) if found[-1] > 0.0 else tuple(found))


def _time(schedule: ContinuousSchedule, name: str, level: float) -> float:
    log_snr = -2.0 * math.log(level) if level > 0.0 else math.inf
    top = _level(schedule, last_time(schedule))
    # A level that was computed from the schedule's own may differ from it by its rounding.
    for time in (0.0, last_time(schedule)):
        if math.isclose(level, _level(schedule, time), rel_tol=1e-15, abs_tol=0.0):
            return time
    try:
        return schedule.time_at(log_snr)
    except ValueError:
        bottom = _level(schedule, 0.0)
        raise ValueError(f"{name} must be in [{bottom:g}, {top:g}], got {level}") from None


def _level(schedule: Timed, time: float) -> float:
    alpha, sigma = schedule(time)
    return float(sigma / alpha) if alpha > 0.0 else math.inf
