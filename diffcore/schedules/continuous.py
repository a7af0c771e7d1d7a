"""Continuous schedules: t in [0, 1] (EDM: t = sigma) to alpha(t), sigma(t).

A schedule is a curve (`curves`) and what is asked of it: levels and log SNR, at a number or at a
batch of times, and the time of a log SNR.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._arguments import number, positive
from .._arrays import (
    Array,
    is_array,
    is_number,
    namespace,
    require_floating,
    require_library,
    visible,
)
from .curves import EDM, VE, Cosine, Curve, Flow, Shifted, SubVP, VPLinear, described
from .level import Level, Posterior
from .numbers import Numbers


@dataclass(frozen=True)
class ContinuousSchedule:
    """A schedule over continuous times in [0, t_max].

    A number t gives Python floats, computed in float64. An array t of shape (batch,) is computed in
    its own dtype and then cast to `like`'s: give float64 times where s and t are close.
    """

    curve: Curve

    @property
    def config(self) -> Mapping[str, Any]:
        """A JSON-able description; `from_config` reads it back."""
        return described(self.curve)

    def __call__(self, t: Any, like: Array | None = None) -> Level:
        alpha, sigma = self._evaluate(self.curve.level, t, like)
        return Level(alpha, sigma)

    def log_snr_at(self, t: Any, like: Array | None = None) -> Any:
        return self._log_snr(t, like)

    def log_snr_gap(self, s: Any, t: Any, like: Array | None = None) -> Any:
        return self._log_snr(s, name="s") - self._log_snr(t)

    def time_at(self, log_snr: float) -> float:
        """The last time at which log SNR is `log_snr` or more, by bisection to the last digit.

        Raises ValueError where the schedule does not reach it.
        """
        low, high = 0.0, float(self.curve.t_max)
        if not self.log_snr_at(high) <= log_snr <= self.log_snr_at(low):
            raise ValueError(f"log_snr must be one that the schedule reaches, got {log_snr}")
        if log_snr == self.log_snr_at(high):
            return high
        while True:
            middle = 0.5 * (low + high)
            if not low < middle < high:
                return low
            if self.log_snr_at(middle) >= log_snr:
                low = middle
            else:
                high = middle

    def origin_at(self, t: Any, like: Array | None = None) -> Any:
        """What a network calls time `t`: the time it had in the schedule it was trained on."""
        curve = self.curve.inner if isinstance(self.curve, Shifted) else self.curve
        origin = getattr(curve, "origin_at", lambda xp, time: time)
        return self._evaluate(lambda xp, time: (origin(xp, time),), t, like)[0]

    def posterior_step(self, t: Any, like: Array | None = None) -> Posterior:
        raise ValueError("s must be given: a continuous schedule has no time before t")

    def _log_snr(self, t: Any, like: Array | None = None, name: str = "t") -> Any:
        return self._evaluate(lambda xp, time: (self.curve.log_snr(xp, time),), t, like, name)[0]

    def _evaluate(
        self, formula: Any, t: Any, like: Array | None, name: str = "t"
    ) -> tuple[Any, ...]:
        if is_number(t):
            if not 0.0 <= t <= self.curve.t_max:
                raise ValueError(f"{name} must be in [0, {self.curve.t_max:g}], got {t}")
            return tuple(map(float, formula(Numbers, float(t))))
        if not is_array(t):
            raise TypeError(f"{name} must be a float or a floating array, got {type(t).__name__}")
        xp = namespace(t)
        if not xp.isdtype(t.dtype, "real floating"):
            raise TypeError(f"{name} must be a floating array, got dtype {t.dtype}")
        if t.ndim != 1:
            raise ValueError(f"{name} must have shape (batch,), got {tuple(t.shape)}")
        low, high = 0.0, self.curve.t_max
        seen = visible(t)
        if seen is not None and seen.size and not low <= seen.min() <= seen.max() <= high:
            raise ValueError(f"{name} must be in [0, {high:g}], got {seen.min():g}..{seen.max():g}")
        if like is not None:
            require_floating("like", like)
            require_library(name, t, "like", like)
        values = formula(xp, t)
        dtype = t.dtype if like is None else like.dtype
        return tuple(xp.astype(v, dtype, copy=False) for v in values)


def vp_linear(beta_min: float = 0.1, beta_max: float = 20.0) -> ContinuousSchedule:
    """Song's VP SDE, the limit of DDPM's. Raises ValueError unless 0 < beta_min < beta_max."""
    return ContinuousSchedule(VPLinear(*_ordered("beta_min", beta_min, "beta_max", beta_max)))


def sub_vp(beta_min: float = 0.1, beta_max: float = 20.0) -> ContinuousSchedule:
    """Song's sub-VP SDE. Raises ValueError unless 0 < beta_min < beta_max."""
    return ContinuousSchedule(SubVP(*_ordered("beta_min", beta_min, "beta_max", beta_max)))


def cosine_continuous() -> ContinuousSchedule:
    """The cosine schedule without offset or clipping; alpha is exactly 0 at t = 1."""
    return ContinuousSchedule(Cosine())


def flow() -> ContinuousSchedule:
    """Rectified flow, the straight line from data to noise."""
    return ContinuousSchedule(Flow())


def ve(sigma_min: float = 0.01, sigma_max: float = 50.0) -> ContinuousSchedule:
    """Song's VE SDE, geometric in sigma. Raises ValueError unless 0 < sigma_min < sigma_max."""
    return ContinuousSchedule(VE(*_ordered("sigma_min", sigma_min, "sigma_max", sigma_max)))


def edm(sigma_max: float = 80.0) -> ContinuousSchedule:
    """EDM: t = sigma in [0, sigma_max]. Raises ValueError unless sigma_max > 0."""
    return ContinuousSchedule(EDM(positive("sigma_max", sigma_max)))


def _ordered(low_name: str, low: float, high_name: str, high: float) -> tuple[float, float]:
    if not 0.0 < number(low_name, low) < number(high_name, high) < math.inf:
        raise ValueError(
            f"{high_name} must be finite and above {low_name} > 0, got {low_name} = {low}, "
            f"{high_name} = {high}"
        )
    return float(low), float(high)
