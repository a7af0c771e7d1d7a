"""A GaussianDiffusion object with each type of output, of variance and of told times.

What the network puts out, how the variance is set and which loss it trains are members of
enumerations that the object holds, so that a copy can be asked for each of the others.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np

from ...predictions import EPS, MEAN, X_0, Prediction
from ..claims import Claim, claim
from ..libraries import Library
from ..subject import Answer
from .indexed import Indexed, schedule_of

PREDICTS = {"EPSILON": EPS, "START_X": X_0, "PREVIOUS_X": MEAN}
"""What the network puts out, by the name of its type."""

FLOAT32 = float(np.finfo(np.float32).eps)

FRACTION = 0.25
"""Where between small and large a learned variance is tried."""


@dataclass(frozen=True)
class Kind:
    """The target with one type of output and of variance."""

    target: Any
    library: Library
    claim: Claim | None = None
    fraction: float = FRACTION

    @property
    def epsilon(self) -> float:
        """Of its arithmetic: coefficients are cast to float32, whatever the tables."""
        return max(self.library.epsilon, FLOAT32)

    @cached_property
    def steps(self) -> Indexed:
        """Its levels, and what it tells the network."""
        schedule = schedule_of(self.target.alphas_cumprod, self.target.betas)
        told = np.array(getattr(self.target, "timestep_map", range(schedule.T)), dtype=np.float64)
        if getattr(self.target, "rescale_timesteps", False):
            told = told * (1000.0 / getattr(self.target, "original_num_steps", schedule.T))
        return Indexed(schedule=schedule, told=told, library=self.library)

    @property
    def predicts(self) -> Prediction:
        return PREDICTS[self.target.model_mean_type.name]

    @property
    def variance(self) -> str:
        name: str = self.target.model_var_type.name
        return name

    @property
    def label(self) -> str:
        """The types, in the object's words."""
        scaled = ", rescale_timesteps" if getattr(self.target, "rescale_timesteps", False) else ""
        return f"{self.target.model_mean_type.name}, {self.variance}{scaled}"

    def varied(self, **names: str) -> "Kind | None":
        """This kind with other members of the object's enumerations; None where it lacks those."""
        made = copy.copy(self.target)
        for attribute, name in names.items():
            members = type(getattr(made, attribute, None))
            if not issubclass(members, Enum) or name not in members.__members__:
                return None
            setattr(made, attribute, members[name])
        return replace(self, target=made)

    def others(self) -> Iterator["Kind"]:
        """This kind, then those with another output, another variance, other told times."""
        yield self
        for attribute, names in (
            ("model_mean_type", PREDICTS),
            ("model_var_type", ("FIXED_SMALL", "FIXED_LARGE", "LEARNED", "LEARNED_RANGE")),
        ):
            for name in names:
                made = self.varied(**{attribute: name})
                if made is not None and name != getattr(self.target, attribute).name:
                    yield made
        if hasattr(self.target, "rescale_timesteps"):
            scaled = copy.copy(self.target)
            scaled.rescale_timesteps = not self.target.rescale_timesteps
            yield replace(self, target=scaled)

    @property
    def within(self) -> str | float:
        """The variance: an end of the range of logarithms, or a fraction of the way."""
        fixed = {"FIXED_SMALL": "small", "FIXED_LARGE": "large"}
        return fixed.get(self.variance, self.fraction)

    def learned(self) -> Callable[[int], float] | None:
        """What its network says of the variance at a time; None where it says nothing."""
        if self.variance == "LEARNED":
            return lambda t: self.steps.log_variance(t, self.fraction)
        if self.variance == "LEARNED_RANGE":
            return lambda t: 2.0 * self.fraction - 1.0
        return None

    def raw(self, answer: Answer) -> Answer:
        """What its network puts out for an answer."""
        return self.steps.output(self.predicts, answer, self.learned())

    def ancestral(self) -> Claim:
        """What `p_sample` claims to be."""
        if self.claim is not None:
            return self.claim
        if isinstance(self.within, str):
            return claim("ddpm", variance=self.within)
        return replace(claim("ddpm", variance="learned"), fraction=self.within)
