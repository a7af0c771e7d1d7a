"""`Arrays` on a CPU."""

from contextlib import AbstractContextManager
from typing import Any

import numba
import numpy as np

from ..arrays import SAME, Arrays, Factors, Padding, Statistics
from . import attention, convolution, images, linear, norm, update
from .lanes import WIDTH
from .pool import Pool
from .products import SGEMM
from .threads import ONE_BLAS_THREAD

NO_ROW = np.empty(0, np.float32)
NO_ROWS = np.empty((0, 0), np.float32)


class Cpu(Arrays):
    """`Arrays`, faster in float32. Threads are Numba's; BLAS has one within each, see `working`.

    Where Numba's threads are OpenMP's, PyTorch in the same process takes over their number. Where
    they are its own "workqueue", only one Python thread may compute at a time.
    """

    def __init__(self) -> None:
        super().__init__(np)
        self.pool = Pool()
        self.threads = numba.get_num_threads()

    def working(self) -> AbstractContextManager[None]:
        return ONE_BLAS_THREAD

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.pool.empty(shape, dtype)

    def convolve(
        self,
        x: Any,
        w: Any,
        bias: Any,
        stride: int = 1,
        pad: Padding = SAME,
        added: Any = None,
    ) -> Any:
        if not _fast(x, w, bias, added):
            return super().convolve(x, w, bias, stride, pad, added)
        return convolution.forward(self.empty, self.threads, x, w, bias, stride, pad, added)

    def convolve_input(
        self, dy: Any, w: Any, shape: tuple[int, ...], stride: int = 1, pad: Padding = SAME
    ) -> Any:
        if not _fast(dy, w):
            return super().convolve_input(dy, w, shape, stride, pad)
        return convolution.backward(self.empty, self.threads, dy, w, shape, stride, pad)

    def convolve_weight(
        self, x: Any, dy: Any, dw: Any, db: Any, stride: int = 1, pad: Padding = SAME
    ) -> None:
        if not _fast(x, dy, dw, db):
            return super().convolve_weight(x, dy, dw, db, stride, pad)
        return convolution.weight(self.empty, self.threads, x, dy, dw, db, stride, pad)

    def affine(self, x: Any, w: Any, bias: Any, added: Any = None) -> Any:
        if not _fast(x, w, bias, added):
            return super().affine(x, w, bias, added)
        return self._affine(x, w, bias, NO_ROWS if added is None else _rows(added))

    def affine_input(self, dy: Any, w: Any) -> Any:
        if not _fast(dy, w):
            return super().affine_input(dy, w)
        turned = self.empty(w.shape[::-1], w.dtype)
        turned[...] = w.T
        return self._affine(dy, turned, NO_ROW, NO_ROWS)

    def affine_weight(self, x: Any, dy: Any, dw: Any, db: Any) -> None:
        if not _fast(x, dy, dw, db):
            return super().affine_weight(x, dy, dw, db)
        rows = _rows(x)
        threads = min(self.threads, -(-len(rows) // linear.ROWS))
        parts = self.empty((threads, *dw.shape), dw.dtype)
        sums = self.empty((threads, *db.shape), db.dtype)
        linear.weight(SGEMM, rows, _rows(dy), parts, sums)
        images.gather(parts.reshape(threads, -1), dw.reshape(-1))
        images.gather(sums, db)
        return None

    def normalise(
        self, x: Any, added: Any, gain: Any, bias: Any, groups: int, eps: float
    ) -> tuple[Any, Statistics]:
        if not _fast(x) or x.shape[3] % WIDTH:
            return super().normalise(x, added, gain, bias, groups, eps)
        return self._normalise(x, added, gain, bias, groups, eps, curved=False)

    def normalise_silu(
        self, x: Any, added: Any, gain: Any, bias: Any, groups: int, eps: float
    ) -> tuple[Any, Statistics]:
        if not _fast(x) or x.shape[3] % WIDTH:
            return super().normalise_silu(x, added, gain, bias, groups, eps)
        return self._normalise(x, added, gain, bias, groups, eps, curved=True)

    def normalise_pull(
        self, dz: Any, x: Any, added: Any, gain: Any, statistics: Statistics
    ) -> tuple[Any, Any, Any]:
        if not _fast(dz, x) or x.shape[3] % WIDTH:
            return super().normalise_pull(dz, x, added, gain, statistics)
        return self._normalise_pull(dz, x, added, gain, None, statistics, curved=False)

    def normalise_silu_pull(
        self, dy: Any, x: Any, added: Any, gain: Any, bias: Any, statistics: Statistics
    ) -> tuple[Any, Any, Any]:
        if not _fast(dy, x) or x.shape[3] % WIDTH:
            return super().normalise_silu_pull(dy, x, added, gain, bias, statistics)
        return self._normalise_pull(dy, x, added, gain, bias, statistics, curved=True)

    def attend(self, qkv: Any, heads: int) -> tuple[Any, Any]:
        if not _fast(qkv):
            return super().attend(qkv, heads)
        b, p, three = qkv.shape
        y, kept = self.empty((b, p, three // 3), qkv.dtype), self.empty((b, heads, p), qkv.dtype)
        attention.forward(SGEMM, qkv, heads, y, kept)
        return y, kept

    def attend_pull(self, dy: Any, qkv: Any, heads: int, y: Any, kept: Any) -> Any:
        if not _fast(qkv):
            return super().attend_pull(dy, qkv, heads, y, kept)
        # `kept` is what `attend` has made of this qkv: only these kernels know it.
        dy = np.ascontiguousarray(dy, np.float32)
        dqkv = self.empty(qkv.shape, qkv.dtype)
        attention.backward(SGEMM, dy, qkv, heads, y, kept, dqkv)
        return dqkv

    def gather(self, rows: Any, total: Any) -> None:
        if not _fast(rows, total):
            return super().gather(rows, total)
        return images.gather(rows, total)  # type: ignore[no-any-return]

    def increase(self, x: Any, by: Any) -> Any:
        if not _fast(x, by):
            return super().increase(x, by)
        images.increase(x.reshape(-1), by.reshape(-1))
        return x

    def join(self, a: Any, b: Any) -> Any:
        if not _fast(a, b):
            return super().join(a, b)
        made = self.empty((*a.shape[:-1], a.shape[-1] + b.shape[-1]), a.dtype)
        images.join(_rows(a), _rows(b), _rows(made))
        return made

    def split(self, x: Any, first: int) -> tuple[Any, Any]:
        if not _fast(x):
            return super().split(x, first)
        a = self.empty((*x.shape[:-1], first), x.dtype)
        b = self.empty((*x.shape[:-1], x.shape[-1] - first), x.dtype)
        images.split(_rows(x), _rows(a), _rows(b))
        return a, b

    def sum_pixels(self, x: Any) -> Any:
        if not _fast(x):
            return super().sum_pixels(x)
        b, h, w, c = x.shape
        total = np.empty((b, c), x.dtype)
        images.sum_pixels(x.reshape(b, h * w, c), total)
        return total

    def silu(self, z: Any) -> Any:
        if not _fast(z):
            return super().silu(z)
        y = self.empty(z.shape, z.dtype)
        images.silu(z.reshape(-1), y.reshape(-1))
        return y

    def silu_pull(self, dy: Any, z: Any) -> Any:
        if not _fast(dy, z):
            return super().silu_pull(dy, z)
        dz = self.empty(z.shape, z.dtype)
        images.silu_pull(dy.reshape(-1), z.reshape(-1), dz.reshape(-1))
        return dz

    def double(self, x: Any) -> Any:
        return self._double(x, 1.0) if _fast(x) else super().double(x)

    def double_pull(self, dy: Any) -> Any:
        return self._halve(dy, 1.0) if _fast(dy) else super().double_pull(dy)

    def halve(self, x: Any) -> Any:
        return self._halve(x, 0.25) if _fast(x) else super().halve(x)

    def halve_pull(self, dy: Any) -> Any:
        return self._double(dy, 0.25) if _fast(dy) else super().halve_pull(dy)

    def _update(
        self, w: Any, g: Any, first: Any, second: Any, average: Any, factors: Factors
    ) -> None:
        scale, b_1, b_2, *others, move = factors
        numbers = (scale, b_1, 1.0 - b_1, b_2, 1.0 - b_2, *others, 1e-8, move)
        update.adamw(w, g, first, second, average, tuple(map(w.dtype.type, numbers)))

    def _affine(self, x: Any, w: Any, bias: Any, added: Any) -> Any:
        y = self.empty((*x.shape[:-1], w.shape[1]), x.dtype)
        linear.affine(SGEMM, _rows(x), w, bias, added, _rows(y))
        return y

    def _normalise(
        self, x: Any, added: Any, gain: Any, bias: Any, groups: int, eps: float, *, curved: bool
    ) -> tuple[Any, Statistics]:
        b, h, w, c = x.shape
        y = self.empty(x.shape, x.dtype)
        mean, rstd = np.empty((b, groups), np.float32), np.empty((b, groups), np.float32)
        rows = (_each(v) for v in (added, gain, bias))
        flat = (b, h * w, c)
        norm.forward(x.reshape(flat), *rows, groups, eps, curved, y.reshape(flat), mean, rstd)
        return y, Statistics(mean, rstd)

    def _normalise_pull(
        self,
        dy: Any,
        x: Any,
        added: Any,
        gain: Any,
        bias: Any,
        statistics: Statistics,
        *,
        curved: bool,
    ) -> tuple[Any, Any, Any]:
        b, h, w, c = x.shape
        flat = (b, h * w, c)
        dx = self.empty(x.shape, x.dtype)
        dgain, dbias = np.empty((b, c), np.float32), np.empty((b, c), np.float32)
        rows = (_each(v) for v in (added, gain, bias))
        norm.backward(
            dy.reshape(flat),
            x.reshape(flat),
            *rows,
            *statistics,
            curved,
            dx.reshape(flat),
            dgain,
            dbias,
        )
        return dx, dgain, dbias

    def _double(self, x: Any, scale: float) -> Any:
        b, h, w, c = x.shape
        y = self.empty((b, 2 * h, 2 * w, c), x.dtype)
        images.double(x, x.dtype.type(scale), y)
        return y

    def _halve(self, x: Any, scale: float) -> Any:
        b, h, w, c = x.shape
        y = self.empty((b, h // 2, w // 2, c), x.dtype)
        images.halve(x, x.dtype.type(scale), y)
        return y


def _fast(*arrays: Any) -> bool:
    """Whether all of them are float32 in one piece; None is."""
    return all(a is None or (a.dtype == np.float32 and a.flags.c_contiguous) for a in arrays)


def _rows(x: Any) -> Any:
    return x.reshape(-1, x.shape[-1])


def _each(values: Any) -> Any:
    """Rows of channels, or none."""
    return NO_ROWS if values is None else np.ascontiguousarray(values, np.float32)
