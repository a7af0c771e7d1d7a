"""One step of the probability flow by itself, through calls at times inside it.

    m_r = m at lambda_t + r h, reached from t;   x_s through (m_0, m_r) or (m_0, m_r1, m_r2)

(Lu et al. 2022, "DPM-Solver++", algorithm 1 with r = 1/2; "DPM-Solver", algorithm 2 with r = 1/3
and 2/3, in data prediction.) On a discrete schedule the calls are at whole times, and r is what
these give.
"""

import math
from collections.abc import Sequence

from ._between import between, fraction, half_gap, half_log_snr
from ._trace import Trace
from .adams import Output, Rule, exact, integral, step

FRACTIONS: dict[int, tuple[float, ...]] = {1: (), 2: (1 / 2,), 3: (1 / 3, 2 / 3)}
LATEST = 0.6
"""The largest r1 of two calls inside: at 2/3 the last one weighs nothing."""


def singlestep(
    trace: Trace, s: float, first: Output, order: int, rule: Rule = exact, thrifty: bool = False
) -> list[Output]:
    """Move to time s from the current state, whose output is `first`; `order` calls in all.

    thrifty: leave the first inner output out of the last sum and correct nothing for r, as
    published; it has the order 3 only at r2 = 2/3. Steps without a time inside, or with alpha_t = 0
    or sigma_s = 0, are DDIM's. Returns the last inner output, or none.
    """
    return through(trace, s, first, inner(trace, s, order), rule, thrifty)


def inner(trace: Trace, s: float, order: int) -> list[float]:
    """The times of the calls inside the step from the current time to s, from noise to data."""
    schedule, t = trace.schedule, trace.time
    h = half_gap(schedule, t, s)
    if math.isinf(h):
        return []
    start = half_log_snr(schedule, t)
    found = [between(schedule, t, s, start + r * h) for r in FRACTIONS[order]]
    times = sorted({u for u in found if u is not None}, reverse=True)
    late = len(times) == 2 and fraction(schedule, t, times[0], s) > LATEST
    return times[:1] if late else times


def through(
    trace: Trace, s: float, first: Output, times: Sequence[float], rule: Rule, thrifty: bool
) -> list[Output]:
    """The step through calls at `times`, at most two."""
    schedule, x, t = trace.schedule, trace.x, trace.time
    if not times:
        trace.ddim(s, first[1])
        return []
    step(trace, x, t, times[0], integral(schedule, t, times[0], [first]))
    second = half_log_snr(schedule, times[0]), trace.denoise()
    if len(times) == 1:
        step(trace, x, t, s, integral(schedule, t, s, [second, first], rule))
        return [second]
    u = times[1]
    flat = integral(schedule, t, u, [first])
    tilt = integral(schedule, t, u, [second, first]) - flat
    if not thrifty:
        # x at times[0] is off by O(h^2), which the last sum takes in with a weight that vanishes
        # with h only at r2 = 2/3: a steeper line into the second inner state makes up for it.
        r1, r2 = (fraction(schedule, t, v, s) for v in times)
        tilt = (1.0 + r1 * (3.0 * r2 - 2.0) / (r2 * (2.0 - 3.0 * r1))) * tilt
    step(trace, x, t, u, flat + tilt)
    third = half_log_snr(schedule, u), trace.denoise()
    known = [third, first] if thrifty else [third, second, first]
    step(trace, x, t, s, integral(schedule, t, s, known))
    return [third]
