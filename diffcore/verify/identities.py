"""The identities that tie the formulas of diffusion to each other.

Each is a function of an example array `like` that returns its largest error, computed in like's
library, dtype and device by the public functions of this package. Both sides of an identity come
from different formulas, so that an error in either shows. Errors are relative to the largest value
compared, unless it says otherwise; bounds are multiples of the dtype's epsilon.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import gaussians, noise, oracles, plan, predictions, process, samplers, schedules
from .._arrays import constant, namespace, to_host
from ..schedules import ContinuousSchedule, DiscreteSchedule

Schedule = DiscreteSchedule | ContinuousSchedule
SHAPE = (4, 3, 5)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A statement, how to measure its error, and the error it may have in units of epsilon."""

    name: str
    statement: str
    error: Callable[[Any], float]
    bound: float


def _schedules() -> tuple[Schedule, ...]:
    return (
        schedules.linear(),
        schedules.cosine(),
        schedules.zero_terminal_snr(schedules.linear()),
        schedules.flow(),
        schedules.sub_vp(),
        schedules.edm(),
    )


def _times(schedule: Schedule) -> tuple[float, ...]:
    """Increasing times: next to data, neighbours, far apart, and the noisy end."""
    if isinstance(schedule, DiscreteSchedule):
        return (1, 2, 10, 300, 301, 700, schedule.T)
    return tuple(schedule.curve.t_max * t for t in (1e-3, 2e-3, 0.01, 0.3, 0.301, 0.7, 1.0))


def _data(like: Any, count: int) -> list[Any]:
    """`count` arrays of standard normal numbers beside `like`."""
    x = constant(np.zeros(SHAPE), like)
    return [noise.portable(0)(x, step) for step in range(count)]


def _error(got: Any, wanted: Any) -> float:
    """max |got - wanted| / max |wanted|, or the absolute error where all of `wanted` is 0."""
    g, w = (np.asarray(to_host(v), dtype=np.float64) for v in (got, wanted))
    g, w = np.broadcast_arrays(g, w)
    error, scale = np.max(np.abs(g - w)), np.max(np.abs(w))
    return float(error / scale) if scale > 0.0 else float(error)


def _largest(x: Any) -> float:
    return float(np.max(np.abs(to_host(x))))


def composition(like: Any) -> float:
    """q(x_s | x_0) followed by q(x_t | x_s) is q(x_t | x_0)."""

    def errors() -> Iterator[float]:
        (x_0,) = _data(like, 1)
        for schedule in _schedules():
            for s, t in pairwise(_times(schedule)):
                there = process.q_mean_variance(schedule, x_0, s)
                on = process.q_transition(schedule, there.mean, s, t)
                scale = process.q_transition(schedule, 1.0 + 0.0 * x_0, s, t).mean
                whole = process.q_mean_variance(schedule, x_0, t)
                yield _error(on.mean, whole.mean)
                yield _error(on.variance + scale * scale * there.variance, whole.variance)

    return max(errors())


def bayes(like: Any) -> float:
    """log q(x_s | x_t, x_0) + log q(x_t | x_0) = log q(x_t | x_s) + log q(x_s | x_0).

    The error is divided by |x| / deviation, the condition of a log density.
    """

    def errors() -> Iterator[float]:
        x_0, eps, more = _data(like, 3)
        for schedule in _schedules():
            for s, t in pairwise(_times(schedule)):
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
                sizes = (_largest(x) / d for x, d in zip((x_t, x_s), deviations, strict=True))
                yield _error(sum(back), sum(joint)) / max(1.0, *sizes)

    return max(errors())


def product(like: Any) -> float:
    """q(x_s | x_t, x_0) is the normalised product of q(x_t | x_s) and q(x_s | x_0)."""

    def errors() -> Iterator[float]:
        x_0, x_t = _data(like, 2)
        ones = 1.0 + 0.0 * x_0
        for schedule in _schedules():
            for s, t in pairwise(_times(schedule)):
                prior = process.q_mean_variance(schedule, x_0, s)
                scale, variance = process.q_transition(schedule, ones, s, t)
                precision = 1.0 / prior.variance + scale * scale / variance
                mean = (prior.mean / prior.variance + scale * x_t / variance) / precision
                posterior = process.q_posterior(schedule, x_0, x_t, t, s)
                yield _error(posterior.mean, mean)
                yield _error(posterior.variance, 1.0 / precision)

    return max(errors())


