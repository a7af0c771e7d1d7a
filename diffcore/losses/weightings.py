"""What an error at time t counts for: a function of SNR = alpha^2 / sigma^2.

A paper states its weight on the error of x_0, of eps or of v. These are one error in different
units: |eps error|^2 = SNR |x_0 error|^2, and an output with determinant D has
|output error|^2 = (D / sigma)^2 |x_0 error|^2 (see `predictions`). Here a weight is

    w(a, b) with w(c a, c b) = c w(a, b)

    w(SNR, 1)                  on the squared error of x_0
    w(1, 1 / SNR)              on that of eps
    w(alpha^2, sigma^2) / D^2  on that of any output

so that one weighting is one objective, whatever the network predicts, and has its limits at
sigma = 0 and alpha = 0 without 0 / 0. Where the limit is infinite the weight is inf: there the
output says nothing of what the weighting asks for.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .._arguments import made, non_negative, number, positive
from .._arrays import Array, is_number, namespace
from ..predictions import Prediction
from ..process import level
from ..schedules import Schedule
from ._wide import at_least_float32
from .formulas import P2, Edm, Formula, MinSnr, Sigmoid, Snr, TruncatedSnr, one, over


class Weighting(Protocol):
    """A weight for the squared error of a network's output, by time."""

    @property
    def config(self) -> Mapping[str, Any]:
        """A JSON-able description; `weighting_from_config` reads it back."""
        ...

    def weight(self, schedule: Schedule, t: Any, like: Array, predicts: Prediction) -> Any:
        """What to multiply |output - target|^2 by, for a network that predicts `predicts`.

        A Python float, or an array of `like`'s dtype that broadcasts against it; computed in at
        least float32.
        """
        ...


@dataclass(frozen=True)
class Constant:
    """1 on the error of whatever the network predicts.

    The one weighting that means another objective for each prediction: with EPS it is L_simple of
    Ho et al. 2020 (eq. 14), with V the SNR + 1 weighting of Salimans & Ho 2022.
    """

    @property
    def config(self) -> Mapping[str, Any]:
        return {"kind": "constant"}

    def weight(self, schedule: Schedule, t: Any, like: Array, predicts: Prediction) -> Any:
        return 1.0


@dataclass(frozen=True)
class ByRatio:
    """A weighting that depends on the time through alpha and sigma alone."""

    formula: Formula

    @property
    def config(self) -> Mapping[str, Any]:
        return {"kind": self.formula.kind, **asdict(self.formula)}  # type: ignore[call-overload]

    def weight(self, schedule: Schedule, t: Any, like: Array, predicts: Prediction) -> Any:
        at = at_least_float32(like)
        alpha, sigma = level(schedule, t, at)
        p, q = predicts.mix(schedule, t, at)
        # A target without x_0 is eps in other units, and one without eps is x_0: their alpha or
        # sigma cancels here rather than as 0 / 0.
        if is_number(p) and p == 0.0:
            noise = over(sigma, alpha)
            value = self.formula(one(noise), noise * noise) / (q * q)
        elif is_number(q) and q == 0.0:
            signal = over(alpha, sigma)
            value = self.formula(signal * signal, one(signal)) / (p * p)
        else:
            determinant = alpha * q - sigma * p
            value = self.formula(alpha * alpha, sigma * sigma) / (determinant * determinant)
        return value if is_number(value) else namespace(value).astype(value, like.dtype, copy=False)


def snr() -> ByRatio:
    """SNR on the error of x_0, that is 1 on the error of eps: L_simple for every prediction.

    On x_0 it is inf at sigma = 0 and 0 at alpha = 0.
    """
    return ByRatio(Snr())


def min_snr(gamma: float = 5.0) -> ByRatio:
    """min(SNR, gamma) on the error of x_0 (Hang et al. 2023).

    On x_0 it is gamma at sigma = 0 and 0 at alpha = 0; on eps 0 and 1.
    """
    return ByRatio(MinSnr(positive("gamma", gamma)))


def p2(gamma: float = 1.0, k: float = 1.0) -> ByRatio:
    """1 / (k + SNR)^gamma on the error of eps (Choi et al. 2022).

    On eps it is 0 at sigma = 0 and k^-gamma at alpha = 0; on x_0 inf, 1 or 0 at sigma = 0, as
    gamma is below, at or above 1, and 0 at alpha = 0. gamma = 0 is `snr`.
    """
    return ByRatio(P2(non_negative("gamma", gamma), positive("k", k)))


def truncated_snr() -> ByRatio:
    """max(SNR, 1) on the error of x_0: the larger of x_0's and eps' error (Salimans & Ho 2022).

    On x_0 it is inf at sigma = 0 and 1 at alpha = 0; on eps 1 and inf.
    """
    return ByRatio(TruncatedSnr())


def edm(sigma_data: float = 0.5) -> ByRatio:
    """(n^2 + sigma_data^2) / (n sigma_data)^2 on the error of x_0, n = sigma / alpha.

    Karras et al. 2022: 1 on the output of `Edm(sigma_data)`. With sigma_data = 1 it is SNR + 1.
    On x_0 it is inf at sigma = 0 and 1 / sigma_data^2 at alpha = 0; on eps 1 and inf.
    """
    return ByRatio(Edm(positive("sigma_data", sigma_data)))


def sigmoid(bias: float = 0.0) -> ByRatio:
    """1 / (1 + exp(log SNR - bias)) on the error of eps (Kingma & Gao 2023; Hoogeboom et al. 2024).

    bias: the log SNR at which the weight has fallen to half; negative ones lean to the noisy end.
    Their objective is an integral over log SNR: draw times uniform in log SNR, or multiply by
    |d log SNR / dt| what is drawn uniform in t. On eps it is 0 at sigma = 0 and 1 at alpha = 0; on
    x_0 exp(bias) and 0.
    """
    bias = number("bias", bias)
    if not math.isfinite(bias):
        raise ValueError(f"bias must be finite, got {bias}")
    return ByRatio(Sigmoid(bias))


def require_weighting(weighting: Any) -> None:
    """Raise TypeError unless `weighting` is one."""
    if not hasattr(weighting, "weight"):
        raise TypeError(
            f"weighting must be a weighting such as losses.min_snr(), got {weighting!r}"
        )


CONSTANT = Constant()

KINDS: dict[str, Callable[..., Weighting]] = {
    "constant": Constant,
    "snr": snr,
    "min_snr": min_snr,
    "p2": p2,
    "truncated_snr": truncated_snr,
    "edm": edm,
    "sigmoid": sigmoid,
}


def weighting_from_config(config: str | Mapping[str, Any]) -> Weighting:
    """The weighting of that name, or that `weighting.config` describes.

    Raises ValueError that names an unknown kind or parameter.
    """
    if not isinstance(config, str | Mapping):
        raise TypeError(f"weighting must be a name or a mapping, got {config!r}")
    parameters = {"kind": config} if isinstance(config, str) else dict(config)
    kind = parameters.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"weighting must be one of {', '.join(KINDS)}, got {config!r}")
    return made(f"weighting {kind!r}", KINDS[kind], parameters)
