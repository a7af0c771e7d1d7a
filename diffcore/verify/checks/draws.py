"""The noise of stochastic samplers, as its own generator draws it.

With x_0 = 0 and a start of 0 a state is the sum of its noises, S_k = sum_j W_kj z_j, whose weights
W are read off. A batch of thousands of elements, each with draws of its own, then shows whether the
z_j are what they must be: independent standard normals, of every sample, element and step. All
bounds together are passed by right code with a probability of at most `FALSE_ALARM`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..._arrays import Host, to_host
from .. import reading, tails
from ..outcome import Outcome
from ..reading import Reading
from ..subject import Answer, Run, Sampler, Subject

SHAPE = (32, 3, 8, 11)
"""Of the batch of draws."""

FALSE_ALARM = 1e-9
"""The probability that right code fails this check."""


class _Innovation(NamedTuple):
    """What a state adds to those before, as standard normals; k is the state's number."""

    k: int
    z: Host


def draws(subject: Subject) -> Iterator[Outcome]:
    """Seeds decide; noises are N(0, 1), each element's and step's its own; none at sigma = 0."""
    for sampler in subject.samplers:
        found = reading.open_loop(sampler, subject.make, subject.dtypes[-1])
        runs = [_run(subject, sampler, seed) for seed in (0, 0, 1)]
        yield from _seeds(sampler, found, *runs)
        if found.noises.shape[1]:
            yield from _shapes(sampler, found)
            yield from _counted(sampler, found)
            states = [np.asarray(to_host(x), dtype=np.float64) for x in runs[0].states]
            yield from _end(sampler, states)
            p = FALSE_ALARM / len(subject.samplers)
            yield from _statistics(sampler, found, states, p)


def _run(subject: Subject, sampler: Sampler, seed: int) -> Run:
    answer: Answer = lambda x_t, t, k: np.zeros(x_t.shape)  # noqa: E731
    x = subject.make(np.zeros(SHAPE), subject.dtypes[-1])
    run = sampler.launch(answer, x, 1000 * subject.seed + seed)
    return Run(tuple(np.array(to_host(state)) for state in run.states), run.times)


def _seeds(sampler: Sampler, found: Reading, a: Run, same: Run, other: Run) -> Iterator[Outcome]:
    """The same seed gives the same; another one another, where noise is drawn."""
    yield Outcome(
        error=_apart(a, same),
        bound=0.0,
        where=f"the same seed twice, {sampler.label}",
        cause="the result does not follow from the seed: a generator of its own, or a state that "
        "is left from the first run",
    )
    apart = _apart(a, other)
    if found.noises.shape[1] == 0:
        odd = [shape for shape in found.shapes if shape != found.shape]
        yield Outcome(
            error=apart,
            bound=0.0,
            where=f"another seed, {sampler.label}",
            cause=f"draws noise of shape {odd[0]} for a state of shape {found.shape}"
            if odd
            else "draws random numbers that are not standard normals",
        )
    else:
        yield Outcome(
            error=float(apart == 0.0),
            bound=0.0,
            where=f"another seed, {sampler.label}",
            cause="the noise is the same for every seed",
        )


def _apart(a: Run, b: Run) -> float:
    if len(a.states) != len(b.states):
        return 1.0
    pairs = zip(a.states, b.states, strict=True)
    return max(float(np.max(np.abs(x - y))) for x, y in pairs)


def _shapes(sampler: Sampler, found: Reading) -> Iterator[Outcome]:
    odd = [shape for shape in found.shapes if shape != found.shape]
    yield Outcome(
        error=float(len(odd)),
        bound=0.0,
        where=sampler.label,
        cause=f"draws noise of shape {odd[0]} for a state of shape {found.shape}" if odd else "",
        note=f"of its draws {found.silent} have no weight in any state" if found.silent else "",
    )


def _counted(sampler: Sampler, found: Reading) -> Iterator[Outcome]:
    """As many noises as the plan that it claims to be draws."""
    plan = sampler.plan()
    if plan is not None:
        wanted, has = sum(stage.draws for stage in plan.stages), found.noises.shape[1]
        yield Outcome(
            error=float(abs(has - wanted)),
            bound=0.0,
            where=f"{has} drawn for {wanted}, {sampler.label}",
            cause="one draw serves several steps" if has < wanted else "more steps add noise",
        )


