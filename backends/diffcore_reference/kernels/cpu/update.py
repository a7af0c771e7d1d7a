"""AdamW and the average in one pass over the flat arrays; `Arrays.adamw` says what they are."""

import numpy as np
from numba import njit, prange

from .products import FAST


@njit(parallel=True, **FAST)
def adamw(w, g, first, second, average, numbers):  # type: ignore[no-untyped-def]
    """numbers: float32 scale, b_1, 1 - b_1, b_2, 1 - b_2, kept, rate, root, eps, 1 - ema."""
    scale, b_1, c_1, b_2, c_2, kept, rate, root, eps, move = numbers
    for i in prange(w.size):
        slope = g[i] * scale
        m = first[i] * b_1 + slope * c_1
        v = second[i] * b_2 + slope * slope * c_2
        first[i], second[i] = m, v
        value = w[i] * kept - rate * m / (np.sqrt(v) * root + eps)
        w[i] = value
        average[i] += (value - average[i]) * move
