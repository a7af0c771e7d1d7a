"""What every identity is measured on, and how: schedules, times, data, and the error."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ... import noise, schedules
from ..._arrays import constant, to_host
from ...schedules import ContinuousSchedule, DiscreteSchedule

Schedule = DiscreteSchedule | ContinuousSchedule
SHAPE = (4, 3, 5)


def examples() -> tuple[Schedule, ...]:
    """Schedules of every sort: VP, zero terminal SNR, flow, sub-VP, VE."""
    return (
        schedules.linear(),
        schedules.cosine(),
        schedules.zero_terminal_snr(schedules.linear()),
        schedules.flow(),
        schedules.sub_vp(),
        schedules.edm(),
    )


def times_of(schedule: Schedule) -> tuple[float, ...]:
    """Increasing times: next to data, neighbours, far apart, and the noisy end."""
    if isinstance(schedule, DiscreteSchedule):
        return (1, 2, 10, 300, 301, 700, schedule.T)
    return tuple(schedule.curve.t_max * t for t in (1e-3, 2e-3, 0.01, 0.3, 0.301, 0.7, 1.0))


def normals(like: Any, count: int) -> list[Any]:
    """`count` arrays of standard normal numbers beside `like`."""
    x = constant(np.zeros(SHAPE), like)
    return [noise.portable(0)(x, step) for step in range(count)]


def error(got: Any, wanted: Any) -> float:
    """max |got - wanted| / max |wanted|, or the absolute error where all of `wanted` is 0."""
    g, w = (np.asarray(to_host(v), dtype=np.float64) for v in (got, wanted))
    g, w = np.broadcast_arrays(g, w)
    distance, scale = float(np.max(np.abs(g - w))), float(np.max(np.abs(w)))
    return distance / scale if scale > 0.0 else distance


def worst(errors: Iterable[float]) -> float:
    """The largest; NaN if any is NaN, which `max` would pass over."""
    return float(np.max(np.fromiter(errors, dtype=np.float64)))


def largest(x: Any) -> float:
    """max |x|."""
    return float(np.max(np.abs(to_host(x))))
