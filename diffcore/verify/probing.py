"""A target's plain functions as the checks call them: host arrays in, host arrays out.

A function that is linear in its arrays is read by basis inputs: with x_0 = 1 and eps = 0 what
comes out is the weight of x_0 at each sample's time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Host, to_host
from ..schedules import ContinuousSchedule, DiscreteSchedule
from .subject import Subject

Times = Sequence[float]

SPREAD = 64
"""How many times, at most, a function is read at."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function of native arrays and times that gives one or more native arrays.

    outputs: what they are called, the mean (or sample) first; the others, variances, need only
    broadcast against it. inputs: the arrays that it takes, in order.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    call: Callable[[Sequence[Any], Times], tuple[Any, ...]]


def functions(subject: Subject) -> Iterator[Function]:
    """The plain functions that the target has."""
    if subject.q_sample is not None:
        sample = subject.q_sample
        yield Function(
            name="q_sample",
            inputs=("x_0", "eps"),
            outputs=("x_t",),
            call=lambda x, t: (sample(x[0], t, x[1]),),
        )
    if subject.q_mean_variance is not None:
        marginal = subject.q_mean_variance
        yield Function(
            name="q_mean_variance",
            inputs=("x_0",),
            outputs=("mean", "variance"),
            call=lambda x, t: tuple(marginal(x[0], t))[:2],
        )
    if subject.q_posterior is not None:
        posterior = subject.q_posterior
        yield Function(
            name="q_posterior",
            inputs=("x_0", "x_t"),
            outputs=("mean", "variance"),
            call=lambda x, t: tuple(posterior(x[0], x[1], t))[:2],
        )


def native(subject: Subject, function: Function, hosts: Sequence[Host], times: Times) -> list[Host]:
    """What the function gives for host arrays, in the widest dtype that the target has."""
    made = [subject.make(host, subject.dtypes[-1]) for host in hosts]
    return [np.asarray(to_host(y), dtype=np.float64) for y in function.call(made, times)]


@dataclass(frozen=True)
class Weights:
    """What a function weighs at each of `times`.

    inputs: the weight of each array, shape (inputs, times). constant: what comes out of zeros.
    others: the further outputs, such as a variance, at each time.
    """

    times: tuple[float, ...]
    inputs: Host
    constant: Host
    others: tuple[Host, ...]


def weights(subject: Subject, function: Function) -> Weights:
    """The function read by basis inputs, all times in one batch, one pixel a sample.

    ValueError where what comes out has another shape than what went in.
    """
    times = spread(subject)
    count, kinds = len(times), len(function.inputs)
    shape = (count * (kinds + 1), *(1,) * (subject.ranks[0] - 1))
    basis = np.repeat(np.eye(kinds, kinds + 1), count, axis=1)  # The last block is all zeros.
    hosts = [np.reshape(row, shape) for row in basis]
    mean, *others = native(subject, function, hosts, times * (kinds + 1))
    if mean.shape != shape:
        raise ValueError(f"{function.name} makes shape {mean.shape} of {shape}")
    columns = np.reshape(mean, (kinds + 1, count))
    further = [np.broadcast_to(other, shape).reshape(kinds + 1, count)[-1] for other in others]
    return Weights(times, columns[:-1] - columns[-1], columns[-1], tuple(further))


def spread(subject: Subject) -> tuple[float, ...]:
    """Times to read at: all, or 1, 2, T - 1, T and others between; 1..T on discrete schedules."""
    schedule = subject.schedule
    if isinstance(schedule, DiscreteSchedule):
        T = schedule.T
        if T <= SPREAD:
            return tuple(range(1, T + 1))
        inner = np.linspace(3, T - 2, SPREAD - 4).astype(int).tolist()
        return (1, 2, *sorted(set(inner)), T - 1, T)
    if isinstance(schedule, ContinuousSchedule):
        # Single precision holds them, so that no library rounds them.
        last = float(schedule.curve.t_max)
        last = 80.0 if not np.isfinite(last) else last
        return tuple(np.float32(last * np.linspace(0.0, 1.0, 18)[1:]).astype(float).tolist())
    return ()
