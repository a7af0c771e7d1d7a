"""A `Target`'s functions, called with this package's times.

A function is told its index of a time, in an array with one for each sample or as a number.
"""

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..._arrays import is_array, namespace, to_host
from ...schedules import ContinuousSchedule, Schedule
from ..libraries import Library
from ..target import Target

TIME = ("t", "time", "timestep", "i")
NEXT = ("s", "t_prev", "t_next", "prev_t")
"""What an argument is called that is a time, or the time to step to."""


class Calls:
    """The target's functions, called with this package's times."""

    def __init__(self, target: Target, library: Library, schedule: Schedule | None) -> None:
        self._target, self._library = target, library
        self._whole = not isinstance(schedule, ContinuousSchedule)

    def q_sample(self, x_0: Any, times: Sequence[float], eps: Any) -> Any:
        return self._each("q_sample", lambda f, k, t: f(k(x_0), t, k(eps)), x_0, times)[0]

    def q_mean_variance(self, x_0: Any, times: Sequence[float]) -> tuple[Any, Any]:
        out = self._each("q_mean_variance", lambda f, k, t: f(k(x_0), t), x_0, times)
        return out[0], out[1]

    def q_posterior(self, x_0: Any, x_t: Any, times: Sequence[float]) -> tuple[Any, Any]:
        out = self._each("q_posterior", lambda f, k, t: f(k(x_0), k(x_t), t), x_0, times)
        return out[0], out[1]

    def q_transition(
        self, x_s: Any, before: Sequence[float], times: Sequence[float]
    ) -> tuple[Any, Any]:
        def call(f: Any, k: Any, pair: Any) -> Any:
            return f(k(x_s), *pair)

        out = self._each("q_transition", call, x_s, before, times)
        return out[0], out[1]

    def loss(self, network: Any, x_0: Any, times: Sequence[float], eps: Any) -> Any:
        def told(x_t: Any, t: Any) -> Any:
            index = np.broadcast_to(np.asarray(to_host(t) if is_array(t) else t), (x_t.shape[0],))
            return network(x_t, tuple(self.time(float(i)) for i in index))

        return self._each("loss", lambda f, k, t: f(told, k(x_0), t, k(eps)), x_0, times)[0]

    def time(self, told: float) -> float:
        """Our time of what the target calls `told`."""
        return told + self._target.first if self._whole else told

    def index(self, times: Sequence[float], like: Any) -> Any:
        """What the target calls these times: a native array beside `like`."""
        if not self._whole:
            return self._library.like(np.asarray(times, dtype=np.float64), like)
        wide = "int64" if "float64" in self._library.dtypes else "int32"
        return self._library.make(np.asarray(times, dtype=np.int64) - self._target.first, wide)

    def number(self, t: float) -> float:
        """What the target calls the time t, as a number."""
        return round(t) - self._target.first if self._whole else float(t)

    def _each(self, name: str, call: Any, x: Any, *times: Sequence[float]) -> tuple[Any, ...]:
        """One call for the batch; or one for each sample, where the function takes one time."""
        function = getattr(self._target, name)
        if not takes_number(function, self._target):
            told = [self.index(t, x) for t in times]
            out = call(function, lambda y: y, told[0] if len(told) == 1 else told)
            return tuple(out) if isinstance(out, tuple | list) else (out,)
        rows = []
        for k in range(x.shape[0]):
            told = [self.number(t[k]) for t in times]
            row = call(function, partial(_sample, k), told[0] if len(told) == 1 else told)
            rows.append(row if isinstance(row, tuple | list) else (row,))
        return tuple(_joined(parts, x, name != "loss") for parts in zip(*rows, strict=True))


def takes_number(function: Any, target: Target) -> bool:
    """Whether a function takes one time rather than an array with one for each sample."""
    notes = [
        parameter.annotation
        for name, parameter in inspect.signature(function).parameters.items()
        if name in (*TIME, *NEXT)
    ]
    return target.times == "scalar" or any(note in (int, float, "int", "float") for note in notes)


def _sample(k: int, x: Any) -> Any:
    return x[k : k + 1, ...]


def _joined(parts: Sequence[Any], like: Any, beside: bool) -> Any:
    """The samples' results as one array; numbers as one a sample, `beside` the data or in a row."""
    column = (len(parts), *(1,) * (like.ndim - 1)) if beside else (len(parts),)
    if not all(is_array(part) for part in parts):
        return np.reshape(np.array([float(part) for part in parts]), column)
    xp = namespace(like)
    if parts[0].ndim == 0:
        return xp.reshape(xp.stack(parts), column)
    return xp.concat(parts, axis=0)
