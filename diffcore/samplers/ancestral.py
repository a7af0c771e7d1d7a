"""Ancestral sampling in the noise level: a solver's step down too far, then fresh noise.

    n = sigma / alpha, n_up = min(n_s, eta n_s sqrt(1 - n_s^2 / n_t^2)), n_down^2 = n_s^2 - n_up^2

A step from t to s follows the probability flow dy / dn = eps, y = x / alpha, from n_t to n_down and
adds noise of scale n_up, which restores the variance n_s^2 (Karras et al. 2022, section 4, takes
noise up and then solves down; here it is the other way round, as in Song et al. 2021, appendix F,
whose posterior variance n_up^2 is at eta = 1). The exact flow would keep every marginal, so the
marginals converge at the order of the solver.

A step to sigma = 0 takes the denoised x_0, a step from alpha = 0 is DDIM's with the same eta.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from .._arguments import non_negative
from ..plan import Plan
from ..schedules import ContinuousSchedule, DiscreteSchedule, Schedule
from ._first_order import log_kept
from ._grid import checked
from ._trace import Combination, Trace
from .heun import through


def euler_ancestral(
    schedule: Schedule, times: Sequence[float], eta: float = 1.0, s_noise: float = 1.0
) -> Plan:
    """Euler's step to n_down, then noise of scale s_noise n_up; weak order 1.

    For 0 <= eta <= 1 and s_noise = 1 it is DDIM with that eta, so at eta = 1 it is DDPM with the
    small variance. Above 1, eta draws more noise than the posterior holds, until each step draws
    all its noise afresh. Raises ValueError for a negative or infinite eta or s_noise.
    """
    eta, s_noise = non_negative("eta", eta), non_negative("s_noise", s_noise)
    grid = checked(schedule, times)
    trace = Trace(schedule, grid[0])
    for s in grid[1:]:
        _first_order(trace, s, trace.denoise(), eta, s_noise)
    order = 1 if eta == 0.0 else None
    return trace.plan("euler_ancestral", order, eta=eta, s_noise=s_noise)


def dpm2_ancestral(
    schedule: Schedule, times: Sequence[float], eta: float = 1.0, s_noise: float = 1.0
) -> Plan:
    """DPM-Solver-2's step to n_down, then noise of scale s_noise n_up; weak order 2.

    Two calls a step, the second at the geometric mean of n_t and n_down, which at eta = 1 is n_s.
    On a discrete schedule it is the nearest whole time below t with noise left, with DPM-Solver-2's
    weights for where that is. A step with n_down = 0 or without such a time is Euler's. Raises
    ValueError for a negative or infinite eta or s_noise.
    """
    eta, s_noise = non_negative("eta", eta), non_negative("s_noise", s_noise)
    grid = checked(schedule, times)
    trace = Trace(schedule, grid[0])
    for t, s in pairwise(grid):
        m = trace.denoise()
        fall = log_down(schedule, t, s, eta)
        drop = 0.5 * schedule.log_snr_gap(s, t) - fall
        middle, share = _halfway(schedule, t, drop)
        if middle is None:
            _first_order(trace, s, m, eta, s_noise)
            continue
        x, slope = trace.x, trace.eps(m)
        trace.ddim(middle, m)
        slope = through(share, slope, trace.eps(trace.denoise()))
        alpha, sigma = schedule(s)
        # alpha_s (n_down - n_t), which must not cancel.
        rise = -sigma * math.exp(fall) * math.expm1(drop)
        state = (alpha / schedule(t).alpha) * x + rise * slope
        trace.move(s, state, z=s_noise * sigma * _up(fall))
    order = 2 if eta == 0.0 else None
    return trace.plan("dpm2_ancestral", order, eta=eta, s_noise=s_noise)


def _first_order(trace: Trace, s: float, m: Combination, eta: float, s_noise: float) -> None:
    schedule, t = trace.schedule, trace.time
    alpha, sigma = schedule(s)
    fall = log_down(schedule, t, s, eta)
    keep = sigma / trace.level.sigma * math.exp(fall)
    share = -math.expm1(fall - 0.5 * schedule.log_snr_gap(s, t))
    trace.move(s, keep * trace.x + (alpha * share) * m, z=s_noise * sigma * _up(fall))


def log_down(schedule: Schedule, t: float, s: float, eta: float) -> float:
    """log(n_down / n_s) <= 0, at full precision; -inf where n_down = 0."""
    return 0.5 * log_kept(eta * eta, -schedule.log_snr_gap(s, t))


def _up(fall: float) -> float:
    """n_up / n_s."""
    return math.sqrt(-math.expm1(2.0 * fall))


def _halfway(schedule: Schedule, t: float, drop: float) -> tuple[float | None, float]:
    """The time half of `drop` above t in log(alpha / sigma), and its true share of `drop`."""
    if math.isinf(drop):
        return None, 0.0
    target = schedule.log_snr_at(t) + drop
    if isinstance(schedule, ContinuousSchedule):
        if target <= schedule.log_snr_at(0.0):
            return schedule.time_at(target), 0.5
        middle = 0.0
    else:
        assert isinstance(schedule, DiscreteSchedule)
        # A step from t = 1 is to data, and has been dealt with.
        middle = min(range(1, int(t)), key=lambda u: abs(schedule.log_snr_at(u) - target))
    return middle, 0.5 * schedule.log_snr_gap(middle, t) / drop
