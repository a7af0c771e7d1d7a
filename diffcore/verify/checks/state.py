"""What must not matter: what was done before, and how a network says what it knows.

Samplers of one group have the same weights: a fresh object's and a used one's to the last bit,
those with networks that put out eps, v or x_0 to rounding.
"""

from collections.abc import Iterator

import numpy as np

from ... import samplers
from ..._arrays import Host
from .. import reading
from ..outcome import Outcome
from ..reading import Reading
from ..rounding import open_bound
from ..subject import Sampler, Subject

STATE, PREDICTIONS = "state", "predictions"
"""The groups."""


def state(subject: Subject) -> Iterator[Outcome]:
    """A sampler that was set or run before does what a fresh one does."""
    members = _members(subject, STATE)
    for sampler, found, first in _beside_the_first(subject, members):
        yield _compared(
            sampler,
            found,
            first,
            bound=np.full(len(first.states), sampler.epsilon),
            cause="something is left over of what was done before",
        )


def predictions(subject: Subject) -> Iterator[Outcome]:
    """Networks that put out eps, v and x_0 are stepped alike."""
    members = _members(subject, PREDICTIONS)
    for sampler, found, first in _beside_the_first(subject, members):
        bounds = [
            open_bound(s.plan() or samplers.ddim(s.schedule, s.grid), s)
            for s in (sampler, members[0])
        ]
        same = len(bounds[0]) == len(bounds[1]) == len(first.states)
        total = bounds[0] + bounds[1] if same else np.full(len(first.states), np.max(bounds[0]))
        yield _compared(
            sampler,
            found,
            first,
            bound=total,
            cause=f"a network that puts out {sampler.predicts.name} is stepped otherwise than one "
            f"that puts out {members[0].predicts.name}",
        )


def _members(subject: Subject, group: str) -> list[Sampler]:
    return [s for s in subject.samplers if s.group == group]


def _beside_the_first(
    subject: Subject, members: list[Sampler]
) -> Iterator[tuple[Sampler, Reading, Reading]]:
    if len(members) < 2:
        return
    first = reading.open_loop(members[0], subject.make, subject.dtypes[-1])
    for sampler in members[1:]:
        yield sampler, reading.open_loop(sampler, subject.make, subject.dtypes[-1]), first


def _compared(sampler: Sampler, found: Reading, first: Reading, bound: Host, cause: str) -> Outcome:
    if found.states.shape != first.states.shape:
        return Outcome(
            error=1.0,
            bound=0.0,
            where=f"{sampler.label}: {len(found.states) - 1} calls and {found.noises.shape[1]} "
            f"noises for {len(first.states) - 1} and {first.noises.shape[1]}",
            cause=cause,
        )
    error = np.max(np.abs(found.states - first.states), axis=1)
    over = np.flatnonzero(~(error <= bound))
    k = int(over[0]) if len(over) else int(np.argmax(error))
    return Outcome(
        error=float(error[k]),
        bound=float(bound[k]),
        where=f"{'end' if k == len(error) - 1 else f'call {k}'}, {sampler.label}",
        cause=cause,
    )
