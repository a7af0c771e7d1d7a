"""How far rounding may move what is read of a sampler.

The exact plan is run again with its levels, and each denoised x_0, off by the target's epsilon in
random directions. The largest of a few such runs, times a safety factor, is what rounding explains;
what is off by more is another formula.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from .. import samplers
from .._arrays import Host
from ..plan import Plan
from ..schedules import DiscreteSchedule
from . import reading
from .claims import claim
from .levels import rounded
from .reading import Reading
from .subject import Sampler

SAFETY = 16.0
"""How many times the largest of `SEEDS` random roundings is allowed."""

SEEDS = 4


def open_bound(exact: Plan, sampler: Sampler) -> Host:
    """How far each observed state's weights may be off those of a plan; shape (observations,).

    What rounding explains is that of the sampler's own plan, whichever it is compared with.
    """
    own = sampler.plan() or exact
    wanted = reading.exact(own, sampler).states
    epsilon = _epsilon(own, sampler)
    moved = np.zeros(len(wanted))
    for seed in range(SEEDS):
        states = _blurred(sampler, epsilon, seed, None).states
        if states.shape == wanted.shape:
            moved = np.maximum(moved, np.max(np.abs(states - wanted), axis=1))
    bound = _safe(np.maximum(moved, epsilon * np.max(np.abs(wanted), axis=1)))
    observations = exact.evaluations + 1
    return bound if len(bound) == observations else np.full(observations, np.max(bound))


def time_bound(exact: Plan, sampler: Sampler) -> Host:
    """How far the time of each call may be off; shape (calls,)."""
    wanted = np.array(reading.exact(exact, sampler).times)
    epsilon = _epsilon(exact, sampler)
    moved = epsilon * np.abs(wanted)
    for seed in range(SEEDS):
        times = np.array(_blurred(sampler, epsilon, seed, None).times)
        moved = np.maximum(moved, np.abs(times - wanted))
    bound: Host = SAFETY * moved
    return bound


def closed_bound(
    sampler: Sampler, of: Callable[[Reading], Host], observations: int, variance: float = 0.0
) -> Host:
    """How far a figure of the closed loop with N(mu, variance) may be off at each observation."""
    if sampler.claim is None and observations > len(sampler.grid):
        # More calls than steps: it divides by the level that a step goes to, as Heun's method does.
        sampler = replace(sampler, claim=claim("heun"))
    plan = sampler.plan() or samplers.ddim(sampler.schedule, sampler.grid)
    exact = reading.exact(plan, sampler, variance=variance)
    wanted = of(exact)
    epsilon = _epsilon(plan, sampler)
    more = np.append(1.0, _own_betas(sampler, exact.times))
    moved = epsilon * np.abs(wanted) * (more if len(more) == len(wanted) else np.max(more))
    for seed in range(SEEDS):
        blurred = of(_blurred(sampler, epsilon, seed, variance))
        moved = np.maximum(moved, np.abs(blurred - wanted))
    bound = _safe(moved)
    return bound if len(bound) == observations else np.full(observations, np.max(bound))


def _safe(moved: Host) -> Host:
    """What is lost once stays lost."""
    bound: Host = SAFETY * np.maximum.accumulate(moved)
    return bound


def _epsilon(plan: Plan, sampler: Sampler) -> float:
    """The epsilon of the levels that the steps use.

    The noise that a step adds is usually the difference of squared levels, which loses as many
    digits as the square of their ratio has; DDPM's is a product of ratios, which loses none.
    """
    if not plan.stochastic or plan.name == "ddpm":
        return sampler.epsilon
    levels = [sampler.schedule(t) for t in sampler.grid]
    ratios: list[float] = [
        (a.sigma * b.alpha) / (b.sigma * a.alpha)
        for a, b in pairwise(levels)
        if a.alpha > 0.0 and b.sigma > 0.0
    ]
    # Half of the digits are always left: no other formula hides behind a long step.
    return min(sampler.epsilon * max([1.0, *ratios]) ** 2, math.sqrt(sampler.epsilon))


def _own_betas(sampler: Sampler, times: Sequence[float]) -> Host:
    """How much more than epsilon a step from each of the times may lose to the table of betas.

    A posterior mean of beta, alpha_bar and 1 - alpha_bar has weights that fit each other only as
    far as these three, rounded one by one, do: to epsilon / (1 - alpha_bar).
    """
    ddpm = sampler.claim is None or sampler.claim.name == "ddpm"
    if not (ddpm and isinstance(sampler.schedule, DiscreteSchedule)):
        return np.ones(len(times))
    rests = np.array([sampler.schedule(t).sigma ** 2 for t in times])
    more: Host = np.maximum(0.25 / np.maximum(rests, sampler.epsilon), 1.0)
    return more


def _blurred(sampler: Sampler, epsilon: float, seed: int, variance: float | None) -> Reading:
    """The reading of the plan as rounded arithmetic has it; DDIM's where nothing is claimed."""
    schedule, grid = rounded(sampler.schedule, sampler.grid, epsilon, seed)
    planner = samplers.ddim if sampler.claim is None else sampler.claim.planner
    plan = planner(schedule, grid)
    return reading.exact(plan, sampler, variance=variance, blur=epsilon, seed=seed)