def steps(like: Any) -> float:
    """The tables of a discrete schedule's own steps are the posterior for s = t - 1.

    The error is divided by |log SNR| / (log SNR_s - log SNR_t), the condition of that gap.
    """

    def errors() -> Iterator[float]:
        x_0, x_t = _data(like, 2)
        for schedule in _schedules():
            if isinstance(schedule, DiscreteSchedule):
                for t in _times(schedule)[1:]:
                    step = process.q_posterior(schedule, x_0, x_t, int(t))
                    pair = process.q_posterior(schedule, x_0, x_t, t, t - 1)
                    gap = schedule.log_snr_gap(t - 1, t)
                    condition = max(1.0, min(abs(schedule.log_snr_at(t - 1)), 40.0) / gap)
                    yield _error(step.mean, pair.mean) / condition
                    yield _error(step.variance, pair.variance) / condition

    return max(errors())


def pivot(like: Any) -> float:
    """Every prediction's target gives back (x_0, eps).

    The errors of alpha x_0 and sigma eps, relative to the largest of x_0, eps and x_t, are divided
    by the condition of the two equations, which is 1 but for the posterior mean.
    """

    def errors() -> Iterator[float]:
        x_0, eps = _data(like, 2)
        kinds = [*predictions.NAMES.values(), predictions.Edm(0.5)]
        for schedule in _schedules():
            for t in _times(schedule)[2:-1]:
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
                    yield alpha / scale * _error(got.x_0, x_0)
                    yield sigma / scale * _error(got.eps, eps)

    return max(errors())


def density(like: Any) -> float:
    """exp(log_density) integrates to 1, by the trapezoid rule, exact for what is analytic."""
    x = constant(np.linspace(-10.0, 10.0, 401)[:, None], like)
    mean = constant(np.array([[-0.5, 0.0, 0.3]]), like)
    p = namespace(x).exp(gaussians.log_density(x, mean, 0.7))
    total = 0.05 * namespace(x).sum(p, axis=0)
    return _error(total, 1.0 + 0.0 * total)


def divergence(like: Any) -> float:
    """KL(p || q) is the mean of log p - log q under p, by a quadrature exact for parabolas."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    mean_p, mean_q, log_p, log_q = _data(like, 4)
    xp = namespace(mean_p)
    variance_p, variance_q = xp.exp(log_p), xp.exp(log_q)
    total = 0.0 * mean_p
    for node, weight in zip(nodes.tolist(), (weights / weights.sum()).tolist(), strict=True):
        x = mean_p + node * xp.sqrt(variance_p)
        gap = gaussians.log_density(x, mean_p, variance_p) - gaussians.log_density(
            x, mean_q, variance_q
        )
        total = total + weight * gap
    return _error(gaussians.kl(mean_p, variance_p, mean_q, variance_q), total)


def bins(like: Any) -> float:
    """The probabilities of the 256 levels of a pixel sum to 1.

    The error is divided by 1 / deviation: an edge rounded by eps moves that much probability.
    """
    level = constant(np.arange(256)[:, None] / 127.5 - 1.0, like)
    mean = constant(np.array([[-1.5, -0.3, 0.0, 0.9, 1.0]]), like)

    def errors() -> Iterator[float]:
        for deviation in (1e-3, 0.02, 0.5, 3.0):
            log_p = gaussians.discretised_log_likelihood(level, mean, deviation**2)
            total = namespace(log_p).sum(namespace(log_p).exp(log_p), axis=0)
            yield _error(total, 1.0 + 0.0 * total) / max(1.0, 1.0 / deviation)

    return max(errors())


def bound(like: Any) -> float:
    """The variational bound of a Gaussian under its exact reverse process is log p(x_0) itself.

    The terms are the means of log q(x_{s} | x_t, x_0) - log p(x_s | x_t) over q, by a quadrature
    exact for parabolas, on a schedule that ends in pure noise.
    """
    schedule = schedules.zero_terminal_snr(schedules.linear(20, 1e-3, 0.4))
    mean, variance = 0.3, 0.5
    x_0, eps = _data(like, 2)
    denoise = oracles.gaussian(schedule, mean, variance)
    last = process.q_mean_variance(schedule, x_0, schedule.T)
    total = gaussians.kl(last.mean, last.variance, 0.0, 1.0)
    root = 1.0  # Nodes +-1 with weights 1/2 are exact up to cubes.
    for t in range(schedule.T, 0, -1):
        alpha, sigma = schedule(t)
        at_x_0 = process.posterior(schedule, t).x_0
        spread = variance * sigma**2 / (alpha**2 * variance + sigma**2)
        for node in (-root, root):
            x_t = process.q_sample(schedule, x_0, t, node + 0.0 * eps)
            exact = process.q_posterior(schedule, x_0, x_t, t)
            model = process.q_posterior(schedule, denoise(x_t, t), x_t, t)
            model_variance = exact.variance + at_x_0**2 * spread
            if t == 1:
                term = -gaussians.log_density(x_0, model.mean, model_variance)
            else:
                term = gaussians.kl(exact.mean, exact.variance, model.mean, model_variance)
            total = total + 0.5 * term
    return _error(total, -gaussians.log_density(x_0, mean, variance))


def ancestral(like: Any) -> float:
    """DDIM with eta = 1 is DDPM with the posterior's variance, draw for draw."""

    def errors() -> Iterator[float]:
        for schedule in _schedules():
            (x,) = _data(like, 1)
            grid = (*_times(schedule)[::-1], 0)
            denoise = oracles.gaussian(schedule, 0.2, 0.7)
            start = plan.prior(schedule, grid[0], x)
            made = (samplers.ddpm(schedule, grid), samplers.ddim(schedule, grid, eta=1.0))
            a, b = (plan.sample(denoise, p, start, noise.portable(1)) for p in made)
            yield _error(b, a)

    return max(errors())


