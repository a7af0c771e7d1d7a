"""A discrete schedule's levels, joined up: every time in [0, T] has one.

    log SNR_t = (1 - f) log SNR_i + f log SNR_{i+1},    i = floor(t), f = t - i

Where an end has no log SNR the ratio itself is a straight line, from sigma / alpha = 0 at t = 0 to
its value at 1, and to alpha / sigma = 0 at t = T with zero terminal SNR. At whole times the levels
are the discrete schedule's own, to the bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

from .._arrays import constant, gather, is_array
from .continuous import ContinuousSchedule
from .curves import variance_preserving
from .discrete import DiscreteSchedule
from .level import Level


class Pieces(NamedTuple):
    """Per whole time i: the levels there, and log SNR = base + rise f up to the next one."""

    alpha: tuple[float, ...]
    sigma: tuple[float, ...]
    log_snr: tuple[float, ...]
    base: tuple[float, ...]
    rise: tuple[float, ...]
    origin: tuple[float, ...]
    origin_rise: tuple[float, ...]


@dataclass(frozen=True)
class Interpolated:
    """The curve of `interpolate`."""

    schedule: DiscreteSchedule
    pieces: Pieces = field(init=False, repr=False, compare=False)
    kind: ClassVar[str] = "interpolate"

    def __post_init__(self) -> None:
        log_snr, origin = self.schedule.numbers.log_snr, self.schedule.origin.tolist()
        base, rise = list(log_snr), [b - a for a, b in pairwise(log_snr)]
        base[0], rise[0] = log_snr[1], 0.0
        if self._ends_in_noise:
            rise[-1] = 0.0
        pieces = Pieces(
            alpha=self.schedule.numbers.alpha,
            sigma=self.schedule.numbers.sigma,
            log_snr=log_snr,
            base=tuple(base),
            rise=(*rise, 0.0),
            origin=tuple(origin),
            origin_rise=(*(b - a for a, b in pairwise(origin)), 0.0),
        )
        object.__setattr__(self, "pieces", pieces)

    @property
    def t_max(self) -> float:
        return float(self.schedule.T)

    @property
    def config(self) -> Mapping[str, Any]:
        """A JSON-able description."""
        return {"kind": self.kind, "schedule": self.schedule.config}

    def level(self, xp: Any, t: Any) -> Level:
        i, f = _split(xp, t)
        alpha, sigma = self.split(xp, self._between(xp, i, f))
        whole = f == 0.0
        return Level(
            xp.where(whole, _entry(self.pieces.alpha, i, t), alpha),
            xp.where(whole, _entry(self.pieces.sigma, i, t), sigma),
        )

    def log_snr(self, xp: Any, t: Any) -> Any:
        i, f = _split(xp, t)
        exactly = _entry(self.pieces.log_snr, i, t)
        return xp.where(f == 0.0, exactly, self._between(xp, i, f))

    def split(self, xp: Any, log_snr: Any) -> Level:
        return variance_preserving(xp, log_snr)

    def origin_at(self, xp: Any, t: Any) -> Any:
        """The time that t had in the schedule that the discrete one was respaced from."""
        i, f = _split(xp, t)
        return _entry(self.pieces.origin, i, t) + _entry(self.pieces.origin_rise, i, t) * f

    @property
    def _ends_in_noise(self) -> bool:
        return bool(self.schedule.numbers.log_snr[-1] == -math.inf)

    def _between(self, xp: Any, i: Any, f: Any) -> Any:
        """log SNR at fraction f > 0 of the piece from i on."""
        # 1 stands for a fraction of 0, whose logarithm is not used.
        g = xp.where(f == 0.0, xp.ones_like(f), f)
        log_snr = _entry(self.pieces.base, i, f) + _entry(self.pieces.rise, i, f) * f
        log_snr = log_snr - xp.where(i == 0, 2.0 * xp.log(g), 0.0 * f)
        if self._ends_in_noise:
            last = i == self.schedule.T - 1
            log_snr = log_snr + xp.where(last, 2.0 * xp.log1p(-f), 0.0 * f)
        return log_snr


def interpolate(schedule: DiscreteSchedule) -> ContinuousSchedule:
    """The continuous schedule over [0, T] through the levels of a discrete one.

    Samplers then find any time inside a step, grids any level, and a network is told the time in
    between (see `denoisers`). Raises TypeError for another schedule, ValueError where the SNR falls
    from infinity to zero in the one step there is.
    """
    if not isinstance(schedule, DiscreteSchedule):
        raise TypeError(f"schedule must be discrete, got {type(schedule).__name__}")
    if schedule.T == 1 and schedule.numbers.alpha[1] == 0.0:
        raise ValueError(
            "schedule must have a time with signal and noise, got data and noise alone"
        )
    return ContinuousSchedule(Interpolated(schedule))


def _split(xp: Any, t: Any) -> tuple[Any, Any]:
    """The whole time at or below t, as an index, and what is left of t."""
    floor = xp.floor(t)
    return (xp.astype(floor, xp.int32) if is_array(floor) else floor), t - floor


def _entry(table: tuple[float, ...], i: Any, like: Any) -> Any:
    """table[i]: a float, or an array in `like`'s library and dtype."""
    return gather(constant(list(table), like), i) if is_array(i) else table[i]
