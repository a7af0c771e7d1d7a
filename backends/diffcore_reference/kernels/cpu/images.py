"""Passes over whole arrays that bring no product: sums, resampling, joining."""

from numba import njit, prange

from .exponential import f, sigmoid
from .products import FAST


@njit(parallel=True, **FAST)
def increase(x, by):  # type: ignore[no-untyped-def]
    """x += by, both flat."""
    for i in prange(x.size):
        x[i] += by[i]


@njit(**FAST)
def gather(rows, total):  # type: ignore[no-untyped-def]
    """total += the sum of the rows."""
    for i in range(rows.shape[0]):
        row = rows[i]
        for k in range(total.size):
            total[k] += row[k]


@njit(parallel=True, **FAST)
def silu(z, y):  # type: ignore[no-untyped-def]
    """y = z s(z), flat."""
    for i in prange(z.size):
        y[i] = z[i] * sigmoid(z[i])


@njit(parallel=True, **FAST)
def silu_pull(dy, z, dz):  # type: ignore[no-untyped-def]
    """dz = dy s (1 + z (1 - s)), flat."""
    for i in prange(z.size):
        s = sigmoid(z[i])
        dz[i] = dy[i] * s * (f(1.0) + z[i] * (f(1.0) - s))


@njit(parallel=True, **FAST)
def sum_pixels(x, total):  # type: ignore[no-untyped-def]
    """total: (batch, channels) of x: (batch, pixels, channels)."""
    batch, pixels, channels = x.shape
    for b in prange(batch):
        into = total[b]
        for c in range(channels):
            into[c] = f(0)
        for p in range(pixels):
            row = x[b, p]
            for c in range(channels):
                into[c] += row[c]


@njit(parallel=True, **FAST)
def join(a, b, made):  # type: ignore[no-untyped-def]
    """made = the rows of a, each followed by that of b."""
    rows, first = a.shape
    second = b.shape[1]
    for i in prange(rows):
        into, one, other = made[i], a[i], b[i]
        for c in range(first):
            into[c] = one[c]
        for c in range(second):
            into[first + c] = other[c]


@njit(parallel=True, **FAST)
def split(joined, a, b):  # type: ignore[no-untyped-def]
    """The adjoint of `join`."""
    rows, first = a.shape
    second = b.shape[1]
    for i in prange(rows):
        source, one, other = joined[i], a[i], b[i]
        for c in range(first):
            one[c] = source[c]
        for c in range(second):
            other[c] = source[first + c]


@njit(parallel=True, **FAST)
def double(x, scale, y):  # type: ignore[no-untyped-def]
    """y = scale x, each pixel four times."""
    batch, height, width, channels = x.shape
    for row in prange(batch * height):
        b, i = row // height, row % height
        for j in range(width):
            source = x[b, i, j]
            for k in range(4):
                into = y[b, 2 * i + k // 2, 2 * j + k % 2]
                for c in range(channels):
                    into[c] = scale * source[c]


@njit(parallel=True, **FAST)
def halve(x, scale, y):  # type: ignore[no-untyped-def]
    """y = scale times the sum of each block of 2 x 2."""
    batch, height, width, channels = y.shape
    for row in prange(batch * height):
        b, i = row // height, row % height
        for j in range(width):
            into = y[b, i, j]
            p, q = x[b, 2 * i, 2 * j], x[b, 2 * i, 2 * j + 1]
            r, s = x[b, 2 * i + 1, 2 * j], x[b, 2 * i + 1, 2 * j + 1]
            for c in range(channels):
                into[c] = scale * ((p[c] + q[c]) + (r[c] + s[c]))
