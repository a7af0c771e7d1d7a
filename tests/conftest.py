"""One `xp` fixture over every array library, and the few helpers the tests share."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import array_api_compat
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from diffcore_reference.device import gpu_here

settings.register_profile(
    "diffcore",
    deadline=None,
    max_examples=40,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# pytest -m hypothesis --hypothesis-profile thorough: ten times the examples, others each time
settings.register_profile(
    "thorough", settings.get_profile("diffcore"), max_examples=400, derandomize=False
)
settings.load_profile("diffcore")


def namespace_of(name: str) -> ModuleType:
    """The array namespace called `name`, imported on demand."""
    if name == "numpy":
        return importlib.import_module("array_api_compat.numpy")
    if name == "torch":
        return importlib.import_module("array_api_compat.torch")
    if name == "cupy":
        return importlib.import_module("array_api_compat.cupy")
    if name == "dask":
        return importlib.import_module("array_api_compat.dask.array")
    if name == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
        return importlib.import_module("jax.numpy")
    return importlib.import_module(name)


LIBRARIES = ["numpy", "torch", "jax", "dask", "array_api_strict"]
if gpu_here():
    LIBRARIES.append("cupy")


@pytest.fixture(params=LIBRARIES)
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """Each array library in turn."""
    return namespace_of(request.param)


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """Each test compiles anew: torch.compile keeps a limited number of versions of a function."""
    yield
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()


def make(xp: ModuleType, host: Any, dtype: str = "float64") -> Any:
    """`host` as an array of library `xp`, with the dtype of that name."""
    return xp.asarray(np.asarray(host), dtype=getattr(xp, dtype))


def as_numpy(x: Any) -> np.ndarray:
    """Any library's array as NumPy's (bfloat16 as float32)."""
    if array_api_compat.is_torch_array(x):
        import torch

        x = x.detach().cpu()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    if array_api_compat.is_dask_array(x):
        return np.asarray(x.compute())
    if array_api_compat.is_cupy_array(x):
        return x.get()
    if type(x).__module__.startswith("array_api_strict"):
        return np.asarray(x._array)
    return np.asarray(x)
