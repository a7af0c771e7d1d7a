"""PLMS: pseudo linear multistep, DDIM's step with a mean of the last noises.

x_s = phi(x_t, eps', t, s), phi DDIM's step, and, over even steps in time,

    eps' = (55 eps_0 - 59 eps_1 + 37 eps_2 - 9 eps_3) / 24, the newest first

(Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds", section 3).
These are the weights of Adams and Bashforth for even steps in time, where phi integrates eps over
n = sigma / alpha, which does not run evenly: hence the paper's order 2, not 4. With the weights
that belong to n it is `lms`, of order 4.
"""

from collections.abc import Sequence
from itertools import pairwise

from .._arguments import one_of
from ..plan import Plan
from ..schedules import ContinuousSchedule, Schedule
from ._between import interior
from ._grid import Start, checked
from ._integrals import noise_level
from ._slope import Point, along, evaluate
from ._trace import Combination, Trace

MEANS = {
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def plms(schedule: Schedule, times: Sequence[float], start: Start = "lower") -> Plan:
    """The PLMS sampler over the descending `times`, meant to be even; order 2.

    start: "lower" takes the first step by the pseudo trapezoidal rule, which calls twice, and
    then lets the number of noises grow, one call a step (the usual code); "singlestep" takes three
    steps by the pseudo Runge-Kutta method, four calls each (the paper's F-PNDM), or where a
    discrete schedule has no time inside the step by the trapezoidal rule. A step to sigma = 0 takes
    the denoised x_0, where the paper continues eps; one from alpha = 0 is DDIM's. Raises ValueError
    on another start.
    """
    one_of("start", start, "singlestep", "lower")
    grid = checked(schedule, times)
    trace = Trace(schedule, grid[0])
    known: list[Point] = []
    for t, s in pairwise(grid):
        known = [evaluate(trace), *known][:4]
        newest = known[0]
        if not interior(schedule, t, s):
            along(trace, newest, s)
        elif start == "singlestep" and len(known) < 4:
            _runge_kutta(trace, newest, s)
        elif len(known) == 1:
            _trapezoid(trace, newest, s)
        else:
            mean = MEANS[len(known)]
            _transfer(trace, newest, s, [(w, p.eps) for w, p in zip(mean, known, strict=True)])
    return trace.plan("plms", 2, start=start)


def _transfer(
    trace: Trace, start: Point, s: float, mean: Sequence[tuple[float, Combination]]
) -> None:
    """Move to phi(x_t, eps', t, s), eps' the mean; its weights sum to 1."""
    rise = noise_level(trace.schedule, s) - noise_level(trace.schedule, start.time)
    along(trace, start, s, [(rise * w, eps) for w, eps in mean])


def _trapezoid(trace: Trace, start: Point, s: float) -> None:
    along(trace, start, s)
    _transfer(trace, start, s, [(0.5, start.eps), (0.5, evaluate(trace).eps)])


def _runge_kutta(trace: Trace, start: Point, s: float) -> None:
    """The pseudo Runge-Kutta method, of the classical weights (Liu et al. 2022, section 3)."""
    middle = _middle(trace.schedule, start.time, s)
    if middle is None:
        _trapezoid(trace, start, s)
        return
    along(trace, start, middle)
    second = evaluate(trace).eps
    _transfer(trace, start, middle, [(1.0, second)])
    third = evaluate(trace).eps
    _transfer(trace, start, s, [(1.0, third)])
    fourth = evaluate(trace).eps
    mean = [(1 / 6, start.eps), (1 / 3, second), (1 / 3, third), (1 / 6, fourth)]
    _transfer(trace, start, s, mean)


def _middle(schedule: Schedule, t: float, s: float) -> float | None:
    """Half way in time; on a discrete schedule a whole time, the later of two, or None."""
    if isinstance(schedule, ContinuousSchedule):
        return 0.5 * (s + t)
    return t - (t - s) // 2 if t - s > 1 else None
