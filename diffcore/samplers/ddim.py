"""Denoising diffusion implicit models (Song, Meng & Ermon 2021, eq. 12 and 16).

x_s = alpha_s m + sqrt(sigma_s^2 - c^2) eps_hat + c z, with eps_hat = (x_t - alpha_t m) / sigma_t
and c^2 = eta^2 sigma_s^2 (1 - r). With eta = 0 the step follows the probability flow; with eta = 1
it is DDPM's with the small variance. Every eta keeps the marginals.
"""

from collections.abc import Sequence
from itertools import pairwise

from .._arguments import number
from ..plan import Plan, Stage
from ..schedules import Schedule
from ._first_order import first_order
from ._grid import checked


def ddim(schedule: Schedule, times: Sequence[float], eta: float = 0.0) -> Plan:
    """The DDIM sampler over `times`, down or up; deterministic and of order 1 at eta = 0.

    A step up inverts at eta = 0 (from sigma = 0 it scales x by alpha, at no call), is
    q(x_s | x_t) at eta = 1, and in between shares its noise with the state's own. Raises ValueError
    unless 0 <= eta <= 1.
    """
    eta = number("eta", eta)
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    stages = []
    for t, s in pairwise(checked(schedule, times, either_way=True)):
        x, m, z = first_order(schedule, t, s, eta)
        stages.append(Stage(t, s, x=(x,), m=(m,) if m else (), z=z))
    return Plan("ddim", tuple(stages), order=1 if eta == 0.0 else None, parameters={"eta": eta})
