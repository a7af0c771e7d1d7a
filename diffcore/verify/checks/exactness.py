"""Data that is always one point is recovered exactly: nothing is left to the steps' size.

With the denoiser m = x_0 and a start x_T = alpha_T x_0 + sigma_T eps,

    x_end = x_0                          where the grid ends at sigma = 0, noise or none,
    x_k   = alpha_k x_0 + sigma_k eps    at every observed state of a deterministic sampler.

x_0 is an image of random values in (-0.9, 0.9), which clipping to [-1, 1] leaves as it is. Where
the plan that a sampler claims to be is itself exact to its order only (Heun's method along a curved
velocity), the plan's own answer is asked for.
"""

from collections.abc import Iterator

import numpy as np

from ..._arrays import Host, to_host
from .. import reading
from ..outcome import Outcome
from ..reading import Reading
from ..rounding import closed_bound
from ..subject import Answer, Run, Sampler, Subject

IMAGE = (2, 3, 5, 4)
"""The shape of the batch of x_0."""


def exactness(subject: Subject) -> Iterator[Outcome]:
    """x_end = x_0; without noise x_k = alpha_k x_0 + sigma_k eps."""
    for sampler in subject.samplers:
        yield from point_mass(subject, sampler)
        yield from single_call(subject, sampler)


def point_mass(subject: Subject, sampler: Sampler) -> Iterator[Outcome]:
    """The outcome for each state of one sampler that is decided; see the module."""
    rng = np.random.default_rng(subject.seed)
    x_0, eps = rng.uniform(-0.9, 0.9, IMAGE), rng.standard_normal(IMAGE)
    alpha, sigma = sampler.schedule(sampler.grid[0])
    run = _run(subject, sampler, x_0, alpha * x_0 + sigma * eps)
    found = reading.closed_loop(sampler, subject.make, subject.dtypes[-1], 0.0)
    stochastic = found.noises.shape[1] > 0
    times = (*run.times, sampler.grid[-1])
    weights = _wanted(sampler, times)
    bounds = _bound(sampler, len(times), float(np.max(np.abs(eps))))
    size = float(np.max(np.abs(x_0)))
    last = len(times) - 1
    for k in range(1, len(times)):
        ends = k == last and sampler.schedule(times[k]).sigma == 0.0
        if stochastic and not ends:
            continue
        state = to_host(run.states[k]).astype(np.float64)
        error = np.abs(state - weights[k, 0] * x_0 - weights[k, 1] * eps)
        place = np.unravel_index(np.argmax(error), IMAGE)
        yield Outcome(
            error=float(error[place]),
            bound=float(bounds[k]) * max(size, 1.0),
            where=f"{'end' if k == last else f'call {k}'}, {sampler.label}: "
            f"{state[place]:.6g} where x_0 is {x_0[place]:.6g}",
            cause=_cause(state, x_0, eps, sampler, ends),
            at=k,
            axis=sampler.label,
        )


def single_call(subject: Subject, sampler: Sampler) -> Iterator[Outcome]:
    """A run of one call down to sigma = 0 ends in the denoised x_0, whatever it starts from."""
    if len(sampler.grid) != 2 or sampler.schedule(sampler.grid[-1]).sigma != 0.0:
        return
    rng = np.random.default_rng(subject.seed + 1)
    x_0, x = rng.uniform(-0.9, 0.9, IMAGE), rng.standard_normal(IMAGE)
    start = sampler.schedule(sampler.grid[0])
    run = _run(subject, sampler, x_0, x * start.sigma)
    if len(run.times) != 1:
        return
    bounds = _bound(sampler, 2, float(np.max(np.abs(x))))
    error = np.max(np.abs(to_host(run.states[-1]) - x_0))
    yield Outcome(
        error=float(error),
        bound=float(bounds[-1]),
        where=f"end of one call, {sampler.label}",
        cause="the last step to sigma = 0 is not the denoised x_0",
    )


def _run(subject: Subject, sampler: Sampler, x_0: Host, x: Host) -> Run:
    answer: Answer = lambda x_t, t, k: x_0  # noqa: E731
    return sampler.launch(answer, subject.make(x, subject.dtypes[-1]), subject.seed)


def _wanted(sampler: Sampler, times: tuple[float, ...]) -> Host:
    """The weights of x_0 and eps in each state; shape (observations, 2)."""
    start = sampler.schedule(sampler.grid[0])
    levels = np.array([sampler.schedule(t) for t in times], dtype=np.float64)
    plan = sampler.plan()
    if plan is not None:
        exact = reading.exact(plan, sampler, variance=0.0)
        if len(exact.states) == len(levels):
            return np.stack([exact.mean(start.alpha), exact.start * start.sigma], axis=1)
    return levels


def _bound(sampler: Sampler, observations: int, eps: float) -> Host:
    """How far rounding may move a state whose |x_0| is 1 and whose noises are `eps` at most."""
    start = sampler.schedule(sampler.grid[0])

    def mean(found: Reading) -> Host:
        return found.mean(start.alpha)

    def spread(found: Reading) -> Host:
        return found.deviation(start.sigma)

    bound: Host = closed_bound(sampler, mean, observations)
    return bound + max(eps, 6.0) * closed_bound(sampler, spread, observations)


def _cause(state: Host, x_0: Host, eps: Host, sampler: Sampler, ends: bool) -> str:
    """Which combination of x_0 and eps it is instead, if it is one."""
    basis = np.stack([x_0.ravel(), eps.ravel()], axis=1)
    weights, *_ = np.linalg.lstsq(basis, state.ravel(), rcond=None)
    if not np.all(np.isfinite(weights)):
        return "the state is not finite"
    rest = float(np.max(np.abs(basis @ weights - state.ravel())))
    if rest > sampler.epsilon**0.5 * (1.0 + float(np.max(np.abs(state)))):
        return f"noise of deviation {rest / 3.0:.2g} is left at the end" if ends else ""
    return f"the state is {weights[0]:.6g} x_0 + {weights[1]:.6g} eps"
