"""Which kernels to compute with."""

import importlib.util
from typing import Any

import numpy as np

from .kernels.arrays import Arrays


def chosen_kernels(device: str = "auto") -> Arrays:
    """The kernels of a device: "cpu", "cuda", or "auto", the CPU's.

    On a CPU they are Numba's where it is installed, else NumPy's own operations: slower, the same
    numbers. Raises ValueError for another name.
    """
    if device not in ("auto", "cpu"):
        raise ValueError(f"device must be 'auto' or 'cpu', got {device!r}")
    if all(importlib.util.find_spec(name) for name in ("numba", "scipy", "threadpoolctl")):
        from .kernels.cpu import Cpu

        return Cpu()
    return Arrays(np)


def on_host(array: Any) -> Any:
    """A NumPy array, from the GPU if need be."""
    return np.asarray(array.get() if hasattr(array, "get") else array)
