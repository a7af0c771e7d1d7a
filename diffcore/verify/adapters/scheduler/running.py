"""Run a step scheduler with a network that, for each state and time, is told what to say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ...._arrays import Host, namespace, to_host
from ...libraries import Library
from ...subject import Answer, Run
from .levels import Track, track
from .shape import Recipe, parameters, setting


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One way to run it.

    steps: how many. arguments: of each `step`. begin: the first call that is made, as for an
    image that is part of the way. before: numbers of steps set and run before, on the same object.
    idle: numbers of steps set before, without a run.
    """

    recipe: Recipe
    steps: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    begin: int = 0
    before: tuple[int, ...] = ()
    idle: tuple[int, ...] = ()

    def made(self) -> Any:
        """The scheduler with its timesteps set, ready for the first call."""
        scheduler = self.recipe.make()
        for n in self.idle:
            scheduler.set_timesteps(n)
        scheduler.set_timesteps(self.steps)
        if self.begin and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(self.begin)
        return scheduler

    @cached_property
    def track(self) -> Track:
        """The levels of a fresh one, from the first call on."""
        whole = track(self.made())
        k = self.begin
        start = whole.used[k]
        return whole._replace(
            grid=whole.grid[whole.grid.index(start) :],
            used=whole.used[k:],
            told=whole.told[k:],
            gains=whole.gains[k:],
        )

    def launch(self, library: Library) -> Callable[[Answer, Any, int], Run]:
        """What runs it, with the levels of a fresh one."""

        def launch(answer: Answer, x: Any, seed: int) -> Run:
            scheduler = self.made()
            library.seed(seed)
            for n in self.before:
                scheduler.set_timesteps(n)
                _steps(scheduler, track(scheduler), 0, _nothing, x, self.arguments, library)
            if self.before:
                scheduler.set_timesteps(self.steps)
            return _steps(scheduler, self.track, self.begin, answer, x, self.arguments, library)

        return launch


def _nothing(x_t: Host, t: float, k: int) -> Host:
    return 0.1 * x_t


def _steps(
    scheduler: Any,
    levels: Track,
    begin: int,
    answer: Answer,
    x: Any,
    arguments: Mapping[str, Any],
    library: Library,
) -> Run:
    states, like = [], x
    if getattr(scheduler, "noise_sampler", False) is None:
        # In place of a Brownian path, whose draws are made of many.
        scheduler.noise_sampler = lambda *_: library.normal(like)
    timesteps = scheduler.timesteps[begin:]
    takes = parameters(scheduler.step)
    for k, t in enumerate(timesteps):
        seen = scheduler.scale_model_input(x, t) if _scales(scheduler) else x
        x_t = levels.gains[k] * to_host(seen).astype(np.float64)
        output = said(levels, answer(x_t, levels.used[k], k), x_t, levels.used[k])
        states.append(library.like(x_t, x))
        more = dict(arguments)
        if "prev_timestep" in takes:
            more["prev_timestep"] = timesteps[k + 1] if k + 1 < len(timesteps) else None
        x = previous(scheduler.step(full(scheduler, library.like(output, x)), t, x, **more))
    return Run((*states, x), levels.told)


def _scales(scheduler: Any) -> bool:
    return hasattr(scheduler, "scale_model_input")


def said(levels: Track, x_0: Host, x_t: Host, t: float) -> Host:
    """The network's output that stands for x_0 at the state x_t of time t."""
    alpha, sigma = levels.schedule(t)
    p, q = (float(part) for part in levels.predicts.mix(levels.schedule, t, x_t))
    eps = (x_t - alpha * x_0) / sigma if sigma else np.zeros_like(x_t)
    output: Host = p * x_0 + q * eps
    return output


def full(scheduler: Any, output: Any) -> Any:
    """The output with the channels of a learned variance, if the scheduler wants them."""
    kind = setting(scheduler, "variance_type", None)
    if kind not in ("learned", "learned_range"):
        return output
    return namespace(output).concat([output, 0.0 * output], axis=1)


def previous(result: Any) -> Any:
    """The new state in what `step` returns: an object, a mapping, a tuple or the state itself."""
    if isinstance(result, tuple):
        return result[0]
    if isinstance(result, Mapping):
        return result["prev_sample"]
    return getattr(result, "prev_sample", result)
