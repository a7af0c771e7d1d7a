"""What must not change a sampler's result: the batch, its order, the shape, and the dtype's name.

    run(x)[b] = run(x[b])    run(x[order]) = run(x)[order]    run(reshape(x)) = reshape(run(x))

with the same noise for the same element. Shape and dtype are kept, and the state that comes in is
not written to.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ..._arrays import Host, to_host
from ..outcome import Outcome
from ..script import normals
from ..subject import Answer, Sampler, Subject

SIDES = {2: (105,), 3: (15, 7), 4: (3, 5, 7), 5: (3, 5, 1, 7)}
"""Samples of each rank, of as many elements: odd, and no side the batch's."""

SCALES = (0.3, 1.0, 3.0)
"""Of the samples of a batch, so that what belongs to one is seen in another."""


def invariance(subject: Subject) -> Iterator[Outcome]:
    """Batch, order of the batch, rank, dtype and the input's own memory."""
    for sampler in subject.samplers:
        yield from _batches(subject, sampler)
        yield from _ranks(subject, sampler)
        yield from _dtypes(subject, sampler)


def _batches(subject: Subject, sampler: Sampler) -> Iterator[Outcome]:
    """Each sample alone, and the batch in another order."""
    rng = np.random.default_rng(subject.seed)
    shape = (len(SCALES), *SIDES[4])
    scales = np.reshape(SCALES, (-1, 1, 1, 1))
    x_0, x = scales * rng.uniform(-0.9, 0.9, shape), scales * rng.standard_normal(shape)
    whole = _states(subject, sampler, x_0, x, range(len(SCALES)))
    order = [2, 0, 1]
    moved = _states(subject, sampler, x_0, x, order)
    yield _alike(
        sampler, moved, [state[order] for state in whole], "the batch in another order", MIXED
    )
    for b in (0, 2):  # The smallest, which feels the others most, and the largest.
        alone = _states(subject, sampler, x_0, x, [b])
        yield _alike(sampler, alone, [state[[b]] for state in whole], f"sample {b} alone", MIXED)


MIXED = "a sample depends on the others in its batch: a mean, norm or quantile over the wrong axes"


def _ranks(subject: Subject, sampler: Sampler) -> Iterator[Outcome]:
    """Each rank that the target takes, against the first of them; rank 1 it may refuse."""
    rng = np.random.default_rng(subject.seed + 1)
    size = 2 * int(np.prod(SIDES[4]))
    x_0, x = rng.uniform(-0.9, 0.9, size), rng.standard_normal(size)
    shapes: list[tuple[int, ...]]
    shapes = [(2, *SIDES[rank]) if rank > 1 else (size,) for rank in subject.ranks]
    runs: list[list[Host]] = []
    for shape in shapes:
        where = f"{sampler.label}, shape {shape}"
        try:
            states = _states(subject, sampler, np.reshape(x_0, shape), np.reshape(x, shape), None)
        except Exception as error:
            words = f"raises {type(error).__name__}: {error}".strip().splitlines()[0]
            refused = shape == (size,) and runs != []
            note = "takes no arrays of rank 1" if refused else ""
            yield Outcome(error=float(not refused), bound=0.0, where=where, cause=words, note=note)
            continue
        wrong = [state.shape for state in states if state.shape != shape]
        if wrong:
            cause = f"a state of shape {shape} becomes one of shape {wrong[0]}"
            yield Outcome(error=1.0, bound=0.0, where=where, cause=cause)
            continue
        runs.append([state.reshape(-1) for state in states])
        if len(runs) == 1:
            continue
        cause = "an element depends on the shape it stands in: a factor is laid along a wrong axis"
        yield _alike(sampler, runs[-1], runs[0], f"shape {shape}", cause)


def _dtypes(subject: Subject, sampler: Sampler) -> Iterator[Outcome]:
    """Each dtype, and the memory of the state that comes in."""
    rng = np.random.default_rng(subject.seed + 2)
    shape = (2, *SIDES[4])
    x_0, values = rng.uniform(-0.9, 0.9, shape), rng.standard_normal(shape)
    for dtype in subject.dtypes:
        x = subject.make(values, dtype)
        before = np.array(to_host(x))
        with normals(lambda k, drawn: np.zeros(drawn)):
            run = sampler.launch(_answer(x_0), x, subject.seed)
        where = f"{sampler.label}, {dtype}"
        other = next((state.dtype for state in run.states if state.dtype != x.dtype), None)
        yield Outcome(
            error=float(other is not None),
            bound=0.0,
            where=where,
            cause=f"a state of dtype {dtype} becomes one of {other}",
        )
        yield Outcome(
            error=float(np.any(to_host(x) != before)),
            bound=0.0,
            where=where,
            cause="the state that comes in is changed in place",
        )


def _states(
    subject: Subject, sampler: Sampler, x_0: Host, x: Host, rows: Sequence[int] | None
) -> list[Host]:
    """The states of a run of some rows; every element's noise is its own in any company.

    rows: None for elements that are numbered through, whatever the shape.
    """
    picked = slice(None) if rows is None else list(rows)
    shape = x[picked].shape

    def script(k: int, drawn: tuple[int, ...]) -> Host:
        if drawn != shape:
            return np.zeros(drawn)
        noise = np.random.default_rng([subject.seed, k]).standard_normal(x.size)
        return np.array(np.reshape(noise, x.shape)[picked])

    sigma = sampler.schedule(sampler.grid[0]).sigma
    with normals(script):
        start = subject.make(sigma * x[picked], subject.dtypes[-1])
        run = sampler.launch(_answer(x_0[picked]), start, subject.seed)
    return [np.asarray(to_host(state), dtype=np.float64) for state in run.states]


def _answer(x_0: Host) -> Answer:
    def answer(x_t: Host, t: float, k: int) -> Host:
        if x_t.shape != x_0.shape:
            raise ValueError(f"a state of shape {x_0.shape} becomes one of shape {x_t.shape}")
        return x_0

    return answer


def _alike(
    sampler: Sampler, found: list[Host], wanted: list[Host], what: str, cause: str
) -> Outcome:
    """Whether all states are the same to half of the digits; a mixture is never so slight."""
    worst, scale = 0.0, 0.0
    for a, b in zip(found, wanted, strict=True):
        worst = max(worst, float(np.max(np.abs(a - b)))) if a.shape == b.shape else np.inf
        scale = max(scale, float(np.max(np.abs(b))))
    return Outcome(
        error=worst,
        bound=sampler.epsilon**0.5 * scale,
        where=f"{what}, {sampler.label}",
        cause=cause,
    )
