"""DPM-Solver: exponential integrators of the noise in the half log SNR.

With lambda = log(alpha / sigma) the probability flow is, exactly,

    x_s = alpha_s / alpha_t x_t - alpha_s int_{lambda_t}^{lambda_s} exp(-lambda) eps dlambda

(Lu et al. 2022, "DPM-Solver", prop. 3.1). Order p replaces eps by a polynomial through p values:
of p calls inside the step (singlestep, section 3.2), or of the last p calls (multistep).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from .._arguments import number, one_of
from ..plan import Plan
from ..schedules import Schedule
from ._between import half_gap, interior
from ._exponential import moments
from ._grid import Start, checked, require_ends
from ._integrals import in_half_log_snr, noise_level
from ._noise_adams import noise_adams, reached
from ._slope import LATEST_SECOND_CALL, Formula, along, evaluate, runge_kutta
from ._trace import Trace

Variant = Literal["singlestep", "multistep"]


def dpm_solver(
    schedule: Schedule,
    times: Sequence[float],
    order: int = 2,
    variant: Variant = "singlestep",
    formula: Formula = "exact",
    r1: float | None = None,
    r2: float | None = None,
    start: Start = "singlestep",
    lower_order_end: bool = False,
) -> Plan:
    """DPM-Solver of order 1 to 3 over the descending `times`; order 1 is DDIM.

    variant: "singlestep" calls `order` times a step: at t, at the share r1 of the step in lambda
    (by default 1/2, 1/3 at order 3) and at order 3 at the share r2 (2/3); on a discrete schedule at
    the nearest whole times, with fewer calls where the step holds fewer. 0 < r1 < r2 < 1 and
    r1 <= 0.6. "multistep" calls once a step.
    formula: "exact" integrates the polynomial exactly and has its order for all r1 and r2.
    "published" is that of the paper and of the code that goes with it: at singlestep order 3 it
    leaves the second call out of the last sum, which needs r2 = 2/3 and has order 2 otherwise; at
    multistep order 3 the second derivative counts half, which leaves order 2.
    start (multistep alone): "singlestep" takes the first step of order 3 by the singlestep of order
    2, which keeps the order; "lower" lets the order grow from 1, which leaves order 2 at most.
    lower_order_end: order 1 in the last step, 2 in the last but one; of order 2 at most. A step to
    sigma = 0 takes the denoised x_0, one from alpha = 0 is DDIM's. Raises ValueError on other
    parameters.
    """
    order = one_of("order", order, 1, 2, 3)
    one_of("variant", variant, "singlestep", "multistep")
    one_of("formula", formula, "exact", "published")
    require_ends(start, lower_order_end)
    parameters: dict[str, Any] = {"order": order, "variant": variant, "formula": formula}
    if variant == "singlestep":
        shares = _shares(order, r1, r2)
        trace = _singlestep(schedule, times, order, shares, formula, lower_order_end)
        # One step of DDIM's, whose error is h^2, allows order 2.
        low = lower_order_end or (formula == "published" and abs(shares[1] - 2.0 / 3.0) > 1e-6)
        parameters |= dict(zip(("r1", "r2"), shares[: order - 1], strict=False))
    else:
        for name, r in (("r1", r1), ("r2", r2)):
            if r is not None:
                raise ValueError(f"{name} must be None for variant='multistep', got {r}")
        integrals = in_half_log_snr if formula == "exact" else _published
        trace = noise_adams(schedule, times, order, integrals, start, lower_order_end)
        low = formula == "published" or reached(order, start, lower_order_end) < order
        parameters["start"] = start
    parameters["lower_order_end"] = lower_order_end
    return trace.plan("dpm_solver", min(order, 2) if low else order, **parameters)


def _singlestep(
    schedule: Schedule,
    times: Sequence[float],
    order: int,
    r: tuple[float, float],
    formula: Formula,
    lower_order_end: bool,
) -> Trace:
    grid = checked(schedule, times)
    trace = Trace(schedule, grid[0])
    for k, (t, s) in enumerate(pairwise(grid)):
        start = evaluate(trace)
        if not interior(schedule, t, s):
            along(trace, start, s)
            continue
        wanted = min(order, len(grid) - 1 - k) if lower_order_end else order
        runge_kutta(trace, start, s, wanted, r if wanted == order else None, formula)
    return trace


def _published(schedule: Schedule, t: float, s: float, times: Sequence[float]) -> list[float]:
    """The weights of the code that goes with the paper.

    Two values: the slope weighs what it would at h / 2. Three: as `in_half_log_snr`, with half of
    the second derivative.
    """
    shares = in_half_log_snr(schedule, t, s, times)
    h, *nodes = (half_gap(schedule, t, u) for u in (s, *times))
    if len(nodes) == 2:
        whole = sum(shares)
        slope = whole * 0.5 * h / nodes[1]
        return [whole - slope, slope]
    if len(nodes) == 3:
        half = -0.5 * noise_level(schedule, t) * moments(h, 3, -1.0)[2] * h * h
        for j, node in enumerate(nodes):
            shares[j] -= half / float(np.prod([node - v for v in nodes if v != node]))
    return shares


def _shares(order: int, r1: float | None, r2: float | None) -> tuple[float, float]:
    """r1 and r2, checked; where the order has no such call 1 stands for it."""
    for name, r, least in (("r1", r1, 2), ("r2", r2, 3)):
        if r is not None and order < least:
            raise ValueError(f"{name} must be None at order {order}, got {r}")
    r1, r2 = (None if r is None else number(name, r) for name, r in (("r1", r1), ("r2", r2)))
    if order < 3:
        first = 0.5 if r1 is None else r1
        if not 0.0 < first < 1.0:
            raise ValueError(f"r1 must satisfy 0 < r1 < 1, got {first}")
        return first, 1.0
    first, second = 1.0 / 3.0 if r1 is None else r1, 2.0 / 3.0 if r2 is None else r2
    if not (0.0 < first <= LATEST_SECOND_CALL and first < second < 1.0):
        raise ValueError(
            f"r1 and r2 must satisfy 0 < r1 <= {LATEST_SECOND_CALL} and r1 < r2 < 1, "
            f"got {first} and {second}"
        )
    return first, second
