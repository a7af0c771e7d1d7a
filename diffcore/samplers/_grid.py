"""The check that every planner makes of its time grid."""

from collections.abc import Sequence

from .._arrays import is_number
from ..schedules import Schedule


def checked(schedule: Schedule, times: Sequence[float]) -> tuple[float, ...]:
    """`times` as a tuple. ValueError unless they descend strictly and the schedule knows them."""
    grid = tuple(t.item() if hasattr(t, "item") else t for t in times)
    if len(grid) < 2 or not all(is_number(t) for t in grid):
        raise ValueError(f"times must be at least two numbers, got {grid}")
    for k in range(len(grid) - 1):
        if not grid[k] > grid[k + 1]:
            raise ValueError(
                f"times must descend strictly, got {grid[k]} then {grid[k + 1]} at step {k}"
            )
    for t in (grid[0], grid[-1]):
        schedule(t)
    return grid
