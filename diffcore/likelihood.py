"""How likely data are: the variational bound, and the probability flow's log density.

    -log p(x_0) <= L_0 + sum_s L_s + L_T                        Ho et al. 2020, eq. 5

    log p_s(x_s) = log p_t(x_t) + int_s^t div(dx / dt) dt       Song et al. 2021, eq. 39

The terms of the bound are those of `losses`. For the flow let k^2 = alpha^2 + sigma^2, u = x / k
and d be the number of a sample's elements. With m the denoiser's output and rho = alpha / sigma

    d(x / sigma) / drho = m           d log p(u) / drho = sigma (alpha d / k^2 - tr dm/dx)

so that sigma log p(u) is one more element of x and the right-hand side one more of m: whatever
solves the flow, a `Plan` or an adaptive solver, integrates the log density along, at its own order.
Data of unit variance on a variance-preserving schedule have a right-hand side of 0.

The trace of the denoiser's Jacobian comes from a `Pullback`, which differentiation gives.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic

import numpy as np

from ._arguments import function, positive
from ._arrays import (
    A,
    constant,
    is_array,
    is_number,
    namespace,
    require_floating,
    require_like,
    sum_per_sample,
)
from .gaussians import discretised_log_likelihood, log_density
from .losses import l_T, learned_variance, vlb_term
from .losses.variational import Likelihood, Variance
from .noise import Noise
from .plan import Denoise, Denoised, Plan, sample
from .predictions import X_0
from .process import q_sample
from .schedules import DiscreteSchedule, Schedule
from .times import every

Pullback = Callable[[Any, float], tuple[Any, Callable[[Any], Any]]]
"""pullback(x_t, t) -> (x_0, vjp), with vjp(v) = v^T dx_0/dx_t for each sample; of x_t's shape.

