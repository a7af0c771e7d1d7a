"""Training by hand: the shared loop with this backend's stepper."""

from diffcore.training import loop
from diffcore.training.loop import Outcome
from diffcore.training.recipe import Recipe
from diffcore.training.run_folder import RunFolder

from .device import chosen_kernels
from .stepper import ReferenceStepper


def fit(
    recipe: Recipe,
    run: RunFolder,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> Outcome:
    """Train by `recipe` into `run`; see `diffcore.training.loop.fit`.

    device: see `device.chosen_kernels`. A run is repeatable to the bit for a given number of
    threads. Raises ValueError for a recipe that asks for bfloat16 or for compilation.
    """
    if recipe.training.precision == "bfloat16":
        raise ValueError(
            "training.precision must be auto or float32 with the reference backend, got 'bfloat16'"
        )
    if recipe.training.compile:
        raise ValueError("training.compile must be false with the reference backend, got true")
    kernels = chosen_kernels(device)
    return loop.fit(
        recipe,
        run,
        lambda task: ReferenceStepper(task, kernels),
        resume=resume,
        progress=progress,
    )
