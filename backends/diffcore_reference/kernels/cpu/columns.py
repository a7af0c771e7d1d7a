"""3 x 3 convolutions as matrix products: for few channels, and for strides.

    y = columns(x) w      columns(x): the 3 x 3 neighbourhood of each output, (pixels, 9 in)

and its adjoints, `Arrays` says which. The columns are made a few rows of an image at a time, so
that they stay in the cache.
"""

import numpy as np
from numba import njit, prange

from .products import FAST, product

f = np.float32


@njit(**FAST)
def _columns(x, b, top, rows, width, stride, before, made):  # type: ignore[no-untyped-def]
    """made: (rows, width, 3, 3 in) of the outputs from row `top` of image b."""
    high, wide, channels = x.shape[1:]
    for i in range(rows):
        for u in range(3):
            y = stride * (top + i) + u - before
            if y < 0 or y >= high:
                for j in range(width):
                    made[i, j, u] = f(0)
                continue
            for j in range(width):
                row = made[i, j, u]
                left = stride * j - before
                if left >= 0 and left + 3 <= wide and channels == 1:
                    for v in range(3):
                        row[v] = x[b, y, left + v, 0]
                    continue
                for v in range(3):
                    z = left + v
                    if 0 <= z < wide:
                        source = x[b, y, z]
                        for c in range(channels):
                            row[v * channels + c] = source[c]
                    else:
                        for c in range(channels):
                            row[v * channels + c] = f(0)


@njit(parallel=True, **FAST)
def convolve(sgemm, x, w, bias, added, y, stride, before, room):  # type: ignore[no-untyped-def]
    """y = bias + added + columns(x) w; added: like y, or empty. room: (threads, numbers)."""
    batch, height, width, out = y.shape
    depth, threads = 9 * x.shape[3], room.shape[0]
    at_once = max(1, min(height, room.shape[1] // (width * depth)))
    blocks = (height + at_once - 1) // at_once
    more = added.size > 0
    for thread in prange(threads):
        for block in range(
            batch * blocks * thread // threads, batch * blocks * (thread + 1) // threads
        ):
            b, top = block // blocks, block % blocks * at_once
            rows = min(at_once, height - top)
            made = room[thread, : rows * width * depth]
            _columns(
                x,
                b,
                top,
                rows,
                width,
                stride,
                before,
                made.reshape((rows, width, 3, depth // 3)),
            )
            target = y[b, top : top + rows]
            product(
                sgemm,
                0,
                0,
                rows * width,
                out,
                depth,
                made.ctypes.data,
                depth,
                w.ctypes.data,
                out,
                f(0),
                target.ctypes.data,
                out,
            )
            for i in range(rows):
                for j in range(width):
                    row = target[i, j]
                    for k in range(out):
                        row[k] += bias[k]
                    if more:
                        beside = added[b, top + i, j]
                        for k in range(out):
                            row[k] += beside[k]


@njit(parallel=True, **FAST)
def weight(sgemm, x, dy, dw, db, stride, before, room):  # type: ignore[no-untyped-def]
    """columns(x)' dy and the sum of dy; dw: (threads, 9 in, out), db: (threads, out)."""
    batch, height, width, out = dy.shape
    depth, threads = 9 * x.shape[3], room.shape[0]
    at_once = max(1, min(height, room.shape[1] // (width * depth)))
    blocks = (height + at_once - 1) // at_once
    for thread in prange(threads):
        beta = f(0)
        db[thread] = f(0)
        first = batch * blocks * thread // threads
        last = batch * blocks * (thread + 1) // threads
        if first == last:
            dw[thread] = f(0)
        for block in range(first, last):
            b, top = block // blocks, block % blocks * at_once
            rows = min(at_once, height - top)
            made = room[thread, : rows * width * depth]
            _columns(
                x,
                b,
                top,
                rows,
                width,
                stride,
                before,
                made.reshape((rows, width, 3, depth // 3)),
            )
            source = dy[b, top : top + rows]
            total = db[thread]
            for i in range(rows):
                for j in range(width):
                    row = source[i, j]
                    for k in range(out):
                        total[k] += row[k]
            product(
                sgemm,
                1,
                0,
                depth,
                out,
                rows * width,
                made.ctypes.data,
                depth,
                source.ctypes.data,
                out,
                beta,
                dw[thread].ctypes.data,
                out,
            )
            beta = f(1)


@njit(parallel=True, **FAST)
def spread(sgemm, x, w, bias, y, stride, before, room):  # type: ignore[no-untyped-def]
    """y[s i + u - before, s j + v - before] = bias + the sum of x[i, j] w[:, u, v].

    w: (in, 9 out). Each pixel's nine products are taken, and gathered. room: (threads, numbers),
    for an image's products.
    """
    batch, high, wide, channels = x.shape
    height, width, out = y.shape[1:]
    depth, threads = 9 * out, room.shape[0]
    for thread in prange(threads):
        for b in range(batch * thread // threads, batch * (thread + 1) // threads):
            made = room[thread, : high * wide * depth]
            product(
                sgemm,
                0,
                0,
                high * wide,
                depth,
                channels,
                x[b].ctypes.data,
                channels,
                w.ctypes.data,
                depth,
                f(0),
                made.ctypes.data,
                depth,
            )
            parts = made.reshape((high, wide, 9, out))
            for i in range(height):
                for j in range(width):
                    row = y[b, i, j]
                    for k in range(out):
                        row[k] = bias[k]
                    for u in range((i + before) % stride, 3, stride):
                        p = (i + before - u) // stride
                        if p < 0 or p >= high:
                            continue
                        for v in range((j + before) % stride, 3, stride):
                            q = (j + before - v) // stride
                            if 0 <= q < wide:
                                part = parts[p, q, 3 * u + v]
                                for k in range(out):
                                    row[k] += part[k]
