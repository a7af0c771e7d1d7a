"""Exact answers on Gaussian data for whole plans, and the order with which errors fall.

Grids are uniform, or long and short by turns, in half log SNR, over an interval where every term of
a method's error counts, the first step's too.
"""

import functools
import math

import numpy as np

from diffcore import oracles, plan, schedules

SCHEDULES = {
    "vp_linear": schedules.vp_linear(),
    "cosine_continuous": schedules.cosine_continuous(),
    "edm": schedules.edm(),
    "flow": schedules.flow(),
}
MEAN, VARIANCE = np.array([0.3, -0.5, 0.1]), np.array([0.2, 0.5, 0.04])
START, END = -0.5, 2.0
"""Half log SNR of the first time and of the last."""


@functools.cache
def grid(name, steps, long=1.0):
    """`steps` + 1 times; odd steps are `long` times as long as even ones."""
    schedule = SCHEDULES[name]
    lengths = np.where(np.arange(steps) % 2, long, 1.0)
    fractions = np.append(0.0, np.cumsum(lengths) / lengths.sum())
    return tuple(schedule.time_at(2 * (START + (END - START) * f)) for f in fractions.tolist())


def fit(counts, errors):
    """The order p of errors like counts^-p."""
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


def flow_order(planner, name, counts=(64, 128, 256), long=1.0):
    """The order of a deterministic planner f(schedule, times), against the exact flow."""
    schedule = SCHEDULES[name]
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    errors = []
    for count in counts:
        times = grid(name, count, long)
        x = np.random.default_rng(0).standard_normal((5, 3)) * math.hypot(*schedule(times[0]))
        end = plan.sample(denoise, planner(schedule, times), x)
        exact = oracles.gaussian_flow(schedule, MEAN, VARIANCE, x, times[0], times[-1])
        errors.append(np.max(np.abs(end - exact)))
    return fit(counts, errors)


def law(made, schedule, mean, variance, x):
    """Mean and variance of the plan's last state from state x, for data N(mean, variance).

    x: a number, or None for the exact marginal. No sampling: each state is a row of weights over 1,
    the start's normal variable and each stage's.
    """
    level = schedule(made.stages[0].time)
    spread = math.hypot(level.alpha * math.sqrt(variance), level.sigma)
    one, normal, *drawn = np.eye(len(made.stages) + 2)
    states = [level.alpha * mean * one + spread * normal if x is None else x * one]
    outputs = []
    for stage, z in zip(made.stages, drawn, strict=True):
        if stage.calls:
            alpha, sigma = schedule(stage.time)
            total = alpha**2 * variance + sigma**2
            gain = alpha * variance / total
            outputs.insert(0, sigma**2 / total * mean * one + gain * states[0])
        pairs = [*zip(stage.x, states, strict=False), *zip(stage.m, outputs, strict=False)]
        states.insert(0, sum(c * row for c, row in pairs) + stage.z * z)
    last = states[0]
    return last[0], last[1:] @ last[1:]


def exact_law(schedule, times, mean, variance, x, tau):
    """The same of the SDE with constant noise tau itself, for an x that is a number.

    (x_t - alpha mean) / sqrt(V), V = alpha^2 variance + sigma^2, is an Ornstein-Uhlenbeck process
    in rho = tau^2 int sigma^2 / V dlambda.
    """
    (a_t, s_t), (a_s, s_s) = schedule(times[0]), schedule(times[-1])
    before, after = a_t**2 * variance + s_t**2, a_s**2 * variance + s_s**2
    rho = tau**2 * (math.log(a_s / a_t) - 0.5 * math.log(after / before))
    kept = math.exp(-rho) * math.sqrt(after / before)
    return a_s * mean + kept * (x - a_t * mean), after * -math.expm1(-2 * rho)


def weak_order(planner, name, tau, x, counts=(64, 128, 256), long=1.0):
    """The order of the law of the last state: of its mean and variance, whichever errs more.

    x as in `law`. The marginals do not depend on tau; from a point, the law does.
    """
    schedule, mean, variance = SCHEDULES[name], 0.7, 0.2
    errors = []
    for count in counts:
        times = grid(name, count, long)
        alpha, sigma = schedule(times[-1])
        wanted = alpha * mean, alpha**2 * variance + sigma**2
        if x is not None:
            wanted = exact_law(schedule, times, mean, variance, x, tau)
        got = law(planner(schedule, times), schedule, mean, variance, x)
        errors.append(np.max(np.abs(np.subtract(got, wanted))))
    return fit(counts, errors)
