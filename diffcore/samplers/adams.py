"""Exponential Adams methods: DPM-Solver++ (multistep) and SA-Solver, deterministic or not.

With lambda = log(alpha / sigma), h = lambda_s - lambda_t, and noise of strength tau,

    x_s = (sigma_s / sigma_t) exp(-tau^2 h) x_t
          + alpha_s int_0^h (1 + tau^2) exp((1 + tau^2) (u - h)) m(lambda_t + u) du
          + sigma_s sqrt(1 - exp(-2 tau^2 h)) z

(Xue et al. 2023, "SA-Solver", eq. 14; tau = 0 is the probability flow, Lu et al. 2022,
"DPM-Solver++", prop. 4.1; tau = 1 its reverse SDE). m is replaced by the polynomial through the
last outputs, and the integral is then exact.
"""

import math
from collections.abc import Sequence
from typing import Literal

from ..schedules import Schedule
from ._exponential import weights
from ._trace import Combination, Trace

Start = Literal["midpoint", "lower"]


class Outputs:
    """The denoiser's outputs so far, newest first, with the half log SNR of each."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.values: list[tuple[float, Combination]] = []

    def add(self, half_log_snr: float, output: Combination) -> None:
        """Take a new output; the oldest beyond `most` is let go."""
        self.values = [(half_log_snr, output), *self.values][: self.most]

    def usable(self, order: int) -> list[tuple[float, Combination]]:
        """The newest `order` outputs whose half log SNR is finite."""
        return [pair for pair in self.values if math.isfinite(pair[0])][:order]


def half_log_snr(schedule: Schedule, t: float) -> float:
    """lambda = log(alpha / sigma)."""
    value: float = 0.5 * schedule.log_snr_at(t)
    return value


def step(
    trace: Trace,
    x: Combination,
    t: float,
    s: float,
    known: Sequence[tuple[float, Combination]],
    tau: float = 0.0,
) -> None:
    """Move to time s by the formula above, from state x of time t, through the outputs `known`.

    known: pairs of half log SNR and output; at alpha_t = 0 or sigma_s = 0 the first one alone.
    """
    schedule = trace.schedule
    target, source = schedule(s), schedule(t)
    gap = 0.5 * schedule.log_snr_gap(s, t)
    rate = 1.0 + tau * tau
    if math.isinf(gap):
        known = known[:1]
        shares = [1.0 if target.sigma == 0.0 else -math.expm1(-rate * gap)]
    else:
        start = half_log_snr(schedule, t)
        nodes = [at - start for at, _ in known]
        shares = [rate * w for w in weights(gap, nodes, rate)]
    keep = target.sigma / source.sigma * math.exp(-tau * tau * gap)
    state = keep * x
    for share, (_, output) in zip(shares, known, strict=True):
        state = state + (target.alpha * share) * output
    noise = math.sqrt(-math.expm1(-2.0 * tau * tau * gap)) if tau else 0.0
    trace.move(s, state, z=target.sigma * noise)
