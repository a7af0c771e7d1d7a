"""What the core asks of its arguments besides the data: numbers and times, or it says what came.

A number is a Python or NumPy scalar; it is used as Python's, which JSON can hold and which no array
takes for a dtype to promote to. A bool is no number, and nothing but a bool is yes or no: the word
"False" would count as yes.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from ._arrays import Array, Host, is_array, is_number, require_library, to_host

_WHOLE = (int, np.integer)  # A union of types does not go through every torch.compile.

Made = TypeVar("Made")
One = TypeVar("One", int, str)


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


def non_negative(name: str, value: Any) -> float:
    """`value` as a Python float. Raises as `number`, and ValueError unless >= 0 and finite."""
    if not 0.0 <= number(name, value) < math.inf:
        raise ValueError(f"{name} must be non-negative and finite, got {value}")
    return float(value)


def is_whole(value: Any) -> bool:
    """Whether `value` is a whole number of Python's or NumPy's, and no bool."""
    return isinstance(value, _WHOLE) and not isinstance(value, bool)


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


def function(name: str, value: Any, such_as: str = "") -> None:
    """Raise TypeError, naming it, unless `value` can be called."""
    if not callable(value):
        example = f" such as {such_as}" if such_as else ""
        raise TypeError(f"{name} must be a function{example}, got {value!r}")


def numbers(name: str, values: Any) -> Host:
    """A new float64 array of `values`, a sequence of numbers or an array of any library.

    Raises TypeError, naming it, unless they are that.
    """
    try:
        return np.array(to_host(values) if is_array(values) else values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a sequence of numbers, got {values!r}") from None


def made(what: str, make: Callable[..., Made], parameters: Mapping[str, Any]) -> Made:
    """make(**parameters), as a configuration of `what` asks.

    Raises ValueError that names a parameter which `make` does not take, lacks, or takes of another
    type.
    """
    taken = inspect.signature(make).parameters
    for name in parameters:
        if name not in taken:
            raise ValueError(f"{what} takes {', '.join(taken) or 'no parameters'}, got {name!r}")
    for name, parameter in taken.items():
        if parameter.default is parameter.empty and name not in parameters:
            raise ValueError(f"{what} needs {name}")
    try:
        return make(**parameters)
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from None


def require_time(name: str, t: Any, x_name: str, x: Array) -> None:
    """Raise, naming it, unless `t` is a number or an array of shape (batch,) in x's library."""
    if is_number(t):
        return
    if not is_array(t):
        raise TypeError(f"{name} must be a number or an array, got {t!r}")
    if x.ndim and tuple(t.shape) != (x.shape[0],):
        raise ValueError(
            f"{name} must be a number or have shape ({x.shape[0]},), got {tuple(t.shape)}"
        )
    require_library(name, t, x_name, x)
