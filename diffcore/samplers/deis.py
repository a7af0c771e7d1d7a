"""DEIS: Adams methods on the noise, its polynomial in the variable of choice.

x_s / alpha_s = x_t / alpha_t + sum_j eps_j int_{n_t}^{n_s} l_j dn, n = sigma / alpha, with l_j the
Lagrange polynomials through the times of the last calls (Zhang & Chen 2023, "Fast Sampling of
Diffusion Models with Exponential Integrator", eq. 14 and 15): in the time t, in rho = n, or in
log rho, which is minus the half log SNR.
"""

from collections.abc import Sequence
from typing import Literal

from .._arguments import one_of
from ..plan import Plan
from ..schedules import ContinuousSchedule, Schedule
from ._grid import Start
from ._integrals import Integrals, in_half_log_snr, in_noise_level, in_time
from ._noise_adams import noise_adams, reached

Variable = Literal["t", "rho", "log_rho"]

_INTEGRALS: dict[str, Integrals] = {
    "t": in_time,
    "rho": in_noise_level,
    "log_rho": in_half_log_snr,
}


def deis(
    schedule: Schedule,
    times: Sequence[float],
    order: int = 3,
    variable: Variable = "log_rho",
    start: Start = "singlestep",
    lower_order_end: bool = False,
) -> Plan:
    """The DEIS sampler of order 1 to 3 over the descending `times`; one call a step.

    Order p is the paper's tAB, rhoAB of degree p - 1. variable: "t" needs a continuous schedule,
    whose integrals are taken by quadrature to 1e-14; "rho" is `lms`; "log_rho" is `dpm_solver` with
    variant="multistep". start: "singlestep" takes the first step of order 3 by `dpm_solver` of
    order 2, at two calls, which keeps the order; "lower" lets the order grow from 1, which leaves
    order 2 at most. lower_order_end: order 1 in the last step, 2 in the last but one; of order 2 at
    most. A step to sigma = 0 takes the denoised x_0, one from alpha = 0 is DDIM's. Raises
    ValueError on other parameters, and for "t" on a discrete schedule.

    Near data eps is smooth in rho. On `vp_linear` rho is like the root of t there, so that "t" has
    its order only once the steps are shorter than the last time above 0, and "log_rho" only once
    they are short in log rho: over 100 to 800 even steps from 0.9 to 1e-3, order 3 measures 1.4 to
    1.9 in t, 2.0 to 2.6 in log rho, and 2.9 to 3.2 in rho.
    """
    order = one_of("order", order, 1, 2, 3)
    one_of("variable", variable, *_INTEGRALS)
    if variable == "t" and not isinstance(schedule, ContinuousSchedule):
        raise ValueError(
            "variable must be 'rho' or 'log_rho' on a discrete schedule, which has no levels "
            "between its times, got 't'"
        )
    trace = noise_adams(schedule, times, order, _INTEGRALS[variable], start, lower_order_end)
    return trace.plan(
        "deis",
        reached(order, start, lower_order_end),
        order=order,
        variable=variable,
        start=start,
        lower_order_end=lower_order_end,
    )
