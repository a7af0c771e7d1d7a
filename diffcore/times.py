"""Sampling grids: which times a sampler visits, from noise down to data.

A grid is a tuple of n + 1 descending times that ends at 0, so that a sampler takes n steps. The
three rules are those of Lin et al. 2024, table 2, in times 0..T; a continuous schedule knows no
first time above 0, so there `linspace` and `trailing` coincide and `leading` does not exist.
"""

import numpy as np

from ._arrays import is_number
from .schedules import ContinuousSchedule, DiscreteSchedule

Times = tuple[float, ...]


def linspace(schedule: DiscreteSchedule | ContinuousSchedule, n: int) -> Times:
    """n times equally spaced over [1, T], both ends included, then 0; continuous: over [0, t_max].

    Discrete times are rounded to whole ones. Raises ValueError unless 1 <= n (<= T).
    """
    _require_steps(schedule, n)
    if isinstance(schedule, ContinuousSchedule):
        return _even(schedule.curve.t_max, n)
    last = schedule.T
    if n == 1:
        return (last, 0)
    return (*(1 + round((last - 1) * (n - 1 - k) / (n - 1)) for k in range(n)), 0)


def trailing(schedule: DiscreteSchedule | ContinuousSchedule, n: int) -> Times:
    """n times counted down from the noisy end in strides of T / n, then 0; the usual choice.

    Discrete times are rounded to whole ones. Raises ValueError unless 1 <= n (<= T).
    """
    _require_steps(schedule, n)
    if isinstance(schedule, ContinuousSchedule):
        return _even(schedule.curve.t_max, n)
    return (*(round(schedule.T * (n - k) / n) for k in range(n)), 0)


def leading(schedule: DiscreteSchedule, n: int) -> Times:
    """n times 1, 1 + c, 1 + 2c, ... with c = T // n, from the last one down, then 0.

    The rule of DDIM's code; the noisiest time is not visited, which is why Lin et al. advise
    against it. Raises TypeError on a continuous schedule, ValueError unless 1 <= n <= T.
    """
    if not isinstance(schedule, DiscreteSchedule):
        raise TypeError(f"schedule must be discrete, got {type(schedule).__name__}")
    _require_steps(schedule, n)
    stride = schedule.T // n
    return (*(1 + stride * (n - 1 - k) for k in range(n)), 0)


def every(schedule: DiscreteSchedule) -> Times:
    """All times T, T - 1, ..., 0."""
    return tuple(range(schedule.T, -1, -1))


def _even(t_max: float, n: int) -> Times:
    return tuple(t_max * (n - k) / n for k in range(n + 1))


def _require_steps(schedule: DiscreteSchedule | ContinuousSchedule, n: int) -> None:
    most = schedule.T if isinstance(schedule, DiscreteSchedule) else float("inf")
    if not is_number(n) or not isinstance(n, int | np.integer) or not 1 <= n <= most:
        raise ValueError(f"n must be a whole number of steps in 1..{most}, got {n!r}")
