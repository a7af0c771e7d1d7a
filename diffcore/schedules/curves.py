"""The formulas of continuous schedules: t to alpha, sigma and log SNR.

A curve is its levels, its log SNR, and the rule that splits an SNR into alpha and sigma (variance
preserving: alpha^2 + sigma^2 = 1; flow: alpha + sigma = 1; exploding: alpha = 1).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

from .level import Level, log


class Curve(Protocol):
    """The formulas of a continuous schedule, over the array namespace `xp`."""

    kind: ClassVar[str]

    @property
    def t_max(self) -> float: ...
    def level(self, xp: Any, t: Any) -> Level: ...
    def log_snr(self, xp: Any, t: Any) -> Any: ...
    def split(self, xp: Any, log_snr: Any) -> Level: ...


def described(curve: Curve) -> Mapping[str, Any]:
    """A JSON-able description: the curve's own, or its kind and fields."""
    made: Mapping[str, Any] | None = getattr(curve, "config", None)
    if made is not None:
        return made
    return {"kind": curve.kind, **asdict(curve)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class VPLinear:
    """Song et al. 2021 (eq. 33): alpha = exp(-(beta_min t + (beta_max - beta_min) t^2 / 2) / 2)."""

    beta_min: float
    beta_max: float
    kind: ClassVar[str] = "vp_linear"
    t_max: ClassVar[float] = 1.0

    def _log_alpha_bar(self, t: Any) -> Any:
        return -t * (self.beta_min + t * (0.5 * (self.beta_max - self.beta_min)))

    def level(self, xp: Any, t: Any) -> Level:
        log_alpha_bar = self._log_alpha_bar(t)
        return Level(xp.exp(0.5 * log_alpha_bar), xp.sqrt(-xp.expm1(log_alpha_bar)))

    def log_snr(self, xp: Any, t: Any) -> Any:
        log_alpha_bar = self._log_alpha_bar(t)
        return log_alpha_bar - log(xp, -xp.expm1(log_alpha_bar))

    def split(self, xp: Any, log_snr: Any) -> Level:
        return variance_preserving(xp, log_snr)


@dataclass(frozen=True)
class SubVP:
    """Song et al. 2021 (eq. 29): alpha as in the VP SDE, sigma = 1 - alpha^2."""

    beta_min: float
    beta_max: float
    kind: ClassVar[str] = "sub_vp"
    t_max: ClassVar[float] = 1.0

    def level(self, xp: Any, t: Any) -> Level:
        log_alpha_bar = VPLinear(self.beta_min, self.beta_max)._log_alpha_bar(t)
        return Level(xp.exp(0.5 * log_alpha_bar), -xp.expm1(log_alpha_bar))

    def log_snr(self, xp: Any, t: Any) -> Any:
        log_alpha_bar = VPLinear(self.beta_min, self.beta_max)._log_alpha_bar(t)
        return log_alpha_bar - 2.0 * log(xp, -xp.expm1(log_alpha_bar))

    def split(self, xp: Any, log_snr: Any) -> Level:
        # alpha = rho (1 - alpha^2) with rho = alpha / sigma, solved for the root in (0, 1].
        rho, inverse = xp.exp(0.5 * log_snr), xp.exp(-0.5 * log_snr)
        alpha = 2.0 / (inverse + xp.sqrt(inverse * inverse + 4.0))
        return Level(alpha, 2.0 / (1.0 + xp.sqrt(1.0 + 4.0 * rho * rho)))


@dataclass(frozen=True)
class Cosine:
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2) (Salimans & Ho 2022, section 2)."""

    kind: ClassVar[str] = "cosine_continuous"
    t_max: ClassVar[float] = 1.0

    def level(self, xp: Any, t: Any) -> Level:
        # cos as the sine of the complement, so that alpha(1) is exactly 0.
        return Level(xp.sin((math.pi / 2) * (1.0 - t)), xp.sin((math.pi / 2) * t))

    def log_snr(self, xp: Any, t: Any) -> Any:
        level = self.level(xp, t)
        return 2.0 * (log(xp, level.alpha) - log(xp, level.sigma))

    def split(self, xp: Any, log_snr: Any) -> Level:
        return variance_preserving(xp, log_snr)


@dataclass(frozen=True)
class Flow:
    """Rectified flow (Liu et al. 2023, eq. 1): alpha = 1 - t, sigma = t."""

    kind: ClassVar[str] = "flow"
    t_max: ClassVar[float] = 1.0

    def level(self, xp: Any, t: Any) -> Level:
        return Level(1.0 - t, 1.0 * t)

    def log_snr(self, xp: Any, t: Any) -> Any:
        return 2.0 * (log(xp, 1.0 - t) - log(xp, t))

    def split(self, xp: Any, log_snr: Any) -> Level:
        return Level(_sigmoid(xp, 0.5 * log_snr), _sigmoid(xp, -0.5 * log_snr))


@dataclass(frozen=True)
class VE:
    """Song et al. 2021 (eq. 30): alpha = 1, sigma = sigma_min (sigma_max / sigma_min)^t.

    Time 0 is sigma_min, not data.
    """

    sigma_min: float
    sigma_max: float
    kind: ClassVar[str] = "ve"
    t_max: ClassVar[float] = 1.0

    def level(self, xp: Any, t: Any) -> Level:
        return Level(xp.ones_like(t), xp.exp(-0.5 * self.log_snr(xp, t)))

    def log_snr(self, xp: Any, t: Any) -> Any:
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return -2.0 * (low + (high - low) * t)

    def split(self, xp: Any, log_snr: Any) -> Level:
        return Level(xp.ones_like(log_snr), xp.exp(-0.5 * log_snr))


@dataclass(frozen=True)
class EDM:
    """Karras et al. 2022 (table 1): time is the noise level itself, alpha = 1, sigma = t."""

    sigma_max: float
    kind: ClassVar[str] = "edm"

    @property
    def t_max(self) -> float:
        return self.sigma_max

    def level(self, xp: Any, t: Any) -> Level:
        return Level(xp.ones_like(t), 1.0 * t)

    def log_snr(self, xp: Any, t: Any) -> Any:
        return -2.0 * log(xp, t)

    def split(self, xp: Any, log_snr: Any) -> Level:
        return Level(xp.ones_like(log_snr), xp.exp(-0.5 * log_snr))


@dataclass(frozen=True)
class Shifted:
    """Another curve with every log SNR lowered by 2 log(factor), split by the same rule."""

    inner: Curve
    factor: float
    kind: ClassVar[str] = "shift"

    @property
    def t_max(self) -> float:
        return self.inner.t_max

    @property
    def config(self) -> Mapping[str, Any]:
        """A JSON-able description."""
        return {"kind": self.kind, "schedule": described(self.inner), "factor": self.factor}

    def level(self, xp: Any, t: Any) -> Level:
        return self.split(xp, self.log_snr(xp, t))

    def log_snr(self, xp: Any, t: Any) -> Any:
        return self.inner.log_snr(xp, t) - 2.0 * math.log(self.factor)

    def split(self, xp: Any, log_snr: Any) -> Level:
        return self.inner.split(xp, log_snr)


def _sigmoid(xp: Any, x: Any) -> Any:
    # exp of a non-positive number only, so neither tail overflows or loses digits.
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0.0, 1.0 / (1.0 + small), small / (1.0 + small))


def variance_preserving(xp: Any, log_snr: Any) -> Level:
    """alpha and sigma of that log SNR with alpha^2 + sigma^2 = 1."""
    return Level(xp.sqrt(_sigmoid(xp, log_snr)), xp.sqrt(_sigmoid(xp, -log_snr)))
