"""The variational bound, term by term, in bits per dimension.

    -log p(x_0) <= E_q[ L_0 + sum_{t > 1} L_{t-1} + L_T ]

    L_T     = KL(q(x_T | x_0) || p(x_T))
    L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))
    L_0     = -log p(x_0 | x_1)

with p(x_s | x_t) = N(mean of q(x_s | x_t, x_0 = the network's), variance). Ho et al. 2020, eq. 5;
any s < t here. All terms have shape (batch,): the mean over a sample's elements, over log 2.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from .._arguments import positive, require_time
from .._arrays import (
    Array,
    expand,
    is_array,
    is_number,
    linear_combination,
    mean_per_sample,
    namespace,
    require_floating,
    require_library,
    require_like,
)
from ..gaussians import discretised_log_likelihood, kl
from ..predictions import Prediction, require_prediction
from ..process import level, posterior
from ..schedules import Schedule
from ._wide import widen
from .variances import log_variances

Variance: TypeAlias = Literal["small", "large"] | float | Array
"""The variance of p(x_s | x_t): an end of its range, a number, or an array (batch,) or like x_0."""

Likelihood: TypeAlias = Callable[[Any, Any, Any], Any]
"""likelihood(x, mean, variance) -> log p(x) elementwise, in nats."""


def l_T(schedule: Schedule, x_0: Array, t: Any, prior_variance: float | None = None) -> Any:
    """KL(q(x_t | x_0) || N(0, prior_variance)) at the last time t, in bits per dimension.

    prior_variance: by default alpha_t^2 + sigma_t^2, which is 1 for a variance-preserving schedule.
    """
    require_floating("x_0", x_0)
    require_time("t", t, "x_0", x_0)
    if prior_variance is not None:
        prior_variance = positive("prior_variance", prior_variance)
    (wide,) = widen(x_0)
    alpha, sigma = level(schedule, t, wide)
    mean, variance = alpha * wide, sigma * sigma
    prior = alpha * alpha + variance if prior_variance is None else prior_variance
    return _bits(kl(mean, variance, 0.0, prior), x_0)


def l_t(
    schedule: Schedule,
    predicts: Prediction,
    output: Array,
    x_0: Array,
    x_t: Array,
    t: Any,
    s: Any = None,
    variance: Variance = "small",
) -> Any:
    """L_s = KL(q(x_s | x_t, x_0) || p(x_s | x_t)), sigma_s > 0, in bits per dimension.

    s: by default t - 1 on a discrete schedule. output, x_0, x_t: floating arrays of one shape
    (batch, ...) and dtype. At sigma_s = 0 (t = 1) the posterior is a point: ValueError for a number
    t, inf in an array; `l_0` is what belongs there.
    """
    step = _step(schedule, predicts, output, x_0, x_t, t, s, variance)
    if step.last is True:
        raise ValueError(f"t must be above 1, or sigma_s above 0, for L_(t-1): got t = {t}")
    result = _kl(step)
    if step.last is not False:
        xp = namespace(result)
        result = xp.where(step.last, xp.full_like(result, math.inf), result)
    return result


def l_0(
    schedule: Schedule,
    predicts: Prediction,
    output: Array,
    x_0: Array,
    x_t: Array,
    t: Any = 1,
    s: Any = None,
    variance: Variance = "small",
    likelihood: Likelihood = discretised_log_likelihood,
) -> Any:
    """L_0 = -log p(x_0 | x_t), for a step that ends at sigma_s = 0, in bits per dimension.

    likelihood: by default the mass of x_0's bin among 256 levels in [-1, 1] (Ho et al. 2020,
    eq. 13); `functools.partial` of it for other bins, `gaussians.log_density` for continuous data.
    ValueError where numbers t, s end at sigma_s > 0.
    """
    step = _step(schedule, predicts, output, x_0, x_t, t, s, variance)
    if step.last is False:
        raise ValueError(f"t must be 1, or sigma_s be 0, for L_0: got t = {t}, s = {s}")
    return _negative_log_likelihood(step, likelihood)


def vlb_term(
    schedule: Schedule,
    predicts: Prediction,
    output: Array,
    x_0: Array,
    x_t: Array,
    t: Any,
    s: Any = None,
    variance: Variance = "small",
    likelihood: Likelihood = discretised_log_likelihood,
) -> Any:
    """Each sample's own term: L_0 where sigma_s = 0 (t = 1), else L_{t-1}; in bits per dimension.

    T times its mean over uniform t, plus L_T, is an unbiased estimate of the bound.
    """
    step = _step(schedule, predicts, output, x_0, x_t, t, s, variance)
    if step.last is True:
        return _negative_log_likelihood(step, likelihood)
    if step.last is False:
        return _kl(step)
    xp = namespace(x_0)
    return xp.where(step.last, _negative_log_likelihood(step, likelihood), _kl(step))


def posterior_mean_kl(
    schedule: Schedule,
    predicts: Prediction,
    output: Array,
    x_0: Array,
    x_t: Array,
    t: Any,
    variance: Variance = "small",
    s: Any = None,
) -> Any:
    """L_mu = |posterior mean - network's mean|^2 / (2 variance), averaged over elements, in nats.

    The KL between two Gaussians that share a fixed variance (Ho et al. 2020, eq. 8). It equals
    L_{t-1} for the small variance up to the factor log 2, and differs by a constant for others;
    finite at t = 1, where the small variance is clipped as `log_variances` says. Shape (batch,).
    """
    step = _step(schedule, predicts, output, x_0, x_t, t, s, variance)
    return _mean(step.offset * (step.offset / (2.0 * step.variance)), x_0)


class _Step(NamedTuple):
    """The step from t to s as the bound sees it; arrays in at least float32.

    last: whether sigma_s = 0: a bool for number times, else an array of bools.
    """

    like: Any
    x_0: Any
    offset: Any
    mean: Any
    posterior_variance: Any
    variance: Any
    last: Any


def _step(
    schedule: Schedule,
    predicts: Prediction,
    output: Array,
    x_0: Array,
    x_t: Array,
    t: Any,
    s: Any,
    variance: Variance,
) -> _Step:
    require_prediction(predicts)
    require_floating("x_0", x_0)
    require_like("x_t", x_t, "x_0", x_0)
    require_like("output", output, "x_0", x_0)
    _require_variance(variance, x_0)
    require_time("t", t, "x_0", x_0)
    if s is not None:
        require_time("s", s, "x_0", x_0)
    wide_output, data, state = widen(output, x_0, x_t)
    guess = predicts.x_0(schedule, wide_output, state, t)
    at_x_0, at_x_t, _ = (expand(c, guess) for c in posterior(schedule, t, s, guess))
    low, high = log_variances(schedule, t, guess, s)
    if isinstance(variance, str):
        fixed = _exp(low if variance == "small" else high)
    else:
        fixed = variance if is_number(variance) else expand(widen(cast(Array, variance))[0], guess)
    end = t if s is None else s
    last = t == 1 if s is None else schedule(s, guess).sigma == 0.0
    return _Step(
        like=x_0,
        x_0=data,
        # The difference of the two means, in which the part of x_t cancels exactly.
        offset=at_x_0 * (data - guess),
        mean=linear_combination((at_x_0, at_x_t), (guess, state)),
        posterior_variance=_exp(low),
        variance=fixed,
        last=last if is_array(end) else bool(last),
    )


def _require_variance(variance: Any, x_0: Array) -> None:
    if is_number(variance):
        positive("variance", variance)
    elif is_array(variance):
        require_floating("variance", variance)
        require_library("variance", variance, "x_0", x_0)
        if variance.ndim not in (1, x_0.ndim) or variance.shape[0] != x_0.shape[0]:
            raise ValueError(
                f"variance must have shape ({x_0.shape[0]},) or {tuple(x_0.shape)}, "
                f"got {tuple(variance.shape)}"
            )
    elif variance not in ("small", "large"):
        raise ValueError(
            f"variance must be 'small', 'large', a number or an array, got {variance!r}"
        )


def _kl(step: _Step) -> Any:
    return _bits(kl(step.offset, step.posterior_variance, 0.0, step.variance), step.like)


def _negative_log_likelihood(step: _Step, likelihood: Likelihood) -> Any:
    if not callable(likelihood):
        raise TypeError(f"likelihood must be callable, got {likelihood!r}")
    return _bits(-likelihood(step.x_0, step.mean, step.variance), step.like)


def _exp(x: Any) -> Any:
    return math.exp(x) if is_number(x) else namespace(x).exp(x)


def _mean(nats: Any, like: Array) -> Any:
    return namespace(like).astype(mean_per_sample(nats), like.dtype, copy=False)


def _bits(nats: Any, like: Array) -> Any:
    return _mean(nats / math.log(2.0), like)
