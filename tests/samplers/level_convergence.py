"""The order of a plan on Gaussian data with the exact denoiser, without a sample being drawn."""

import functools

import numpy as np

from diffcore import schedules
from diffcore.moments import marginals, moments

SCHEDULES = {
    "vp_linear": (schedules.vp_linear(), 0.9, 0.02),
    "cosine_continuous": (schedules.cosine_continuous(), 0.95, 0.03),
    "edm": (schedules.edm(), 20.0, 0.05),
    "flow": (schedules.flow(), 0.95, 0.03),
}
MEAN, VARIANCE = np.array([0.3, -0.5, 0.1]), np.array([0.2, 0.5, 0.04])
COUNTS = (48, 72, 96, 144, 192)


@functools.cache
def grid(name, steps):
    """`steps` + 1 times between two interior ones, uniform in log SNR."""
    schedule, first, last = SCHEDULES[name]
    start, end = schedule.log_snr_at(first), schedule.log_snr_at(last)
    inner = (schedule.time_at(start + (end - start) * k / steps) for k in range(1, steps))
    return (first, *inner, last)


def errors(made, schedule):
    """How far mean and variance of the last state are off the exact marginal, at most."""
    got = moments(made, schedule, MEAN, VARIANCE)
    exact = marginals(made, schedule, MEAN, VARIANCE)
    return max(np.max(np.abs(a[-1] - b[-1])) for a, b in zip(got, exact, strict=True))


def flow_errors(made, schedule):
    """How far the last state is off the exact flow from the mean's two sides, at most.

    A deterministic plan is linear in its start: two starts give all.
    """
    times = made.stages[0].time, made.stages[-1].time_next
    (a, s), (b, r) = (schedule(t) for t in times)
    before, after = a * a * VARIANCE + s * s, b * b * VARIANCE + r * r
    worst = 0.0
    for side in (-1.0, 1.0):
        start = a * MEAN + side * np.sqrt(before)
        end = moments(made, schedule, MEAN, VARIANCE, start=(start, 0.0)).mean[-1]
        worst = max(worst, np.max(np.abs(end - b * MEAN - side * np.sqrt(after))))
    return worst


def fitted_order(planner, name, counts=COUNTS, measure=errors):
    """p of errors like counts^-p, for a planner f(schedule, times)."""
    schedule = SCHEDULES[name][0]
    found = [measure(planner(schedule, grid(name, n)), schedule) for n in counts]
    return -np.polyfit(np.log(counts), np.log(found), 1)[0]
