"""3 x 3 convolutions by Winograd's F(4 x 4, 3 x 3): 36 products for 16 outputs, where 144 are direct.

    Y = A' [(G w G') * (B' d B)] A         d a patch of 6 x 6, Y its 4 x 4 outputs

summed over the input channels, so that the middle is 36 matrix products over all tiles (Lavin & Gray
2016, https://arxiv.org/abs/1509.09308). The gradient of the weight is the adjoint,

    dw = G' [(B' d B)' (A dY A')] G        summed over the tiles

and that of the input the same convolution with the weight turned round. A tile is transformed a
block of channels at a time, first along rows, then along columns; outside of an image are zeros.
"""

from typing import Any

import numpy as np
from numba import njit, prange

BLOCK = 32
"""Channels that a tile is transformed in at a time: a constant, so that the loops vectorise."""
TILES = 64
"""Tiles whose products are taken at a time: their 36 parts stay in the cache."""
FAST = {"fastmath": True, "cache": True}

G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)
f = np.float32


def transformed(w: Any) -> Any:
    """G w G' for each pair of channels: (36, in, out) of (3, 3, in, out)."""
    c, k = w.shape[2:]
    rows = G @ w.reshape(3, -1)
    both = np.matmul(G, rows.reshape(6, 3, c * k))
    return both.reshape(36, c, k)


def turned(w: Any) -> Any:
    """The weight of the adjoint convolution: turned by half a turn, channels exchanged."""
    return np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))


def collected(du: Any) -> Any:
    """G' du G: (3, 3, in, out) of (36, in, out)."""
    c, k = du.shape[1:]
    rows = G.T @ du.reshape(6, -1)
    both = np.matmul(G.T, rows.reshape(3, 6, c * k))
    return both.reshape(3, 3, c, k)


@njit(inline="always", **FAST)
def _input(d_0, d_1, d_2, d_3, d_4, d_5):  # type: ignore[no-untyped-def]
    """B' d along one axis."""
    even, odd = d_4 - f(4) * d_2, d_3 - f(4) * d_1
    near, far = d_4 - d_2, f(2) * (d_3 - d_1)
    return (
        f(4) * d_0 - f(5) * d_2 + d_4,
        even + odd,
        even - odd,
        near + far,
        near - far,
        f(4) * d_1 - f(5) * d_3 + d_5,
    )


@njit(inline="always", **FAST)
def _output(m_0, m_1, m_2, m_3, m_4, m_5):  # type: ignore[no-untyped-def]
    """A' m along one axis."""
    near, far = m_1 + m_2, m_3 + m_4
    turn, wide = m_1 - m_2, m_3 - m_4
    return (
        m_0 + near + far,
        turn + f(2) * wide,
        near + f(4) * far,
        turn + f(8) * wide + m_5,
    )


@njit(inline="always", **FAST)
def _adjoint(y_0, y_1, y_2, y_3):  # type: ignore[no-untyped-def]
    """A y along one axis."""
    even, odd = y_0 + y_2, y_1 + y_3
    wide, far = y_0 + f(4) * y_2, f(2) * y_1 + f(8) * y_3
    return y_0, even + odd, even - odd, wide + far, wide - far, y_3


@njit(**FAST)
def _to_input(s, t):  # type: ignore[no-untyped-def]
    """B' d B of a block: s, t flat (6, 6, BLOCK); the result is in s."""
    for i in range(6):
        a, b = s[i * 6 * BLOCK : (i + 1) * 6 * BLOCK], t[i * 6 * BLOCK : (i + 1) * 6 * BLOCK]
        for c in range(BLOCK):
            (
                b[c],
                b[BLOCK + c],
                b[2 * BLOCK + c],
                b[3 * BLOCK + c],
                b[4 * BLOCK + c],
                b[5 * BLOCK + c],
            ) = _input(
                a[c],
                a[BLOCK + c],
                a[2 * BLOCK + c],
                a[3 * BLOCK + c],
                a[4 * BLOCK + c],
                a[5 * BLOCK + c],
            )
    for c in range(6 * BLOCK):
        (
            s[c],
            s[6 * BLOCK + c],
            s[12 * BLOCK + c],
            s[18 * BLOCK + c],
            s[24 * BLOCK + c],
            s[30 * BLOCK + c],
        ) = _input(
            t[c],
            t[6 * BLOCK + c],
            t[12 * BLOCK + c],
            t[18 * BLOCK + c],
            t[24 * BLOCK + c],
            t[30 * BLOCK + c],
        )


