"""Exponential Adams methods along a grid: predict, call, correct, predict, ..., one call a step.

A corrected state is the predicted one plus the difference of the two integrals, for it starts from
the same state and has the same noise in it. It is linear in what is known when the next step is
made, and goes into that one's stage.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from .._arguments import number
from ..schedules import Schedule
from ._between import half_gap, half_log_snr
from ._grid import Start, checked, require_ends
from ._singlestep import singlestep
from ._trace import ZERO, Combination, Trace
from .adams import Output, Rule, exact, integral, step

Tau = float | Callable[[float], float]


def multistep(
    schedule: Schedule,
    times: Sequence[float],
    *,
    predictor: int,
    corrector: int = 0,
    rule: Rule = exact,
    tau: Tau = 0.0,
    start: Start = "singlestep",
    lower_order_end: bool = False,
) -> Trace:
    """Run a method that predicts each step from the last `predictor` outputs.

    corrector: 0, or through how many outputs, the newest included, a step is corrected before the
    next is made. tau: a number, or a function of the time a step starts from. start: "lower" takes
    what outputs there are, one in the first step; "singlestep" makes the first step by the
    single-step method of one order less than the whole, with as many calls, where it draws no
    noise. lower_order_end: one output in the last step, two in the last but one.
    """
    grid = checked(schedule, times)
    require_ends(start, lower_order_end)
    trace = Trace(schedule, grid[0])
    outputs: list[Output] = []
    correction: Callable[[Output], Combination] = _none
    for k, (t, s) in enumerate(pairwise(grid)):
        newest = half_log_snr(schedule, t), trace.denoise()
        x = trace.x + correction(newest)
        correction = _none
        if math.isfinite(newest[0]):
            outputs = [newest, *outputs][: max(predictor, corrector - 1)]
        strength = strength_at(tau, t)
        if math.isinf(half_gap(schedule, t, s)):
            step(trace, x, t, s, integral(schedule, t, s, [newest]), strength)
            continue
        left = len(grid) - 1 - k if lower_order_end else len(grid)
        first = min(order(predictor, corrector) - 1, left)
        if len(outputs) == 1 and start == "singlestep" and first > 1 and strength == 0.0:
            outputs = [*singlestep(trace, s, newest, first), *outputs]
            continue
        predicted = integral(schedule, t, s, outputs[: min(predictor, left)], rule, strength)
        if corrector:
            behind = outputs[: min(corrector - 1, left)]
            correction = _corrector(schedule, t, s, behind, rule, strength, predicted)
        step(trace, x, t, s, predicted, strength)
    return trace


def order(
    predictor: int, corrector: int = 0, start: Start = "singlestep", lower: bool = False
) -> int:
    """The order of such a method without noise; `lower`: whether it ends with a lower order."""
    reached = min(predictor + 1, corrector) if corrector else predictor
    if start == "lower":  # One step of order 1, or 2 where it is corrected.
        reached = min(reached, 3 if corrector else 2)
    return min(reached, 2) if lower else reached


def strength_at(tau: Tau, t: float) -> float:
    """tau at time t. ValueError unless it is finite and non-negative, TypeError for no number."""
    value = number("tau", tau(t) if callable(tau) else tau)
    if not 0.0 <= value < math.inf:
        raise ValueError(f"tau must be non-negative and finite, got {value} at time {t}")
    return value


def _none(newest: Output) -> Combination:
    return ZERO


def _corrector(
    schedule: Schedule,
    t: float,
    s: float,
    behind: Sequence[Output],
    rule: Rule,
    tau: float,
    predicted: Combination,
) -> Callable[[Output], Combination]:
    def correction(newest: Output) -> Combination:
        return integral(schedule, t, s, [newest, *behind], rule, tau) - predicted

    return correction
