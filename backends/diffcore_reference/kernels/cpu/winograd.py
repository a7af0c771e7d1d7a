"""3 x 3 convolutions by Winograd's F(4 x 4, 3 x 3): 36 products for 16 outputs instead of 144.

    Y = A' [(G w G') * (B' d B)] A         d a patch of 6 x 6, Y its 4 x 4 outputs

summed over the input channels, so that the middle is 36 matrix products over all tiles (Lavin &
Gray 2016, https://arxiv.org/abs/1509.09308). The gradient of the weight is the adjoint,

    dw = G' [(B' d B)' (A dY A')] G        summed over the tiles

and that of the input the same convolution with the weight turned round. The transforms are in
`tiles`; channels must be multiples of sixteen, outside of an image are zeros.
"""

import numpy as np
from numba import njit, prange

from .lanes import WIDTH
from .products import FAST, product
from .tiles import to_adjoint, to_input, to_kernel, to_output, to_transpose, to_weight

GROUP = WIDTH
"""Channels of one transform; as many numbers between the 36 parts keep them off one cache line's
place, which distances that are powers of two would have in common."""
f = np.float32


@njit(parallel=True, **FAST)
def transformed(w, u):  # type: ignore[no-untyped-def]
    """u = G w G' for each pair of channels: (36, in out + GROUP) of (3, 3, in, out)."""
    channels, out = w.shape[2:]
    size, step = 4 * channels * out, 4 * u.shape[1]
    for c in prange(channels):
        for k in range(0, out, GROUP):
            place = 4 * (c * out + k)
            to_weight(w.ctypes.data + place, size, u.ctypes.data + place, step)


