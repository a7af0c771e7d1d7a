"""Run a sampler on symbols, and keep what it does as a plan.

A planner reads like the algorithm of its paper: it takes the current state, asks for the denoiser's
output, combines, and moves on. States and outputs are symbols, of which everything is a linear
combination with float64 weights, and each move becomes a `Stage`.
"""

from collections.abc import Mapping
from typing import Any

from ..plan import LogRange, Plan, Stage
from ..schedules import Level, Schedule
from ._first_order import first_order

Symbol = tuple[str, int]
"""("x", i) is state number i, ("m", j) output number j, both from 0."""


class Combination:
    """A sum of symbols, each with a weight."""

    def __init__(self, weights: Mapping[Symbol, float]) -> None:
        self.weights = {symbol: w for symbol, w in weights.items() if w != 0.0}

    def __add__(self, other: "Combination") -> "Combination":
        symbols = {**self.weights, **other.weights}
        return Combination(
            {s: self.weights.get(s, 0.0) + other.weights.get(s, 0.0) for s in symbols}
        )

    def __sub__(self, other: "Combination") -> "Combination":
        return self + -1.0 * other

    def __rmul__(self, factor: float) -> "Combination":
        return Combination({symbol: factor * w for symbol, w in self.weights.items()})


ZERO = Combination({})


class Trace:
    """A run from `time` on; `x` is its state, `time` where that is."""

    def __init__(self, schedule: Schedule, time: float) -> None:
        self.schedule, self.time = schedule, time
        self._stages: list[Stage] = []
        self._outputs = 0
        self._called = False

    @property
    def level(self) -> Level:
        """alpha and sigma of the current time."""
        return self.schedule(self.time)

    @property
    def x(self) -> Combination:
        """The current state."""
        return Combination({("x", len(self._stages)): 1.0})

    def denoise(self) -> Combination:
        """The denoiser's output at the current state; at most once for each state."""
        assert not self._called
        self._called = True
        self._outputs += 1
        return Combination({("m", self._outputs - 1): 1.0})

    def eps(self, x_0: Combination) -> Combination:
        """The noise in the current state that belongs to `x_0`: (x - alpha x_0) / sigma."""
        alpha, sigma = map(float, self.level)
        return (1.0 / sigma) * (self.x - alpha * x_0)

    def move(self, time: float, state: Combination, z: float | LogRange = 0.0) -> None:
        """Make `state`, plus noise of scale `z`, the state at `time`."""
        x = self._newest_first(state, "x", len(self._stages) + 1)
        m = self._newest_first(state, "m", self._outputs)
        if self._called and not m:
            m = (0.0,)  # Called for later stages' sake.
        self._stages.append(Stage(self.time, time, x, m, z, call=self._called))
        self.time, self._called = time, False

    def ddim(self, time: float, x_0: Combination) -> None:
        """Move by the first-order step, alpha_s x_0 + sigma_s eps: exact where x_0 is constant.

        Down or up, defined at alpha = 0 too; at sigma_s = 0 it moves to x_0.
        """
        keep, share, _ = first_order(self.schedule, self.time, time)
        self.move(time, keep * self.x + share * x_0)

    def first_order(self, time: float) -> None:
        """Move by `ddim` with what the denoiser gives; from sigma = 0 at no call."""
        self.ddim(time, self.denoise() if self.level.sigma else ZERO)

    def plan(self, name: str, order: int | None = None, /, **parameters: Any) -> Plan:
        """What was done, as a plan of that name and order."""
        assert not self._called
        return Plan(name, tuple(self._stages), order=order, parameters=parameters)

    @staticmethod
    def _newest_first(state: Combination, kind: str, count: int) -> tuple[float, ...]:
        """The weights of the `count` symbols of a kind, without the oldest that weigh nothing."""
        weights = {i: w for (k, i), w in state.weights.items() if k == kind}
        oldest = min(weights, default=count)
        return tuple(weights.get(i, 0.0) for i in range(count - 1, oldest - 1, -1))
