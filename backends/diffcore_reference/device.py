"""Which kernels to compute with."""

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt

from .kernels.arrays import Arrays


def chosen_kernels(device: str = "auto") -> Arrays:
    """The kernels of a device: "cpu", "cuda", or "auto", the GPU where CuPy finds one.

    On a CPU they are Numba's where it is installed, else NumPy's own operations: slower, the same
    numbers. Raises ValueError for another name, and for "cuda" without a GPU; ImportError without
    CuPy.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}")
    if device == "cuda" or (device == "auto" and gpu_here()):
        from .kernels.gpu import on_device

        return on_device()
    if all(importlib.util.find_spec(name) for name in ("numba", "scipy", "threadpoolctl")):
        from .kernels.cpu import Cpu

        return Cpu()
    return Arrays(np)


def gpu_here() -> bool:
    """Whether CuPy is installed and finds a GPU."""
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    try:
        return bool(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def on_host(array: Any) -> npt.NDArray[Any]:
    """A NumPy array, from the GPU if need be."""
    return np.asarray(array.get() if hasattr(array, "get") else array)
