"""Objects that count their steps 0..T-1: time t here is index t - 1 there.

Such an object steps from any index to the one before, so that a long process is tried in windows
at its start, middle and end; what its network is told may be another count again, as after
respacing, or scaled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._arrays import Host, to_host
from ...losses import log_variances
from ...predictions import Prediction
from ...schedules import DiscreteSchedule, from_alpha_bar, from_betas
from ..libraries import Library
from ..subject import Answer, Launch, Run
from .network import Network

WHOLE = 64
"""The most steps that are run as a whole."""

WINDOW = 8
"""The steps of a window of a longer process."""

Step = Callable[[Any, Any, Any], Any]
"""step(network, x_t, indices) -> x_{t-1}."""


def schedule_of(alpha_bar: Any, beta: Any) -> DiscreteSchedule:
    """The levels that the object holds; where they make no schedule, those of its betas."""
    try:
        return from_alpha_bar(to_host(alpha_bar))
    except ValueError:
        return from_betas(to_host(beta))


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """The object's levels, and what its network is told at the times 1..T."""

    schedule: DiscreteSchedule
    told: Host
    library: Library

    def index(self, times: Sequence[float]) -> Any:
        """The object's indices of these times, a native integer array."""
        wide = "int64" if "float64" in self.library.dtypes else "int32"
        return self.library.make(np.array(times, dtype=np.int64) - 1, wide)

    def time(self, told: float) -> float:
        """The time of which the network is told so; between times, or beyond, a fraction."""
        nearest = int(np.argmin(np.abs(self.told - told)))
        if abs(self.told[nearest] - told) <= 1e-6 * max(abs(told), 1.0):
            return nearest + 1
        if self.told[0] <= told <= self.told[-1]:
            return float(np.interp(told, self.told, np.arange(1.0, len(self.told) + 1.0)))
        return 1.0 + told

    def level_time(self, t: float) -> int:
        """The whole time 1..T that is nearest."""
        return min(max(round(t), 1), self.schedule.T)

    def output(
        self, predicts: Prediction, answer: Answer, learned: Callable[[int], float] | None = None
    ) -> Answer:
        """What a network puts out for the x_0 of `answer`.

        learned: what more channels say of the variance at a time, if there are such.
        """

        def raw(x_t: Host, t: float, k: int) -> Host:
            x_0 = answer(x_t, t, k)
            at = self.level_time(t)
            alpha, sigma = self.schedule(at)
            out: Host = predicts.target(self.schedule, x_0, at, (x_t - alpha * x_0) / sigma)
            if learned is None:
                return out
            return np.concatenate([out, np.full_like(out, learned(at))], axis=1)

        return raw

    def log_variance(self, t: int, fraction: float) -> float:
        """The learned log variance at `fraction` of the way from small to large."""
        low, high = log_variances(self.schedule, t, np.zeros(1))
        return float(low + fraction * (high - low))

    def windows(self) -> tuple[tuple[int, ...], ...]:
        """The times to walk down: all, or those of three windows."""
        T = self.schedule.T
        if T <= WHOLE:
            return (tuple(range(T, -1, -1)),)
        return tuple(
            tuple(range(top, top - WINDOW - 1, -1)) for top in (T, (T + WINDOW) // 2, WINDOW)
        )

    def walk(self, step: Step, grid: Sequence[int], raw: Callable[[Answer], Answer]) -> Launch:
        """Call `step` at each time of the grid but the last."""

        def launch(answer: Answer, x: Any, seed: int) -> Run:
            network = Network(raw(answer), self.library, self.time)
            self.library.seed(seed)
            for t in grid[:-1]:
                x = step(network, x, self.index([t] * len(x)))
            return network.run(x)

        return launch

    def loop(self, run: Callable[[Any, Any], Any], raw: Callable[[Answer], Answer]) -> Launch:
        """Call `run(network, x_T)`, which walks the steps itself."""

        def launch(answer: Answer, x: Any, seed: int) -> Run:
            network = Network(raw(answer), self.library, self.time)
            self.library.seed(seed)
            return network.run(run(network, x))

        return launch