@njit(**FAST)
def _to_output(s, t):  # type: ignore[no-untyped-def]
    """A' m A of a block: s flat (6, 6, BLOCK); the result is in s, flat (4, 4, BLOCK)."""
    for i in range(6):
        a, b = s[i * 6 * BLOCK : (i + 1) * 6 * BLOCK], t[i * 4 * BLOCK : (i + 1) * 4 * BLOCK]
        for c in range(BLOCK):
            b[c], b[BLOCK + c], b[2 * BLOCK + c], b[3 * BLOCK + c] = _output(
                a[c],
                a[BLOCK + c],
                a[2 * BLOCK + c],
                a[3 * BLOCK + c],
                a[4 * BLOCK + c],
                a[5 * BLOCK + c],
            )
    for c in range(4 * BLOCK):
        s[c], s[4 * BLOCK + c], s[8 * BLOCK + c], s[12 * BLOCK + c] = _output(
            t[c],
            t[4 * BLOCK + c],
            t[8 * BLOCK + c],
            t[12 * BLOCK + c],
            t[16 * BLOCK + c],
            t[20 * BLOCK + c],
        )


@njit(**FAST)
def _to_adjoint(s, t):  # type: ignore[no-untyped-def]
    """A y A' of a block: s flat (4, 4, BLOCK); the result is in s, flat (6, 6, BLOCK)."""
    for i in range(4):
        a, b = s[i * 4 * BLOCK : (i + 1) * 4 * BLOCK], t[i * 6 * BLOCK : (i + 1) * 6 * BLOCK]
        for c in range(BLOCK):
            (
                b[c],
                b[BLOCK + c],
                b[2 * BLOCK + c],
                b[3 * BLOCK + c],
                b[4 * BLOCK + c],
                b[5 * BLOCK + c],
            ) = _adjoint(a[c], a[BLOCK + c], a[2 * BLOCK + c], a[3 * BLOCK + c])
    for c in range(6 * BLOCK):
        (
            s[c],
            s[6 * BLOCK + c],
            s[12 * BLOCK + c],
            s[18 * BLOCK + c],
            s[24 * BLOCK + c],
            s[30 * BLOCK + c],
        ) = _adjoint(t[c], t[6 * BLOCK + c], t[12 * BLOCK + c], t[18 * BLOCK + c])


@njit(**FAST)
def _take(x, b, top, left, side, first, s):  # type: ignore[no-untyped-def]
    """A patch of side x side pixels from (top, left), channels first to first + BLOCK."""
    height, width, channels = x.shape[1:]
    count = min(BLOCK, channels - first)
    for i in range(side):
        for j in range(side):
            y, z, o = top + i, left + j, (i * side + j) * BLOCK
            if 0 <= y < height and 0 <= z < width:
                row = x[b, y, z]
                if count == BLOCK:
                    for c in range(BLOCK):
                        s[o + c] = row[first + c]
                else:
                    for c in range(count):
                        s[o + c] = row[first + c]
                    for c in range(count, BLOCK):
                        s[o + c] = f(0)
            else:
                for c in range(BLOCK):
                    s[o + c] = f(0)


@njit(**FAST)
def _keep(s, parts, q, first):  # type: ignore[no-untyped-def]
    """The 36 parts of tile q, from s."""
    count = min(BLOCK, parts.shape[2] - first)
    for e in range(36):
        row, o = parts[e, q], e * BLOCK
        if count == BLOCK:
            for c in range(BLOCK):
                row[first + c] = s[o + c]
        else:
            for c in range(count):
                row[first + c] = s[o + c]


