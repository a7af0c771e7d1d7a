"""Linear layers, a block of rows at a time; `Arrays` says what each is."""

import numpy as np
from numba import njit, prange

from .products import FAST, product

ROWS = 64
f = np.float32


@njit(parallel=True, **FAST)
def affine(sgemm, x, w, bias, added, y):  # type: ignore[no-untyped-def]
    """y = x w + bias + added on matrices; bias and added may be empty."""
    rows, depth = x.shape
    out = y.shape[1]
    for block in prange((rows + ROWS - 1) // ROWS):
        first = block * ROWS
        n = min(ROWS, rows - first)
        target = y[first : first + n]
        product(
            sgemm,
            0,
            0,
            n,
            out,
            depth,
            x[first:].ctypes.data,
            depth,
            w.ctypes.data,
            out,
            f(0),
            target.ctypes.data,
            out,
        )
        if bias.size:
            for i in range(n):
                row = target[i]
                for k in range(out):
                    row[k] += bias[k]
        if added.size:
            for i in range(n):
                row, beside = target[i], added[first + i]
                for k in range(out):
                    row[k] += beside[k]


@njit(parallel=True, **FAST)
def weight(sgemm, x, dy, dw, db):  # type: ignore[no-untyped-def]
    """x' dy and the sum of the rows of dy; dw: (threads, in, out), db: (threads, out)."""
    rows, depth = x.shape
    out, threads = dy.shape[1], dw.shape[0]
    blocks = (rows + ROWS - 1) // ROWS
    for thread in prange(threads):
        beta = f(0)
        db[thread] = f(0)
        begin, end = blocks * thread // threads, blocks * (thread + 1) // threads
        if begin == end:
            dw[thread] = f(0)
        for block in range(begin, end):
            first = block * ROWS
            n = min(ROWS, rows - first)
            total = db[thread]
            for i in range(n):
                row = dy[first + i]
                for k in range(out):
                    total[k] += row[k]
            product(
                sgemm,
                1,
                0,
                depth,
                out,
                n,
                x[first:].ctypes.data,
                depth,
                dy[first:].ctypes.data,
                out,
                beta,
                dw[thread].ctypes.data,
                out,
            )
            beta = f(1)
