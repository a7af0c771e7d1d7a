"""Identities of the forward process, its posterior, and the predictions."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ... import gaussians, predictions, process
from ..._arrays import namespace
from ...schedules import ContinuousSchedule, DiscreteSchedule
from .measure import error, examples, largest, normals, times_of, worst


def composition(like: Any) -> float:
    """q(x_s | x_0) followed by q(x_t | x_s) is q(x_t | x_0)."""

    def errors() -> Iterator[float]:
        (x_0,) = normals(like, 1)
        for schedule in examples():
            for s, t in pairwise(times_of(schedule)):
                there = process.q_mean_variance(schedule, x_0, s)
                on = process.q_transition(schedule, there.mean, s, t)
                scale = process.q_transition(schedule, 1.0 + 0.0 * x_0, s, t).mean
                whole = process.q_mean_variance(schedule, x_0, t)
                yield error(on.mean, whole.mean)
                yield error(on.variance + scale * scale * there.variance, whole.variance)

    return worst(errors())


def bayes(like: Any) -> float:
    """log q(x_s | x_t, x_0) + log q(x_t | x_0) = log q(x_t | x_s) + log q(x_s | x_0).

    The error is divided by |x| / deviation, the condition of a log density.
    """

    def errors() -> Iterator[float]:
        x_0, eps, more = normals(like, 3)
        for schedule in examples():
            for s, t in pairwise(times_of(schedule)):
                x_s = process.q_sample(schedule, x_0, s, eps)
                hop = process.q_transition(schedule, x_s, s, t)
                x_t = hop.mean + namespace(more).sqrt(hop.variance) * more
                joint = (
                    gaussians.log_density(x_t, *hop),
                    gaussians.log_density(x_s, *process.q_mean_variance(schedule, x_0, s)),
                )
                back = (
                    gaussians.log_density(x_s, *process.q_posterior(schedule, x_0, x_t, t, s)),
                    gaussians.log_density(x_t, *process.q_mean_variance(schedule, x_0, t)),
                )
                # Rounding x by eps |x| moves a log density by some |x| / deviation eps.
                deviations = (
                    math.sqrt(process.transition(schedule, s, t).variance),
                    math.sqrt(process.posterior(schedule, t, s).variance),
                )
                sizes = (largest(x) / d for x, d in zip((x_t, x_s), deviations, strict=True))
                yield error(sum(back), sum(joint)) / max(1.0, *sizes)

    return worst(errors())


def product(like: Any) -> float:
    """q(x_s | x_t, x_0) is the normalised product of q(x_t | x_s) and q(x_s | x_0)."""

    def errors() -> Iterator[float]:
        x_0, x_t = normals(like, 2)
        ones = 1.0 + 0.0 * x_0
        for schedule in examples():
            for s, t in pairwise(times_of(schedule)):
                prior = process.q_mean_variance(schedule, x_0, s)
                scale, variance = process.q_transition(schedule, ones, s, t)
                precision = 1.0 / prior.variance + scale * scale / variance
                mean = (prior.mean / prior.variance + scale * x_t / variance) / precision
                posterior = process.q_posterior(schedule, x_0, x_t, t, s)
                yield error(posterior.mean, mean)
                yield error(posterior.variance, 1.0 / precision)

    return worst(errors())


def steps(like: Any) -> float:
    """The tables of a discrete schedule's own steps are the posterior for s = t - 1.

    The error is divided by |log SNR| / (log SNR_s - log SNR_t), the condition of that gap.
    """

    def errors() -> Iterator[float]:
        x_0, x_t = normals(like, 2)
        for schedule in examples():
            if isinstance(schedule, DiscreteSchedule):
                for t in times_of(schedule)[1:]:
                    step = process.q_posterior(schedule, x_0, x_t, int(t))
                    pair = process.q_posterior(schedule, x_0, x_t, t, t - 1)
                    gap = schedule.log_snr_gap(t - 1, t)
                    condition = max(1.0, min(abs(schedule.log_snr_at(t - 1)), 40.0) / gap)
                    yield error(step.mean, pair.mean) / condition
                    yield error(step.variance, pair.variance) / condition

    return worst(errors())


def pivot(like: Any) -> float:
    """Every prediction's target gives back (x_0, eps).

    The errors of alpha x_0 and sigma eps, relative to the largest of x_0, eps and x_t, are divided
    by the condition of the two equations, which is 1 but for the posterior mean.
    """

    def errors() -> Iterator[float]:
        x_0, eps = normals(like, 2)
        kinds = [*predictions.NAMES.values(), predictions.Edm(0.5)]
        for schedule in examples():
            for t in times_of(schedule)[2:-1]:
                alpha, sigma = schedule(t)
                x_t = process.q_sample(schedule, x_0, t, eps)
                for kind in kinds:
                    if kind is predictions.MEAN and isinstance(schedule, ContinuousSchedule):
                        continue
                    output = kind.target(schedule, x_0, t, eps)
                    got = kind.pivot(schedule, output, x_t, t)
                    p, q = kind.mix(schedule, t, x_t)
                    condition = (abs(alpha * q) + abs(sigma * p)) / abs(alpha * q - sigma * p)
                    scale = max(1.0, alpha, sigma) * condition
                    yield alpha / scale * error(got.x_0, x_0)
                    yield sigma / scale * error(got.eps, eps)

    return worst(errors())
