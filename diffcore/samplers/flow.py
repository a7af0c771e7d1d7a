"""Runge-Kutta in the schedule's own time: Euler and Heun along the velocity.

    dx / dt = alpha'(t) m + sigma'(t) eps,      eps = (x - alpha m) / sigma

(Liu et al. 2023, "Flow Straight and Fast"; Heun's is EDM's algorithm 1 for a general s(t) = alpha,
Karras et al. 2022.) The velocity is finite at alpha = 0 too. Where alpha and sigma are straight
lines in t (`flow`, `edm`) Euler's step is DDIM's. Everywhere else it is not, and it does not keep
the mean of a point mass but for its order: DDIM solves the straight part exactly on every schedule.
On `edm`, where t = sigma / alpha, Heun's is `heun`'s too. A shifted flow is straight in its shifted
time, not in t: to step along that, shift the times of a plain flow instead.

Times may rise as well as descend. A step to sigma = 0 takes the denoised x_0, which on straight
schedules is Euler's step; a step from there is DDIM's, which scales x by alpha.
"""

from collections.abc import Sequence

from ..plan import Plan
from ..schedules import ContinuousSchedule, Schedule
from ._grid import checked
from ._rates import rates
from ._trace import Combination, Trace


def flow_euler(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Euler's method in t; order 1. Raises TypeError on a discrete schedule."""
    trace, rest = _start(schedule, times)
    for s in rest:
        if _at_data(trace, s):
            trace.first_order(s)
        else:
            velocity = _velocity(trace, trace.denoise())
            trace.move(s, trace.x + (s - trace.time) * velocity)
    return trace.plan("flow_euler", 1)


def flow_heun(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Heun's method in t; order 2. Two calls a step, one for the step to sigma = 0.

    Raises TypeError on a discrete schedule.
    """
    trace, rest = _start(schedule, times)
    for s in rest:
        if _at_data(trace, s):
            trace.first_order(s)
            continue
        x, width, velocity = trace.x, s - trace.time, _velocity(trace, trace.denoise())
        trace.move(s, x + width * velocity)
        velocity = 0.5 * velocity + 0.5 * _velocity(trace, trace.denoise())
        trace.move(s, x + width * velocity)
    return trace.plan("flow_heun", 2)


def _start(schedule: Schedule, times: Sequence[float]) -> tuple[Trace, tuple[float, ...]]:
    if not isinstance(schedule, ContinuousSchedule):
        raise TypeError(
            "schedule must be continuous, with alpha and sigma differentiable in t, "
            f"got {type(schedule).__name__}"
        )
    first, *rest = checked(schedule, times, either_way=True)
    return Trace(schedule, first), tuple(rest)


def _at_data(trace: Trace, s: float) -> bool:
    """Whether either end of the step to s has no noise, so that no velocity is known there."""
    return 0.0 in (trace.level.sigma, trace.schedule(s).sigma)


def _velocity(trace: Trace, m: Combination) -> Combination:
    """dx / dt in the current state, where the denoiser's output is `m`."""
    assert isinstance(trace.schedule, ContinuousSchedule)
    of_alpha, of_sigma = rates(trace.schedule, trace.time)
    return of_alpha * m + of_sigma * trace.eps(m)
