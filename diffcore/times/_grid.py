"""What every rule shares: a count that is checked, and times as the schedule counts them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from .._arguments import is_whole
from .._arrays import is_number
from ..schedules import ContinuousSchedule, DiscreteSchedule, Interpolated

Times = tuple[float, ...]
Timed: TypeAlias = DiscreteSchedule | ContinuousSchedule


def last_time(schedule: Timed) -> float:
    """The noisiest time."""
    return schedule.T if isinstance(schedule, DiscreteSchedule) else schedule.curve.t_max


def first_time(schedule: Timed) -> float | None:
    """The first time above data: 1 where times were whole, None where there is none."""
    if isinstance(schedule, ContinuousSchedule) and not isinstance(schedule.curve, Interpolated):
        return None
    return 1


def require_steps(schedule: Timed, n: Any) -> None:
    """ValueError unless n is a whole number of steps, no more than a discrete schedule has.

    TypeError unless it is one of our schedules, whose times are known.
    """
    if not isinstance(schedule, Timed):
        raise TypeError(f"schedule must be a schedule, got {schedule!r}")
    most = schedule.T if isinstance(schedule, DiscreteSchedule) else float("inf")
    if not is_whole(n) or not 1 <= n <= most:
        raise ValueError(f"n must be a whole number of steps in 1..{most}, got {n!r}")


def scalar(value: Any) -> Any:
    """An array without axes as Python's number; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def numbers(name: str, values: Sequence[float]) -> list[float]:
    """`values` as floats. TypeError unless they are a sequence of numbers."""
    try:
        found: list[Any] = [scalar(value) for value in values]
    except TypeError:
        found = [None]
    if not all(map(is_number, found)):
        raise TypeError(f"{name} must be a sequence of numbers, got {values!r}")
    return [float(v) for v in found]


def counted(schedule: Timed, times: Sequence[float]) -> Times:
    """Descending times as the schedule counts them: on a discrete one whole and distinct.

    There each is rounded; those above 0 that then coincide make way for each other, towards noise
    first, then towards data, and stay in 1..T. There must be no more than T of them.
    """
    if isinstance(schedule, ContinuousSchedule):
        return tuple(map(float, times))
    whole = [round(t) for t in times if t > 0.0]
    least = 1
    for k in reversed(range(len(whole))):
        least = whole[k] = max(whole[k], least)
        least += 1
    most = schedule.T
    for k in range(len(whole)):
        most = whole[k] = min(whole[k], most)
        most -= 1
    return (*whole, *([0] * (len(times) - len(whole))))
