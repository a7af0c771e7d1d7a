"""Grids even in time, or in its square root.

`linspace`, `trailing` and `leading` are the rules of Lin et al. 2024, table 2, in times 0..T; a
continuous schedule knows no first time above 0, so there `linspace` and `trailing` coincide and
`leading` does not exist.
"""

from collections.abc import Sequence
from itertools import pairwise

from ..schedules import DiscreteSchedule
from ._grid import Timed, Times, counted, first_time, last_time, numbers, require_steps


def linspace(schedule: Timed, n: int) -> Times:
    """n times equally spaced over [1, T], both ends included, then 0; continuous: over [0, t_max].

    Discrete times are rounded to whole ones. Raises ValueError unless 1 <= n (<= T).
    """
    require_steps(schedule, n)
    first, last = first_time(schedule), last_time(schedule)
    if first is None:
        return _even(last, n)
    if n == 1:
        return counted(schedule, (last, 0))
    above = [(last - first) * (n - 1 - k) / (n - 1) for k in range(n)]
    if isinstance(schedule, DiscreteSchedule):
        return (*(1 + round(t) for t in above), 0)
    return (*(first + t for t in above), 0.0)


def trailing(schedule: Timed, n: int) -> Times:
    """n times counted down from the noisy end in strides of T / n, then 0; the usual choice.

    Discrete times are rounded to whole ones. Raises ValueError unless 1 <= n (<= T).
    """
    require_steps(schedule, n)
    return counted(schedule, _even(last_time(schedule), n))


def leading(schedule: DiscreteSchedule, n: int) -> Times:
    """n times 1, 1 + c, 1 + 2c, ... with c = T // n, from the last one down, then 0.

    The rule of DDIM's code; the noisiest time is not visited, which is why Lin et al. advise
    against it. Raises TypeError on a continuous schedule, ValueError unless 1 <= n <= T.
    """
    if not isinstance(schedule, DiscreteSchedule):
        raise TypeError(f"schedule must be discrete, got {type(schedule).__name__}")
    require_steps(schedule, n)
    stride = schedule.T // n
    return (*(1 + stride * (n - 1 - k) for k in range(n)), 0)


def quadratic(schedule: Timed, n: int) -> Times:
    """t_k = T ((n - k) / n)^2, fine near data (Song, Meng & Ermon 2021, appendix D.2).

    Discrete times are rounded to whole ones, distinct. Raises ValueError unless 1 <= n (<= T).
    """
    require_steps(schedule, n)
    last = last_time(schedule)
    return counted(schedule, [last * ((n - k) / n) ** 2 for k in range(n + 1)])


def every(schedule: DiscreteSchedule) -> Times:
    """All times T, T - 1, ..., 0. Raises TypeError on a continuous schedule."""
    if not isinstance(schedule, DiscreteSchedule):
        raise TypeError(f"schedule must be discrete, got {type(schedule).__name__}")
    return tuple(range(schedule.T, -1, -1))


def explicit(schedule: Timed, times: Sequence[float]) -> Times:
    """The caller's own descending times, on a discrete schedule rounded to whole ones, distinct.

    Raises ValueError unless they descend strictly within the schedule's, and no more of them are
    above 0 than it has.
    """
    grid = tuple(numbers("times", times))
    require_steps(schedule, 1)
    last = last_time(schedule)
    for t, s in pairwise(grid):
        if not t > s:
            raise ValueError(f"times must descend strictly, got {t} then {s}")
    if not grid or not 0.0 <= grid[-1] <= grid[0] <= last:
        raise ValueError(f"times must be one or more in [0, {last}], got {grid}")
    require_steps(schedule, max(1, len(grid) - (grid[-1] == 0.0)))
    return counted(schedule, grid)


def _even(last: float, n: int) -> Times:
    return tuple(last * (n - k) / n for k in range(n + 1))
