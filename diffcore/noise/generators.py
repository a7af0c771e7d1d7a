"""Noise from the generators that array libraries bring, each for arrays of its own library.

Each function takes the generator, then `like` and `step`, and returns standard normal noise like
`like`. A generator knows no steps: it is advanced by each call. A JAX key has no state: the step is
folded into it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arrays import constant, is_array, is_chunked, is_traced, library, namespace
from ._checks import require_like, require_step


def adapter(rng: Any) -> Callable[[Any, Any, int], Any] | None:
    """The function below that draws from `rng`, told by the name of its class; or None."""
    for kind in type(rng).__mro__:
        draw = GENERATORS.get((kind.__module__.partition(".")[0], kind.__name__))
        if draw is not None:
            return draw
    if not (is_array(rng) and library(rng) == "jax"):
        return None
    typed = "key" in str(rng.dtype)
    if not typed and rng.dtype != np.uint32:
        return None
    if rng.shape not in ([()] if typed else [(2,), (4,)]):
        raise ValueError(f"rng must be a single JAX key, got shape {rng.shape}")
    return from_jax


def from_numpy(rng: Any, like: Any, step: int, /) -> Any:
    """Noise of a `numpy.random.Generator`, drawn on the host for an array of any library."""
    require_like(like)
    if is_traced(like):
        raise TypeError(
            "rng must be a JAX key or an int under jit, where a NumPy Generator's "
            "noise would be drawn once and for all"
        )
    dtype = np.float64 if like.dtype == namespace(like).float64 else np.float32
    eps = constant(rng.standard_normal(tuple(like.shape), dtype=dtype), like)
    return eps.rechunk(like.chunks) if is_chunked(like) else eps


def from_torch(rng: Any, like: Any, step: int, /) -> Any:
    """Noise of a `torch.Generator`, which must be on like's device."""
    _require_library(rng, like, "torch")
    import torch

    if rng.device.type != like.device.type:
        raise ValueError(f"rng must be on like's device {like.device}, got {rng.device}")
    return torch.randn(like.shape, generator=rng, dtype=like.dtype, device=like.device)


def from_cupy(rng: Any, like: Any, step: int, /) -> Any:
    """Noise of a `cupy.random.Generator` or `RandomState`, on like's device."""
    _require_library(rng, like, "cupy")
    dtype = like.dtype if like.dtype.itemsize > 2 else np.float32
    with like.device:
        return rng.standard_normal(like.shape, dtype=dtype).astype(like.dtype, copy=False)


def from_jax(rng: Any, like: Any, step: Any, /) -> Any:
    """Noise of a JAX key, with the step (an int, or a traced one) folded into it."""
    _require_library(rng, like, "jax")
    import jax

    key = jax.random.fold_in(rng, step if is_array(step) else require_step(step))
    return jax.random.normal(key, like.shape, like.dtype)


def from_dask(rng: Any, like: Any, step: int, /) -> Any:
    """Noise of a `dask.array.random` Generator or RandomState, in like's chunks."""
    _require_library(rng, like, "dask")
    return rng.standard_normal(like.shape, chunks=like.chunks).astype(like.dtype)


GENERATORS = {
    ("numpy", "Generator"): from_numpy,
    ("torch", "Generator"): from_torch,
    ("cupy", "Generator"): from_cupy,
    ("cupy", "RandomState"): from_cupy,
    ("dask", "Generator"): from_dask,
    ("dask", "RandomState"): from_dask,
}
"""By the library and the name of a class, so that no library is imported to look."""


def _require_library(rng: Any, like: Any, name: str) -> None:
    require_like(like)
    if library(like) != name:
        raise TypeError(
            f"rng is a generator of {name} and like an array of {library(like)}; "
            "an int seed or a NumPy Generator serves every library"
        )
