"""What a sampler claims to be: a planner of ours with its parameters."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import samplers
from ..plan import LogRange, Plan, Stage
from ..schedules import Schedule

Planner = Callable[[Schedule, Sequence[float]], Plan]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A planner by name and parameters; `claim` makes one.

    fraction: where a variance is learned, how far its logarithm is from small to large. made: what
    makes the plan, of the same parameters, where the planner of that name has another grid.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fraction: float = 0.0
    made: Callable[..., Plan] | None = None

    def planner(self, schedule: Schedule, times: Sequence[float]) -> Plan:
        """The exact plan on these times."""
        make = self.made or samplers.PLANNERS[self.name]
        made = make(schedule, times, **self.parameters)
        if not any(isinstance(stage.z, LogRange) for stage in made.stages):
            return made
        return replace(made, stages=tuple(map(self._settled, made.stages)))

    def _settled(self, stage: Stage) -> Stage:
        """The stage with its noise at `fraction` of the range of the logarithms."""
        if not isinstance(stage.z, LogRange):
            return stage
        low, high = float(stage.z.low), float(stage.z.high)
        return replace(stage, z=math.exp(0.5 * (low + self.fraction * (high - low))))

    def published(self) -> "Claim | None":
        """The same with the formula as published, where that is another."""
        takes = inspect.signature(samplers.PLANNERS[self.name]).parameters
        if "formula" not in takes or self.parameters.get("formula") == "published":
            return None
        return replace(self, parameters={**self.parameters, "formula": "published"})

    def lower_orders(self) -> Iterator["Claim"]:
        """The same at each lower order, if it has one."""
        for order in range(1, self.parameters.get("order", 1)):
            yield replace(self, parameters={**self.parameters, "order": order})

    def __str__(self) -> str:
        words = ",".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.name}:{words}" if words else self.name


def claim(name: str, /, **parameters: Any) -> Claim:
    """The claim to be the planner of that name. Raises ValueError for a name there is not."""
    if name not in samplers.PLANNERS:
        raise ValueError(f"claim must be one of {', '.join(samplers.PLANNERS)}; got {name!r}")
    return Claim(name=name, parameters=parameters)
