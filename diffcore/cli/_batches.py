"""A backend's functions of host arrays, a batch at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def batches(n: int, size: int) -> list[slice]:
    """Slices of n images, `size` at most each."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def evaluated(
    trained: Any, functions: Sequence[tuple[slice, Callable[..., Any]]], x: Any, t: float, bar: Any
) -> list[npt.NDArray[Any]]:
    """What the functions make of their slices of x, together again on the host.

    functions: each with its slice, of the backend's array and t, giving an array or a tuple of
    them. bar: moves at each.
    """
    found = []
    for part, function in functions:
        output = function(trained.array(x[part]), t)
        outputs = output if isinstance(output, tuple) else (output,)
        found.append([trained.host(array) for array in outputs])
        bar.update()
    return [np.concatenate(arrays) for arrays in zip(*found, strict=True)]
