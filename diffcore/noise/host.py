"""Draws on the host that are a function of (seed, step, stream), for data order, times and flips.

With F the Threefry-2x32 of `threefry`, draw i of a call is made of the 64-bit word F(key, (i, 0)),
key = F(seed, (step, 4 stream + purpose)), where integers, uniforms, orders and the portable noise
each have a purpose of their own.
"""

import numpy as np
import numpy.typing as npt

from ._checks import require_integer, require_seed, require_step
from .threefry import INTEGERS, ORDERS, UNIFORMS, derive, on_numpy, threefry


def integers(seed: int, step: int, n: int, high: int, stream: int = 0) -> npt.NDArray[np.int64]:
    """n integers from 0 to high - 1 on the host, the same everywhere; shape (n,), int64.

    seed: 0 to 2^63 - 1. step: 0 to 2^31 - 1. n: less than 2^31. high: 1 to 2^32. Integer i is
    floor(w high / 2^64) of a 64-bit word w that depends on (seed, step, stream, i): no probability
    is off 1 / high by more than 2^-64. Different streams (0 to 2^29 - 1) are independent, as are
    `integers`, `uniform`, `permutation` and the noise.

    Raises TypeError or ValueError that names the argument.
    """
    high = require_integer("high", high, 1, 2**32)
    upper, lower = _words(seed, step, n, stream, INTEGERS)
    factor, half = np.uint64(high), np.uint64(32)
    return ((upper * factor + (lower * factor >> half)) >> half).astype(np.int64)


def uniform(seed: int, step: int, n: int, stream: int = 0) -> npt.NDArray[np.float64]:
    """n multiples of 2^-53 in [0, 1), each as likely, on the host; shape (n,). See `integers`."""
    upper, lower = _words(seed, step, n, stream, UNIFORMS)
    return ((upper << np.uint64(21)) | (lower >> np.uint64(11))) * 2.0**-53


def permutation(seed: int, step: int, n: int, stream: int = 0) -> npt.NDArray[np.int64]:
    """0 to n - 1 in an order that is any of the n! as likely, on the host. See `integers`.

    The order of n 64-bit words, no two of which are equal, since F is a bijection.
    """
    upper, lower = _words(seed, step, n, stream, ORDERS)
    return np.argsort((upper << np.uint64(32)) | lower).astype(np.int64, copy=False)


def _words(
    seed: int, step: int, n: int, stream: int, purpose: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The two halves of n 64-bit words."""
    stream = require_integer("stream", stream, 0, 2**29 - 1)
    n = require_integer("n", n, 0, 2**31 - 1)
    key = on_numpy(derive(require_seed(seed), require_step(step), 4 * stream + purpose))
    first, second = threefry(key, (np.arange(n, dtype=np.uint32), np.zeros(n, dtype=np.uint32)))
    return first.astype(np.uint64), second.astype(np.uint64)
