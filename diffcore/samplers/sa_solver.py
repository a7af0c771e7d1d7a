"""SA-Solver: stochastic Adams methods (Xue et al. 2023, "SA-Solver", algorithm 1).

    dx = ... with noise of strength tau(t):  tau = 0 the probability flow, tau = 1 the reverse SDE
"""

from collections.abc import Sequence
from typing import Literal

from ..plan import Plan
from ..schedules import Schedule
from ._predict_correct import Start, Tau, multistep, order, strength_at
from .adams import bh1, exact


def sa_solver(
    schedule: Schedule,
    times: Sequence[float],
    predictor: int = 2,
    corrector: int = 2,
    tau: Tau = 1.0,
    formula: Literal["exact", "published"] = "exact",
    start: Start = "runge-kutta",
    lower_order_end: bool = False,
) -> Plan:
    """x"""
    trace = multistep(
        schedule,
        times,
        predictor=predictor,
        corrector=corrector,
        rule=bh1 if formula == "published" else exact,
        tau=tau,
        start=start,
        lower_order_end=lower_order_end,
    )
    strengths = [strength_at(tau, t) for t in times[:-1]] if callable(tau) else tau
    plan = trace.plan("sa_solver", predictor=predictor, corrector=corrector, tau=strengths, formula=formula, start=start, lower_order_end=lower_order_end)
    return plan
