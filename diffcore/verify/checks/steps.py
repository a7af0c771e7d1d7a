"""Checks of a sampler's steps, from its linear map.

With x_0 always the same (a point mass) the exact denoiser says x_0 in every step, and each state
must be alpha x_0 + sigma noise:

    mean:      w(x_T) alpha_T + w(x_0) = alpha_k
    variance:  w(x_T)^2 sigma_T^2 + sum_j w(z_j)^2 = sigma_k^2

at the level (alpha_k, sigma_k) of the time that the network is told; or what the sampler that it
claims to be makes of them, or DDPM with the large variance where it is that. The weights themselves
are compared with those of the exact plan of what the sampler claims to be.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from ..._arrays import Host
from ...plan import Plan
from ...schedules import DiscreteSchedule
from .. import coefficients, reading
from ..claims import Claim, claim
from ..coefficients import Coefficients
from ..diagnosis import diagnosed
from ..outcome import Outcome
from ..reading import Reading
from ..rounding import SAFETY, closed_bound, open_bound, time_bound
from ..subject import Sampler, Subject

NEAR = 0.02
"""A state is at a level if it is off by less than that share of the way to the next."""

SMALL, LARGE = claim("ddpm"), claim("ddpm", variance="large")


def calls(subject: Subject) -> Iterator[Outcome]:
    """The network is told the time of the state that it is given."""
    for sampler in subject.samplers:
        plan = sampler.plan()
        told = reading.open_loop(sampler, subject.make, subject.dtypes[-1]).times
        if plan is None and len(told) != len(sampler.grid) - 1:
            continue
        wanted = sampler.grid[:-1] if plan is None else reading.exact(plan, sampler).times
        if len(told) != len(wanted):
            yield Outcome(
                error=abs(len(told) - len(wanted)),
                bound=0.0,
                where=sampler.label,
                cause=f"calls the network {len(told)} times, the plan {len(wanted)} times",
            )
            continue
        if plan is None:
            bounds = SAFETY * sampler.epsilon * np.abs(wanted)
        else:
            bounds = time_bound(plan, sampler)
        for k, (has, should) in enumerate(zip(told, wanted, strict=True)):
            yield Outcome(
                error=abs(has - should),
                bound=float(bounds[k]),
                where=f"call {k}, {sampler.label}: time {has:.6g} for {should:.6g}",
                cause=_off_by(told, wanted),
                at=k,
                axis=sampler.label,
            )


def mean(subject: Subject) -> Iterator[Outcome]:
    """w(x_T) alpha_T + w(x_0) = alpha_k, or what the claimed sampler makes of it."""
    yield from _point_mass(
        subject, lambda level: level.alpha, lambda found, start: found.mean(start.alpha), "x_0"
    )


def variance(subject: Subject) -> Iterator[Outcome]:
    """w(x_T)^2 sigma_T^2 + sum_j w(z_j)^2 = sigma_k^2, or what the claimed sampler makes of it."""
    yield from _point_mass(
        subject,
        lambda level: level.sigma,
        lambda found, start: found.deviation(start.sigma),
        "deviation",
    )


def plan(subject: Subject) -> Iterator[Outcome]:
    """Every weight is that of the exact plan."""
    for sampler in subject.samplers:
        exact = sampler.plan()
        if exact is not None:
            found = reading.open_loop(sampler, subject.make, subject.dtypes[-1])
            yield from held(found, exact, sampler)


def held(found: Reading, exact: Plan, sampler: Sampler) -> Iterator[Outcome]:
    """The outcomes of a reading beside the plan it claims, with the cause where one fails."""
    outcomes, exact = _nearest(found, exact, sampler)
    cause = "" if all(o.holds for o in outcomes) else diagnosed(found, exact, sampler)
    table = _table(found, exact, outcomes, sampler)
    yield from (replace(_because(o, cause), coefficients=table) for o in outcomes)


def _nearest(found: Reading, exact: Plan, sampler: Sampler) -> tuple[list[Outcome], Plan]:
    """Beside a plan, and which: the exact one, or the formula as published, if that holds and is
    of its order.
    """
    outcomes = list(against(found, exact, sampler))
    published = sampler.claim and sampler.claim.published()
    if published is not None and not all(o.holds for o in outcomes):
        other = published.planner(sampler.schedule, sampler.grid)
        others = list(against(found, other, replace(sampler, claim=published)))
        if other.order == exact.order and all(o.holds for o in others):
            return others, other
    return outcomes, exact


def against(found: Reading, exact: Plan, sampler: Sampler) -> Iterator[Outcome]:
    """The outcome for each observed state of a reading beside a plan."""
    wanted = reading.exact(exact, sampler)
    if found.states.shape != wanted.states.shape:
        yield Outcome(
            error=1.0,
            bound=0.0,
            where=sampler.label,
            cause=_counts(found, wanted),
        )
        return
    error = np.abs(found.states - wanted.states)
    bounds = open_bound(exact, sampler)
    for k in range(1, len(error)):
        column = int(np.argmax(error[k]))
        yield Outcome(
            error=float(error[k, column]),
            bound=float(bounds[k]),
            where=f"step {k - 1}, weight of {_named(column, found)}, {sampler.label}: "
            f"{found.states[k, column]:.6g} for {wanted.states[k, column]:.6g}",
            at=k,
            axis=sampler.label,
        )


def _table(found: Reading, exact: Plan, outcomes: list[Outcome], sampler: Sampler) -> Coefficients:
    """The weights beside the exact ones; the outcomes are one for each state after the first."""
    wanted = reading.exact(exact, sampler)
    alike = found.states.shape == wanted.states.shape
    bounds = [0.0, *(o.bound for o in outcomes)] if alike else [0.0] * len(found.states)
    states = wanted.states if alike else None
    return coefficients.beside(sampler.label, found.states, states, bounds, found.outputs)


def _counts(found: Reading, wanted: Reading) -> str:
    """How the calls and the noises of two readings differ, in words."""
    more = found.noises.shape[1] - wanted.noises.shape[1]
    late = np.flatnonzero(np.any(found.noises[:-1] != 0.0, axis=0))
    if found.outputs == wanted.outputs and more == 1 == found.noises.shape[1] - len(late):
        return "it adds noise in its last step, which the plan does not"
    return (
        f"it makes {found.outputs} calls and draws {found.noises.shape[1]} noises, "
        f"the plan {wanted.outputs} and {wanted.noises.shape[1]}"
    )


def _point_mass(
    subject: Subject,
    part: Callable[..., float],
    of: Callable[..., Host],
    name: str,
) -> Iterator[Outcome]:
    for sampler in subject.samplers:
        start = sampler.schedule(sampler.grid[0])
        found = reading.closed_loop(sampler, subject.make, subject.dtypes[-1], 0.0)
        times = (*found.times, sampler.grid[-1])
        wanted = np.array([part(sampler.schedule(t)) for t in times])
        note = ""
        if sampler.claim is None and _is_large(subject, sampler):
            sampler = replace(sampler, claim=LARGE)
            if name == "deviation":
                note = "its noise has the variance beta, with which DDPM's marginals are not exact"
        exact = sampler.plan()
        if exact is not None:
            claimed = of(reading.exact(exact, sampler, variance=0.0), start)
            if len(claimed) == len(wanted):
                wanted = claimed
        has = of(found, start)
        bounds = closed_bound(sampler, partial(of, start=start), len(wanted))
        for k in range(1, len(wanted)):
            error, bound = float(abs(has[k] - wanted[k])), float(bounds[k])
            yield Outcome(
                error=error,
                bound=bound,
                where=f"{'end' if k == len(wanted) - 1 else f'call {k}'}, {sampler.label}: "
                f"{name} {has[k]:.6g} for {wanted[k]:.6g}",
                cause="" if error <= bound else _elsewhere(sampler, found, k, times[k]),
                note=note,
                at=k,
                axis=sampler.label,
            )


def _elsewhere(sampler: Sampler, found: Reading, k: int, time: float) -> str:
    """The time at whose level the state is instead, in words; empty where there is none."""
    schedule = sampler.schedule
    if not isinstance(schedule, DiscreteSchedule):
        return ""
    start = schedule(sampler.grid[0])
    state = np.array([found.mean(start.alpha)[k], found.deviation(start.sigma)[k]])
    levels = np.stack([schedule.alpha, schedule.sigma], axis=1)
    off = np.linalg.norm(levels - state, axis=1)
    nearest = int(np.argmin(off))
    around = levels[max(nearest - 1, 0) : nearest + 2]
    apart = np.linalg.norm(np.diff(around, axis=0), axis=1)
    if nearest == time or off[nearest] > NEAR * np.min(apart):
        return ""
    return f"the state is at the level of time {nearest}, not of {time:g}"


def _is_large(subject: Subject, sampler: Sampler) -> bool:
    """Whether it is DDPM with the large variance, the one known sampler that is right although
    its states have not the deviations of their levels.
    """
    found = reading.open_loop(sampler, subject.make, subject.dtypes[-1])
    return _is(found, LARGE, sampler) and not _is(found, SMALL, sampler)


def _is(found: Reading, other: Claim, sampler: Sampler) -> bool:
    """Whether a reading is of that stochastic sampler but for its last step, left to the checks."""
    try:
        made = other.planner(sampler.schedule, sampler.grid)
    except (TypeError, ValueError):
        return False  # Not defined on this schedule or grid.
    wanted = reading.exact(made, sampler).states[:-1]
    rows, columns = wanted.shape
    if len(found.states) != rows + 1 or found.states.shape[1] < columns:
        return False
    error = np.max(np.abs(found.states[:-1, :columns] - wanted), axis=1)
    bound = open_bound(made, replace(sampler, claim=other))[:-1]
    draws = bool(np.any(wanted[:, 1 + found.outputs :]))
    return draws and bool(np.all(error <= bound)) and not np.any(found.states[:-1, columns:])


def _because(outcome: Outcome, cause: str) -> Outcome:
    return outcome if outcome.holds or outcome.cause else replace(outcome, cause=cause)


def _named(column: int, found: Reading) -> str:
    if column == 0:
        return "the start"
    if column <= found.outputs:
        return f"the x_0 of call {column - 1}"
    return f"noise {column - 1 - found.outputs}"


def _off_by(told: tuple[float, ...], wanted: tuple[float, ...]) -> str:
    gaps = {round(a - b, 6) for a, b in zip(told, wanted, strict=True)}
    if len(gaps) == 1 and gaps != {0.0}:
        return f"every time is off by {gaps.pop():+g}"
    if told == tuple(reversed(wanted)):
        return "the times are in the reverse order"
    return ""
