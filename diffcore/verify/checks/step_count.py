"""Very few steps: one, two and three, where multistep methods know no history yet.

One step to sigma = 0 is the denoised x_0, and every count ends in it; where the sampler claims to
be a planner, its weights are the plan's at these counts too.
"""

from collections.abc import Iterator
from dataclasses import replace

from .. import reading
from ..outcome import Outcome
from ..subject import Sampler, Subject
from . import steps
from .exactness import point_mass, single_call

COUNTS = (1, 2, 3)


def step_count(subject: Subject) -> Iterator[Outcome]:
    """n = 1, 2, 3 steps run, end in x_0 and have the plan's weights."""
    if subject.with_steps is None:
        return
    for n in COUNTS:
        try:
            sampler = subject.with_steps(n)
            yield from single_call(subject, sampler)
            yield from _end(subject, sampler)
            yield from _weights(subject, sampler)
        except Exception as error:
            words = f"raises {type(error).__name__}: {error}".strip().splitlines()[0]
            where = f"{n} step" + "s" * (n > 1)
            yield Outcome(error=1.0, bound=0.0, where=where, cause=words)


def _end(subject: Subject, sampler: Sampler) -> Iterator[Outcome]:
    for end in list(point_mass(subject, sampler))[-1:]:  # With noise above 0 it is not decided.
        yield replace(end, at=None)


def _weights(subject: Subject, sampler: Sampler) -> Iterator[Outcome]:
    exact = sampler.plan()
    if exact is not None:
        found = reading.open_loop(sampler, subject.make, subject.dtypes[-1])
        yield from steps.held(found, exact, sampler)
