"""The stand-in for a target's network: it notes what it is shown and told, and answers with x_0."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..._arrays import Host, is_array, to_host
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
        """The native x_0; t is a number, an array of one, or one for each sample, all the same.

        Raises ValueError where it is told several times at once.
        """
        told = np.unique(to_host(t)) if is_array(t) else np.array([t])
        if told.size != 1:
            raise ValueError(f"the network is told {told.size} times at once")
        self.states.append(x_t)
        self.times.append(self._time(float(told[0])))
        host: Host = np.asarray(to_host(x_t), dtype=np.float64)
        return self.library.like(self._answer(host, self.times[-1], len(self.times) - 1), x_t)

    def run(self, end: Any) -> Run:
        """What was shown, with the sampler's result."""
        return Run((*self.states, end), tuple(self.times))


def eager(library: Library) -> AbstractContextManager[None]:
    """JAX's loops and compiled functions one operation at a time, which a network can look into."""
    if library.name != "jax":
        return nullcontext()
    import jax

    found: AbstractContextManager[None] = jax.disable_jit()
    return found
