"""The step that is exact where x_0 is constant, from any time to any other, with any noise.

    x_s = alpha_s m + sqrt(sigma_s^2 - c^2) eps_hat + c z,    eps_hat = (x_t - alpha_t m) / sigma_t

with c^2 = eta^2 sigma_s^2 (1 - r), r the smaller of SNR_t / SNR_s and its inverse. Towards data it
is DDIM's (Song, Meng & Ermon 2021, eq. 12 and 16). Towards noise it is DDIM's inversion at eta = 0
(ibid., section 4.3), and at eta = 1 q(x_s | x_t), which needs no x_0.
"""

import math
from typing import NamedTuple

from ..schedules import Schedule


class Weights(NamedTuple):
    """Of the state, of x_0 and of fresh noise; their mean is consistent."""

    x: float
    m: float
    z: float


def first_order(schedule: Schedule, t: float, s: float, eta: float = 0.0) -> Weights:
    """The weights of the step from t to s, 0 <= eta <= 1, s above t or below.

    Defined at alpha = 0 and at sigma = 0. At sigma_t = 0 the state is data, which hold no noise:
    eps_hat is 0 and m the data themselves, so that x_s = (alpha_s / alpha_t) x_t + c z.
    """
    source, target = schedule(t), schedule(s)
    gap = schedule.log_snr_gap(s, t)
    rest = -math.expm1(-abs(gap))
    noise = eta * target.sigma * rest**0.5
    if s > t and (eta == 1.0 or source.sigma == 0.0):
        return Weights(target.alpha / source.alpha, 0.0, noise)
    fall = 0.5 * log_kept(eta * eta, -abs(gap))
    keep = target.sigma / source.sigma * math.exp(fall)
    if target.alpha == 0.0:
        return Weights(keep, -source.alpha * keep, noise)
    # alpha_s - alpha_t keep, which must not cancel.
    return Weights(keep, -target.alpha * math.expm1(fall - 0.5 * gap), noise)


def log_kept(squared_eta: float, log_r: float) -> float:
    """log(1 - eta^2 (1 - r)), the logarithm of (sigma_s^2 - c^2) / sigma_s^2, at full precision."""
    rest = -math.expm1(log_r)
    if squared_eta * rest < 0.5:
        return math.log1p(-squared_eta * rest)
    kept = (1.0 - squared_eta) + squared_eta * math.exp(log_r)
    return math.log(kept) if kept > 0.0 else -math.inf
