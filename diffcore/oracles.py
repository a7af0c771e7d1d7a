"""Exact denoisers: E[x_0 | x_t] for data whose law is known, and the exact probability flow.

For x_0 ~ sum_k w_k N(mu_k, v_k), diagonal, with x_t = alpha x_0 + sigma eps:

    E[x_0 | x_t] = sum_k p(k | x_t) (mu_k + alpha v_k / (alpha^2 v_k + sigma^2) (x_t - alpha mu_k))
    p(k | x_t)   ∝ w_k N(x_t; alpha mu_k, alpha^2 v_k + sigma^2)

A Gaussian is one component, an empirical data set has v_k = 0, a point mass is both. Samplers
that are right reproduce these laws up to their order, so the oracles stand in for a network.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import A, constant, is_number, namespace, require_floating
from .plan import Denoise
from .process import level
from .schedules import Schedule


def point_mass(schedule: Schedule, x_0: Any) -> Denoise:
    """The denoiser of data that is always `x_0`: an array or number that broadcasts against x_t."""

    def denoise(x_t: Any, t: Any, /) -> Any:
        require_floating("x_t", x_t)
        return _host(x_0, x_t) + 0.0 * x_t

    return denoise


def gaussian(schedule: Schedule, mean: Any, variance: Any) -> Denoise:
    """The denoiser of N(mean, diag(variance)), both numbers or broadcasting against x_t.

    Raises ValueError where a variance that can be seen is negative.
    """
    _require_non_negative("variance", variance)

    def denoise(x_t: Any, t: Any, /) -> Any:
        require_floating("x_t", x_t)
        alpha, sigma = level(schedule, t, x_t)
        mu, v = _host(mean, x_t), _host(variance, x_t)
        total = (alpha * alpha) * v + sigma * sigma
        if is_number(total) and total == 0.0:
            raise ValueError(f"t must have sigma > 0 where the variance is 0, got t = {t}")
        # As two weights rather than a correction, so that v = 0 gives mu and sigma = 0 gives x_t.
        return (sigma * sigma / total) * mu + (alpha * v / total) * x_t

    return denoise


def gaussian_flow(schedule: Schedule, mean: Any, variance: Any, x_t: A, t: Any, s: Any) -> A:
    """Where the probability flow of N(mean, diag(variance)) takes x_t from time t to time s.

    x_s = alpha_s mu + sqrt(V_s / V_t) (x_t - alpha_t mu) with V_t = alpha_t^2 v + sigma_t^2: each
    coordinate keeps its quantile. t and s in either order; shape and dtype of x_t.
    """
    require_floating("x_t", x_t)
    _require_non_negative("variance", variance)
    xp = namespace(x_t)
    start, end = level(schedule, t, x_t), level(schedule, s, x_t)
    mu, v = _host(mean, x_t), _host(variance, x_t)
    before = (start.alpha * start.alpha) * v + start.sigma * start.sigma
    after = (end.alpha * end.alpha) * v + end.sigma * end.sigma
    scale = after / before
    scale = scale**0.5 if is_number(scale) else xp.sqrt(scale)
    moved: A = end.alpha * mu + scale * (x_t - start.alpha * mu)
    return moved


def mixture(
    schedule: Schedule,
    weights: Sequence[float],
    means: npt.ArrayLike,
    variances: npt.ArrayLike,
) -> Denoise:
    """The denoiser of sum_k weights[k] N(means[k], diag(variances[k])).

    weights: K positive numbers that sum to 1. means, variances: host arrays of shape (K, *sample);
    variances may broadcast against means. Raises ValueError otherwise.
    """
    w = np.asarray(weights, dtype=np.float64)
    mu = np.asarray(means, dtype=np.float64)
    if w.ndim != 1 or np.any(w <= 0) or abs(w.sum() - 1.0) > 1e-12:
        raise ValueError(f"weights must be positive and sum to 1, got {weights}")
    if mu.ndim < 2 or mu.shape[0] != w.size:
        raise ValueError(f"means must have shape ({w.size}, *sample), got {mu.shape}")
    _require_non_negative("variances", variances)
    v = np.broadcast_to(np.asarray(variances, dtype=np.float64), mu.shape)

    def denoise(x_t: Any, t: Any, /) -> Any:
        require_floating("x_t", x_t)
        if tuple(x_t.shape[1:]) != mu.shape[1:]:
            raise ValueError(f"x_t must have shape (batch, *{mu.shape[1:]}), got {x_t.shape}")
        xp = namespace(x_t)
        # Axes: (batch, component, *sample). A time's alpha and sigma broadcast against that.
        x = x_t[:, None, ...]
        alpha, sigma = level(schedule, t, x)
        centre, spread = constant(mu, x_t)[None, ...], constant(v, x_t)[None, ...]
        total = (alpha * alpha) * spread + sigma * sigma
        distance = x - alpha * centre
        axes = tuple(range(2, x.ndim))
        log_p = -0.5 * xp.sum(distance * distance / total + xp.log(total), axis=axes)
        log_p = log_p + constant(np.log(w), x_t)[None, :]
        p = xp.exp(log_p - xp.max(log_p, axis=1, keepdims=True))
        p = (p / xp.sum(p, axis=1, keepdims=True))[(...,) + (None,) * len(axes)]
        each = (sigma * sigma / total) * centre + (alpha * spread / total) * x
        return xp.sum(p * each, axis=1)

    return denoise


def empirical(schedule: Schedule, data: npt.ArrayLike) -> Denoise:
    """The denoiser of the empirical law of `data`, host array of shape (n, *sample), sigma_t > 0.

    The denoiser that a network of unlimited capacity learns; its samples are the data themselves.
    """
    host = np.asarray(data, dtype=np.float64)
    if host.ndim < 2 or host.shape[0] == 0:
        raise ValueError(f"data must have shape (n, *sample) with n >= 1, got {host.shape}")
    n = host.shape[0]
    return mixture(schedule, np.full(n, 1.0 / n).tolist(), host, 0.0)


def _host(value: Any, like: Any) -> Any:
    """A number as it is; anything else as a constant beside `like`."""
    return value if is_number(value) else constant(value, like)


def _require_non_negative(name: str, value: Any) -> None:
    if is_number(value) or isinstance(value, np.ndarray | list | tuple):
        smallest = np.min(np.asarray(value))
        if not smallest >= 0.0:
            raise ValueError(f"{name} must be non-negative, got {smallest}")
