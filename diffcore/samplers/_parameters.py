"""What planners ask of their parameters, said in one sentence where it is not so.

Each is given back as Python's own: a bool is no number, and nothing but a bool is yes or no, for
the word "False" would count as yes.
"""

import math
from typing import Any, TypeVar

import numpy as np

from .._arguments import is_whole, number

One = TypeVar("One", int, str)


def one_of(name: str, value: Any, *accepted: One) -> One:
    """`value`, one of the `accepted` whole numbers or words. Raises ValueError otherwise."""
    word = isinstance(accepted[0], str)
    if isinstance(value, str) if word else is_whole(value):
        for known in accepted:
            if value == known:
                return known
    *others, last = map(repr, accepted)
    raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}")


def switch(name: str, value: Any) -> bool:
    """`value` as a Python bool. Raises TypeError unless it is a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def non_negative(name: str, value: Any) -> float:
    """`value` as a Python float. Raises as `number`, and ValueError unless >= 0 and finite."""
    if not 0.0 <= number(name, value) < math.inf:
        raise ValueError(f"{name} must be non-negative and finite, got {value}")
    return float(value)