`diffcore_torch.divergence.through(denoise)` makes one; in JAX it is `jax.vjp` of the denoiser.
"""

Divergence = Callable[[Any, float], tuple[Any, Any]]
"""divergence(x_t, t) -> (x_0, the trace of each sample's dx_0/dx_t), the second of shape (batch,).
"""

Solve = Callable[[Denoise, Any], Any]
"""solve(denoise, x) -> the state at the other end of the flow."""


@dataclass(frozen=True, kw_only=True)
class Bound(Generic[A]):
    """The terms of the bound, in bits per dimension.

    terms: shape (steps, batch), in the order of the times, from noise to data; the last is L_0.
    prior: L_T, shape (batch,).
    """

    terms: A
    prior: A

    @property
    def total(self) -> A:
        """The bound on -log p(x_0) of each sample, shape (batch,)."""
        total: A = self.prior + namespace(self.terms).sum(self.terms, axis=0)
        return total


@dataclass(frozen=True, kw_only=True)
class Flow(Generic[A]):
    """log_density: log p(x) of each sample in nats, shape (batch,). end: where the flow takes x."""

    log_density: A
    end: A


def variational_bound(
    schedule: Schedule,
    denoise: Denoise,
    x_0: A,
    noise: Noise,
    *,
    times: Sequence[float] | None = None,
    variance: Variance = "small",
    likelihood: Likelihood = discretised_log_likelihood,
    prior_variance: float | None = None,
) -> Bound[A]:
    """Every term of the bound, each at one x_t = alpha x_0 + sigma eps of its own.

    x_0: floating array (batch, ...). times: descending to sigma = 0; by default all T of a discrete
    schedule. noise: called as noise(x_0, k) for term k, from 0. The mean over the noise is the
    bound. variance, prior_variance and likelihood are those of `losses`; a denoiser that returns
    `Denoised` has a variance of its own. A threshold in the denoiser belongs to the bound's p too.

    Raises TypeError or ValueError that names the argument.
    """
    require_floating("x_0", x_0)
    function("denoise", denoise)
    function("noise", noise, "noise.as_noise(0)")
    grid = _grid(schedule, times)
    terms = []
    for k, (t, s) in enumerate(pairwise(grid)):
        # The table of the step from t = 1 clips its variance as Nichol and Dhariwal's does.
        end = None if isinstance(schedule, DiscreteSchedule) and s == t - 1 else s
        x_t = q_sample(schedule, x_0, t, noise(x_0, k))
        output, each = denoise(x_t, t), variance
        if isinstance(output, Denoised):
            output, fraction = output
            each = learned_variance(schedule, fraction, t, end)
        terms.append(vlb_term(schedule, X_0, output, x_0, x_t, t, end, each, likelihood))
    return Bound(
        terms=namespace(x_0).stack(terms), prior=l_T(schedule, x_0, grid[0], prior_variance)
    )


def flow_log_likelihood(
    schedule: Schedule,
    divergence: Divergence,
    plan: Plan,
    x: A,
    log_prior: Callable[[A], A] | None = None,
) -> Flow[A]:
    """log p_s(x) of data x at the plan's first time s, by the flow along the plan to its last.

    plan: deterministic, as `samplers.runge_kutta` makes it over ascending times; the error falls at
    its order. x: floating array (batch, ...) at time s, where sigma > 0. For x_0 itself take
    x = alpha_s x_0 and add d log alpha_s: p_s is the data's density blurred with sigma_s, which a
    smooth one feels as sigma_s^2. log_prior(x_t) -> (batch,): by default that of
    N(0, alpha_t^2 + sigma_t^2).

    Raises TypeError or ValueError that names the argument.
    """
    if not plan.stages or plan.stochastic:
        raise ValueError(f"plan must have stages and draw no noise, got {plan.name!r}")
    if plan.batch is not None:
        raise ValueError(f"plan must be one for all samples, got a stack of {plan.batch}")

    def solve(denoise: Denoise, state: Any) -> Any:
        return sample(denoise, plan, state)

    s, t = plan.stages[0].time, plan.stages[-1].time_next
    return solved_log_likelihood(schedule, divergence, x, s, t, solve, log_prior)


def solved_log_likelihood(
    schedule: Schedule,
    divergence: Divergence,
    x: A,
    s: float,
    t: float,
    solve: Solve,
    log_prior: Callable[[A], A] | None = None,
) -> Flow[A]:
    """The same by any solver of the flow from time s to time t, such as `adaptive.dpm_adaptive`.

    solve: given a denoiser of states (batch, d + 1), the last element the log density's, and the
    state at time s, returns the state at time t.
    """
    require_floating("x", x)
    function("divergence", divergence)
    xp, shape = namespace(x), tuple(x.shape)
    d = math.prod(shape[1:])
    start, end = schedule(s), schedule(t)
    for name, level, time in (("s", start, s), ("t", end, t)):
        if level.sigma == 0.0:
            raise ValueError(f"{name} must be a time with sigma above 0, got {time}")

    def denoise(state: Any, time: float, /) -> Any:
        x_t = xp.reshape(state[:, :d], shape)
        x_0, trace = divergence(x_t, time)
        require_like("divergence's x_0", x_0, "x", x_t)
        require_like("divergence's trace", trace, "one number for each sample", state[:, d])
        alpha, sigma = schedule(time)
        change = sigma * (d * alpha / (alpha * alpha + sigma * sigma) - trace)
        return xp.concat([xp.reshape(x_0, (shape[0], d)), change[:, None]], axis=1)

    flat = xp.reshape(x, (shape[0], d))
    state = solve(denoise, xp.concat([flat, 0.0 * flat[:, :1]], axis=1))
    last = xp.reshape(state[:, :d], shape)
    if log_prior is None:
        of_last = sum_per_sample(log_density(last, 0.0, end.alpha**2 + end.sigma**2))
    else:
        of_last = log_prior(last)
        require_like("log_prior's result", of_last, "one number for each sample", state[:, d])
    stretch = d * math.log(math.hypot(*end) / math.hypot(*start))
    return Flow(log_density=of_last - state[:, d] / end.sigma + stretch, end=last)


def exact_divergence(pullback: Pullback) -> Divergence:
    """The trace itself, by as many vector-Jacobian products as a sample has elements."""
    function("pullback", pullback)

    def divergence(x: Any, t: float) -> tuple[Any, Any]:
        xp, shape = namespace(x), tuple(x.shape)
        d = math.prod(shape[1:])
        x_0, vjp = pullback(x, t)
        total: Any = 0.0
        for i in range(d):
            row = np.zeros(d)
            row[i] = 1.0
            unit = xp.broadcast_to(constant(row.reshape(1, *shape[1:]), x), shape)
            total = total + xp.reshape(vjp(unit), (shape[0], d))[:, i]
        return x_0, total

    return divergence


def hutchinson(pullback: Pullback, probes: Sequence[Any]) -> Divergence:
    """The mean of v^T (dx_0/dx_t) v over `probes` v, an unbiased estimate of the trace.

    probes: arrays of x's shape and dtype with E[v v^T] = 1: normal noise, or `rademacher`'s, which
    errs less. They stay the same along the flow (Grathwohl et al. 2019, "FFJORD", section 3.1), so
    that a solver sees a smooth right-hand side; the log density is unbiased with them.
    """
    function("pullback", pullback)
    if is_array(probes):
        raise TypeError("probes must be a sequence of arrays, got an array")
    if not probes:
        raise ValueError("probes must hold at least one array, got none")

    def divergence(x: Any, t: float) -> tuple[Any, Any]:
        x_0, vjp = pullback(x, t)
        total: Any = 0.0
        for v in probes:
            require_like("probes", v, "x", x)
            total = total + sum_per_sample(v * vjp(v))
        return x_0, total / len(probes)

    return divergence


def rademacher(noise: Noise, like: A, count: int = 1) -> tuple[A, ...]:
    """`count` probes of signs like `like`: the signs of noise(like, k), k from 0."""
    function("noise", noise, "noise.as_noise(0)")
    xp = namespace(like)
    one = xp.ones_like(like)
    return tuple(xp.where(noise(like, k) < 0.0, -one, one) for k in range(count))


def bits_per_dimension(log_density: A, dimensions: int, bin_width: float = 2.0 / 255.0) -> A:
    """-log2 of a density times the volume of a bin, over the number of dimensions.

    Of data spread evenly over their bins (uniform dequantisation; Theis et al. 2016, section 3.1)
    its mean is at least -log2 of the probability of the bins themselves. The default is that of 256
    levels in [-1, 1].
    """
    nats = positive("dimensions", dimensions) * math.log(2.0)
    return (-1.0 / nats) * log_density - math.log2(positive("bin_width", bin_width))  # type: ignore[no-any-return]


def _grid(schedule: Schedule, times: Sequence[float] | None) -> tuple[float, ...]:
    if times is None:
        if not isinstance(schedule, DiscreteSchedule):
            raise ValueError("times must be given for a continuous schedule")
        return every(schedule)
    grid = tuple(times)
    if not all(map(is_number, grid)):
        raise TypeError(f"times must be numbers, got {grid}")
    if len(grid) < 2 or not all(t > s for t, s in pairwise(grid)):
        raise ValueError(f"times must descend strictly, got {grid}")
    if schedule(grid[-1]).sigma != 0.0:
        raise ValueError(f"times must end where sigma is 0, got {grid[-1]}")
    return grid
