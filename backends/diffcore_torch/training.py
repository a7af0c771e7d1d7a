"""Training in PyTorch: the shared loop with PyTorch's stepper."""

from diffcore.training import loop
from diffcore.training.loop import Outcome
from diffcore.training.recipe import Recipe
from diffcore.training.run_folder import RunFolder

from .device import chosen_device
from .stepper import TorchStepper


def fit(
    recipe: Recipe,
    run: RunFolder,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> Outcome:
    """Train by `recipe` into `run`; see `diffcore.training.loop.fit`.

    device: "auto" is the GPU where there is one. On a CPU a run is repeatable to the bit for a
    given number of threads.
    """
    where = chosen_device(device)
    return loop.fit(
        recipe,
        run,
        lambda task: TorchStepper(task, where),
        resume=resume,
        progress=progress,
    )
