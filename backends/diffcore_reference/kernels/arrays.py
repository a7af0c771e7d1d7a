"""The kernels by their definitions, on whole arrays: one text for NumPy and CuPy.

Images are (batch, height, width, channels), `x[b, i, j, c]`, contiguous; a 3 x 3 convolution's
weight is (3, 3, in, out). Everything that is faster is tested against this.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple


class Padding(NamedTuple):
    """Rows and columns of zeros before and after."""

    before: int
    after: int


SAME = Padding(1, 1)


class Statistics(NamedTuple):
    """Of each group of each image: mean and 1 / sqrt(variance + eps); shape (batch, groups)."""

    mean: Any
    rstd: Any


class Factors(NamedTuple):
    """The numbers of one update by AdamW: those of its equations that no array holds."""

    scale: float
    b_1: float
    b_2: float
    kept: float
    """1 - rate decay"""
    rate: float
    """rate / (1 - b_1^step)"""
    root: float
    """1 / sqrt(1 - b_2^step)"""
    move: float
    """1 - ema"""


class Arrays:
    """Kernels in the operations of an array module `xp`: NumPy or CuPy.

    `empty` and `zeros` make the arrays that a pass works in; a pool may stand behind them.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def working(self) -> AbstractContextManager[None]:
        """Entered around a pass through the network and an update: what has to hold meanwhile."""
        return nullcontext()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of that shape, of any content."""
        return self.xp.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of zeros."""
        made = self.empty(shape, dtype)
        made[...] = 0
        return made

    def windows(self, x: Any, stride: int = 1, pad: Padding = SAME) -> Any:
        """The 3 x 3 neighbourhood of each output: (batch, rows, columns, 9 channels)."""
        b, h, w, c = x.shape
        rows = (h + sum(pad) - 3) // stride + 1
        columns = (w + sum(pad) - 3) // stride + 1
        padded = self.zeros((b, h + sum(pad), w + sum(pad), c), x.dtype)
        padded[:, pad.before : pad.before + h, pad.before : pad.before + w] = x
        made = self.empty((b, rows, columns, 9, c), x.dtype)
        for k in range(9):
            u, v = divmod(k, 3)
            made[:, :, :, k] = padded[
                :,
                u : u + stride * (rows - 1) + 1 : stride,
                v : v + stride * (columns - 1) + 1 : stride,
            ]
        return made.reshape(b, rows, columns, 9 * c)

    def increase(self, x: Any, by: Any) -> Any:
        """x, increased in place."""
        x += by
        return x

    def gather(self, rows: Any, total: Any) -> None:
        """total += the sum of the rows."""
        total += self.xp.sum(rows, axis=0)

    def join(self, a: Any, b: Any) -> Any:
        """The channels of a, then those of b."""
        made = self.empty((*a.shape[:-1], a.shape[-1] + b.shape[-1]), a.dtype)
        made[..., : a.shape[-1]] = a
        made[..., a.shape[-1] :] = b
        return made

    def split(self, x: Any, first: int) -> tuple[Any, Any]:
        """The first channels of x, and the others."""
        a = self.empty((*x.shape[:-1], first), x.dtype)
        b = self.empty((*x.shape[:-1], x.shape[-1] - first), x.dtype)
        a[...], b[...] = x[..., :first], x[..., first:]
        return a, b

    def convolve(
        self,
        x: Any,
        w: Any,
        bias: Any,
        stride: int = 1,
        pad: Padding = SAME,
        added: Any = None,
    ) -> Any:
        """y[b, i, j] = bias + sum_uv x[b, s i + u - p, s j + v - p] w[u, v], 0 outside of x.

        added: an array like y that is added to it.
        """
        return self.affine(self.windows(x, stride, pad), w.reshape(-1, w.shape[-1]), bias, added)

    def convolve_input(
        self, dy: Any, w: Any, shape: tuple[int, ...], stride: int = 1, pad: Padding = SAME
    ) -> Any:
        """dx[b, s i + u - p, s j + v - p] = sum of dy[b, i, j] w[u, v]'; x has that `shape`."""
        spread = self.multiply(dy, w.reshape(-1, w.shape[-1]).T)
        return self.windows_pull(spread, shape, stride, pad)

    def windows_pull(
        self, spread: Any, shape: tuple[int, ...], stride: int = 1, pad: Padding = SAME
    ) -> Any:
        """The adjoint of `windows`: each pixel's sum over all neighbourhoods that it is in."""
        b, h, wide, c = shape
        rows, columns = spread.shape[1:3]
        spread = spread.reshape(b, rows, columns, 9, c)
        padded = self.zeros((b, h + sum(pad), wide + sum(pad), c), spread.dtype)
        for k in range(9):
            u, v = divmod(k, 3)
            padded[
                :,
                u : u + stride * (rows - 1) + 1 : stride,
                v : v + stride * (columns - 1) + 1 : stride,
            ] += spread[:, :, :, k]
        return self.xp.ascontiguousarray(
            padded[:, pad.before : pad.before + h, pad.before : pad.before + wide]
        )

    def convolve_weight(
        self, x: Any, dy: Any, dw: Any, db: Any, stride: int = 1, pad: Padding = SAME
    ) -> None:
        """dw[u, v] += sum_bij x[b, s i + u - p, s j + v - p]' dy[b, i, j],   db += sum dy."""
        columns = self.windows(x, stride, pad)
        self.affine_weight(columns, dy, dw.reshape(-1, dw.shape[-1]), db)

    def affine(self, x: Any, w: Any, bias: Any, added: Any = None) -> Any:
        """x w + bias over the last axis of x; leading axes are kept. added: as for `convolve`."""
        y = self.multiply(x, w)
        y += bias
        return y if added is None else self.increase(y, added)

    def affine_input(self, dy: Any, w: Any) -> Any:
        """dy w'."""
        return self.multiply(dy, w.T)

    def affine_weight(self, x: Any, dy: Any, dw: Any, db: Any) -> None:
        """dw += x' dy,   db += sum dy, over all axes but the last."""
        rows = dy.reshape(-1, dy.shape[-1])
        dw += self.xp.matmul(x.reshape(-1, x.shape[-1]).T, rows)
        db += self.xp.sum(rows, axis=0)

    def multiply(self, x: Any, w: Any) -> Any:
        """x w over the last axis of x; leading axes are kept."""
        flat = x.reshape(-1, x.shape[-1])
        out = self.empty((flat.shape[0], w.shape[1]), self.xp.result_type(x, w))
        self.xp.matmul(flat, w, out=out)
        return out.reshape(*x.shape[:-1], w.shape[1])

    def sum_pixels(self, x: Any) -> Any:
        """The sum over the pixels of each image: (batch, channels)."""
        return self.xp.sum(x, axis=(1, 2))

    def normalise(
        self, x: Any, added: Any, gain: Any, bias: Any, groups: int, eps: float
    ) -> tuple[Any, Statistics]:
        """gain xhat + bias, xhat = (x + added - mean) rstd over each group of channels.

        added: (batch, channels), or None. gain, bias: (batch, channels), or (1, channels).
        """
        h, statistics = self._normal(x, added, groups, eps)
        return h * _pixels(gain) + _pixels(bias), statistics

    def normalise_silu(
        self, x: Any, added: Any, gain: Any, bias: Any, groups: int, eps: float
    ) -> tuple[Any, Statistics]:
        """silu(z), z = gain xhat + bias; see `normalise`."""
        z, statistics = self.normalise(x, added, gain, bias, groups, eps)
        return self.silu(z), statistics

    def normalise_pull(
        self, dz: Any, x: Any, added: Any, gain: Any, statistics: Statistics
    ) -> tuple[Any, Any, Any]:
        """dx, dgain, dbias; the latter two (batch, channels).

        dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) with dxhat = gain dz.
        """
        xp, (b, h, w, c) = self.xp, x.shape
        groups = statistics.mean.shape[1]
        xhat = self._standard(x, added, statistics)
        dgain, dbias = self.sum_pixels(dz * xhat), self.sum_pixels(dz)
        dxhat = dz * _pixels(gain)
        split = (b, h * w, groups, c // groups)
        m_1 = xp.mean(dxhat.reshape(split), axis=(1, 3), keepdims=True)
        m_2 = xp.mean((dxhat * xhat).reshape(split), axis=(1, 3), keepdims=True)
        rstd = statistics.rstd[:, None, :, None]
        dx = rstd * (dxhat.reshape(split) - m_1 - xhat.reshape(split) * m_2)
        return dx.reshape(x.shape), dgain, dbias

    def normalise_silu_pull(
        self, dy: Any, x: Any, added: Any, gain: Any, bias: Any, statistics: Statistics
    ) -> tuple[Any, Any, Any]:
        """The same through silu, z found again from x."""
        z = self._standard(x, added, statistics) * _pixels(gain) + _pixels(bias)
        return self.normalise_pull(self.silu_pull(dy, z), x, added, gain, statistics)

    def _normal(self, x: Any, added: Any, groups: int, eps: float) -> tuple[Any, Statistics]:
        xp, (b, h, w, c) = self.xp, x.shape
        x = x if added is None else x + _pixels(added)
        split = x.reshape(b, h * w, groups, c // groups)
        mean = xp.mean(split, axis=(1, 3))
        centred = split - mean[:, None, :, None]
        rstd = 1.0 / xp.sqrt(xp.mean(centred * centred, axis=(1, 3)) + eps)
        return (centred * rstd[:, None, :, None]).reshape(x.shape), Statistics(mean, rstd)

    def _standard(self, x: Any, added: Any, statistics: Statistics) -> Any:
        b, h, w, _ = x.shape
        x = x if added is None else x + _pixels(added)
        split = x.reshape(b, h * w, statistics.mean.shape[1], -1)
        mean, rstd = (s[:, None, :, None] for s in statistics)
        return ((split - mean) * rstd).reshape(x.shape)

    def silu(self, z: Any) -> Any:
        """z s(z), s(z) = 1 / (1 + exp(-z))."""
        return z * self._sigmoid(z)

    def silu_pull(self, dy: Any, z: Any) -> Any:
        """dy s (1 + z (1 - s))."""
        s = self._sigmoid(z)
        return dy * s * (1.0 + z * (1.0 - s))

    def _sigmoid(self, z: Any) -> Any:
        if z.dtype.kind != "f":  # Complex, which has no order.
            return 1.0 / (1.0 + self.xp.exp(-z))
        # exp of what is not positive does not overflow.
        small = self.xp.exp(-self.xp.abs(z))
        return self.xp.where(z >= 0, 1.0, small) / (1.0 + small)

    def attend(self, qkv: Any, heads: int) -> tuple[Any, Any]:
        """softmax(q k' / sqrt(d)) v for each head; qkv: (batch, positions, 3 channels).

        Returns y, (batch, positions, channels), and what `attend_pull` wants of it: here the
        softmax (batch, heads, positions, positions).
        """
        xp = self.xp
        q, k, v = self._heads(qkv, heads)
        s = xp.matmul(q, xp.swapaxes(k, -1, -2)) * (1.0 / math.sqrt(q.shape[-1]))
        a = xp.exp(s - xp.max(s.real, axis=-1, keepdims=True))
        a /= xp.sum(a, axis=-1, keepdims=True)
        return self._joined(xp.matmul(a, v)), a

    def attend_pull(self, dy: Any, qkv: Any, heads: int, y: Any, kept: Any) -> Any:
        """dqkv. With dA = dy v' and dS = A (dA - sum_j A dA):

        dv = A' dy,   dq = dS k / sqrt(d),   dk = dS' q / sqrt(d).
        """
        xp, a = self.xp, kept
        q, k, v = self._heads(qkv, heads)
        b, p, c = dy.shape
        do = xp.swapaxes(dy.reshape(b, p, heads, c // heads), 1, 2)
        da = xp.matmul(do, xp.swapaxes(v, -1, -2))
        ds = a * (da - xp.sum(a * da, axis=-1, keepdims=True))
        ds *= 1.0 / math.sqrt(q.shape[-1])
        dqkv = self.empty(qkv.shape, qkv.dtype)
        parts = dqkv.reshape(b, p, 3, c)
        parts[:, :, 0] = self._joined(xp.matmul(ds, k))
        parts[:, :, 1] = self._joined(xp.matmul(xp.swapaxes(ds, -1, -2), q))
        parts[:, :, 2] = self._joined(xp.matmul(xp.swapaxes(a, -1, -2), do))
        return dqkv

    def _heads(self, qkv: Any, heads: int) -> tuple[Any, Any, Any]:
        b, p, c = qkv.shape
        split = qkv.reshape(b, p, 3, heads, c // (3 * heads))
        return tuple(self.xp.swapaxes(split[:, :, i], 1, 2) for i in range(3))

    def _joined(self, x: Any) -> Any:
        b, heads, p, d = x.shape
        return self.xp.swapaxes(x, 1, 2).reshape(b, p, heads * d)

    def double(self, x: Any) -> Any:
        """Each pixel twice along both axes."""
        b, h, w, c = x.shape
        made = self.empty((b, h, 2, w, 2, c), x.dtype)
        made[...] = x[:, :, None, :, None]
        return made.reshape(b, 2 * h, 2 * w, c)

    def double_pull(self, dy: Any) -> Any:
        """The sum of each block of 2 x 2."""
        b, h, w, c = dy.shape
        return self.xp.sum(dy.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))

    def halve(self, x: Any) -> Any:
        """The mean of each block of 2 x 2."""
        return self.double_pull(x) * 0.25

    def halve_pull(self, dy: Any) -> Any:
        """A quarter of dy to each pixel of the block."""
        return self.double(dy * 0.25)

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
        """AdamW and the average in place, on flat arrays, with gradient scale g.

        first = b_1 first + (1 - b_1) g,   second = b_2 second + (1 - b_2) g^2,
        w = (1 - rate decay) w - rate first^ / (sqrt(second^) + 1e-8),   x^ = x / (1 - b^step),
        average = ema average + (1 - ema) w

        (Loshchilov & Hutter 2019, algorithm 2.) step counts from 1.
        """
        b_1, b_2 = betas
        factors = Factors(
            scale=scale,
            b_1=b_1,
            b_2=b_2,
            kept=1.0 - rate * decay,
            rate=rate / (1.0 - b_1**step),
            root=1.0 / math.sqrt(1.0 - b_2**step),
            move=1.0 - ema,
        )
        self._update(w, g, first, second, average, factors)

    def _update(
        self, w: Any, g: Any, first: Any, second: Any, average: Any, factors: Factors
    ) -> None:
        """`adamw`, its numbers worked out."""
        scale, b_1, b_2, kept, rate, root, move = factors
        g = g * scale
        first *= b_1
        first += (1.0 - b_1) * g
        second *= b_2
        second += (1.0 - b_2) * (g * g)
        w *= kept
        w -= rate * first / (self.xp.sqrt(second) * root + 1e-8)
        average += move * (w - average)


def _pixels(values: Any) -> Any:
    """(batch, channels) against images."""
    return values[:, None, None, :]
