"""Where a target takes its noise from: the arguments that its signature has for that."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..libraries import Library


def sources(target: Callable[..., Any], library: Library, x: Any, seed: int) -> Mapping[str, Any]:
    """Arguments for the sources of noise in the target's signature; and no progress bar.

    x: a native array of the shape and dtype to draw.
    """
    offers: Mapping[str, Callable[[], Any]] = {
        "noise_sampler": lambda: lambda *_: library.normal(x),
        "rng": lambda: np.random.default_rng(seed),
        "key": lambda: _key(seed),
        "generator": lambda: _generator(library, seed),
        "disable": lambda: True,
        "silent": lambda: True,
    }
    takes = inspect.signature(target).parameters
    return {name: make() for name, make in offers.items() if name in takes}


def at_step(given: Mapping[str, Any], k: int) -> Mapping[str, Any]:
    """The same arguments for step k of a run: a generator goes on, of a key each has its own."""
    if "key" not in given:
        return given
    import jax

    return {**given, "key": jax.random.fold_in(given["key"], k)}


def _key(seed: int) -> Any:
    import jax

    return jax.random.key(seed, impl="rbg")  # As in `libraries`: the default compiles for seconds.


def _generator(library: Library, seed: int) -> Any:
    if library.name != "torch":
        return np.random.default_rng(seed)
    import torch

    return torch.Generator().manual_seed(seed)
