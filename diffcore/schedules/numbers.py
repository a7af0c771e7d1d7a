"""The functions of an array namespace that schedules call, for Python floats."""

import math
import sys

LARGEST_POWER = math.log(sys.float_info.max)
"""The largest number whose exponential is finite."""


class Numbers:
    """A namespace of numbers.

    Unlike NumPy's scalars these go through torch.compile; unlike `math` they know infinities.
    """

    expm1 = staticmethod(math.expm1)
    sqrt = staticmethod(math.sqrt)
    sin = staticmethod(math.sin)
    abs = staticmethod(abs)
    floor = staticmethod(math.floor)

    @staticmethod
    def exp(x: float) -> float:
        return math.exp(x) if x <= LARGEST_POWER else math.inf

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
