"""A class of samplers made into an instance, its denoiser replaced by a stand-in."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..._arrays import is_array, to_host
from ...schedules import ContinuousSchedule
from ..levels import told
from ..libraries import Library
from .network import Network
from .step_class_schedules import NativeSchedule


class Denoiser:
    """Answers by `network`, which each run sets; what else it is asked for is the source's."""

    def __init__(self, schedule: NativeSchedule, source: Any) -> None:
        self.schedule = schedule
        self.network: Network | None = None
        self._source = source

    def __call__(self, x_t: Any, t: Any, **_: Any) -> Any:
        assert self.network is not None
        return SimpleNamespace(mean=self.network(x_t, t))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_source"], name)


@dataclass(frozen=True, kw_only=True)
class Made:
    """An instance at some number of steps.

    times: its native times, the noisiest first. schedule, grid: its levels and times in this
    package's terms, where time rises from `data` towards noise. epsilon: of its levels.
    """

    instance: Any
    denoiser: Denoiser
    times: tuple[Any, ...]
    schedule: ContinuousSchedule
    grid: tuple[float, ...]
    time: Callable[[float], float]
    epsilon: float


@dataclass(frozen=True, kw_only=True)
class Making:
    """How to make one: the class with its options, or an instance to copy."""

    target: Any
    library: Library
    source: Any
    options: Mapping[str, Any]
    schedule: NativeSchedule

    @property
    def kind(self) -> type:
        """The class."""
        made: type = self.target if inspect.isclass(self.target) else type(self.target)
        return made

    def option(self, name: str) -> Any:
        """What an option is set to; None where it has no such option."""
        if self.target is not self.kind:
            return getattr(self.target, name, None)
        found = self.options.get(name, parameters(self.kind).get(name))
        return None if found is inspect.Parameter.empty else found

    def __call__(self, n: int) -> Made:
        """The sampler at n steps; an instance whose steps are fixed keeps its own."""
        denoiser = Denoiser(self.schedule, self.source)
        precise = self.library.make(0.0, self.library.dtypes[-1]).dtype
        wanted = {"steps": n, "silent": True, "dtype": precise, "denoiser": denoiser}
        if self.target is self.kind:
            takes = parameters(self.kind)
            free = {k: v for k, v in wanted.items() if k in takes and k not in self.options}
            instance = self.target(**free, **self.options)
        else:
            instance = copy.copy(self.target)
            for name, value in wanted.items():
                if hasattr(instance, name) and not (name == "dtype" and instance.dtype):
                    setattr(instance, name, value)
        return self._described(instance, denoiser, self._times(instance, n))

    def _times(self, instance: Any, n: int) -> tuple[Any, ...]:
        found = getattr(instance, "timesteps", None)
        counted = self.target is self.kind and "steps" in parameters(self.kind)
        if found is not None and not callable(found) and not (counted and len(found) != n + 1):
            return tuple(found)
        # Where it is told a number of steps, times of another number are not the ones it claims.
        start, stop = getattr(instance, "start", 1.0), getattr(instance, "stop", 0.0)
        steps = getattr(instance, "steps", n)
        even = np.linspace(float(start), float(stop), int(steps) + 1)
        return tuple(self.library.make(t, self.library.dtypes[-1]) for t in even)

    def _described(self, instance: Any, denoiser: Denoiser, times: tuple[Any, ...]) -> Made:
        kind = str(getattr(times[0], "dtype", "")).rpartition(".")[2]
        dtype = kind if kind in self.library.dtypes else self.library.dtypes[-1]
        native = [float(to_host(t)) if is_array(t) else float(t) for t in times]
        falls = native[0] > native[-1]
        data = min(0.0, native[-1]) if falls else native[-1]
        sign = 1.0 if falls else -1.0

        def at(time: float) -> tuple[float, float]:
            alpha, sigma = self.schedule(self.library.make(data + sign * time, dtype))
            return float(to_host(alpha)), float(to_host(sigma))

        def time(t: float) -> float:
            return sign * (t - data)

        own = self.schedule  # One of this package is asked itself.
        grid = tuple(map(time, native))
        rounding = float(np.finfo(np.dtype(dtype)).eps)
        return Made(
            instance=instance,
            denoiser=denoiser,
            times=times,
            schedule=own if isinstance(own, ContinuousSchedule) else told(at, grid[0]),
            grid=grid,
            time=time,
            epsilon=max(self.library.epsilon, rounding),
        )


def parameters(made: type) -> Mapping[str, Any]:
    """The arguments that a class and its bases are made with, and their defaults."""
    found: dict[str, Any] = {}
    for base in reversed(made.__mro__[:-1]):
        if "__init__" in vars(base):
            signature = inspect.signature(base.__init__)  # type: ignore[misc]
            found |= {p.name: p.default for p in signature.parameters.values()}
    return found


def has(made: type, method: str) -> bool:
    """Whether instances have the method."""
    return any(method in vars(base) for base in made.__mro__)
