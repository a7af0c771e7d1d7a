"""DPM-Solver++: exponential integrators in data prediction (Lu et al. 2022, "DPM-Solver++").

    x_s = (sigma_s / sigma_t) x_t + alpha_s int_0^h exp(u - h) m(lambda_t + u) du

m becomes a polynomial through the outputs of earlier steps (multistep, algorithm 2) or of the same
step (singlestep, algorithm 1). Two formulas:

- "exact" integrates that polynomial.
- "published" is that of the paper and of the code that goes with it. A line counts with its value
  in the middle, which costs no order. The multistep parabola has half of the second derivative that
  Taylor's formula asks for, so that DPM-Solver++(3M) is of order 2. The single step of order 3 has
  that order with calls at 1/3 and 2/3 of h only; on a discrete schedule they are at whole times.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from .._arguments import one_of
from ..plan import Plan
from ..schedules import Schedule
from ._between import half_log_snr
from ._exponential import moments
from ._grid import Start, checked, require_ends
from ._predict_correct import multistep
from ._predict_correct import order as order_of
from ._singlestep import singlestep
from ._trace import Trace
from .adams import Rule, bh2, exact

Variant = Literal["multistep", "singlestep"]
Formula = Literal["exact", "published"]


def dpm_solver_pp(
    schedule: Schedule,
    times: Sequence[float],
    order: int = 2,
    variant: Variant = "multistep",
    formula: Formula = "exact",
    start: Start = "singlestep",
    lower_order_end: bool = False,
) -> Plan:
    """DPM-Solver++ of order 1, 2 or 3 over the descending `times`; order 1 is DDIM.

    variant: "multistep" calls once a step, "singlestep" `order` times. start (of multistep):
    "singlestep" keeps the order, for which order 3 calls once more in the first step; "lower", the
    published one, starts with order 1, which leaves order 2 of 3. lower_order_end: order 1 in the
    last step, 2 in the last but one, which is steadier where these are long, and leaves order 2.
    A step to sigma = 0 takes the denoised x_0, one from alpha = 0 is DDIM's. Raises ValueError on
    parameters that are none of these.
    """
    order = one_of("order", order, 1, 2, 3)
    one_of("variant", variant, "multistep", "singlestep")
    one_of("formula", formula, "exact", "published")
    require_ends(start, lower_order_end)
    parameters: dict[str, Any] = {"order": order, "variant": variant, "formula": formula}
    if variant == "multistep":
        rule = published if formula == "published" else exact
        trace = multistep(
            schedule,
            times,
            predictor=order,
            rule=rule,
            start=start,
            lower_order_end=lower_order_end,
        )
        reached = order_of(order, start=start, lower=lower_order_end)
        reached = min(reached, 2) if formula == "published" else reached
        parameters["start"] = start
    else:
        trace = _singlesteps(schedule, times, order, formula == "published", lower_order_end)
        reached = min(order, 2) if lower_order_end else order
    parameters["lower_order_end"] = lower_order_end
    return trace.plan("dpm_solver_pp", reached, **parameters)


def dpm_solver_pp_sde(
    schedule: Schedule,
    times: Sequence[float],
    order: int = 2,
    formula: Formula = "exact",
    lower_order_end: bool = False,
) -> Plan:
    """SDE-DPM-Solver++ (multistep) of order 1, 2 or 3: the reverse SDE, with noise in every step.

    It is `sa_solver` at tau = 1 without corrector. Mean and covariance converge with order 1 at
    order 1, which is ancestral sampling, else 2: a step does not see its own noise, which the next
    one makes good, and nothing after the last. formula: as for `dpm_solver_pp`; both have these
    orders. It starts with order 1, which they allow. A step to sigma = 0 takes the denoised x_0,
    one from alpha = 0 forgets the state. Raises ValueError on parameters that are none of these.
    """
    order = one_of("order", order, 1, 2, 3)
    one_of("formula", formula, "exact", "published")
    trace = multistep(
        schedule,
        times,
        predictor=order,
        rule=published if formula == "published" else exact,
        tau=1.0,
        lower_order_end=lower_order_end,
    )
    return trace.plan(
        "dpm_solver_pp_sde", None, order=order, formula=formula, lower_order_end=lower_order_end
    )


def published(h: float, nodes: Sequence[float], rate: float) -> list[float]:
    """The paper's shares: `bh2`'s of a line, and of a parabola with half its second derivative."""
    shares = bh2(h, nodes, rate)
    if len(nodes) == 3:
        half = 0.5 * rate * moments(h, 3, rate)[2] * h * h
        for j, node in enumerate(nodes):
            a, b = (other for i, other in enumerate(nodes) if i != j)
            shares[j] -= half / ((node - a) * (node - b))
    return shares


def _singlesteps(
    schedule: Schedule, times: Sequence[float], order: int, thrifty: bool, lower_order_end: bool
) -> Trace:
    grid = checked(schedule, times)
    trace = Trace(schedule, grid[0])
    rule: Rule = bh2 if thrifty else exact
    for k, (t, s) in enumerate(pairwise(grid)):
        first = half_log_snr(schedule, t), trace.denoise()
        here = min(order, len(grid) - 1 - k) if lower_order_end else order
        singlestep(trace, s, first, here, rule, thrifty)
    return trace