def marginals(like: Any) -> float:
    """DDIM keeps x_t ~ N(alpha_t x_0, sigma_t^2) at every step, whatever eta.

    A sample per draw of noise, 1 in that draw and 0 in all others: the squares of a state add up
    to its variance.
    """

    def errors() -> Iterator[float]:
        for schedule in _schedules():
            grid = (*_times(schedule)[::-1], 0)
            n = len(grid)
            rows = constant(np.eye(n), like)
            for eta in (0.0, 0.3, 1.0):
                made = samplers.ddim(schedule, grid, eta)
                start = schedule(grid[0]).sigma * rows[:, :1]
                draw = lambda x, step: rows[:, step : step + 1]  # noqa: B023, E731
                for progress in plan.iterate(lambda x, t: 0.0 * x, made, start, draw):
                    variance = schedule(progress.stage.time_next).sigma ** 2
                    got = namespace(rows).sum(progress.x * progress.x)
                    yield _error(got, variance + 0.0 * got)

    return max(errors())


def recovery(like: Any) -> float:
    """Samplers give a point mass back exactly, from any noise."""

    def errors() -> Iterator[float]:
        x_0, eps = _data(like, 2)
        for schedule in _schedules():
            grid = (*_times(schedule)[::-1], 0)
            denoise = oracles.point_mass(schedule, x_0)
            start = plan.prior(schedule, grid[0], eps)
            for made in (samplers.ddpm(schedule, grid), samplers.ddim(schedule, grid)):
                yield _error(plan.sample(denoise, made, start, noise.portable(1)), x_0)

    return max(errors())


def same_noise(like: Any) -> float:
    """Portable noise has the same bits as NumPy's."""
    source = noise.portable(2**40 + 7)
    x = constant(np.zeros((3, 1001)), like)
    return _error(source(x, 3), source(np.zeros((3, 1001), dtype=to_host(x).dtype), 3))


IDENTITIES = (
    Identity(name="composition", statement="q(s|0) q(t|s) = q(t|0)", error=composition, bound=16),
    Identity(name="Bayes", statement="q(s|t,0) q(t|0) = q(t|s) q(s|0)", error=bayes, bound=64),
    Identity(name="product", statement="q(s|t,0) ~ q(t|s) q(s|0)", error=product, bound=32),
    Identity(name="one step", statement="tables = posterior at s = t-1", error=steps, bound=8),
    Identity(name="pivot", statement="target -> (x_0, eps)", error=pivot, bound=32),
    Identity(name="density", statement="integral of q = 1", error=density, bound=32),
    Identity(name="KL", statement="KL = E[log p - log q]", error=divergence, bound=256),
    Identity(name="bins", statement="256 levels sum to 1", error=bins, bound=32),
    Identity(name="bound", statement="sum of L_t = -log p(x_0)", error=bound, bound=256),
    Identity(name="DDIM(1)", statement="DDIM, eta = 1, is DDPM", error=ancestral, bound=64),
    Identity(name="marginals", statement="var x_t = sigma_t^2, any eta", error=marginals, bound=64),
    Identity(name="recovery", statement="a point mass comes back", error=recovery, bound=0),
    Identity(name="noise", statement="bits equal NumPy's", error=same_noise, bound=0),
)
