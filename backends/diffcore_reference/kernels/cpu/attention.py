"""Attention of each head of each image by itself: its softmax is kept nowhere.

    a = softmax(q k' / sqrt(d)),   y = a v

Forward keeps m + log sum exp(s - m) of each row of s = q k' / sqrt(d); with it backward finds a
again as exp(s - that), and a row's sum of a dA as that of y dy (Dao et al. 2022,
https://arxiv.org/abs/2205.14135, without its blocks: a head's rows fit the cache).
"""

import math

import numpy as np
from numba import njit, prange

from .exponential import exp
from .products import FAST, product

ROWS = 64
"""Rows of the softmax at a time."""
f = np.float32


@njit(**FAST)
def _turned(source, into):  # type: ignore[no-untyped-def]
    """into (d, positions) = the transpose of source (positions, d...)."""
    d, positions = into.shape
    for c in range(d):
        row = into[c]
        for p in range(positions):
            row[p] = source[p, c]


@njit(parallel=True, **FAST)
def forward(sgemm, qkv, heads, y, kept):  # type: ignore[no-untyped-def]
    """y and kept of qkv: (batch, positions, 3 channels); kept: (batch, heads, positions)."""
    batch, positions, three = qkv.shape
    channels = three // 3
    d = channels // heads
    scale = f(1.0 / math.sqrt(d))
    for pair in prange(batch * heads):
        b, h = pair // heads, pair % heads
        keys = np.empty((d, positions), np.float32)
        s = np.empty((min(ROWS, positions), positions), np.float32)
        shares = np.empty(ROWS, np.float32)
        _turned(qkv[b, :, channels + h * d : channels + (h + 1) * d], keys)
        base = qkv[b].ctypes.data + 4 * h * d
        for first in range(0, positions, ROWS):
            n = min(ROWS, positions - first)
            product(
                sgemm,
                0,
                0,
                n,
                positions,
                d,
                base + 4 * first * three,
                three,
                keys.ctypes.data,
                positions,
                f(0),
                s.ctypes.data,
                positions,
            )
            for i in range(n):
                row = s[i]
                top = row[0]
                for j in range(positions):
                    top = max(top, row[j])
                total = f(0)
                for j in range(positions):
                    e = exp((row[j] - top) * scale)
                    row[j] = e
                    total += e
                kept[b, h, first + i] = top * scale + math.log(total)
                shares[i] = f(1) / total
            product(
                sgemm,
                0,
                0,
                n,
                d,
                positions,
                s.ctypes.data,
                positions,
                base + 4 * 2 * channels,
                three,
                f(0),
                y[b, first:].ctypes.data + 4 * h * d,
                channels,
            )
            for i in range(n):
                row = y[b, first + i]
                for c in range(h * d, (h + 1) * d):
                    row[c] *= shares[i]


@njit(parallel=True, **FAST)
def backward(sgemm, dy, qkv, heads, y, kept, dqkv):  # type: ignore[no-untyped-def]
    """dqkv. With dA = dy v' and dS = a (dA - sum_j a dA) / sqrt(d):

    dv = a' dy,   dq = dS k,   dk = dS' q.
    """
    batch, positions, three = qkv.shape
    channels = three // 3
    d = channels // heads
    scale = f(1.0 / math.sqrt(d))
    for pair in prange(batch * heads):
        b, h = pair // heads, pair % heads
        keys = np.empty((d, positions), np.float32)
        values = np.empty((d, positions), np.float32)
        s = np.empty((min(ROWS, positions), positions), np.float32)
        da = np.empty((min(ROWS, positions), positions), np.float32)
        _turned(qkv[b, :, channels + h * d : channels + (h + 1) * d], keys)
        _turned(qkv[b, :, 2 * channels + h * d : 2 * channels + (h + 1) * d], values)
        base, slope = qkv[b].ctypes.data + 4 * h * d, dy[b].ctypes.data + 4 * h * d
        target = dqkv[b].ctypes.data + 4 * h * d
        beta = f(0)
        for first in range(0, positions, ROWS):
            n = min(ROWS, positions - first)
            q, back = base + 4 * first * three, slope + 4 * first * channels
            product(
                sgemm,
                0,
                0,
                n,
                positions,
                d,
                q,
                three,
                keys.ctypes.data,
                positions,
                f(0),
                s.ctypes.data,
                positions,
            )
            product(
                sgemm,
                0,
                0,
                n,
                positions,
                d,
                back,
                channels,
                values.ctypes.data,
                positions,
                f(0),
                da.ctypes.data,
                positions,
            )
            for i in range(n):
                row, slopes = s[i], da[i]
                total = f(0)
                for c in range(h * d, (h + 1) * d):
                    total += y[b, first + i, c] * dy[b, first + i, c]
                known = kept[b, h, first + i]
                for j in range(positions):
                    a = exp(row[j] * scale - known)
                    row[j] = a
                    slopes[j] = a * (slopes[j] - total) * scale
            product(
                sgemm,
                0,
                0,
                n,
                d,
                positions,
                da.ctypes.data,
                positions,
                base + 4 * channels,
                three,
                f(0),
                target + 4 * first * three,
                three,
            )
            product(
                sgemm,
                1,
                0,
                positions,
                d,
                n,
                da.ctypes.data,
                positions,
                q,
                three,
                beta,
                target + 4 * channels,
                three,
            )
            product(
                sgemm,
                1,
                0,
                positions,
                d,
                n,
                s.ctypes.data,
                positions,
                back,
                channels,
                beta,
                target + 4 * 2 * channels,
                three,
            )
            beta = f(1)
