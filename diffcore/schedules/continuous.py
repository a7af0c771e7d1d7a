"""Continuous schedules: t in [0, 1] (EDM: t = sigma) to alpha(t), sigma(t).

A schedule is a curve: its levels, its log SNR, and the rule that splits an SNR into alpha and sigma
(variance preserving: alpha^2 + sigma^2 = 1; flow: alpha + sigma = 1; exploding: alpha = 1).
"""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from .._arrays import Array, is_array, is_number, namespace, visible
from .level import Level, Posterior


class Curve(Protocol):
    """The formulas of a continuous schedule, over the array namespace `xp`."""

    kind: ClassVar[str]

    @property
    def t_max(self) -> float: ...
    def level(self, xp: Any, t: Any) -> Level: ...
    def log_snr(self, xp: Any, t: Any) -> Any: ...
    def split(self, xp: Any, log_snr: Any) -> Level: ...


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
        parameters = asdict(self.curve)  # type: ignore[call-overload]
        inner = parameters.pop("inner", None)
        if inner is not None:
            parameters["schedule"] = ContinuousSchedule(self.curve.inner).config  # type: ignore[attr-defined]
        return {"kind": self.curve.kind, **parameters}

    def __call__(self, t: Any, like: Array | None = None) -> Level:
        alpha, sigma = self._evaluate(self.curve.level, t, like)
        return Level(alpha, sigma)

    def log_snr_at(self, t: Any, like: Array | None = None) -> Any:
        return self._evaluate(lambda xp, time: (self.curve.log_snr(xp, time),), t, like)[0]

    def log_snr_gap(self, s: Any, t: Any, like: Array | None = None) -> Any:
        return self.log_snr_at(s) - self.log_snr_at(t)

    def posterior_step(self, t: Any, like: Array | None = None) -> Posterior:
        raise ValueError("s must be given: a continuous schedule has no time before t")

    def _evaluate(self, formula: Any, t: Any, like: Array | None) -> tuple[Any, ...]:
        if is_number(t):
            if not 0.0 <= t <= self.curve.t_max:
                raise ValueError(f"t must be in [0, {self.curve.t_max:g}], got {t}")
            return tuple(map(float, formula(Numbers, float(t))))
        if not is_array(t):
            raise TypeError(f"t must be a float or a floating array, got {type(t).__name__}")
        xp = namespace(t)
        if not xp.isdtype(t.dtype, "real floating"):
            raise TypeError(f"t must be a floating array, got dtype {t.dtype}")
        if t.ndim != 1:
            raise ValueError(f"t must have shape (batch,), got {tuple(t.shape)}")
        low, high = 0.0, self.curve.t_max
        seen = visible(t)
        if seen is not None and seen.size and not low <= seen.min() <= seen.max() <= high:
            raise ValueError(f"t must be in [0, {high:g}], got {seen.min():g}..{seen.max():g}")
        with np.errstate(divide="ignore") if isinstance(t, np.ndarray) else nullcontext():
            values = formula(xp, t)
        dtype = t.dtype if like is None else like.dtype
        return tuple(xp.astype(v, dtype, copy=False) for v in values)


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
        return log_alpha_bar - xp.log(-xp.expm1(log_alpha_bar))

    def split(self, xp: Any, log_snr: Any) -> Level:
        return _variance_preserving(xp, log_snr)


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
        return log_alpha_bar - 2.0 * xp.log(-xp.expm1(log_alpha_bar))

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
        return 2.0 * (xp.log(level.alpha) - xp.log(level.sigma))

    def split(self, xp: Any, log_snr: Any) -> Level:
        return _variance_preserving(xp, log_snr)