@njit(parallel=True, **FAST)
def turned(w, made):  # type: ignore[no-untyped-def]
    """The weight of the adjoint convolution: turned by half a turn, channels exchanged."""
    channels, out = w.shape[2:]
    for e in prange(9):
        source, target = w[2 - e // 3, 2 - e % 3], made[e // 3, e % 3]
        for c in range(0, channels, GROUP):
            for k in range(0, out, GROUP):
                to_transpose(
                    source.ctypes.data + 4 * (c * out + k),
                    4 * out,
                    target.ctypes.data + 4 * (k * channels + c),
                    4 * channels,
                )


@njit(parallel=True, **FAST)
def collected(du, dw):  # type: ignore[no-untyped-def]
    """dw += G' du G, du (threads, 36, in out + GROUP) summed over the threads."""
    threads, channels, out = du.shape[0], dw.shape[2], dw.shape[3]
    size, step = 4 * channels * out, 4 * du.shape[2]
    for c in prange(channels):
        if threads > 1:
            for e in range(36):
                total = du[0, e, c * out : (c + 1) * out]
                for thread in range(1, threads):
                    row = du[thread, e, c * out : (c + 1) * out]
                    for k in range(out):
                        total[k] += row[k]
        for k in range(0, out, GROUP):
            place = 4 * (c * out + k)
            to_kernel(du.ctypes.data + place, step, dw.ctypes.data + place, size)


@njit(parallel=True, **FAST)
def convolve(sgemm, x, u, bias, added, y, room, count):  # type: ignore[no-untyped-def]
    """y = bias + added + the convolution of x whose transformed weight is u.

    added: like y, or empty. room: (threads, 36 count (in + out)), for `count` tiles at a time.
    """
    batch, height, width, channels = x.shape
    down, across, out = (height + 3) // 4, (width + 3) // 4, y.shape[3]
    tiles, threads = batch * down * across, room.shape[0]
    blocks = (tiles + count - 1) // count
    column, row, image = 4 * channels, 4 * channels * width, 4 * channels * width * height
    column_y, row_y, image_y = 4 * out, 4 * out * width, 4 * out * width * height
    more = np.int64(1 if added.size else 0)
    for thread in prange(threads):
        blank = np.zeros(2 * GROUP, np.float32)
        zeros = blank.ctypes.data
        nowhere = zeros + 4 * GROUP
        v = room[thread].ctypes.data
        m = v + 4 * 36 * count * channels
        for block in range(blocks * thread // threads, blocks * (thread + 1) // threads):
            start = block * count
            n = min(count, tiles - start)
            step, step_m = 4 * n * channels, 4 * n * out
            for q in range(n):
                b, r = divmod(start + q, down * across)
                top, left = 4 * (r // across) - 1, 4 * (r % across) - 1
                patch = x.ctypes.data + b * image + top * row + left * column
                for c in range(0, column, 4 * GROUP):
                    to_input(
                        patch + c,
                        row,
                        column,
                        top,
                        left,
                        height,
                        width,
                        zeros,
                        v + q * column + c,
                        step,
                    )
            for e in range(36):
                product(
                    sgemm,
                    0,
                    0,
                    n,
                    out,
                    channels,
                    v + e * step,
                    channels,
                    u.ctypes.data + 4 * e * u.shape[1],
                    out,
                    f(0),
                    m + e * step_m,
                    out,
                )
            for q in range(n):
                b, r = divmod(start + q, down * across)
                top, left = 4 * (r // across), 4 * (r % across)
                place = b * image_y + top * row_y + left * column_y
                beside = added.ctypes.data + place if more else zeros
                for k in range(0, column_y, 4 * GROUP):
                    to_output(
                        m + q * column_y + k,
                        step_m,
                        bias.ctypes.data + k,
                        beside + more * k,
                        more * row_y,
                        more * column_y,
                        y.ctypes.data + place + k,
                        row_y,
                        column_y,
                        top,
                        left,
                        height,
                        width,
                        nowhere,
                    )


@njit(parallel=True, **FAST)
def weight_parts(sgemm, x, dy, du, db, room, count):  # type: ignore[no-untyped-def]
    """The sums over tiles of (B' d B)' (A dY A'), and of dY: one for each thread.

    du: (threads, 36, in out + GROUP), db: (threads, out), room: (threads, 36 count (in + out)).
    """
    batch, height, width, channels = x.shape
    down, across, out = (height + 3) // 4, (width + 3) // 4, dy.shape[3]
    tiles, threads = batch * down * across, du.shape[0]
    blocks = (tiles + count - 1) // count
    column, row, image = 4 * channels, 4 * channels * width, 4 * channels * width * height
    column_y, row_y, image_y = 4 * out, 4 * out * width, 4 * out * width * height
    for thread in prange(threads):
        blank = np.zeros(GROUP, np.float32)
        zeros = blank.ctypes.data
        v = room[thread].ctypes.data
        m = v + 4 * 36 * count * channels
        beta = f(0)
        db[thread] = f(0)
        first = blocks * thread // threads
        last = blocks * (thread + 1) // threads
        if first == last:
            du[thread] = f(0)
        for block in range(first, last):
            start = block * count
            n = min(count, tiles - start)
            step, step_m = 4 * n * channels, 4 * n * out
            for q in range(n):
                b, r = divmod(start + q, down * across)
                top, left = 4 * (r // across), 4 * (r % across)
                patch = x.ctypes.data + b * image + (top - 1) * row + (left - 1) * column
                for c in range(0, column, 4 * GROUP):
                    to_input(
                        patch + c,
                        row,
                        column,
                        top - 1,
                        left - 1,
                        height,
                        width,
                        zeros,
                        v + q * column + c,
                        step,
                    )
                patch = dy.ctypes.data + b * image_y + top * row_y + left * column_y
                for k in range(0, column_y, 4 * GROUP):
                    to_adjoint(
                        patch + k,
                        row_y,
                        column_y,
                        top,
                        left,
                        height,
                        width,
                        zeros,
                        m + q * column_y + k,
                        step_m,
                    )
            # Part (1, 1) of A dY A' is the sum over the tile.
            at = room[thread, 36 * count * channels + 7 * n * out :]
            for q in range(n):
                for k in range(out):
                    db[thread, k] += at[q * out + k]
            for e in range(36):
                product(
                    sgemm,
                    1,
                    0,
                    channels,
                    out,
                    n,
                    v + e * step,
                    channels,
                    m + e * step_m,
                    out,
                    beta,
                    du.ctypes.data + 4 * (thread * 36 + e) * du.shape[2],
                    out,
                )
            beta = f(1)
