"""Schedules for others' noise levels, and the same levels as rounded arithmetic has them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from .._arrays import constant, is_number, to_host
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


@dataclass(frozen=True)
class Told:
    """The levels alpha, sigma = at(t) of somebody's function; noise rises over [0, t_max]."""

    at: Callable[[float], tuple[float, float]]
    t_max: float
    kind: ClassVar[str] = "told"

    def level(self, xp: Any, t: Any) -> Level:
        if is_number(t):
            return Level(*self.at(t))
        alpha, sigma = zip(*map(self.at, to_host(t).tolist()), strict=True)
        return Level(constant(alpha, t, t.dtype), constant(sigma, t, t.dtype))

    def log_snr(self, xp: Any, t: Any) -> Any:
        alpha, sigma = self.level(xp, t)
        return 2.0 * (xp.log(alpha) - xp.log(sigma))

    def split(self, xp: Any, log_snr: Any) -> Level:
        raise ValueError("the schedule is known by its levels alone: no rule splits an SNR")


def told(at: Callable[[float], tuple[float, float]], t_max: float) -> ContinuousSchedule:
    """The schedule over [0, t_max] with the levels alpha, sigma = at(t)."""
    return ContinuousSchedule(Told(lru_cache(at), t_max))


def rounded(
    schedule: Schedule, grid: tuple[float, ...], epsilon: float, seed: int
) -> tuple[Schedule, tuple[float, ...]]:
    """The schedule and grid with each level off by about `epsilon`, in directions of `seed`.

    How far a plan's coefficients move under it is what rounded tables explain. Times where alpha or
    sigma is 0 stay.
    """
    rng = np.random.default_rng(seed)
    if isinstance(schedule, DiscreteSchedule):
        bar = schedule.alpha_bar[1:]
        moved = bar * (1.0 + epsilon * rng.uniform(-1.0, 1.0, bar.shape))
        # They stay a schedule: below 1, and falling.
        least = 2.0 * np.finfo(np.float64).eps
        gaps = least * np.arange(1, len(bar) + 1)
        falling = np.minimum.accumulate(np.clip(moved, 0.0, 1.0) + gaps - least) - gaps
        return from_alpha_bar(np.where(bar == 0.0, 0.0, falling)), grid
    assert isinstance(schedule, ContinuousSchedule)
    factors = 1.0 + epsilon * rng.uniform(-1.0, 0.0, len(grid))
    return schedule, tuple(
        t if schedule(t).alpha == 0.0 else float(t * f) for t, f in zip(grid, factors, strict=True)
    )
