"""The CUDA kernels on a CPU: their text as C++, with one thread that does all."""

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from diffcore_reference.kernels.gpu import Launch, source

SHIM = """
#include <cmath>
using std::exp; using std::sqrt;
#define __device__ static
#define __global__
struct Place { long long x; };
static const Place blockIdx = {0}, threadIdx = {0}, blockDim = {1}, gridDim = {1};
"""
KINDS = {np.int64: ctypes.c_longlong, np.int32: ctypes.c_int}
KINDS |= {np.float32: ctypes.c_float, np.float64: ctypes.c_double}


def compiled(folder: Path, change: tuple[str, str] | None = None) -> Launch:
    """A launch that runs the kernels on NumPy arrays; `change` replaces a piece of their text."""
    libraries: dict[Any, Any] = {}

    def launch(name: str, dtype: Any, n: int, arguments: tuple[Any, ...]) -> None:
        if dtype not in libraries:
            text = source(dtype)
            if change is not None:
                assert text.count(change[0]) == 1
                text = text.replace(*change)
            stem = f"kernels_{np.dtype(dtype).name}"
            (folder / f"{stem}.cpp").write_text(SHIM + text)
            command = ["g++", "-O1", "-shared", "-fPIC", "-o", f"{stem}.so", f"{stem}.cpp"]
            subprocess.run(command, cwd=folder, check=True)
            libraries[dtype] = ctypes.CDLL(str(folder / f"{stem}.so"))
        getattr(libraries[dtype], name)(*map(_passed, arguments))

    return launch


def _passed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return ctypes.c_void_p(value.ctypes.data)
    return KINDS[type(value)](value)
