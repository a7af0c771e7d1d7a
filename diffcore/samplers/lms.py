"""Linear multistep in the noise level: Adams and Bashforth's method for dy / dn = eps.

y_s = y_t + sum_j eps_j int_{n_t}^{n_s} l_j dn with y = x / alpha, n = sigma / alpha and l_j the
Lagrange polynomials through the noise levels of the last calls, so that steps have any length
(Hairer, Norsett & Wanner 1993, "Solving Ordinary Differential Equations I", section III.5). It is
the sampler that k-diffusion calls LMS, there with start="lower", and `deis` with variable="rho".
"""

from collections.abc import Sequence

from .._arguments import one_of
from ..plan import Plan
from ..schedules import Schedule
from ._grid import Start
from ._integrals import in_noise_level
from ._noise_adams import noise_adams, reached


def lms(
    schedule: Schedule,
    times: Sequence[float],
    order: int = 4,
    start: Start = "singlestep",
    lower_order_end: bool = False,
) -> Plan:
    """Adams and Bashforth's method of order 1 to 4 over the descending `times`; one call a step.

    start: "singlestep" takes the first steps, two at order 4 and one at order 3, by `dpm_solver` of
    one order less, at as many calls, which keeps the order; "lower" lets the order grow from 1,
    which leaves order 2 at most. lower_order_end: order 1 in the last step, 2 in the last but one,
    and so on; of order 2 at most. A step to sigma = 0 takes the denoised x_0, one from alpha = 0 is
    DDIM's. Raises ValueError on other parameters.
    """
    order = one_of("order", order, 1, 2, 3, 4)
    trace = noise_adams(schedule, times, order, in_noise_level, start, lower_order_end)
    return trace.plan(
        "lms",
        reached(order, start, lower_order_end),
        order=order,
        start=start,
        lower_order_end=lower_order_end,
    )
