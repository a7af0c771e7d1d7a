"""The one loop that runs any plan, on any array library.

A state or output is let go of after the last stage that reads it, which the plan tells beforehand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol

from .._arguments import function
from .._arrays import (
    A,
    constant,
    expand,
    is_number,
    linear_combination,
    namespace,
    require_floating,
    require_library,
)
from ..noise import Noise
from ..schedules import Schedule
from ..schedules.level import require_schedule
from .table import LogRange, Number, Plan, Stage, is_zero, require_plan


class Denoised(NamedTuple):
    """What a denoiser with learned variance returns."""

    x_0: Any
    variance_fraction: Any


class Denoise(Protocol):
    """E[x_0 | x_t], or a network's guess at it.

    `t` is a Python number; under a stack of plans it is an array of shape (batch,).
    """

    def __call__(self, x_t: Any, t: Any, /) -> Any: ...


@dataclass(frozen=True)
class Progress(Generic[A]):
    """What `iterate` yields after each stage: its index from 0, the new state, the last x_0."""

    index: int
    stage: Stage
    x: A
    x_0: A | None


def prior(schedule: Schedule, time: Number, eps: A) -> A:
    """The state to start from at `time`: sigma_t eps, the process' end with no signal left.

    time: a number, or in a stack `plan.stages[0].time`, one for each sample.
    """
    require_schedule(schedule)
    require_floating("eps", eps)
    several = isinstance(time, tuple)
    if several and len(time) != eps.shape[0]:
        raise ValueError(f"time must be one for each of {eps.shape[0]} samples, got {len(time)}")
    sigma = tuple(schedule(t).sigma for t in time) if several else schedule(time).sigma
    return linear_combination((_beside(sigma, eps),), (eps,))


def iterate(
    denoise: Denoise, plan: Plan, x: A, noise: Noise | None = None
) -> Iterator[Progress[A]]:
    """Run `plan` from state `x`, yielding after every stage.

    x: floating array (batch, ...); its library, dtype and device are kept. noise: called as
    `noise(x, k + 1)` in stage k, on an array like the state; step 0 is left for the state `x`
    itself. Raises ValueError where the plan draws noise and none is given, where it is a stack of
    another size than x's batch, and where it reads what there is not; TypeError or ValueError where
    denoise or noise gives no array of x's library and shape, or one that changes x's dtype.
    """
    require_plan(plan)
    if not callable(denoise):
        raise TypeError(f"denoise must be callable, got {denoise!r}")
    require_floating("x", x)
    if noise is not None:
        function("noise", noise, "noise.as_noise(0)")
    if plan.stochastic and noise is None:
        raise ValueError(f"noise must be given: plan {plan.name!r} draws noise")
    if plan.batch is not None and x.shape[0] != plan.batch:
        raise ValueError(
            f"x must have one sample for each of {plan.batch} plans, got {x.shape[0]} samples"
        )
    return _run(denoise, _rows(plan), plan.batch is not None, x, noise)


def sample(denoise: Denoise, plan: Plan, x: A, noise: Noise | None = None) -> A:
    """The last state of `plan`, run from `x`; see `iterate`."""
    for progress in iterate(denoise, plan, x, noise):
        x = progress.x
        del progress  # It would hold its x_0 while the next one is made.
    return x


class _Row(NamedTuple):
    """A stage by the numbers of what it reads: states from 0, the start, and outputs from 0.

    output: the number of its own, if any. weights: of the states and then of the outputs read.
    ended_states, ended_outputs: what no later stage reads.
    """

    stage: Stage
    draws: bool
    output: int | None
    weights: list[Number]
    states: list[int]
    outputs: list[int]
    ended_states: list[int]
    ended_outputs: list[int]


def _rows(plan: Plan) -> list[_Row]:
    rows: list[_Row] = []
    last_states: dict[int, int] = {}
    last_outputs: dict[int, int] = {}
    count = 0
    for k, stage in enumerate(plan.stages):
        last_states[k] = k
        output = None
        if stage.calls:
            output, count = count, count + 1
            last_outputs[output] = k
        states = [k - i for i, c in enumerate(stage.x) if not is_zero(c)]
        outputs = [count - 1 - j for j, c in enumerate(stage.m) if not is_zero(c)]
        # Python's floats: a NumPy scalar would promote a float32 array.
        used = (c for c in (*stage.x, *stage.m) if not is_zero(c))
        weights = [float(c) if is_number(c) else c for c in used]
        for number in states:
            last_states[number] = k
        for number in outputs:
            last_outputs[number] = k
        rows.append(_Row(stage, stage.draws, output, weights, states, outputs, [], []))
    for name, last, ended in (
        ("states", last_states, [row.ended_states for row in rows]),
        ("outputs", last_outputs, [row.ended_outputs for row in rows]),
    ):
        for number, k in last.items():
            if number < 0:
                raise ValueError(
                    f"stage {k} of plan {plan.name!r} weighs more {name} than there are"
                )
            ended[k].append(number)
    return rows


def _run(
    denoise: Denoise, rows: list[_Row], stacked: bool, x: A, noise: Noise | None
) -> Iterator[Progress[A]]:
    states: dict[int, A] = {0: x}
    outputs: dict[int, A] = {}
    newest: A | None = None
    fraction: A | None = None
    for k, row in enumerate(rows):
        x = states[k]
        stage = row.stage
        if row.output is not None:
            newest = None  # Not held while the next one is made.
            output = denoise(x, _time(stage.time, x) if stacked else stage.time)
            newest, fraction = output if isinstance(output, Denoised) else (output, None)
            _require_beside("denoise's x_0", newest, x)
            outputs[row.output] = newest
            del output
        weights = [_beside(c, x) for c in row.weights] if stacked else list(row.weights)
        arrays = [states[n] for n in row.states] + [outputs[n] for n in row.outputs]
        if row.draws and noise is not None:
            weights.append(_noise_scale(stage.z, fraction, x))
            arrays.append(noise(x, k + 1))
            _require_beside("noise", arrays[-1], x)
        # Nothing at all is 0 of the newest state.
        moved = linear_combination(weights or [0.0], arrays or [x])
        if moved.dtype != x.dtype:
            raise TypeError(
                f"denoise and noise must leave x its dtype, {x.dtype}, got {moved.dtype}"
            )
        x = moved
        del moved
        del arrays
        for number in row.ended_states:
            del states[number]
        for number in row.ended_outputs:
            del outputs[number]
        states[k + 1] = x
        yield Progress(k, stage, x, newest)


def _require_beside(name: str, value: Any, x: Any) -> None:
    if type(value) is type(x) and value.dtype == x.dtype and value.shape == x.shape:
        return  # As it nearly always is: told in a tenth of the time.
    require_floating(name, value)
    require_library(name, value, "x", x)
    if tuple(value.shape) != tuple(x.shape):
        raise ValueError(
            f"{name} must have the shape of x, {tuple(x.shape)}, got {tuple(value.shape)}"
        )


def _noise_scale(z: Number | LogRange, fraction: Any, like: Any) -> Any:
    if not isinstance(z, LogRange):
        return _beside(z, like)
    if fraction is None:
        raise ValueError("denoise must return Denoised(x_0, variance_fraction) for this plan")
    low, high = _beside(z.low, like), _beside(z.high, like)
    return namespace(fraction).exp(0.5 * low + (0.5 * (high - low)) * fraction)


def _beside(value: Number, like: Any) -> Any:
    """A number as it is; one for each sample as an array that broadcasts against `like`."""
    return float(value) if is_number(value) else expand(constant(list(value), like), like)


def _time(time: Number, like: Any) -> Any:
    """A time as it is; one for each sample as an array, whole times as integers."""
    if is_number(time):
        return time
    xp = namespace(like)
    if all(isinstance(t, int) for t in time):
        return constant(list(time), like, xp.int32)
    return constant(list(time), like, xp.float64 if like.dtype == xp.float64 else xp.float32)