def _end(sampler: Sampler, states: list[Host]) -> Iterator[Outcome]:
    """At sigma = 0 nothing is left of any noise."""
    if sampler.schedule(sampler.grid[-1]).sigma == 0.0:
        size = max(float(np.max(np.abs(state))) for state in states)
        yield Outcome(
            error=float(np.max(np.abs(states[-1]))),
            bound=sampler.epsilon**0.5 * size,
            where=f"end, {sampler.label}",
            cause="the step to sigma = 0 adds noise",
        )


def _statistics(
    sampler: Sampler, found: Reading, states: list[Host], p: float
) -> Iterator[Outcome]:
    """All that the noises must be; right code is outside of any bound with probability p."""
    if len(states) != len(found.states):
        return
    fresh = _innovations(found, states)
    if not fresh:
        return
    n = states[0].size
    axes = [axis for axis, length in enumerate(SHAPE) if length > 1]
    p = p / (len(fresh) * (3 + len(axes)) + len(fresh) * (len(fresh) - 1) // 2)
    for k, z in fresh:
        where = f"noise of step {k - 1}, {sampler.label}"
        variance = _variance(z, p, where, k, sampler.label)
        # Draws of another scale are not taken for draws that are shared.
        unit = z if variance.holds else z / float(np.sqrt(np.mean(z * z)))
        for axis in sorted(axes, key=lambda axis: _far_from_shared(unit, axis)):
            yield _shared(unit, axis, p, where)
        yield Outcome(
            error=abs(float(np.mean(z))),
            bound=tails.mean(n, p),
            where=f"{where}: its mean is {np.mean(z):.3g}",
            cause="its mean is not 0",
        )
        yield variance
        yield Outcome(
            error=tails.distance(z),
            bound=tails.distance_bound(n, p),
            where=where,
            cause="it is not normal: its distribution is another",
        )
    worst, bound = 0.0, tails.product(n, p)
    where = sampler.label
    for i, (k, a) in enumerate(fresh):
        for j, b in fresh[:i]:
            together = abs(float(np.sum(a * b)))
            if together > worst:
                worst, where = together, f"noises of steps {j - 1} and {k - 1}, {sampler.label}"
    yield Outcome(
        error=worst / n,
        bound=bound / n,
        where=where,
        cause="the noises of different steps are not independent: a generator is set back",
    )


def _innovations(found: Reading, states: list[Host]) -> list[_Innovation]:
    """Gram-Schmidt over the states: what each adds to those before, divided by its deviation."""
    rows: list[Host] = []
    fresh: list[_Innovation] = []
    largest = float(np.max(np.linalg.norm(found.noises, axis=1)))
    for k in range(1, len(states)):
        weights, rest = found.noises[k].copy(), states[k] - found.constant[k]
        size = float(np.linalg.norm(weights))
        for row, made in zip(rows, fresh, strict=True):
            along = float(row @ weights)
            weights, rest = weights - along * row, rest - along * made.z
        left = float(np.linalg.norm(weights))
        if left > max(1e-3 * size, 1e-6 * largest):  # The rest is rounding.
            rows.append(weights / left)
            fresh.append(_Innovation(k, rest / left))
    return fresh


def _variance(z: Host, p: float, where: str, k: int, axis: str) -> Outcome:
    low, high = tails.chi_squared(z.size, p)
    total = float(np.sum(z * z))
    bound = (high if total > z.size else 2 * z.size - low) / z.size - 1.0
    deviation = (total / z.size) ** 0.5
    return Outcome(
        error=abs(total / z.size - 1.0),
        bound=bound,
        where=f"{where}: its variance is {total / z.size:.3g} times what it must be",
        cause=f"it is scaled by {deviation:.3g}: what is drawn is not N(0, 1)",
        at=k,
        axis=axis,
    )


def _far_from_shared(z: Host, axis: int) -> float:
    """0 where all along an axis are one and the same, and the squares of its means its length."""
    return round(abs(float(np.mean(np.mean(z, axis=axis) ** 2)) - 1.0), 6)


def _shared(z: Host, axis: int, p: float, where: str) -> Outcome:
    """Means along an axis: their squares grow with its length where draws are shared along it."""
    length = z.shape[axis]
    means = np.mean(z, axis=axis)
    total = float(length * np.sum(means * means))
    low, high = tails.chi_squared(means.size, p)
    bound = (high if total > means.size else 2 * means.size - low) / means.size - 1.0
    what = {0: "samples", 1: "channels", 2: "rows", 3: "columns"}[axis]
    return Outcome(
        error=abs(total / means.size - 1.0),
        bound=bound,
        where=f"{where}, over the {what}",
        cause=f"draws are not independent over the {what}: one serves several",
    )
