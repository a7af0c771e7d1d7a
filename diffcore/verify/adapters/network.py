"""The stand-in for a target's network: it notes what it is shown and told, and answers with x_0.

Within a JAX transformation neither is there yet; there the host is called back, in order.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._arrays import Host, is_array, is_traced, to_host
from ..libraries import Library
from ..subject import Answer, Run


class Network:
    """x_0 = answer(x_t, t, k) at a native state and told time, `time` making ours of the told.

    states, times: of every call so far.
    """

    def __init__(
        self, answer: Answer, library: Library, time: Callable[[float], float] = float
    ) -> None:
        self._answer = answer
        self.library = library
        self._time = time
        self.states: list[Any] = []
        self.times: list[float] = []

    def __call__(self, x_t: Any, t: Any) -> Any:
        """The native x_0; t is a number, an array of one, or one for each sample, all the same."""
        if is_array(x_t) and is_traced(x_t):
            return self._called_back(x_t, t)
        return self.library.like(self._noted(x_t, t), x_t)

    def run(self, end: Any) -> Run:
        """What was shown, with the sampler's result."""
        if self.library.name == "jax":
            _jax("jax").effects_barrier()
        return Run((*self.states, end), tuple(self.times))

    def _noted(self, x_t: Any, t: Any) -> Host:
        told = np.unique(to_host(t)) if is_array(t) else np.array([t])
        if told.size != 1:
            raise ValueError(f"the network is told {told.size} times at once")
        self.states.append(x_t)
        self.times.append(self._time(float(told[0])))
        host = np.asarray(to_host(x_t), dtype=np.float64)
        return self._answer(host, self.times[-1], len(self.times) - 1)

    def _called_back(self, x_t: Any, t: Any) -> Any:
        def host(x_t: Any, t: Any) -> Any:
            return np.asarray(self._noted(np.asarray(x_t), np.asarray(t)), dtype=x_t.dtype)

        shaped = _jax("jax").ShapeDtypeStruct(x_t.shape, x_t.dtype)
        return _jax("jax.experimental").io_callback(host, shaped, x_t, t, ordered=True)


def _jax(module: str) -> Any:
    return importlib.import_module(module)
