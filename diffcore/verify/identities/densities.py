"""Identities of Gaussian densities, divergences and the variational bound."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import gaussians, oracles, process, schedules
from ..._arrays import constant, namespace
from .measure import error, normals, worst


def density(like: Any) -> float:
    """exp(log_density) integrates to 1, by the trapezoid rule, exact for what is analytic."""
    x = constant(np.linspace(-10.0, 10.0, 401)[:, None], like)
    mean = constant(np.array([[-0.5, 0.0, 0.3]]), like)
    p = namespace(x).exp(gaussians.log_density(x, mean, 0.7))
    total = 0.05 * namespace(x).sum(p, axis=0)
    return error(total, 1.0 + 0.0 * total)


def divergence(like: Any) -> float:
    """KL(p || q) is the mean of log p - log q under p, by a quadrature exact for parabolas."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    mean_p, mean_q, log_p, log_q = normals(like, 4)
    xp = namespace(mean_p)
    variance_p, variance_q = xp.exp(log_p), xp.exp(log_q)
    total = 0.0 * mean_p
    for node, weight in zip(nodes.tolist(), (weights / weights.sum()).tolist(), strict=True):
        x = mean_p + node * xp.sqrt(variance_p)
        gap = gaussians.log_density(x, mean_p, variance_p) - gaussians.log_density(
            x, mean_q, variance_q
        )
        total = total + weight * gap
    return error(gaussians.kl(mean_p, variance_p, mean_q, variance_q), total)


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
            yield error(total, 1.0 + 0.0 * total) / max(1.0, 1.0 / deviation)

    return worst(errors())


def bound(like: Any) -> float:
    """The variational bound of a Gaussian under its exact reverse process is log p(x_0) itself.

    The terms are the means of log q(x_{s} | x_t, x_0) - log p(x_s | x_t) over q, by a quadrature
    exact for parabolas, on a schedule that ends in pure noise.
    """
    schedule = schedules.zero_terminal_snr(schedules.linear(20, 1e-3, 0.4))
    mean, variance = 0.3, 0.5
    x_0, eps = normals(like, 2)
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
    return error(total, -gaussians.log_density(x_0, mean, variance))
