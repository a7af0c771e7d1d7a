"""The papers' weights as w(a, b), a = alpha^2 and b = sigma^2 up to one common factor.

    snr            a                               Salimans & Ho 2022, section 4
    min_snr        min(a, gamma b)                 Hang et al. 2023
    p2             a (k + a / b)^-gamma            Choi et al. 2022
    truncated_snr  max(a, b)                       Salimans & Ho 2022, section 4
    edm            a + b / sigma_data^2            Karras et al. 2022, section 5
    sigmoid        1 / (1 / a + exp(-bias) / b)    Kingma & Gao 2023

Each is homogeneous, w(c a, c b) = c w(a, b); `weightings` says what a and b are put in.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from .._arrays import is_number, namespace


class Formula(Protocol):
    """w(a, b); both are Python floats, or arrays of one shape; either may be 0 or inf."""

    kind: ClassVar[str]

    def __call__(self, a: Any, b: Any) -> Any: ...


@dataclass(frozen=True)
class Snr:
    """a: the error of x_0 by SNR."""

    kind: ClassVar[str] = "snr"

    def __call__(self, a: Any, b: Any) -> Any:
        return a


@dataclass(frozen=True)
class MinSnr:
    """min(a, gamma b): SNR, at most gamma."""

    gamma: float
    kind: ClassVar[str] = "min_snr"

    def __call__(self, a: Any, b: Any) -> Any:
        return _smaller(a, self.gamma * b)


@dataclass(frozen=True)
class P2:
    """a (k + a / b)^-gamma: less weight near data."""

    gamma: float
    k: float
    kind: ClassVar[str] = "p2"

    def __call__(self, a: Any, b: Any) -> Any:
        # With a^(1 - gamma) b^gamma split off, no inf meets a 0 in the larger SNRs' limit.
        large, small = _larger(a, b), _smaller(a, b)
        ratio = small / large
        near_data = large ** (1.0 - self.gamma) * small**self.gamma
        near_data = near_data * (1.0 + self.k * ratio) ** -self.gamma
        return _where(a > b, near_data, a * (self.k + ratio) ** -self.gamma)


@dataclass(frozen=True)
class TruncatedSnr:
    """max(a, b): SNR, at least 1."""

    kind: ClassVar[str] = "truncated_snr"

    def __call__(self, a: Any, b: Any) -> Any:
        return _larger(a, b)


@dataclass(frozen=True)
class Edm:
    """a + b / sigma_data^2: 1 on the output of EDM's network."""

    sigma_data: float
    kind: ClassVar[str] = "edm"

    def __call__(self, a: Any, b: Any) -> Any:
        return a + b / (self.sigma_data * self.sigma_data)


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 / a + exp(-bias) / b): a sigmoid of log SNR on the error of eps."""

    bias: float
    kind: ClassVar[str] = "sigmoid"

    def __call__(self, a: Any, b: Any) -> Any:
        return 1.0 / (over(1.0, a) + over(math.exp(-self.bias), b))


def one(like: Any) -> Any:
    """1 like `like`, a number or an array."""
    return 1.0 if is_number(like) else namespace(like).ones_like(like)


def over(a: Any, b: Any) -> Any:
    """a / b for a > 0 or b > 0, both non-negative; inf at b = 0, without a warning."""
    if is_number(b):
        return a / b if b != 0.0 else math.inf
    xp = namespace(b)
    zero = b == 0.0
    ratio = a / xp.where(zero, xp.ones_like(b), b)
    return xp.where(zero, xp.full_like(b, math.inf), ratio)


def _smaller(a: Any, b: Any) -> Any:
    return min(a, b) if is_number(a) else namespace(a).minimum(a, b)


def _larger(a: Any, b: Any) -> Any:
    return max(a, b) if is_number(a) else namespace(a).maximum(a, b)


def _where(condition: Any, yes: Any, no: Any) -> Any:
    if is_number(yes):
        return yes if condition else no
    return namespace(yes).where(condition, yes, no)
