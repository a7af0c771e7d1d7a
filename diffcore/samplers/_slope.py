"""The noise as a slope: with y = x / alpha and n = sigma / alpha, dy / dn = eps(x_t, t).

A step is DDIM's, which holds eps constant, corrected by how eps differs elsewhere:

    x_s = sigma_s / sigma_t x_t + alpha_s (1 - n_s / n_t) m_t + alpha_s sum_j w_j (eps_j - eps_t)

(the probability flow of Song et al. 2021, eq. 13, in the variables of Song, Meng & Ermon 2021,
eq. 14). Written so, no coefficient cancels, and none is infinite at alpha_t = 0 or sigma_s = 0,
where the correction is left out.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..schedules import Schedule
from ._between import between, fraction, half_gap, half_log_snr
from ._integrals import in_half_log_snr, noise_level
from ._trace import Combination, Trace

Formula = Literal["exact", "published"]

LATEST_SECOND_CALL = 0.6
"""The largest r1 of a third-order step: at 2/3 its last weight vanishes."""


class Point(NamedTuple):
    """A state, its time, the denoiser's output there and the noise that belongs to it."""

    time: float
    x: Combination
    m: Combination
    eps: Combination


def evaluate(trace: Trace) -> Point:
    """Call the denoiser at the current state."""
    m = trace.denoise()
    return Point(trace.time, trace.x, m, trace.eps(m))


def along(
    trace: Trace, start: Point, s: float, corrections: Sequence[tuple[float, Combination]] = ()
) -> None:
    """Move from `start` to time s by the formula above; corrections: pairs of w_j and eps_j."""
    schedule = trace.schedule
    alpha, sigma = schedule(s)
    share = -math.expm1(-half_gap(schedule, start.time, s))
    state = (sigma / schedule(start.time).sigma) * start.x + (alpha * share) * start.m
    for weight, eps in corrections:
        state = state + (alpha * weight) * (eps - start.eps)
    trace.move(s, state)


def runge_kutta(
    trace: Trace,
    start: Point,
    s: float,
    order: int,
    r: tuple[float, float] | None = None,
    formula: Formula = "exact",
) -> None:
    """An exponential Runge-Kutta step in lambda, of order 1 to 3, from the current state, `start`.

    r: where in the step, in lambda, the second and third call lie; order 2 uses the first alone. On
    a discrete schedule they lie at the nearest whole times, and where there are not enough the
    order is less. formula: see `dpm_solver`.
    """
    schedule, t = trace.schedule, start.time
    r1, r2 = r or ((0.5, 1.0) if order == 2 else (1.0 / 3.0, 2.0 / 3.0))
    first = _inside(schedule, start, s, r1, t) if order > 1 else None
    second = _inside(schedule, start, s, r2, first) if order > 2 and first is not None else None
    if first is None:
        along(trace, start, s)
        return
    along(trace, start, first)
    a = evaluate(trace)
    if second is None or fraction(schedule, t, first, s) > 1.0000001 * LATEST_SECOND_CALL:
        weight = in_half_log_snr(schedule, t, s, (t, first))[1]
        if formula == "published":
            weight = (noise_level(schedule, s) - noise_level(schedule, t)) / (
                2.0 * fraction(schedule, t, first, s)
            )
        along(trace, start, s, [(weight, a.eps)])
        return
    inner = in_half_log_snr(schedule, t, second, (t, first))[1]
    if formula == "published":
        along(trace, start, second, [(inner, a.eps)])
        outer = in_half_log_snr(schedule, t, s, (t, second))[1]
        along(trace, start, s, [(outer, evaluate(trace).eps)])
        return
    _, at_a, at_b = in_half_log_snr(schedule, t, s, (t, first, second))
    # What DDIM's step to `first` gets wrong in a is taken back by as much in b.
    inner += at_a / at_b * in_half_log_snr(schedule, t, first, (t, first))[1]
    along(trace, start, second, [(inner, a.eps)])
    along(trace, start, s, [(at_a, a.eps), (at_b, evaluate(trace).eps)])


def _inside(
    schedule: Schedule, start: Point, s: float, share: float, before: float
) -> float | None:
    """The time after `before` and ahead of s at that share of the step in lambda, if there is."""
    gap = half_gap(schedule, start.time, s)
    u = between(schedule, before, s, half_log_snr(schedule, start.time) + share * gap)
    return u if u is not None and s < u < before else None
