"""What the core asks of arguments that are numbers: that they are ones, said in one sentence.

A number is a Python or NumPy scalar; it is used as Python's, which JSON can hold and which no array
takes for a dtype to promote to.
"""

import math
from typing import Any

import numpy as np

from ._arrays import Host, is_array, is_number, to_host


def number(name: str, value: Any) -> float:
    """`value` as a Python float. Raises TypeError, naming it, unless it is a number."""
    if not is_number(value):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(value)


def positive(name: str, value: Any) -> float:
    """`value` as a Python float. Raises as `number`, and ValueError unless positive and finite."""
    if not 0.0 < number(name, value) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return float(value)


def numbers(name: str, values: Any) -> Host:
    """A new float64 array of `values`, a sequence of numbers or an array of any library.

    Raises TypeError, naming it, unless they are that.
    """
    try:
        return np.array(to_host(values) if is_array(values) else values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a sequence of numbers, got {values!r}") from None
