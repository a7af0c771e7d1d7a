"""Normal numbers that are handed out rather than drawn, to code that draws them itself.

Within `normals` the global functions by which PyTorch, NumPy and JAX draw standard normals return
what a script says, in the shape, dtype and device that they would have had. Samplers are linear in
their noise, so that a script of basis vectors reads off its weights.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from .._arrays import Host

Script = Callable[[int, tuple[int, ...]], Host]
"""The values of draw number k, from 0, of a shape."""


_DEFAULT_RNG = np.random.default_rng


class Draws:
    """Counts the draws and keeps their shapes."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, shape: Any) -> Host:
        shape = tuple(int(n) for n in shape)
        self.shapes.append(shape)
        with mock.patch.object(np.random, "default_rng", _DEFAULT_RNG):  # A script may draw.
            values = self._script(len(self.shapes) - 1, shape)
        return np.array(np.broadcast_to(values, shape), dtype=np.float64)


@contextmanager
def normals(script: Script) -> Iterator[Draws]:
    """Hand out `script`'s values for each standard normal drawn; yields what was drawn.

    A NumPy generator that the code holds already cannot be met: give it `Generator(draws)`.
    """
    draws = Draws(script)
    with ExitStack() as stack:
        for name in ("randn", "standard_normal", "normal"):
            stack.enter_context(mock.patch.object(np.random, name, getattr(_Numpy(draws), name)))
        stack.enter_context(mock.patch.object(np.random, "default_rng", return_value=_Numpy(draws)))
        if "torch" in sys.modules:
            stack.enter_context(_torch(draws))
        if "jax" in sys.modules:
            import jax

            stack.enter_context(mock.patch.object(jax.random, "normal", _jax(draws)))
        yield draws


class _Numpy:
    """NumPy's three ways to ask for normals."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    def randn(self, *shape: int) -> Any:
        return self._draws(shape)

    def standard_normal(self, size: Any = (), dtype: Any = np.float64, out: Any = None) -> Any:
        values = self._draws(size if np.iterable(size) else (size,)).astype(dtype)
        if out is not None:
            out[...] = values
            return out
        return values

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        shape = np.broadcast_shapes(np.shape(loc), np.shape(scale)) if size is None else size
        return loc + scale * self._draws(shape if np.iterable(shape) else (shape,))


def _torch(draws: Draws) -> Any:
    import torch
    from torch.overrides import TorchFunctionMode

    class Scripted(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            made = func(*args, **kwargs)
            if func in (torch.randn, torch.randn_like):
                return _like(draws(made.shape), made)
            if func is torch.Tensor.normal_:
                mean, std = (*args[1:], 0.0, 1.0)[:2] if len(args) > 2 else (0.0, 1.0)
                mean, std = kwargs.get("mean", mean), kwargs.get("std", std)
                return made.copy_(_like(mean + std * draws(made.shape), made))
            if func is torch.normal:
                mean = kwargs.get("mean", args[0] if args else 0.0)
                std = kwargs.get("std", args[1] if len(args) > 1 else 1.0)
                return mean + std * _like(draws(made.shape), made)
            return made

    def _like(values: Host, made: Any) -> Any:
        return torch.from_numpy(values).to(made)

    return Scripted()


def _jax(draws: Draws) -> Callable[..., Any]:
    def normal(key: Any, shape: Any = (), dtype: Any = float, **_: Any) -> Any:
        import jax.numpy as jnp

        return jnp.asarray(draws(shape), dtype=dtype)

    return normal
