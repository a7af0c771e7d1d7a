"""The kernels of a GPU: CuPy's matrix products and sums, and kernels of our own in CUDA.

What is neither float32 nor float64 is left to the definitions.
"""

import math
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np

from ..arrays import SAME, Arrays, Factors, Padding, Statistics

THREADS = 256
TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

Launch = Callable[[str, Any, int, tuple[Any, ...]], None]
"""launch(name, dtype, n, arguments): run a kernel over n elements."""


def source(dtype: Any) -> str:
    """The CUDA source for one dtype."""
    text = resources.files(__package__).joinpath("kernels.cu").read_text()
    return f"typedef {TYPES[np.dtype(dtype)]} T;\n{text}"


def on_device() -> "Gpu":
    """The kernels of the current CUDA device, compiled when first used.

    Raises ImportError without CuPy, ValueError without a device.
    """
    from diffcore._optional import optional

    cupy = optional("cupy", "cupy")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise ValueError(f"device 'cuda' needs a GPU: {error}") from error
    if not count:
        raise ValueError("device 'cuda' needs a GPU, found none")
    modules: dict[Any, Any] = {}

    def launch(name: str, dtype: Any, n: int, arguments: tuple[Any, ...]) -> None:
        if dtype not in modules:
            modules[dtype] = cupy.RawModule(code=source(dtype))
        blocks = min(-(-n // THREADS), 65_535)
        modules[dtype].get_function(name)((blocks,), (THREADS,), arguments)

    return Gpu(cupy, launch)


class Gpu(Arrays):
    """`Arrays` with fused kernels. `launch` runs one of them on arrays of `xp`."""

    def __init__(self, xp: Any, launch: Launch) -> None:
        super().__init__(xp)
        self.launch = launch

    def windows(self, x: Any, stride: int = 1, pad: Padding = SAME) -> Any:
        if x.dtype not in TYPES:
            return super().windows(x, stride, pad)
        b, h, w, c = x.shape
        rows, columns = ((side + sum(pad) - 3) // stride + 1 for side in (h, w))
        made = self.empty((b, rows, columns, 9 * c), x.dtype)
        sizes = (h, w, c, rows, columns, stride, pad.before)
        self._run("windows", made, (x, made), sizes)
        return made

    def windows_pull(
        self, spread: Any, shape: tuple[int, ...], stride: int = 1, pad: Padding = SAME
    ) -> Any:
        if spread.dtype not in TYPES:
            return super().windows_pull(spread, shape, stride, pad)
        _, h, w, c = shape
        rows, columns = spread.shape[1:3]
        made = self.empty(shape, spread.dtype)
        sizes = (h, w, c, rows, columns, stride, pad.before)
        self._run("windows_pull", made, (spread, made), sizes)
        return made

    def normalise_silu(
        self, x: Any, added: Any, gain: Any, bias: Any, groups: int, eps: float
    ) -> tuple[Any, Statistics]:
        if x.dtype not in TYPES:
            return super().normalise_silu(x, added, gain, bias, groups, eps)
        statistics = self._statistics(x, added, groups, eps)
        y = self.empty(x.shape, x.dtype)
        rows = (self._rows(v, x) for v in (added, gain, bias))
        self._run("normalise_silu", y, (x, *rows, *statistics, y), (), _shape(x, groups))
        return y, statistics

    def normalise_silu_pull(
        self, dy: Any, x: Any, added: Any, gain: Any, bias: Any, statistics: Statistics
    ) -> tuple[Any, Any, Any]:
        if x.dtype not in TYPES:
            return super().normalise_silu_pull(dy, x, added, gain, bias, statistics)
        xp, b, groups = self.xp, x.shape[0], statistics.mean.shape[1]
        dy = xp.ascontiguousarray(dy)
        added, gain, bias = (self._rows(v, x) for v in (added, gain, bias))
        dz, weighted, dx = (self.empty(x.shape, x.dtype) for _ in range(3))
        shape = _shape(x, groups)
        self._run("silu_pull", dz, (dy, x, added, gain, bias, *statistics, dz, weighted), (), shape)
        dgain, dbias = self.sum_pixels(weighted), self.sum_pixels(dz)
        elements = x.dtype.type(math.prod(x.shape[1:]) // groups)
        means = (
            xp.sum((gain * sums).reshape(b, groups, -1), axis=2) / elements
            for sums in (dbias, dgain)
        )
        self._run("normalise_pull", dx, (dz, x, added, gain, *statistics, *means, dx), (), shape)
        return dx, dgain, dbias

    def _update(
        self, w: Any, g: Any, first: Any, second: Any, average: Any, factors: Factors
    ) -> None:
        arrays = (w, g, first, second, average)
        size = (np.int64(w.size), *map(w.dtype.type, factors))
        self.launch("adamw", w.dtype, w.size, (*arrays, *size))

    def _statistics(self, x: Any, added: Any, groups: int, eps: float) -> Statistics:
        """From each channel's moments about its own mean, which lose nothing to a large one."""
        xp, (b, _, _, c) = self.xp, x.shape
        own = xp.mean(x, axis=(1, 2))
        spread = xp.var(x, axis=(1, 2))
        means = (own if added is None else own + added).reshape(b, groups, c // groups)
        mean = xp.mean(means, axis=2)
        off = means - mean[..., None]
        variance = xp.mean(spread.reshape(off.shape) + off * off, axis=2)
        return Statistics(mean, (1.0 / xp.sqrt(variance + eps)).astype(x.dtype))

    def _rows(self, values: Any, x: Any) -> Any:
        """One row for each image: of what is shared by all, or nothing."""
        xp, shape = self.xp, (x.shape[0], x.shape[3])
        if values is None:
            return xp.zeros(shape, x.dtype)
        return xp.ascontiguousarray(xp.broadcast_to(values, shape))

    def _run(
        self,
        name: str,
        over: Any,
        arrays: tuple[Any, ...],
        sizes: tuple[int, ...],
        wide: tuple[Any, ...] = (),
    ) -> None:
        """Run a kernel over every element of `over`."""
        numbers = (np.int64(over.size), *wide, *map(np.int32, sizes))
        self.launch(name, over.dtype, over.size, (*arrays, *numbers))


def _shape(x: Any, groups: int) -> tuple[Any, ...]:
    """Pixels, channels, groups, as the kernels take them."""
    _, h, w, c = x.shape
    return np.int64(h * w), np.int32(c), np.int32(groups)
