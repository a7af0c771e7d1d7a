"""How fast a level changes: alpha'(t) and sigma'(t), by dual numbers.

    f(t + d) = f(t) + f'(t) d      with d^2 = 0

A schedule's formulas run on any namespace, so they run on numbers that carry a derivative, which
is then exact to the last digits, shifted schedules and new curves included.
"""

import math
from typing import Any

from ..schedules import ContinuousSchedule
from ..schedules.numbers import Numbers


class Dual:
    """value + slope d.

    It equals no number, not even 0 where its value does: a formula that puts a limit there in place
    of a logarithm would put 0 in place of its slope, which is infinite.
    """

    def __init__(self, value: float, slope: float = 0.0) -> None:
        self.value, self.slope = value, slope

    def __add__(self, other: "Dual | float") -> "Dual":
        other = _dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other: "Dual | float") -> "Dual":
        other = _dual(other)
        slope = self.slope * other.value + self.value * other.slope
        return Dual(self.value * other.value, slope)

    def __truediv__(self, other: "Dual | float") -> "Dual":
        other = _dual(other)
        ratio = self.value / other.value
        return Dual(ratio, (self.slope - ratio * other.slope) / other.value)

    def __neg__(self) -> "Dual":
        return -1.0 * self

    def __sub__(self, other: "Dual | float") -> "Dual":
        return self + -1.0 * _dual(other)

    def __rsub__(self, other: float) -> "Dual":
        return other + -1.0 * self

    def __rtruediv__(self, other: float) -> "Dual":
        return Dual(other) / self

    def __ge__(self, other: float) -> bool:
        return self.value >= other

    __radd__, __rmul__ = __add__, __mul__


class Duals:
    """The functions of an array namespace that the curves call, for dual numbers."""

    @staticmethod
    def exp(x: Dual) -> Dual:
        value = Numbers.exp(x.value)
        return Dual(value, value * x.slope)

    @staticmethod
    def expm1(x: Dual) -> Dual:
        return Dual(math.expm1(x.value), Numbers.exp(x.value) * x.slope)

    @staticmethod
    def log(x: Dual) -> Dual:
        return Dual(Numbers.log(x.value), _over(x.slope, x.value))

    @staticmethod
    def log1p(x: Dual) -> Dual:
        return Dual(Numbers.log1p(x.value), _over(x.slope, 1.0 + x.value))

    @staticmethod
    def sqrt(x: Dual) -> Dual:
        root = math.sqrt(x.value)
        return Dual(root, _over(x.slope, 2.0 * root))

    @staticmethod
    def sin(x: Dual) -> Dual:
        return Dual(math.sin(x.value), math.cos(x.value) * x.slope)

    @staticmethod
    def abs(x: Dual) -> Dual:
        return x if x.value >= 0.0 else -x

    @staticmethod
    def floor(x: Dual) -> int:
        """The whole number below x, below a whole x too: rates are those of the piece before."""
        return math.ceil(x.value) - 1

    @staticmethod
    def ones_like(x: Dual) -> Dual:
        return Dual(1.0)

    @staticmethod
    def full_like(x: Dual, value: float) -> Dual:
        return Dual(value)

    @staticmethod
    def where(condition: bool, yes: Dual, no: Dual) -> Dual:
        return yes if condition else no


def rates(schedule: ContinuousSchedule, t: float) -> tuple[float, float]:
    """alpha'(t) and sigma'(t), as Python floats. t > 0.

    Where a formula is singular at alpha = 0, though its level is not (a shifted flow), the rates
    are those of a time nearer to data by 2^-40 of the whole. Raises ValueError where they are
    infinite.
    """
    for time in (float(t), float(t) - 2.0**-40 * schedule.curve.t_max):
        level = schedule.curve.level(Duals, Dual(time, 1.0))
        found = _dual(level.alpha).slope, _dual(level.sigma).slope
        if all(math.isfinite(rate) for rate in found):
            return found
    raise ValueError(f"schedule must be differentiable in t at {t}, got rates {found}")


def _dual(value: Any) -> Dual:
    return value if isinstance(value, Dual) else Dual(float(value))


def _over(a: float, b: float) -> float:
    return a / b if b != 0.0 else math.copysign(math.inf, a) if a != 0.0 else math.nan
