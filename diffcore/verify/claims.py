"""What a sampler claims to be: a planner of ours with its parameters."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import samplers
from ..plan import Plan
from ..schedules import Schedule

Planner = Callable[[Schedule, Sequence[float]], Plan]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A planner by name and parameters; `claim` makes one."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def planner(self, schedule: Schedule, times: Sequence[float]) -> Plan:
        """The exact plan on these times."""
        return samplers.PLANNERS[self.name](schedule, times, **self.parameters)

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
