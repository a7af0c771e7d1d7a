"""Exponential Adams methods, deterministic or not: DPM-Solver++ (multistep), UniPC, SA-Solver.

With lambda = log(alpha / sigma), h = lambda_s - lambda_t, and noise of strength tau,

    x_s = (sigma_s / sigma_t) exp(-tau^2 h) x_t
          + alpha_s int_0^h (1 + tau^2) exp((1 + tau^2) (u - h)) m(lambda_t + u) du
          + sigma_s sqrt(1 - exp(-2 tau^2 h)) z

(Xue et al. 2023, "SA-Solver", eq. 14; tau = 0 is the probability flow, Lu et al. 2022,
"DPM-Solver++", prop. 4.1; tau = 1 its reverse SDE). m is replaced by the polynomial through known
outputs: those behind (Adams-Bashforth, the predictor), or the one ahead too (Adams-Moulton, the
corrector, which needs no call of its own: the next step calls the denoiser there anyway).
"""

import math
from collections.abc import Callable, Sequence

from ..schedules import Schedule
from ._between import half_gap, half_log_snr
from ._exponential import moments, weights
from ._trace import ZERO, Combination, Trace

Output = tuple[float, Combination]
"""The half log SNR at which the denoiser was called, and what it gave."""

Rule = Callable[[float, Sequence[float], float], list[float]]
"""Shares of the outputs at `nodes` (from lambda_t) in the integral over h with rate 1 + tau^2."""


def exact(h: float, nodes: Sequence[float], rate: float) -> list[float]:
    """The integral of the polynomial through the nodes."""
    return [rate * w for w in weights(h, nodes, rate)]


def bh1(h: float, nodes: Sequence[float], rate: float) -> list[float]:
    """`exact`, but a line's slope weighs rate h^2 / 2 (B(h) = h, Zhao et al. 2023, "UniPC")."""
    return _line(h, nodes, rate, rate * h * h / 2) if len(nodes) == 2 else exact(h, nodes, rate)


def bh2(h: float, nodes: Sequence[float], rate: float) -> list[float]:
    """`exact`, but a line's slope weighs h / 2 times what a constant does (B(h) = exp(h) - 1).

    It is the line's value at h / 2, the midpoint rule.
    """
    slope = h / 2 * rate * moments(h, 1, rate)[0]
    return _line(h, nodes, rate, slope) if len(nodes) == 2 else exact(h, nodes, rate)


def _line(h: float, nodes: Sequence[float], rate: float, slope: float) -> list[float]:
    a, b = nodes
    constant = rate * moments(h, 1, rate)[0]
    return [(slope - b * constant) / (a - b), (a * constant - slope) / (a - b)]


def integral(
    schedule: Schedule,
    t: float,
    s: float,
    known: Sequence[Output],
    rule: Rule = exact,
    tau: float = 0.0,
) -> Combination:
    """alpha_s times the integral of the formula above, through the outputs `known`, newest first.

    Over an infinite interval (alpha_t = 0 or sigma_s = 0) the newest output alone counts.
    """
    h, alpha = half_gap(schedule, t, s), float(schedule(s).alpha)
    if math.isinf(h):
        return alpha * known[0][1]
    start = half_log_snr(schedule, t)
    shares = rule(h, [at - start for at, _ in known], 1.0 + tau * tau)
    total = ZERO
    for share, (_, output) in zip(shares, known, strict=True):
        total = total + (alpha * share) * output
    return total


def step(
    trace: Trace, x: Combination, t: float, s: float, drawn: Combination, tau: float = 0.0
) -> None:
    """Move to time s by the formula above, from state x of time t; drawn: its middle term."""
    source, target = trace.schedule(t), trace.schedule(s)
    keep, noise = target.sigma / source.sigma, 0.0
    if tau:
        faded = tau * tau * half_gap(trace.schedule, t, s)
        keep, noise = keep * math.exp(-faded), math.sqrt(-math.expm1(-2.0 * faded))
    trace.move(s, keep * x + drawn, z=target.sigma * noise)
