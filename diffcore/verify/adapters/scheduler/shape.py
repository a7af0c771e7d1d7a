"""A step scheduler by its shape: how it is made, set and called, whatever it is made of.

set_timesteps(n); for t in timesteps: sample = step(network(sample, t), t, sample).prev_sample
"""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

REACHED = ("model_output", "timestep", "sample", "prev_timestep")
"""The arguments of `step` that a run hands over."""

LINEAR = {"clip_sample": False, "thresholding": False, "clip_denoised": False}
"""What makes a scheduler linear in the denoised x_0, where it has such options."""


def matches(target: Any) -> bool:
    """Whether the target has `set_timesteps`, and `step(model_output, timestep, sample)`."""
    if not callable(getattr(target, "set_timesteps", None)):
        return False
    names = parameters(getattr(target, "step", None))
    return {"model_output", "sample"} <= set(names) and bool({"timestep", "t"} & set(names))


def parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    """The named parameters of a function or class, without self; none where it has no signature."""
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    packed = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {k: p for k, p in found.items() if k != "self" and p.kind not in packed}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a scheduler: its class and what its constructor is given.

    instance: one to copy where nothing is changed, for a class that cannot be made again.
    """

    kind: type
    options: Mapping[str, Any] = field(default_factory=dict)
    instance: Any = None

    @property
    def takes(self) -> Mapping[str, inspect.Parameter]:
        """The constructor's parameters."""
        return parameters(self.kind)

    def value(self, option: str, otherwise: Any = None) -> Any:
        """What the constructor is given for an option, its default if nothing."""
        if option in self.options:
            return self.options[option]
        given = self.takes.get(option)
        if given is None or given.default is inspect.Parameter.empty:
            return otherwise
        return given.default

    def but(self, **options: Any) -> "Recipe":
        """The same with other options."""
        changed = any(self.value(k) != v for k, v in options.items())
        instance = None if changed else self.instance
        return replace(self, options={**self.options, **options}, instance=instance)

    def linear(self) -> "Recipe":
        """The same without clipping and thresholding."""
        return self.but(**{k: v for k, v in LINEAR.items() if k in self.takes})

    @cached_property
    def _first(self) -> Any:
        return self.kind(**self.options) if self.instance is None else self.instance

    def make(self) -> Any:
        """A fresh scheduler: a copy of one that nothing was done to, for some are slow to make."""
        return copy.deepcopy(self._first)


def recipe(target: Any, kwargs: Mapping[str, Any] | None) -> Recipe:
    """How to make the target again, an instance by its configuration.

    Raises TypeError for `kwargs` beside an instance.
    """
    if inspect.isclass(target):
        return Recipe(kind=target, options=dict(kwargs or {}))
    if kwargs:
        raise TypeError("kwargs must be given for a class, not for an instance of one")
    kind = type(target)
    found = {k: setting(target, k) for k in parameters(kind)}
    options = {k: v for k, v in found.items() if v is not MISSING}
    return Recipe(kind=kind, options=options, instance=target)


MISSING: Any = object()
"""No such setting."""


def setting(scheduler: Any, name: str, otherwise: Any = MISSING) -> Any:
    """An option of a made scheduler, from its config or from itself."""
    config = getattr(scheduler, "config", None)
    if isinstance(config, Mapping) and name in config:
        return config[name]
    return getattr(config, name, getattr(scheduler, name, otherwise))


def require_reached(target: Any) -> None:
    """ValueError that names an argument of `step` that no run can know."""
    for name, parameter in parameters(target.step).items():
        known = name in REACHED or name == "t"
        if parameter.default is inspect.Parameter.empty and not known:
            raise ValueError(
                f"target must have a step of (model_output, timestep, sample); that of "
                f"{getattr(target, '__name__', type(target).__name__)} needs {name!r} too"
            )


def refused(error: Exception, *words: Any) -> bool:
    """Whether an error says clearly that a value is not supported: it names one of `words`."""
    text = str(error).lower()
    kinds = (ValueError, NotImplementedError)
    return isinstance(error, kinds) and any(str(w).lower() in text for w in words)
