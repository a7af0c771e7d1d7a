"""A sampler is a table of numbers.

    x_{k+1} = sum_i x[i] x_{k-i} + sum_j m[j] m_{k-j} + z eps_k

with m_k the denoiser's estimate of x_0 at x_k. Every fixed-step sampler is linear in these, so a
planner (`diffcore.samplers`) returns a `Plan` of float64 coefficients, which can be checked without
an array, written as JSON and run anywhere.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .._arrays import is_number

Number: TypeAlias = Any
"""A float; in a stack of plans a tuple of floats, one for each sample."""


class LogRange(NamedTuple):
    """The noise scale of a learned variance: exp of half of low + fraction (high - low).

    The denoiser gives `fraction`, in [0, 1] (Nichol & Dhariwal 2021, eq. 15).
    """

    low: Number
    high: Number


@dataclass(frozen=True)
class Stage:
    """One row of the table: from the state at `time` to the state at `time_next`.

    x: weights of the states, newest first. m: weights of the denoiser's outputs, newest first.
    z: weight of fresh standard normal noise. call: whether the denoiser is called on the newest
    state first; without any weights m it never is.
    """

    time: Number
    time_next: Number
    x: tuple[Number, ...]
    m: tuple[Number, ...] = ()
    z: Number | LogRange = 0.0
    call: bool = True

    @property
    def calls(self) -> bool:
        """Whether the denoiser is called."""
        return self.call and bool(self.m)

    @property
    def draws(self) -> bool:
        """Whether noise is drawn."""
        return isinstance(self.z, LogRange) or not is_zero(self.z)


@dataclass(frozen=True)
class Plan:
    """A sampler for one schedule and one time grid; or a stack of them, see `stack`.

    order: the declared order of convergence of a deterministic plan, None where there is none.
    """

    name: str
    stages: tuple[Stage, ...]
    order: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def evaluations(self) -> int:
        """How often the denoiser is called."""
        return sum(stage.calls for stage in self.stages)

    @property
    def stochastic(self) -> bool:
        """Whether any stage draws noise."""
        return any(stage.draws for stage in self.stages)

    @property
    def batch(self) -> int | None:
        """How many plans are stacked in it, one for each sample; None for a plan that is one."""
        time = self.stages[0].time if self.stages else 0.0
        return len(time) if isinstance(time, tuple) else None

    def to_json(self) -> str:
        """The plan as JSON, every float64 exact."""
        return json.dumps({"format": 1, **asdict(self)}, allow_nan=False, default=_plain)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan that `to_json` wrote. Raises ValueError that says what is wrong."""
        try:
            data = json.loads(text)
            if data.pop("format") != 1:
                raise ValueError("its format is not 1")
            stages = tuple(_stage(s) for s in data.pop("stages"))
            return cls(stages=stages, **data)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"text must be a plan's JSON: {error}") from None


def require_plan(plan: Any) -> None:
    """Raise TypeError unless `plan` is one."""
    if not isinstance(plan, Plan):
        raise TypeError(f"plan must be a Plan, got {type(plan).__name__}")


def is_zero(weight: Number) -> bool:
    """Whether a weight is 0, in a stack for every sample."""
    return weight == 0.0 or (isinstance(weight, tuple) and not any(weight))


def _stage(data: Mapping[str, Any]) -> Stage:
    stacked = isinstance(data["time"], list)
    z = data["z"]
    # A range is a pair of numbers: of floats, or in a stack of lists.
    ranged = isinstance(z, list) and (not stacked or isinstance(z[0], list))
    return Stage(
        time=_number(data["time"]),
        time_next=_number(data["time_next"]),
        x=tuple(map(_number, data["x"])),
        m=tuple(map(_number, data["m"])),
        z=LogRange(*map(_number, z)) if ranged else _number(z),
        call=data["call"],
    )


def _number(value: Any) -> Number:
    if isinstance(value, list):
        return tuple(map(_number, value))
    if not is_number(value):
        raise ValueError(f"{value!r} is not a number")
    return value


def _plain(value: Any) -> Any:
    """A NumPy number as Python's; TypeError for what JSON cannot hold."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a plan's parameters must be numbers and words for JSON, got {value!r}")
