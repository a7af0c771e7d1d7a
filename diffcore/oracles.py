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

from ._arguments import numbers, require_time
from ._arrays import (
    A,
    broadcasts,
    constant,
    is_array,
    is_number,
    library,
    namespace,
    require_floating,
    visible,
)
from .plan import Denoise
from .process import level
from .schedules import Level, Schedule
from .schedules.level import require_schedule


def point_mass(schedule: Schedule, x_0: Any) -> Denoise:
    """The denoiser of data that is always `x_0`: an array or number that broadcasts against x_t."""
    require_schedule(schedule)

    def denoise(x_t: Any, t: Any, /) -> Any:
        require_floating("x_t", x_t)
        require_time("t", t, "x_t", x_t)
        return _host("x_0", x_0, x_t) + 0.0 * x_t

    return denoise


def gaussian(schedule: Schedule, mean: Any, variance: Any) -> Denoise:
    """The denoiser of N(mean, diag(variance)), both numbers or broadcasting against x_t.

    Raises ValueError where a variance that can be seen is negative or infinite, and at a number t
    of sigma = 0 where one is 0. Half precisions are computed in float32.
    """
    require_schedule(schedule)
    least = _least("variance", variance)

    def denoise(x_t: Any, t: Any, /) -> Any:
        x, level = _prepared(schedule, "t", t, "x_t", x_t, least)
        alpha, sigma = level
        mu, v = _host("mean", mean, x), _host("variance", variance, x)
        total = (alpha * alpha) * v + sigma * sigma
        # As two weights rather than a correction, so that v = 0 gives mu and sigma = 0 gives x_t.
        return _like((sigma * sigma / total) * mu + (alpha * v / total) * x, x_t)

    return denoise


def gaussian_flow(schedule: Schedule, mean: Any, variance: Any, x_t: A, t: Any, s: Any) -> A:
    """Where the probability flow of N(mean, diag(variance)) takes x_t from time t to time s.

    x_s = alpha_s mu + sqrt(V_s / V_t) (x_t - alpha_t mu) with V_t = alpha_t^2 v + sigma_t^2: each
    coordinate keeps its quantile. t and s in either order; shape and dtype of x_t. Raises as
    `gaussian`'s denoiser does.
    """
    x, start = _prepared(schedule, "t", t, "x_t", x_t, _least("variance", variance))
    require_time("s", s, "x_t", x_t)
    end = level(schedule, s, x)
    mu, v = _host("mean", mean, x), _host("variance", variance, x)
    before = (start.alpha * start.alpha) * v + start.sigma * start.sigma
    after = (end.alpha * end.alpha) * v + end.sigma * end.sigma
    scale = after / before
    scale = scale**0.5 if is_number(scale) else namespace(scale).sqrt(scale)
    moved: A = _like(end.alpha * mu + scale * (x - start.alpha * mu), x_t)
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
    require_schedule(schedule)
    w, mu = numbers("weights", weights), numbers("means", means)
    if w.ndim != 1 or not np.all(w > 0) or not abs(w.sum() - 1.0) <= 1e-12:
        raise ValueError(f"weights must be positive and sum to 1, got {weights}")
    if mu.ndim < 2 or mu.shape[0] != w.size:
        raise ValueError(f"means must have shape ({w.size}, *sample), got {mu.shape}")
    least = _least("variances", variances)
    try:
        v = np.broadcast_to(numbers("variances", variances), mu.shape)
    except ValueError:
        raise ValueError(
            f"variances must broadcast against means, {mu.shape}, got {np.shape(variances)}"
        ) from None

    def denoise(x_t: Any, t: Any, /) -> Any:
        wide, _ = _prepared(schedule, "t", t, "x_t", x_t, least)
        if tuple(x_t.shape[1:]) != mu.shape[1:]:
            raise ValueError(f"x_t must have shape (batch, *{mu.shape[1:]}), got {x_t.shape}")
        if x_t.shape[0] == 0:
            return x_t
        xp = namespace(x_t)
        # Axes: (batch, component, *sample). A time's alpha and sigma broadcast against that.
        x = wide[:, None, ...]
        alpha, sigma = level(schedule, t, x)
        centre, spread = constant(mu, wide)[None, ...], constant(v, wide)[None, ...]
        total = (alpha * alpha) * spread + sigma * sigma
        distance = x - alpha * centre
        axes = tuple(range(2, x.ndim))
        log_p = -0.5 * xp.sum(distance * distance / total + xp.log(total), axis=axes)
        log_p = log_p + constant(np.log(w), wide)[None, :]
        p = xp.exp(log_p - xp.max(log_p, axis=1, keepdims=True))
        p = (p / xp.sum(p, axis=1, keepdims=True))[(...,) + (None,) * len(axes)]
        each = (sigma * sigma / total) * centre + (alpha * spread / total) * x
        return _like(xp.sum(p * each, axis=1), x_t)

    return denoise


def empirical(schedule: Schedule, data: npt.ArrayLike) -> Denoise:
    """The denoiser of the empirical law of `data`, host array of shape (n, *sample), sigma_t > 0.

    The denoiser that a network of unlimited capacity learns; its samples are the data themselves.
    """
    host = numbers("data", data)
    if host.ndim < 2 or host.shape[0] == 0:
        raise ValueError(f"data must have shape (n, *sample) with n >= 1, got {host.shape}")
    n = host.shape[0]
    return mixture(schedule, np.full(n, 1.0 / n).tolist(), host, 0.0)


def _prepared(
    schedule: Schedule, t_name: str, t: Any, name: str, x: Any, least: float
) -> tuple[Any, Level]:
    """x in at least float32 and the level of time t, checked; least: the smallest variance."""
    require_floating(name, x)
    require_time(t_name, t, name, x)
    xp = namespace(x)
    wide = xp.astype(x, xp.float64 if x.dtype == xp.float64 else xp.float32, copy=False)
    at = level(schedule, t, wide)
    if is_number(at.sigma) and at.sigma == least == 0.0:
        raise ValueError(f"{t_name} must have sigma > 0 where the variance is 0, got {t}")
    return wide, at


def _like(value: Any, like: Any) -> Any:
    return namespace(like).astype(value, like.dtype, copy=False)


def _host(name: str, value: Any, like: Any) -> Any:
    """A number as Python's; anything else as a constant beside `like`, which keeps its shape."""
    if is_number(value):
        return float(value)
    own = is_array(value) and library(value) == library(like)
    made = value if own else numbers(name, value)
    if not broadcasts(made.shape, like.shape):
        raise ValueError(
            f"{name} must broadcast against x_t, {tuple(like.shape)}, got {tuple(made.shape)}"
        )
    return constant(made, like)


def _least(name: str, variance: Any) -> float:
    """The least of the variances where the host can see them, else 1.

    ValueError that names them unless they are non-negative and finite.
    """
    values = visible(variance) if is_array(variance) else numbers(name, variance)
    if values is None or not values.size:
        return 1.0
    if not 0.0 <= values.min() <= values.max() < np.inf:
        raise ValueError(
            f"{name} must be non-negative and finite, got {values.min()}..{values.max()}"
            if values.size > 1
            else f"{name} must be non-negative and finite, got {values.item()}"
        )
    return float(values.min())
