"""Whole numbers that are handed out rather than drawn, to code that draws its times itself.

Within `integers` the global functions by which PyTorch, NumPy and JAX draw whole numbers in
[low, high) return low + what a script says, at most high - 1.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from .._arrays import Host

Script = Callable[[tuple[int, ...]], Any]
"""The values, from 0, of a draw of a shape; other shapes than theirs are left alone."""


@contextmanager
def integers(script: Script) -> Iterator[None]:
    """Hand out `script`'s values for whole numbers drawn."""
    with ExitStack() as stack:
        drawn = np.random.randint

        def randint(low: int, high: int | None = None, size: Any = None, dtype: Any = int) -> Any:
            values = _within(script, low, high, np.shape(np.empty(() if size is None else size)))
            made = drawn(low, high, size, dtype)
            return made if values is None else values.astype(dtype)

        stack.enter_context(mock.patch.object(np.random, "randint", randint))
        if "torch" in sys.modules:
            stack.enter_context(_torch(script))
        if "jax" in sys.modules:
            stack.enter_context(_jax(script))
        yield


def _within(script: Script, low: int, high: int | None, shape: tuple[int, ...]) -> Host | None:
    """The script's values in [low, high), or in [0, low) where there is no high."""
    low, high = (0, low) if high is None else (low, high)
    values = np.asarray(script(shape))
    if values.shape != shape:
        return None
    made: Host = np.minimum(low + values, high - 1)
    return made


def _torch(script: Script) -> Any:
    import torch
    from torch.overrides import TorchFunctionMode

    class Scripted(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            made = func(*args, **kwargs)
            bounds = args
            if func is torch.randint_like or func is torch.Tensor.random_:
                bounds = args[1:]
            elif func is not torch.randint:
                return made
            whole = [n for n in bounds if isinstance(n, int)]
            low = kwargs.get("low", whole[0] if len(whole) > 1 else 0)
            high = kwargs.get("high", whole[-1] if whole else None)
            values = None if high is None else _within(script, low, high, tuple(made.shape))
            return made if values is None else made.copy_(torch.from_numpy(np.array(values)))

    return Scripted()


def _jax(script: Script) -> Any:
    import jax

    drawn = jax.random.randint

    def randint(key: Any, shape: Any, minval: Any, maxval: Any, *args: Any, **kwargs: Any) -> Any:
        made = drawn(key, shape, minval, maxval, *args, **kwargs)
        values = _within(script, int(minval), int(maxval), tuple(made.shape))
        return made if values is None else jax.numpy.asarray(values, dtype=made.dtype)

    return mock.patch.object(jax.random, "randint", randint)
