"""The kernels of a CPU: Numba's loops, with matrix products by BLAS, on float32.

What is not float32 is left to the definitions.
"""

import math
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from ..arrays import SAME, Arrays, Padding, Statistics
from . import norm, update, winograd
from .pool import Pool

LEAST = 16
"""Channels on both sides from which Winograd's convolution is the faster."""


class Cpu(Arrays):
    """`Arrays`, faster in float32. Threads are Numba's; BLAS has one within each."""

    def __init__(self) -> None:
        super().__init__(np)
        self.pool = Pool()
        ThreadpoolController().limit(limits=1, user_api="blas")

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.pool.empty(shape, dtype)

    def convolve(self, x: Any, w: Any, bias: Any, stride: int = 1, pad: Padding = SAME) -> Any:
        if not _winograd(x, w, stride):
            return super().convolve(x, w, bias, stride, pad)
        y = self.empty((*x.shape[:3], w.shape[3]), np.float32)
        winograd.convolve(x, winograd.transformed(w), bias, y)
        return y

    def convolve_input(
        self, dy: Any, w: Any, shape: tuple[int, ...], stride: int = 1, pad: Padding = SAME
    ) -> Any:
        if not _winograd(dy, w, stride):
            return super().convolve_input(dy, w, shape, stride, pad)
        dx = self.empty(shape, np.float32)
        winograd.convolve(
            dy, winograd.transformed(winograd.turned(w)), np.zeros(shape[3], np.float32), dx
        )
        return dx

    def convolve_weight(self, x: Any, dy: Any, stride: int = 1, pad: Padding = SAME) -> Any:
        c, k = x.shape[3], dy.shape[3]
        if stride != 1 or x.dtype != np.float32 or min(c, k) < LEAST:
            return super().convolve_weight(x, dy, stride, pad)
        du = self.empty((1, 36, c, k), np.float32)
        winograd.weight_parts(x, dy, du)
        return winograd.collected(du[0])

    def normalise_silu(
        self, x: Any, added: Any, gain: Any, bias: Any, groups: int, eps: float
    ) -> tuple[Any, Statistics]:
        if x.dtype != np.float32:
            return super().normalise_silu(x, added, gain, bias, groups, eps)
        b, h, w, c = x.shape
        y = self.empty(x.shape, x.dtype)
        mean, rstd = np.empty((b, groups), np.float32), np.empty((b, groups), np.float32)
        rows = (_rows(v, b, c) for v in (added, gain, bias))
        norm.forward(x.reshape(b, h * w, c), *rows, groups, eps, y.reshape(b, h * w, c), mean, rstd)
        return y, Statistics(mean, rstd)

    def normalise_silu_pull(
        self, dy: Any, x: Any, added: Any, gain: Any, bias: Any, statistics: Statistics
    ) -> tuple[Any, Any, Any]:
        if x.dtype != np.float32:
            return super().normalise_silu_pull(dy, x, added, gain, bias, statistics)
        b, h, w, c = x.shape
        flat = (b, h * w, c)
        dx = self.empty(x.shape, x.dtype)
        dgain, dbias = np.empty((b, c), np.float32), np.empty((b, c), np.float32)
        rows = (_rows(v, b, c) for v in (added, gain, bias))
        norm.backward(
            dy.reshape(flat), x.reshape(flat), *rows, *statistics, dx.reshape(flat), dgain, dbias
        )
        return dx, dgain, dbias

    def adamw(
        self,
        w: Any,
        g: Any,
        first: Any,
        second: Any,
        average: Any,
        *,
        rate: float,
        betas: tuple[float, float],
        decay: float,
        step: int,
        ema: float,
        scale: float,
    ) -> None:
        b_1, b_2 = betas
        numbers = (
            scale,
            b_1,
            1.0 - b_1,
            b_2,
            1.0 - b_2,
            1.0 - rate * decay,
            rate / (1.0 - b_1**step),
            1.0 / math.sqrt(1.0 - b_2**step),
            1e-8,
            1.0 - ema,
        )
        update.adamw(w, g, first, second, average, tuple(map(w.dtype.type, numbers)))


def _winograd(x: Any, w: Any, stride: int) -> bool:
    return stride == 1 and x.dtype == np.float32 and min(w.shape[2:]) >= LEAST


def _rows(values: Any, batch: int, channels: int) -> Any:
    """One row for each image: of what is shared by all, or nothing."""
    if values is None:
        return np.zeros((batch, channels), np.float32)
    return np.ascontiguousarray(np.broadcast_to(values, (batch, channels)))
