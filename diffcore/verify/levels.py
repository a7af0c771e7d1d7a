"""Schedules for others' noise levels, and the same levels as rounded arithmetic has them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..schedules import ContinuousSchedule, DiscreteSchedule, Level, Schedule, from_alpha_bar
from ..schedules.curves import variance_preserving


@dataclass(frozen=True)
class NoiseRatio:
    """Variance preserving, with time t = sigma / alpha: alpha = 1 / sqrt(1 + t^2)."""

    t_max: float
    kind: ClassVar[str] = "noise_ratio"

    def level(self, xp: Any, t: Any) -> Level:
        norm = xp.sqrt(1.0 + t * t)
        return Level(1.0 / norm, t / norm)

    def log_snr(self, xp: Any, t: Any) -> Any:
        return -2.0 * xp.log(t)

    def split(self, xp: Any, log_snr: Any) -> Level:
        return variance_preserving(xp, log_snr)


def noise_ratio(t_max: float) -> ContinuousSchedule:
    """The variance preserving schedule over sigma / alpha in [0, t_max]."""
    return ContinuousSchedule(NoiseRatio(t_max))


def rounded(
    schedule: Schedule, grid: tuple[float, ...], epsilon: float, seed: int
) -> tuple[Schedule, tuple[float, ...]]:
    """The schedule and grid with each level off by about `epsilon`, in directions of `seed`.

    How far a plan's coefficients move under it is what rounded tables explain. Grid ends at 0 stay.
    """
    rng = np.random.default_rng(seed)
    if isinstance(schedule, DiscreteSchedule):
        bar = schedule.alpha_bar[1:]
        moved = bar * (1.0 + epsilon * rng.uniform(-1.0, 1.0, bar.shape))
        return from_alpha_bar(np.clip(moved, 0.0, np.nextafter(1.0, 0.0))), grid
    assert isinstance(schedule, ContinuousSchedule)
    factors = 1.0 + epsilon * rng.uniform(-1.0, 0.0, len(grid))
    return schedule, tuple(float(t * f) for t, f in zip(grid, factors, strict=True))