@dataclass(frozen=True)
class Flow:
    """Rectified flow (Liu et al. 2023, eq. 1): alpha = 1 - t, sigma = t."""

    kind: ClassVar[str] = "flow"
    t_max: ClassVar[float] = 1.0

    def level(self, xp: Any, t: Any) -> Level:
        return Level(1.0 - t, 1.0 * t)

    def log_snr(self, xp: Any, t: Any) -> Any:
        return 2.0 * (xp.log1p(-t) - xp.log(t))

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
        return -2.0 * xp.log(t)

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

    def level(self, xp: Any, t: Any) -> Level:
        return self.split(xp, self.log_snr(xp, t))

    def log_snr(self, xp: Any, t: Any) -> Any:
        return self.inner.log_snr(xp, t) - 2.0 * math.log(self.factor)

    def split(self, xp: Any, log_snr: Any) -> Level:
        return self.inner.split(xp, log_snr)


class Numbers:
    """The functions of an array namespace that the curves call, for Python floats.

    Unlike NumPy's scalars these go through torch.compile; unlike `math` they know infinities.
    """

    expm1 = staticmethod(math.expm1)
    sqrt = staticmethod(math.sqrt)
    sin = staticmethod(math.sin)
    abs = staticmethod(abs)

    @staticmethod
    def exp(x: float) -> float:
        return math.exp(x) if x < 709.0 else math.inf

    @staticmethod
    def log(x: float) -> float:
        return math.log(x) if x > 0.0 else -math.inf

    @staticmethod
    def log1p(x: float) -> float:
        return math.log1p(x) if x > -1.0 else -math.inf

    @staticmethod
    def ones_like(x: float) -> float:
        return 1.0

    @staticmethod
    def where(condition: bool, yes: float, no: float) -> float:
        return yes if condition else no


def _sigmoid(xp: Any, x: Any) -> Any:
    # exp of a non-positive number only, so neither tail overflows or loses digits.
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0.0, 1.0 / (1.0 + small), small / (1.0 + small))


def _variance_preserving(xp: Any, log_snr: Any) -> Level:
    return Level(xp.sqrt(_sigmoid(xp, log_snr)), xp.sqrt(_sigmoid(xp, -log_snr)))


def vp_linear(beta_min: float = 0.1, beta_max: float = 20.0) -> ContinuousSchedule:
    """Song's VP SDE, the limit of DDPM's. Raises ValueError unless 0 < beta_min < beta_max."""
    _require_order("beta_min", beta_min, "beta_max", beta_max)
    return ContinuousSchedule(VPLinear(beta_min, beta_max))


def sub_vp(beta_min: float = 0.1, beta_max: float = 20.0) -> ContinuousSchedule:
    """Song's sub-VP SDE. Raises ValueError unless 0 < beta_min < beta_max."""
    _require_order("beta_min", beta_min, "beta_max", beta_max)
    return ContinuousSchedule(SubVP(beta_min, beta_max))


def cosine_continuous() -> ContinuousSchedule:
    """The cosine schedule without offset or clipping; alpha is exactly 0 at t = 1."""
    return ContinuousSchedule(Cosine())


def flow() -> ContinuousSchedule:
    """Rectified flow, the straight line from data to noise."""
    return ContinuousSchedule(Flow())


def ve(sigma_min: float = 0.01, sigma_max: float = 50.0) -> ContinuousSchedule:
    """Song's VE SDE, geometric in sigma. Raises ValueError unless 0 < sigma_min < sigma_max."""
    _require_order("sigma_min", sigma_min, "sigma_max", sigma_max)
    return ContinuousSchedule(VE(sigma_min, sigma_max))


def edm(sigma_max: float = 80.0) -> ContinuousSchedule:
    """EDM: t = sigma in [0, sigma_max]. Raises ValueError unless sigma_max > 0."""
    _require_order("0", 0.0, "sigma_max", sigma_max)
    return ContinuousSchedule(EDM(sigma_max))


def _require_order(low_name: str, low: float, high_name: str, high: float) -> None:
    if not (0.0 <= low < high < math.inf) or (low == 0.0 and low_name != "0"):
        raise ValueError(
            f"{high_name} must be finite and above {low_name} > 0, got {low_name} = {low}, "
            f"{high_name} = {high}"
            if low_name != "0"
            else f"{high_name} must be positive and finite, got {high}"
        )
