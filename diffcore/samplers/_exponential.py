"""Integrals of a polynomial against an exponential: the weights of exponential integrators.

With lambda = log(alpha / sigma) and h = lambda_s - lambda_t, the probability flow is, exactly,

    x_s = sigma_s / sigma_t x_t + alpha_s int_0^h exp(tau - h) m(lambda_t + tau) dtau
    x_s = alpha_s / alpha_t (x_t - sigma_t int_0^h exp(-tau) eps(lambda_t + tau) dtau)

(Lu et al. 2022, "DPM-Solver", prop. 3.1, and "DPM-Solver++", prop. 4.1). A method of order p puts
the polynomial through p known values in place of m or eps.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.polynomial.polynomial import polyfromroots


def weights(h: float, nodes: Sequence[float], rate: float) -> list[float]:
    """int_0^h K(tau) l_j(tau) dtau of the Lagrange polynomials l_j through `nodes`.

    K(tau) = exp(rate (tau - h)) for rate > 0, which looks back from the end, and exp(rate tau) for
    rate < 0. nodes: distinct times tau, in h's unit; h > 0, finite.
    """
    return weigh([node / h for node in nodes], moments(h, len(nodes), rate))


def weigh(nodes: Sequence[float], powers: Sequence[float]) -> list[float]:
    """What a linear functional makes of each l_j through `nodes`, from what it makes of powers.

    powers: its values at 1, u, u^2, ..., one for each node.
    """
    result = []
    for j, node in enumerate(nodes):
        others = np.array([n for i, n in enumerate(nodes) if i != j])
        rising = polyfromroots(others) / np.prod(node - others)
        result.append(math.fsum(c * p for c, p in zip(rising.tolist(), powers, strict=True)))
    return result


def moments(h: float, count: int, rate: float) -> list[float]:
    """int_0^h K(tau) (tau / h)^n dtau for n = 0, ..., count - 1, each to a few eps."""
    a = abs(rate) * h
    if rate < 0.0:
        return [h * _decaying(a, n) for n in range(count)]
    return [h * _growing(a, n) for n in range(count)]


def _growing(a: float, n: int) -> float:
    """int_0^1 exp(a (u - 1)) u^n du."""
    if a > 30.0:  # exp(-a) is nothing: by parts, without cancellation.
        value = (1.0 - math.exp(-a)) / a
        for k in range(1, n + 1):
            value = (1.0 - k * value) / a
        return value
    # exp(-a) sum_k a^k / (k! (n + 1 + k)): every term is positive.
    term, total, k = 1.0, 1.0 / (n + 1), 0
    while term / (n + 1 + k) > 1e-18 * total or k < a:
        k += 1
        term *= a / k
        total += term / (n + 1 + k)
    return math.exp(-a) * total


def _decaying(a: float, n: int) -> float:
    """int_0^1 exp(-a u) u^n du."""
    if a > 30.0:
        value = (1.0 - math.exp(-a)) / a
        for k in range(1, n + 1):
            value = (k * value - math.exp(-a)) / a
        return value
    # exp(-a) sum_k a^k / ((n + 1) (n + 2) ... (n + 1 + k)).
    term = 1.0 / (n + 1)
    total, k = term, 0
    while term > 1e-18 * total or k < a:
        k += 1
        term *= a / (n + 1 + k)
        total += term
    return math.exp(-a) * total
