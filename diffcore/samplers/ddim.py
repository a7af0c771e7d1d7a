"""Denoising diffusion implicit models (Song, Meng & Ermon 2021, eq. 12 and 16).

x_s = alpha_s m + sqrt(sigma_s^2 - c^2) eps_hat + c z, with eps_hat = (x_t - alpha_t m) / sigma_t
and c^2 = eta^2 sigma_s^2 (1 - r). With eta = 0 the step follows the probability flow; with eta = 1
it is DDPM's with the small variance. Every eta keeps the marginals.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from ..plan import Plan, Stage
from ..schedules import Schedule
from ._grid import checked


def ddim(schedule: Schedule, times: Sequence[float], eta: float = 0.0) -> Plan:
    """The DDIM sampler over the descending `times`; deterministic and of order 1 at eta = 0.

    Raises ValueError unless 0 <= eta <= 1.
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    stages = []
    for t, s in pairwise(checked(schedule, times)):
        target, source = schedule(s), schedule(t)
        log_r = -schedule.log_snr_gap(s, t)
        rest = -math.expm1(log_r)
        log_kept = 0.5 * _log_kept(eta * eta, log_r)
        # m keeps the share 1 - sqrt(r) sqrt(sigma_s^2 - c^2) / sigma_s, which must not cancel.
        keep = target.sigma / source.sigma * math.exp(log_kept)
        share = -math.expm1(0.5 * log_r + log_kept)
        stages.append(
            Stage(t, s, x=(keep,), m=(target.alpha * share,), z=eta * target.sigma * rest**0.5)
        )
    return Plan("ddim", tuple(stages), order=1 if eta == 0.0 else None, parameters={"eta": eta})


def _log_kept(squared_eta: float, log_r: float) -> float:
    """log(1 - eta^2 (1 - r)), the logarithm of (sigma_s^2 - c^2) / sigma_s^2, at full precision."""
    rest = -math.expm1(log_r)
    if squared_eta * rest < 0.5:
        return math.log1p(-squared_eta * rest)
    kept = (1.0 - squared_eta) + squared_eta * math.exp(log_r)
    return math.log(kept) if kept > 0.0 else -math.inf
