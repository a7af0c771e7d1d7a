"""The loop of Adams methods on the noise: each step continues eps through its last values."""

from collections.abc import Sequence

from ..schedules import Schedule
from ._between import interior
from ._grid import Start, checked, require_ends
from ._integrals import Integrals
from ._slope import Point, along, evaluate, runge_kutta
from ._trace import Trace


def noise_adams(
    schedule: Schedule,
    times: Sequence[float],
    order: int,
    integrals: Integrals,
    start: Start,
    lower_order_end: bool,
) -> Trace:
    """Run the method whose steps weigh the last values by `integrals`.

    A method of order p looks back at p - 1 earlier values, its first steps, which may be of order
    p - 1, at p - 2. start: "singlestep" takes the steps that know fewer by the Runge-Kutta method
    of order p - 1, which keeps the order; "lower" takes them at the order that they know, so that
    the first is DDIM's and the order no more than 2. lower_order_end lets the order fall to 1 over
    the last steps, to the same effect; `reached` is the order that these leave.
    """
    require_ends(start, lower_order_end)
    grid = checked(schedule, times)
    trace = Trace(schedule, grid[0])
    known: list[Point] = []
    for k, s in enumerate(grid[1:]):
        known = [evaluate(trace), *known][:order]
        newest = known[0]
        if not interior(schedule, newest.time, s):
            along(trace, newest, s)
            continue
        wanted = min(order, len(grid) - 1 - k) if lower_order_end else order
        points = [p for p in known if schedule(p.time).alpha > 0.0][:wanted]
        if start == "singlestep" and len(points) < wanted - 1:
            runge_kutta(trace, newest, s, wanted - 1)
            continue
        shares = integrals(schedule, newest.time, s, [p.time for p in points])
        along(trace, newest, s, [(w, p.eps) for w, p in zip(shares, points, strict=True)])
    return trace


def reached(order: int, start: Start, lower_order_end: bool) -> int:
    """The order of such a method."""
    return min(order, 2) if start == "lower" or lower_order_end else order
