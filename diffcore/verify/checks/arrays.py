"""Checks of how plain functions treat arrays: batches, shapes, dtypes, devices.

A batch of different times is the same as its samples one by one, whatever the rank; results keep
shape, dtype and device, and the arrays that come in stay as they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..._arrays import Host, to_host
from ..outcome import Outcome
from ..probing import Function, Weights, functions, native, spread, weights
from ..rounding import SAFETY
from ..subject import Subject

SIDES = (2, 3, 5, 7)
"""The lengths of a sample's axes: all different, and none the batch's."""

BATCH = 4


def batches(subject: Subject) -> Iterator[Outcome]:
    """Each sample of a batch with different times is what its own time makes of it.

    At each of the subject's ranks, where the samples' axes are as long as the batch too, which
    broadcasting along the wrong axis takes without a word. At other ranks than the first an error
    that is raised is no failure; a wrong result is.
    """
    rng = np.random.default_rng(subject.seed)
    for function in functions(subject):
        if subject.schedule is None:
            continue
        times = spread(subject)
        held = weights(subject, function)
        for rank in subject.ranks:
            for sides in dict.fromkeys((SIDES[: rank - 1], (BATCH,) * (rank - 1))):
                for size in (BATCH, 1):
                    picked = rng.choice(len(times), size, replace=len(times) < size)
                    shape = (size, *sides)
                    hosts = [rng.standard_normal(shape) for _ in function.inputs]
                    where = f"{function.name}, shape {shape}"
                    told = [times[k] for k in picked]
                    try:
                        out = native(subject, function, hosts, told)
                    except Exception as error:
                        yield _raised(error, where, rank == subject.ranks[0], rank)
                        continue
                    yield from _against(subject, function, held, picked.tolist(), hosts, out, where)


def kept(subject: Subject) -> Iterator[Outcome]:
    """Results have the dtype and device of what comes in, which stays as it was."""
    rng = np.random.default_rng(subject.seed)
    for function in functions(subject):
        times = spread(subject)[:2] * 2
        if not times:
            continue
        shape = (len(times), *SIDES[: subject.ranks[0] - 1])
        for dtype in subject.dtypes:
            hosts = [rng.standard_normal(shape) for _ in function.inputs]
            made = [subject.make(host, dtype) for host in hosts]
            before = [np.array(to_host(x)) for x in made]
            out = function.call(made, times)
            where = f"{function.name} of {dtype}"
            # A variance may be a table's entry; what follows the data must keep their dtype.
            yield _same(made[0], out[0], "dtype", where)
            for value in out:
                if hasattr(value, "device"):
                    yield _same(made[0], value, "device", where)
            moved = [bool(np.any(to_host(x) != y)) for x, y in zip(made, before, strict=True)]
            yield Outcome(
                error=float(any(moved)),
                bound=0.0,
                where=where,
                cause=f"changes {_list(function.inputs, moved)} in place",
            )


def _against(
    subject: Subject,
    function: Function,
    held: Weights,
    picked: list[int],
    hosts: Sequence[Host],
    out: Sequence[Host],
    where: str,
) -> Iterator[Outcome]:
    """Beside what the weights at each sample's time, read on their own, make of it."""
    shape = hosts[0].shape
    column = (len(picked), *(1,) * (len(shape) - 1))

    def at(values: Host) -> Host:
        return np.reshape(values[picked], column)

    terms = [at(w) * x for w, x in zip(held.inputs, hosts, strict=True)]
    wanted = [np.sum(terms, axis=0) + at(held.constant), *(at(other) for other in held.others)]
    sizes = [np.sum(np.abs(terms), axis=0), *(np.abs(at(other)) for other in held.others)]
    for name, value, should, size in zip(function.outputs, out, wanted, sizes, strict=True):
        error = _shape_error(name, value.shape, shape, whole=name == function.outputs[0])
        if error:
            yield Outcome(error=1.0, bound=0.0, where=where, cause=error)
            continue
        off = np.abs(value - should)
        worst = np.unravel_index(int(np.argmax(off)), off.shape)
        yield Outcome(
            error=float(off[worst]),
            bound=float(SAFETY * subject.epsilon * np.max(size)),
            where=f"{name} of {where}, sample {worst[0]}",
            cause=f"{name} at a sample is not that of its own time: the times are laid along "
            "another axis than the batch's",
        )


def _shape_error(name: str, found: tuple[int, ...], shape: tuple[int, ...], *, whole: bool) -> str:
    if found == shape:
        return ""
    if not whole:
        try:
            if np.broadcast_shapes(found, shape) == shape:
                return ""
        except ValueError:
            pass
    return f"{name} has shape {found} for data of shape {shape}"


def _raised(error: Exception, where: str, fails: bool, rank: int) -> Outcome:
    words = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    if fails:
        return Outcome(error=1.0, bound=0.0, where=where, cause=f"raises {words}")
    return Outcome(error=0.0, bound=0.0, where=where, note=f"takes no arrays of rank {rank}")


def _same(x: Any, y: Any, what: str, where: str) -> Outcome:
    wanted, found = getattr(x, what, None), getattr(y, what, None)
    return Outcome(
        error=float(wanted != found),
        bound=0.0,
        where=where,
        cause=f"the {what} becomes {found}",
    )


def _list(names: Sequence[str], chosen: Sequence[bool]) -> str:
    return " and ".join(name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen)
