"""Mean and variance of every state of a plan, in closed form, for Gaussian data.

For x_0 ~ N(mu, v), diagonal, the exact denoiser is linear in its state,

    m(x, t) = (sigma^2 mu + alpha v x) / (alpha^2 v + sigma^2),

so each state of a plan is linear in mu, in the start and in the noises, whose weights follow from
the coefficients alone: no sample is drawn, and what is left is the sampler's own error. The exact
marginals are N(alpha_t mu, alpha_t^2 v + sigma_t^2).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ._arguments import numbers
from ._arrays import Host
from .plan import LogRange, Plan
from .schedules import Schedule


class Moments(NamedTuple):
    """Mean and variance of each state, the start included; shape (stages + 1, *coordinates)."""

    mean: Host
    variance: Host


def moments(
    plan: Plan,
    schedule: Schedule,
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    start: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Moments:
    """The moments of `plan`'s states, run with the exact denoiser of N(mean, diag(variance)).

    mean, variance: of the data, numbers or arrays that broadcast to the shape `coordinates`.
    start: mean and variance of the first state, by default the exact marginal's; (0, sigma^2) is
    what `plan.prior` gives. Raises ValueError for a negative variance, and for a plan whose noise
    the denoiser scales.
    """
    if plan.batch is not None:
        raise ValueError("plan must be a single plan, got a stack; see plan.unstack")
    mu, v = _coordinates(mean, variance)
    times = _times(plan)
    if start is None:
        exact = marginal(schedule, times[:1], mu, v)
        start = exact.mean[0], exact.variance[0]
    try:
        centre, spread = (np.broadcast_to(np.asarray(s, np.float64), mu.shape) for s in start)
    except (TypeError, ValueError):
        raise ValueError(
            f"start must be a mean and a variance that broadcast to shape {mu.shape}, got {start}"
        ) from None
    for name, value in (("variance", v), ("start's variance", spread)):
        if not np.all(value >= 0.0):
            raise ValueError(f"{name} must be non-negative, got {np.min(value)}")
    # A state or output is a mean, and weights over independent noises: the start's, each stage's.
    means, rows = [centre], [np.zeros((len(plan.stages) + 1, *mu.shape))]
    rows[0][0] = np.sqrt(spread)
    output_means: list[Host] = []
    output_rows: list[Host] = []
    for index, stage in enumerate(plan.stages):
        if isinstance(stage.z, LogRange):
            raise ValueError(f"plan must have its noise in numbers, got {stage.z} at stage {index}")
        if stage.calls:
            alpha, sigma = schedule(stage.time)
            total = alpha * alpha * v + sigma * sigma
            gain = alpha * v / total
            output_means.insert(0, sigma * sigma / total * mu + gain * means[0])
            output_rows.insert(0, gain * rows[0])
        coefficients = (*stage.x, *stage.m)
        here, row = np.zeros(mu.shape), np.zeros_like(rows[0])
        n, k = len(stage.x), len(stage.m)
        for c, a, b in zip(
            coefficients,
            (*means[:n], *output_means[:k]),
            (*rows[:n], *output_rows[:k]),
            strict=True,
        ):
            here, row = here + c * a, row + c * b
        row[index + 1] = stage.z
        means.insert(0, here)
        rows.insert(0, row)
    return Moments(np.stack(means[::-1]), np.stack([np.sum(r * r, axis=0) for r in rows[::-1]]))


def marginals(
    plan: Plan, schedule: Schedule, mean: npt.ArrayLike, variance: npt.ArrayLike
) -> Moments:
    """What `moments` would be if the plan were exact: alpha mean, alpha^2 variance + sigma^2."""
    mu, v = _coordinates(mean, variance)
    return marginal(schedule, _times(plan), mu, v)


def marginal(schedule: Schedule, times: tuple[float, ...], mean: Host, variance: Host) -> Moments:
    """Mean and variance of x_t at each of `times`; shape (times, *coordinates)."""
    levels = [schedule(t) for t in times]
    means = np.stack([alpha * mean for alpha, _ in levels])
    return Moments(means, np.stack([a * a * variance + s * s for a, s in levels]))


def _coordinates(mean: npt.ArrayLike, variance: npt.ArrayLike) -> tuple[Host, Host]:
    """Both as float64 arrays of one shape. ValueError unless they have one."""
    mu, v = numbers("mean", mean), numbers("variance", variance)
    try:
        shape = np.broadcast_shapes(mu.shape, v.shape)
    except ValueError:
        raise ValueError(
            f"variance must broadcast against mean, got shapes {v.shape} and {mu.shape}"
        ) from None
    return np.broadcast_to(mu, shape), np.broadcast_to(v, shape)


def _times(plan: Plan) -> tuple[float, ...]:
    if not plan.stages:
        raise ValueError(f"plan must have stages, got none in {plan.name!r}")
    return (plan.stages[0].time, *(stage.time_next for stage in plan.stages))
