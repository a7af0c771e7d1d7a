"""The array libraries that targets are written in: arrays, dtypes and random seeds."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._arrays import constant


@dataclass(frozen=True, kw_only=True)
class Library:
    """How to make arrays of a library and seed its global generator.

    epsilon: of the coarser of its arithmetic and the tables of the code under test.
    """

    name: str
    make: Callable[[Any, str], Any]
    seed: Callable[[int], Any]
    normal: Callable[[Any], Any]
    dtypes: tuple[str, ...] = ("float32", "float64")
    epsilon: float = float(np.finfo(np.float64).eps)

    def like(self, host: Any, x: Any) -> Any:
        """Host values as an array beside x, in its dtype and on its device."""
        return constant(host, x, x.dtype)


def of(name: str, epsilon: float | None = None) -> Library:
    """The library of that name: numpy, torch, jax, array_api_strict or cupy.

    Raises ValueError for another name, ImportError for one that is not installed.
    """
    makers: dict[str, Callable[[Any], Library]] = {
        "numpy": _numpy,
        "torch": _torch,
        "jax": _jax,
        "array_api_strict": _strict,
        "cupy": _numpy,
    }
    if name not in makers:
        raise ValueError(f"library must be one of {', '.join(makers)}; got {name!r}")
    made = makers[name](importlib.import_module(name))
    return made if epsilon is None else replace(made, epsilon=epsilon)


def guess(target: Any) -> str:
    """The library that the target names, or that its code uses, by what its module imports."""
    own = getattr(target, "library", None)
    if isinstance(own, str):
        return own
    used = {
        value.__name__.partition(".")[0]
        for names in _globals(target)
        for value in names.values()
        if inspect.ismodule(value)
    }
    named = ("torch", "jax", "array_api_strict", "cupy")
    return next((name for name in named if name in used), "numpy")


def _globals(target: Any) -> Iterator[dict[str, Any]]:
    """What the target's functions see: its own if it is one, else those of its class."""
    made = target if inspect.isclass(target) else type(target)
    held = [value for base in made.__mro__ for value in vars(base).values()]
    for value in [target] if inspect.isroutine(target) else held:
        code = inspect.unwrap(value) if inspect.isroutine(value) else value
        if inspect.isfunction(code):
            yield code.__globals__


def _numpy(module: Any) -> Library:
    return Library(
        name=module.__name__,
        make=lambda host, dtype: module.asarray(np.asarray(host), dtype=dtype),
        seed=lambda seed: module.random.seed(seed),
        normal=lambda x: module.random.standard_normal(x.shape).astype(x.dtype),
    )


def _torch(module: Any) -> Library:
    return Library(
        name="torch",
        make=lambda host, dtype: module.asarray(np.array(host), dtype=getattr(module, dtype)),
        seed=module.manual_seed,
        normal=module.randn_like,
    )


def _jax(module: Any) -> Library:
    wide = module.config.read("jax_enable_x64")
    keys = _Keys(module.random)
    return Library(
        name="jax",
        make=lambda host, dtype: module.numpy.asarray(np.asarray(host), dtype=dtype),
        seed=keys.seed,
        normal=lambda x: module.random.normal(keys.next(), x.shape, x.dtype),
        dtypes=("float32", "float64") if wide else ("float32",),
        epsilon=float(np.finfo(np.float64 if wide else np.float32).eps),
    )


class _Keys:
    """JAX has no global generator: keys that follow from a seed and a count."""

    def __init__(self, random: Any) -> None:
        self._random, self._seed, self._count = random, 0, 0

    def seed(self, seed: int) -> None:
        self._seed, self._count = seed, 0

    def next(self) -> Any:
        self._count += 1
        # The default generator takes XLA many seconds to compile for each new shape.
        key = self._random.key(self._seed, impl="rbg")
        return self._random.fold_in(key, self._count)


def _strict(module: Any) -> Library:
    host = _numpy(np)
    return Library(
        name="array_api_strict",
        make=lambda host, dtype: module.asarray(np.asarray(host), dtype=getattr(module, dtype)),
        seed=host.seed,
        normal=lambda x: module.asarray(host.normal(np.empty(x.shape)), dtype=x.dtype),
    )