@njit(**FAST)
def _fetch(s, parts, q, first):  # type: ignore[no-untyped-def]
    """The 36 parts of tile q, into s."""
    count = min(BLOCK, parts.shape[2] - first)
    for e in range(36):
        row, o = parts[e, q], e * BLOCK
        for c in range(count):
            s[o + c] = row[first + c]


@njit(**FAST)
def _put(s, bias, y, b, top, left, first):  # type: ignore[no-untyped-def]
    """The 4 x 4 outputs of a tile, as far as they lie in the image, with the bias."""
    height, width, channels = y.shape[1:]
    count = min(BLOCK, channels - first)
    for i in range(min(4, height - top)):
        for j in range(min(4, width - left)):
            row, o = y[b, top + i, left + j], (i * 4 + j) * BLOCK
            for c in range(count):
                row[first + c] = s[o + c] + bias[first + c]


@njit(parallel=True, **FAST)
def convolve(x, u, bias, y):  # type: ignore[no-untyped-def]
    """y = bias + the convolution of x whose transformed weight is u; threads share the tiles."""
    batch, height, width, channels = x.shape
    down, across, out = (height + 3) // 4, (width + 3) // 4, y.shape[3]
    tiles = batch * down * across
    blocks = (tiles + TILES - 1) // TILES
    for block in prange(blocks):
        start = block * TILES
        n = min(TILES, tiles - start)
        v = np.empty((36, n, channels), np.float32)
        m = np.empty((36, n, out), np.float32)
        s, t = np.empty(36 * BLOCK, np.float32), np.empty(36 * BLOCK, np.float32)
        for q in range(n):
            b, r = divmod(start + q, down * across)
            top, left = 4 * (r // across), 4 * (r % across)
            for first in range(0, channels, BLOCK):
                _take(x, b, top - 1, left - 1, 6, first, s)
                _to_input(s, t)
                _keep(s, v, q, first)
        for e in range(36):
            np.dot(v[e], u[e], m[e])
        for q in range(n):
            b, r = divmod(start + q, down * across)
            top, left = 4 * (r // across), 4 * (r % across)
            for first in range(0, out, BLOCK):
                _fetch(s, m, q, first)
                _to_output(s, t)
                _put(s, bias, y, b, top, left, first)


@njit(parallel=True, **FAST)
def weight_parts(x, dy, du):  # type: ignore[no-untyped-def]
    """The sums over tiles of (B' d B)' (A dY A'), one for each thread: du is (threads, 36, C, K)."""
    batch, height, width, channels = x.shape
    down, across, out = (height + 3) // 4, (width + 3) // 4, dy.shape[3]
    tiles = batch * down * across
    blocks = (tiles + TILES - 1) // TILES
    threads = du.shape[0]
    for thread in prange(threads):
        s, t = np.empty(36 * BLOCK, np.float32), np.empty(36 * BLOCK, np.float32)
        v = np.empty((36, TILES, channels), np.float32)
        m = np.empty((36, TILES, out), np.float32)
        product = np.empty((channels, out), np.float32)
        du[thread] = f(0)
        for block in range(blocks * thread // threads, blocks * (thread + 1) // threads):
            start = block * TILES
            n = min(TILES, tiles - start)
            for q in range(n):
                b, r = divmod(start + q, down * across)
                top, left = 4 * (r // across), 4 * (r % across)
                for first in range(0, channels, BLOCK):
                    _take(x, b, top - 1, left - 1, 6, first, s)
                    _to_input(s, t)
                    _keep(s, v, q, first)
                for first in range(0, out, BLOCK):
                    _take(dy, b, top, left, 4, first, s)
                    _to_adjoint(s, t)
                    _keep(s, m, q, first)
            for e in range(36):
                np.dot(v[e, :n].T, m[e, :n], product)
                du[thread, e] += product
