"""A sampler is a table of numbers, and one loop runs them all.

    x_{k+1} = sum_i x[i] x_{k-i} + sum_j m[j] m_{k-j} + z eps_k

with m_k the denoiser's estimate of x_0 at x_k. Every fixed-step sampler is linear in these, so a
planner (`diffcore.samplers`) returns a `Plan` of float64 coefficients, which can be checked without
an array, written as JSON and run anywhere.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, NamedTuple, Protocol

import numpy as np

from ._arrays import A, is_number, linear_combination, namespace, require_floating
from .noise import Noise
from .schedules import Schedule


class LogRange(NamedTuple):
    """The noise scale of a learned variance: exp of half of low + fraction (high - low).

    The denoiser gives `fraction`, in [0, 1] (Nichol & Dhariwal 2021, eq. 15).
    """

    low: float
    high: float


@dataclass(frozen=True)
class Stage:
    """One row of the table: from the state at `time` to the state at `time_next`.

    x: weights of the states, newest first. m: weights of the denoiser's outputs, newest first; with
    none the denoiser is not called. z: weight of fresh standard normal noise.
    """

    time: float
    time_next: float
    x: tuple[float, ...]
    m: tuple[float, ...] = ()
    z: float | LogRange = 0.0


@dataclass(frozen=True)
class Plan:
    """A sampler for one schedule and one time grid.

    order: the declared order of convergence of a deterministic plan, None where there is none.
    """

    name: str
    stages: tuple[Stage, ...]
    order: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def evaluations(self) -> int:
        """How often the denoiser is called."""
        return sum(bool(stage.m) for stage in self.stages)

    @property
    def stochastic(self) -> bool:
        """Whether any stage draws noise."""
        return any(stage.z != 0.0 for stage in self.stages)

    def to_json(self) -> str:
        """The plan as JSON, every float64 exact."""
        return json.dumps({"format": 1, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan that `to_json` wrote. Raises ValueError that says what is wrong."""
        try:
            data = json.loads(text)
            if data.pop("format") != 1:
                raise ValueError("its format is not 1")
            stages = tuple(
                Stage(
                    time=s["time"],
                    time_next=s["time_next"],
                    x=tuple(s["x"]),
                    m=tuple(s["m"]),
                    z=s["z"] if is_number(s["z"]) else LogRange(*s["z"]),
                )
                for s in data.pop("stages")
            )
            return cls(stages=stages, **data)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"text must be a plan's JSON: {error}") from None


class Denoised(NamedTuple):
    """What a denoiser with learned variance returns."""

    x_0: Any
    variance_fraction: Any


class Denoise(Protocol):
    """E[x_0 | x_t], or a network's guess at it; `t` is a Python number."""

    def __call__(self, x_t: Any, t: float, /) -> Any: ...


@dataclass(frozen=True)
class Progress(Generic[A]):
    """What `iterate` yields after each stage: its index from 0, the new state, the last x_0."""

    index: int
    stage: Stage
    x: A
    x_0: A | None


def prior(schedule: Schedule, time: float, eps: A) -> A:
    """The state to start from at `time`: sigma_t eps, the process' end with no signal left."""
    return linear_combination((schedule(time).sigma,), (eps,))


def iterate(
    denoise: Denoise, plan: Plan, x: A, noise: Noise | None = None
) -> Iterator[Progress[A]]:
    """Run `plan` from state `x`, yielding after every stage.

    x: floating array (batch, ...); its library, dtype and device are kept. noise: called as
    `noise(x, k + 1)` in stage k; step 0 is left for the state `x` itself. Raises ValueError where
    the plan draws noise and none is given.
    """
    require_floating("x", x)
    if noise is not None and not callable(noise):
        raise TypeError(f"noise must be a function such as noise.as_noise(0), got {noise!r}")
    if plan.stochastic and noise is None:
        raise ValueError(f"noise must be given: plan {plan.name!r} draws noise")
    depth = max([1, *(len(stage.x) for stage in plan.stages)])
    memory = max([0, *(len(stage.m) for stage in plan.stages)])
    return _run(denoise, plan, x, noise, depth, memory)


def _run(
    denoise: Denoise, plan: Plan, x: A, noise: Noise | None, depth: int, memory: int
) -> Iterator[Progress[A]]:
    states: list[A] = [x]
    outputs: list[A] = []
    fraction: A | None = None
    for index, stage in enumerate(plan.stages):
        if stage.m:
            output = denoise(states[0], stage.time)
            x_0, fraction = output if isinstance(output, Denoised) else (output, None)
            outputs = [x_0, *outputs[: memory - 1]]
        coefficients: list[Any] = [*stage.x, *stage.m]
        arrays = [*states[: len(stage.x)], *outputs[: len(stage.m)]]
        if noise is not None and stage.z != 0.0:
            coefficients.append(_noise_scale(stage.z, fraction))
            arrays.append(noise(x, index + 1))
        states = [linear_combination(coefficients, arrays), *states[: depth - 1]]
        yield Progress(index, stage, states[0], outputs[0] if outputs else None)


def sample(denoise: Denoise, plan: Plan, x: A, noise: Noise | None = None) -> A:
    """The last state of `plan`, run from `x`; see `iterate`."""
    for progress in iterate(denoise, plan, x, noise):
        x = progress.x
    return x


def _noise_scale(z: float | LogRange, fraction: Any) -> Any:
    if not isinstance(z, LogRange):
        return z
    if fraction is None:
        raise ValueError("denoise must return Denoised(x_0, variance_fraction) for this plan")
    xp = namespace(fraction)
    return xp.exp(0.5 * z.low + (0.5 * (z.high - z.low)) * fraction)


def mean_residuals(plan: Plan, schedule: Schedule) -> np.ndarray:
    """sum_i x[i] alpha_{k-i} + sum_j m[j] - alpha_{k+1} for each stage; shape (stages,).

    0 means that with an exact denoiser of a point mass the mean stays alpha_t x_0.
    """
    alphas = [schedule(stage.time).alpha for stage in plan.stages[:1]]
    residuals = []
    for stage in plan.stages:
        alpha = schedule(stage.time_next).alpha
        kept = math.fsum(c * a for c, a in zip(stage.x, alphas, strict=False))
        residuals.append(math.fsum((kept, *stage.m, -alpha)))
        alphas.insert(0, alpha)
    return np.array(residuals)


def variances(plan: Plan, schedule: Schedule) -> np.ndarray:
    """The variance of each state about alpha_t x_0 for a point mass, the start included.

    Shape (stages + 1,). It equals sigma_t^2 throughout for a plan that keeps the marginals. Learned
    ranges count with their upper end.
    """
    sigma = schedule(plan.stages[0].time).sigma if plan.stages else 0.0
    # Each state is a row of weights over independent noises: the start's and each stage's.
    rows = [np.eye(1, len(plan.stages) + 1)[0] * sigma]
    for index, stage in enumerate(plan.stages):
        row = sum(
            (c * r for c, r in zip(stage.x, rows[::-1], strict=False)), np.zeros_like(rows[0])
        )
        row[index + 1] = math.exp(stage.z.high / 2) if isinstance(stage.z, LogRange) else stage.z
        rows.append(row)
    return np.array([row @ row for row in rows])
