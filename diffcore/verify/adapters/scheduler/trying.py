"""Run a scheduler once as its user would, on pictures of noise, to see whether it runs at all."""

import math
from typing import Any

import numpy as np

from ...._arrays import to_host
from ...libraries import Library, guess
from ...libraries import of as library_of
from .running import Setup, full, previous
from .shape import parameters

SHAPE = (2, 3, 4, 4)


def attempt(setup: Setup, library: Library | None = None) -> None:
    """Every step, with a network that says what it is given.

    Raises ValueError where the shape is another at the end, FloatingPointError for no numbers.
    """
    library = library or library_of(guess(setup.recipe.kind))
    scheduler = setup.made()
    x: Any = library.make(np.random.default_rng(0).normal(size=SHAPE), "float32")
    timesteps = scheduler.timesteps[setup.begin :]
    takes = parameters(scheduler.step)
    for k, t in enumerate(timesteps):
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        more = dict(setup.arguments)
        if "prev_timestep" in takes:
            more["prev_timestep"] = timesteps[k + 1] if k + 1 < len(timesteps) else None
        x = previous(scheduler.step(full(scheduler, seen), t, x, **more))
    end = to_host(x)
    if end.shape != SHAPE:
        raise ValueError(f"a state of shape {SHAPE} became one of shape {end.shape}")
    if not all(map(math.isfinite, end.ravel().tolist())):
        raise FloatingPointError("the end is not finite")
