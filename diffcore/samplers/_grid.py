"""The checks that planners share: of the time grid, and of a multistep method's start and end."""

from collections.abc import Sequence
from typing import Any, Literal

from .._arguments import one_of, switch
from .._arrays import is_number
from ..schedules import ContinuousSchedule, DiscreteSchedule, Schedule
from ..times._grid import scalar

Start = Literal["singlestep", "lower"]
"""How a multistep method takes its first steps, which know fewer outputs."""


def checked(
    schedule: Schedule, times: Sequence[float], either_way: bool = False
) -> tuple[float, ...]:
    """`times` as a tuple: ints on a discrete schedule, floats on a continuous one.

    either_way: whether the sampler goes up as well as down. ValueError unless the times descend
    strictly, or where they may rise change at each step, and the schedule knows them all;
    TypeError unless there is a schedule and times can be counted through.
    """
    if not hasattr(schedule, "log_snr_at"):
        raise TypeError(f"schedule must be a schedule, got {schedule!r}")
    try:
        grid: tuple[Any, ...] = tuple(scalar(t) for t in times)
    except TypeError:
        raise TypeError(f"times must be a sequence of numbers, got {times!r}") from None
    if len(grid) < 2 or not all(is_number(t) for t in grid):
        raise ValueError(f"times must be at least two numbers, got {grid}")
    rule = "change at each step" if either_way else "descend strictly"
    for k in range(len(grid) - 1):
        if not (grid[k] > grid[k + 1] or (either_way and grid[k] < grid[k + 1])):
            raise ValueError(f"times must {rule}, got {grid[k]} then {grid[k + 1]} at step {k}")
    for t in grid:
        schedule(t)
    kind: Any = {DiscreteSchedule: int, ContinuousSchedule: float}.get(type(schedule))
    return grid if kind is None else tuple(map(kind, grid))


def require_ends(start: str, lower_order_end: bool) -> None:
    """ValueError unless start is one there is, TypeError unless lower_order_end is a bool."""
    one_of("start", start, "singlestep", "lower")
    switch("lower_order_end", lower_order_end)
