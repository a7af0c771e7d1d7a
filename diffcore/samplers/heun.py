"""Runge-Kutta in the noise level: Euler, Heun (with churn) and the midpoint rule.

    y = x / alpha, n = sigma / alpha:      dy / dn = (y - m) / n = eps

(Karras et al. 2022, "EDM", eq. 4 with its scaling s(t) = alpha removed). A step to sigma = 0 takes
the denoised x_0, a step from alpha = 0, where y is infinite, is DDIM's.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ..plan import Plan
from ..schedules import ContinuousSchedule, Schedule
from ._between import between
from ._grid import checked
from ._trace import Combination, Trace
from .ddim import ddim


def euler(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Euler's method in n; order 1. The same step as DDIM's with eta = 0."""
    return replace(ddim(schedule, times), name="euler", parameters={})


def heun(
    schedule: Schedule,
    times: Sequence[float],
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Plan:
    """Heun's method (EDM, algorithm 1); with `s_churn` > 0 the stochastic sampler (algorithm 2).

    Order 2 without churn. Two calls a step, one for the step to sigma = 0. s_churn, s_tmin, s_tmax,
    s_noise are EDM's, noise levels being n = sigma / alpha; churn needs a continuous schedule, on
    which raised noise levels have times, and raises ValueError elsewhere.
    """
    grid = checked(schedule, times)
    gamma = _gamma(schedule, s_churn, len(grid) - 1)
    trace = Trace(schedule, grid[0])
    for s in grid[1:]:
        if gamma and s_tmin <= _noise_level(trace) <= s_tmax:
            _churn(trace, gamma, s_noise)
        m = trace.denoise()
        if not _interior(schedule, trace.time, s):
            trace.ddim(s, m)
            continue
        x, level, slope = trace.x, trace.level, trace.eps(m)
        _along(trace, s, x, level, slope)
        slope = 0.5 * slope + 0.5 * trace.eps(trace.denoise())
        _along(trace, s, x, level, slope)
    if not s_churn:
        return trace.plan("heun", order=2)
    return trace.plan("heun", s_churn=s_churn, s_tmin=s_tmin, s_tmax=s_tmax, s_noise=s_noise)


def dpm2(schedule: Schedule, times: Sequence[float]) -> Plan:
    """The midpoint rule in n, its midpoint the geometric mean of the noise levels; order 2.

    Two calls a step. On a discrete schedule the midpoint is a whole time between; a step that holds
    none is Euler's.
    """
    grid = checked(schedule, times)
    trace = Trace(schedule, grid[0])
    for t, s in pairwise(grid):
        m = trace.denoise()
        middle = None
        if _interior(schedule, t, s):
            ends = schedule.log_snr_at(t), schedule.log_snr_at(s)
            middle = between(schedule, t, s, 0.25 * sum(ends))
        if middle is None:
            trace.ddim(s, m)
            continue
        x, level = trace.x, trace.level
        trace.ddim(middle, m)
        _along(trace, s, x, level, trace.eps(trace.denoise()))
    return trace.plan("dpm2", order=2)


def _interior(schedule: Schedule, t: float, s: float) -> bool:
    """Whether both ends have signal and noise."""
    return schedule(t).alpha > 0.0 and schedule(s).sigma > 0.0


def _along(
    trace: Trace, s: float, x: Combination, start: tuple[float, float], slope: Combination
) -> None:
    """Move to time s from state x of level `start` along one slope dy / dn = eps."""
    alpha, sigma = trace.schedule(s)
    rise = sigma - alpha / start[0] * start[1]
    trace.move(s, (alpha / start[0]) * x + rise * slope)


def _noise_level(trace: Trace) -> float:
    alpha, sigma = trace.level
    return sigma / alpha if alpha > 0.0 else math.inf


def _gamma(schedule: Schedule, s_churn: float, steps: int) -> float:
    if not s_churn >= 0.0:
        raise ValueError(f"s_churn must be non-negative, got {s_churn}")
    if s_churn and not isinstance(schedule, ContinuousSchedule):
        raise ValueError("s_churn must be 0 on a discrete schedule, which has no times between")
    return min(s_churn / steps, math.sqrt(2.0) - 1.0)


def _churn(trace: Trace, gamma: float, s_noise: float) -> None:
    """Raise the noise level from n to (1 + gamma) n, as far as the schedule goes."""
    schedule = trace.schedule
    assert isinstance(schedule, ContinuousSchedule)
    alpha, sigma = trace.level
    log_snr = schedule.log_snr_at(trace.time) - 2.0 * math.log1p(gamma)
    top = schedule.curve.t_max
    raised = schedule.time_at(log_snr) if log_snr > schedule.log_snr_at(top) else top
    if not raised > trace.time:
        return
    level = schedule(raised)
    keep = level.alpha / alpha
    added = level.sigma**2 - (keep * sigma) ** 2
    trace.move(raised, keep * trace.x, z=s_noise * math.sqrt(max(added, 0.0)))
