"""Classical Runge-Kutta methods along the angle between data and noise.

    tan phi = sigma / alpha,  u = x / sqrt(alpha^2 + sigma^2) = cos(phi) x_0 + sin(phi) eps

    du / dphi = (cos(phi) u - m) / sin(phi)

The probability flow in the angle (Salimans & Ho 2022, appendix D, for any schedule); in small
angles it is EDM's in sigma / alpha, and it is regular at alpha = 0 too. Made for solving the flow
to a tolerance, either way, rather than in few calls.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from .._arguments import one_of
from ..plan import Plan
from ..schedules import ContinuousSchedule, Schedule
from ._grid import checked
from ._trace import ZERO, Combination, Trace

Row = tuple[float, tuple[float, ...]]
"""How far in the step the next state lies, and its weights of the slopes so far."""

TABLEAUS: dict[int, tuple[Row, ...]] = {
    1: ((1.0, (1.0,)),),
    2: ((1.0, (1.0,)), (1.0, (0.5, 0.5))),
    4: (
        (0.5, (0.5,)),
        (0.5, (0.0, 0.5)),
        (1.0, (0.0, 0.0, 1.0)),
        (1.0, (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    ),
}
"""Euler's method, Heun's, and Kutta's of 1901, by their orders."""


def runge_kutta(schedule: Schedule, times: Sequence[float], order: int = 4) -> Plan:
    """The flow over `times`, up or down, by the method of that order: 1, 2 or 4.

    As many calls a step as its order, one for a step to sigma = 0, which takes the denoised x_0.
    Order 4 calls in the middle of a step, and so needs a continuous schedule. Raises ValueError
    where times do not change at each step, or leave sigma = 0.
    """
    order = one_of("order", order, *TABLEAUS)
    if order == 4 and not isinstance(schedule, ContinuousSchedule):
        raise ValueError("order must be 1 or 2 on a discrete schedule, which has no times between")
    grid = checked(schedule, times, either_way=True)
    for t in grid[:-1]:
        if schedule(t).sigma == 0.0:
            raise ValueError(f"times must have sigma above 0 but for the last, got {t}")
    trace = Trace(schedule, grid[0])
    for t, s in pairwise(grid):
        if schedule(s).sigma == 0.0:
            trace.ddim(s, trace.denoise())
        else:
            _step(trace, t, s, TABLEAUS[order])
    return trace.plan("runge_kutta", order, order=order)


def _step(trace: Trace, t: float, s: float, tableau: tuple[Row, ...]) -> None:
    schedule = trace.schedule
    start, width = trace.x, _angle(schedule, s) - _angle(schedule, t)
    slopes: list[Combination] = []
    for share, weights in tableau:
        slopes.append(_slope(trace, trace.denoise()))
        time = s if share == 1.0 else _time_at(schedule, t, share * width)
        total = sum((w * f for w, f in zip(weights, slopes, strict=True)), ZERO)
        size = math.hypot(*schedule(time))
        trace.move(time, (size / math.hypot(*schedule(t))) * start + (size * width) * total)


def _slope(trace: Trace, m: Combination) -> Combination:
    """du / dphi in the current state, where the denoiser's output is `m`."""
    alpha, sigma = trace.level
    size = math.hypot(alpha, sigma)
    slope: Combination = (alpha / sigma / size) * trace.x - (size / sigma) * m
    return slope


def _angle(schedule: Schedule, t: float) -> float:
    alpha, sigma = schedule(t)
    return math.atan2(sigma, alpha)


def _time_at(schedule: Schedule, t: float, turn: float) -> float:
    """The time whose angle is that of t and `turn` more."""
    assert isinstance(schedule, ContinuousSchedule)
    return schedule.time_at(-2.0 * math.log(math.tan(_angle(schedule, t) + turn)))
