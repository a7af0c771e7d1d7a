"""exp in float32 that vectorises, to 2 ulp: 2^n e^r with n = round(x log2 e), |r| <= log 2 / 2.

Numba's own calls the mathematics library once for each number.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

f = np.float32
FAST = {"fastmath": True, "cache": True}


@intrinsic
def _bits(typing_context, number):  # type: ignore[no-untyped-def]
    """The float32 whose bits are an int32."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(inline="always", **FAST)
def exp(x):  # type: ignore[no-untyped-def]
    """e^x for |x| <= 87; beyond, e^87 and e^-87."""
    x = min(max(x, f(-87.0)), f(87.0))
    n = np.floor(x * f(1.44269504) + f(0.5))
    # log 2 in two parts, of which the first has few digits, so that n times it is exact.
    r = (x - n * f(0.693359375)) + n * f(2.12194440e-4)
    p = f(1.9875691500e-4)
    p = p * r + f(1.3981999507e-3)
    p = p * r + f(8.3334519073e-3)
    p = p * r + f(4.1665795894e-2)
    p = p * r + f(1.6666665459e-1)
    p = p * r + f(5.0000001201e-1)
    p = p * r * r + r + f(1.0)
    return p * _bits((np.int32(n) + np.int32(127)) << np.int32(23))


@njit(inline="always", **FAST)
def sigmoid(z):  # type: ignore[no-untyped-def]
    """1 / (1 + e^-z)."""
    return f(1.0) / (f(1.0) + exp(-z))
