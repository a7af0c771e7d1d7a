"""Runge-Kutta in the noise level: Euler, Heun and the midpoint rule, each with churn.

    y = x / alpha, n = sigma / alpha:      dy / dn = (y - m) / n = eps

(Karras et al. 2022, "EDM", eq. 4 with its scaling s(t) = alpha removed), down or up. A step to
sigma = 0 takes the denoised x_0, a step from alpha = 0 or to it, where y is infinite, is DDIM's,
and so is one from sigma = 0, which scales x by alpha.

Churn (EDM, algorithm 2) raises the noise level from n to (1 + gamma) n before a step, with
gamma = min(s_churn / steps, sqrt(2) - 1) where s_tmin <= n <= s_tmax, and fresh noise of scale
s_noise; the denoiser is called after that, on the noisier state. It goes no higher than the
schedule does, needs times between, and descends: a discrete schedule raises ValueError, and so do
times that rise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .._arguments import non_negative, number
from ..plan import Plan
from ..schedules import ContinuousSchedule, Schedule
from ._between import between, interior
from ._grid import checked
from ._trace import Combination, Trace


def euler(
    schedule: Schedule,
    times: Sequence[float],
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Plan:
    """Euler's method in n; order 1. Without churn the same steps as DDIM's with eta = 0."""
    s_churn = non_negative("s_churn", s_churn)
    grid = checked(schedule, times, either_way=not s_churn)
    churn = _Churn.checked(schedule, len(grid) - 1, s_churn, s_tmin, s_tmax, s_noise)
    trace = Trace(schedule, grid[0])
    for s in grid[1:]:
        churn.apply(trace)
        trace.first_order(s)
    return churn.plan(trace, "euler", order=1)


def heun(
    schedule: Schedule,
    times: Sequence[float],
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Plan:
    """Heun's method in n (EDM, algorithm 1); with `s_churn` > 0 the stochastic one (algorithm 2).

    Order 2. Two calls a step, one for the step to sigma = 0 and for a step from alpha = 0.
    """
    s_churn = non_negative("s_churn", s_churn)
    grid = checked(schedule, times, either_way=not s_churn)
    churn = _Churn.checked(schedule, len(grid) - 1, s_churn, s_tmin, s_tmax, s_noise)
    trace = Trace(schedule, grid[0])
    for s in grid[1:]:
        churn.apply(trace)
        if not interior(schedule, trace.time, s):
            trace.first_order(s)
            continue
        t, x, m = trace.time, trace.x, trace.denoise()
        slope = trace.eps(m)
        trace.ddim(s, m)
        along(trace, s, x, t, 0.5 * slope + 0.5 * trace.eps(trace.denoise()))
    return churn.plan(trace, "heun", order=2)


def dpm2(
    schedule: Schedule,
    times: Sequence[float],
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Plan:
    """The midpoint rule in n, its midpoint the geometric mean of the noise levels; order 2.

    It is DPM-Solver-2 with r_1 = 1/2 (Lu et al. 2022, algorithm 1). Two calls a step. On a discrete
    schedule the midpoint is the nearest whole time between, weighted as DPM-Solver-2 weights the
    r_1 where that is, which keeps the order; a step that holds none is Euler's.
    """
    s_churn = non_negative("s_churn", s_churn)
    grid = checked(schedule, times, either_way=not s_churn)
    churn = _Churn.checked(schedule, len(grid) - 1, s_churn, s_tmin, s_tmax, s_noise)
    trace = Trace(schedule, grid[0])
    for s in grid[1:]:
        churn.apply(trace)
        t, middle = trace.time, None
        if interior(schedule, t, s):
            ends = schedule.log_snr_at(t), schedule.log_snr_at(s)
            middle = between(schedule, t, s, 0.25 * sum(ends))
        if middle is None:
            trace.first_order(s)
            continue
        x, m = trace.x, trace.denoise()
        slope = trace.eps(m)
        share = 0.5
        if not isinstance(schedule, ContinuousSchedule):
            share = schedule.log_snr_gap(middle, t) / schedule.log_snr_gap(s, t)
        trace.ddim(middle, m)
        along(trace, s, x, t, through(share, slope, trace.eps(trace.denoise())))
    return churn.plan(trace, "dpm2", order=2)


def along(trace: Trace, s: float, x: Combination, t: float, slope: Combination) -> None:
    """Move to time s from state x of time t along one slope dy / dn = eps."""
    alpha, sigma = trace.schedule(s)
    # alpha_s (n_s - n_t), which must not cancel.
    rise = -sigma * math.expm1(0.5 * trace.schedule.log_snr_gap(s, t))
    trace.move(s, (alpha / trace.schedule(t).alpha) * x + rise * slope)


def through(share: float, start: Combination, inner: Combination) -> Combination:
    """The slope of order 2 from those at the start and at `share` of the step in log SNR."""
    weight = 0.5 / share
    return (1.0 - weight) * start + weight * inner


@dataclass(frozen=True)
class _Churn:
    """EDM's churn: gamma, the range of noise levels it applies to, and its noise's scale."""

    s_churn: float
    gamma: float
    s_tmin: float
    s_tmax: float
    s_noise: float

    @classmethod
    def checked(
        cls,
        schedule: Schedule,
        steps: int,
        s_churn: float,
        s_tmin: float,
        s_tmax: float,
        s_noise: float,
    ) -> "_Churn":
        s_noise = non_negative("s_noise", s_noise)
        s_tmin, s_tmax = number("s_tmin", s_tmin), number("s_tmax", s_tmax)
        if not 0.0 <= s_tmin <= s_tmax:
            raise ValueError(
                f"s_tmin must be in [0, s_tmax], got s_tmin = {s_tmin}, s_tmax = {s_tmax}"
            )
        if s_churn and not isinstance(schedule, ContinuousSchedule):
            raise ValueError("s_churn must be 0 on a discrete schedule, which has no times between")
        return cls(s_churn, min(s_churn / steps, math.sqrt(2.0) - 1.0), s_tmin, s_tmax, s_noise)

    def apply(self, trace: Trace) -> None:
        """Raise the noise level from n to (1 + gamma) n, as far as the schedule goes."""
        schedule = trace.schedule
        alpha, sigma = trace.level
        if not self.gamma or alpha == 0.0 or not self.s_tmin <= sigma / alpha <= self.s_tmax:
            return
        assert isinstance(schedule, ContinuousSchedule)
        top = float(schedule.curve.t_max)
        log_snr = schedule.log_snr_at(trace.time) - 2.0 * math.log1p(self.gamma)
        raised = schedule.time_at(log_snr) if log_snr > schedule.log_snr_at(top) else top
        if not raised > trace.time:
            return
        level = schedule(raised)
        added = -math.expm1(-schedule.log_snr_gap(trace.time, raised))
        keep = level.alpha / alpha
        trace.move(raised, keep * trace.x, z=self.s_noise * level.sigma * math.sqrt(added))

    def plan(self, trace: Trace, name: str, order: int) -> Plan:
        """What was done; its order is declared where no noise was drawn."""
        if not self.s_churn:
            return trace.plan(name, order)
        # JSON has no word for an infinite s_tmax, which is the default.
        own = vars(self).items()
        parameters = {k: v for k, v in own if k != "gamma" and math.isfinite(v)}
        plan = trace.plan(name, None, **parameters)
        return plan if plan.stochastic else trace.plan(name, order, **parameters)
