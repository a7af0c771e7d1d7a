"""The forward process and its posterior, for any two times s < t of any schedule.

With r = SNR_t / SNR_s in [0, 1):

    q(x_t | x_0)      = N(alpha_t x_0,            sigma_t^2)
    q(x_t | x_s)      = N((alpha_t / alpha_s) x_s, sigma_t^2 (1 - r))
    q(x_s | x_t, x_0) = N((alpha_s / alpha_t) r x_t + alpha_s (1 - r) x_0, sigma_s^2 (1 - r))

(Kingma et al. 2021, "Variational Diffusion Models", appendix A; for VP and s = t - 1 these are
eqs. 2, 4 and 6-7 of Ho et al. 2020.) 1 - r comes from expm1 of the log-SNR gap, so that nothing
cancels when s is close to t.

`schedule` is a schedule or its `Tables`. A time is a Python number, or an array of shape (batch,)
in the data's library. The data are floating arrays of any rank, leading axis the batch; results
keep their library, dtype and device.
"""

import math
from typing import Any, NamedTuple

from ._arguments import require_time
from ._arrays import (
    A,
    Array,
    constant,
    expand,
    is_array,
    is_number,
    linear_combination,
    namespace,
    require_floating,
    require_like,
    visible,
)
from .schedules import Level, Posterior, Schedule
from .schedules.level import require_schedule


class Gaussian(NamedTuple):
    """A diagonal Gaussian; mean and variance broadcast against the data."""

    mean: Any
    variance: Any


class Transition(NamedTuple):
    """q(x_t | x_s) = N(scale * x_s, variance), coefficients only."""

    scale: Any
    variance: Any


def level(schedule: Schedule, t: Any, like: Array) -> Level:
    """alpha and sigma of time t: Python floats, or arrays that broadcast against `like`."""
    require_schedule(schedule)
    alpha, sigma = _at(schedule, t, like)
    return Level(expand(alpha, like), expand(sigma, like))


def q_sample(schedule: Schedule, x_0: A, t: Any, eps: A) -> A:
    """x_t = alpha_t x_0 + sigma_t eps (Ho et al. 2020, eq. 4).

    x_0, eps: floating arrays of one shape (batch, ...) and dtype; the result is like them. Raises
    TypeError or ValueError that names the argument.
    """
    require_floating("x_0", x_0)
    require_like("eps", eps, "x_0", x_0)
    require_time("t", t, "x_0", x_0)
    return linear_combination(level(schedule, t, x_0), (x_0, eps))


def q_mean_variance(schedule: Schedule, x_0: Array, t: Any) -> Gaussian:
    """The mean, of x_0's shape, and the variance of q(x_t | x_0)."""
    require_floating("x_0", x_0)
    require_time("t", t, "x_0", x_0)
    alpha, sigma = level(schedule, t, x_0)
    return Gaussian(alpha * x_0, _as_array(sigma * sigma, x_0))


def q_transition(schedule: Schedule, x_s: Array, s: Any, t: Any) -> Gaussian:
    """The mean, of x_s's shape, and the variance of q(x_t | x_s), s < t."""
    require_floating("x_s", x_s)
    require_time("s", s, "x_s", x_s)
    require_time("t", t, "x_s", x_s)
    scale, variance = transition(schedule, s, t, x_s)
    return Gaussian(expand(scale, x_s) * x_s, _as_array(variance, x_s))


def q_posterior(schedule: Schedule, x_0: A, x_t: A, t: Any, s: Any = None) -> Gaussian:
    """The mean, of x_0's shape, and the variance of q(x_s | x_t, x_0), s < t.

    s defaults to t - 1 on a discrete schedule, answered from its own tables (Ho et al. 2020,
    eq. 7); a continuous schedule needs it, ValueError otherwise.
    """
    require_floating("x_0", x_0)
    require_like("x_t", x_t, "x_0", x_0)
    require_time("t", t, "x_0", x_0)
    if s is not None:
        require_time("s", s, "x_0", x_0)
    at_x_0, at_x_t, variance = (expand(c, x_0) for c in posterior(schedule, t, s, x_0))
    return Gaussian(linear_combination((at_x_0, at_x_t), (x_0, x_t)), _as_array(variance, x_0))


def transition(schedule: Schedule, s: Any, t: Any, like: Array | None = None) -> Transition:
    """The coefficients of q(x_t | x_s); Python floats for numbers, else shape (batch,).

    Raises ValueError where alpha_s is seen to be 0, which a schedule can be too long for.
    """
    require_schedule(schedule)
    rest = one_minus_snr_ratio(schedule, s, t, like)  # First, since it says which time is wrong.
    source, target = _at(schedule, s, like), _at(schedule, t, like)
    return Transition(_kept(source, target, s), target.sigma * target.sigma * rest)


def posterior(schedule: Schedule, t: Any, s: Any = None, like: Array | None = None) -> Posterior:
    """The coefficients of q(x_s | x_t, x_0); Python floats for numbers, else shape (batch,).

    At alpha_t = 0 the coefficient of x_t is 0; at sigma_s = 0 the posterior is the point x_0.
    Raises ValueError where s is given and alpha_s is seen to be 0.
    """
    require_schedule(schedule)
    if s is None:
        return schedule.posterior_step(t, like)
    rest = one_minus_snr_ratio(schedule, s, t, like)  # First, since it says which time is wrong.
    source, target = _at(schedule, s, like), _at(schedule, t, like)
    ratio = source.sigma / target.sigma
    return Posterior(
        source.alpha * rest,
        # (alpha_s / alpha_t) r with alpha_t cancelled, since it may be 0.
        _kept(source, target, s) * ratio * ratio,
        source.sigma * source.sigma * rest,
    )


def one_minus_snr_ratio(schedule: Schedule, s: Any, t: Any, like: Array | None = None) -> Any:
    """1 - SNR_t / SNR_s in (0, 1], for s < t. Raises ValueError where numbers s >= t are seen."""
    _require_below(s, t)
    if is_number(s) and is_number(t):
        gap = schedule.log_snr_gap(s, t)
        if is_number(gap):
            return -math.expm1(-gap)
    else:
        gap = schedule.log_snr_gap(s, t, like)
    xp = namespace(gap)
    rest = -xp.expm1(-gap)
    return rest if like is None else xp.astype(rest, like.dtype, copy=False)


def _kept(source: Level, target: Level, s: Any) -> Any:
    """alpha_t / alpha_s."""
    if is_number(source.alpha) and source.alpha == 0.0:
        raise ValueError(f"s must be a time that has signal left, got {s}, where alpha is 0")
    return target.alpha / source.alpha


def _as_array(value: Any, like: Array) -> Any:
    """`value` as an array that broadcasts against `like`."""
    if is_number(value):
        return constant(value, like)[(None,) * like.ndim]
    return expand(value, like)


def _at(schedule: Schedule, t: Any, like: Array | None) -> Level:
    # PyTorch 2.6 compiles the call of tables by this name alone.
    return schedule.__call__(t, like)


def _require_below(s: Any, t: Any) -> None:
    """TypeError where one is no time, ValueError where s >= t can be seen."""
    for name, time in (("s", s), ("t", t)):
        if not is_number(time) and not is_array(time):
            raise TypeError(f"{name} must be a number or an array, got {time!r}")
    low, high = (time if is_number(time) else visible(time) for time in (s, t))
    if low is None or high is None:
        return
    below = low < high
    if not (below if isinstance(below, bool) else below.all()):
        raise ValueError(f"s must be below t, got s = {s}, t = {t}")
