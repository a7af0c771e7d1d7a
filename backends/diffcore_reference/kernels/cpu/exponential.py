"""exp in float32 that vectorises, to 2 ulp: 2^n e^r with n = round(x log2 e), |r| <= log 2 / 2.

Numba's own calls the mathematics library once for each number.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from .lanes import Lanes

f = np.float32


def exponential(x: Lanes) -> Lanes:
    """e^x for |x| <= 87; beyond, e^87 and e^-87."""
    x = x.between(-87.0, 87.0)
    n = (x * 1.44269504 + 0.5).floor()
    # log 2 in two parts, of which the first has few digits, so that n times it is exact.
    r = (x - n * 0.693359375) + n * 2.12194440e-4
    p = r * 1.9875691500e-4 + 1.3981999507e-3
    for c in (8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + c
    p = p * (r * r) + r + 1.0
    return p * n.power_of_two()


def logistic(z: Lanes) -> Lanes:
    """1 / (1 + e^-z)."""
    return 1.0 / (exponential(-z) + 1.0)


@intrinsic
def exp(typing_context, x):  # type: ignore[no-untyped-def]
    """`exponential` of a float32."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return exponential(Lanes(builder, arguments[0])).value

    return types.float32(types.float32), generate


@intrinsic
def sigmoid(typing_context, z):  # type: ignore[no-untyped-def]
    """`logistic` of a float32."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return logistic(Lanes(builder, arguments[0])).value

    return types.float32(types.float32), generate
