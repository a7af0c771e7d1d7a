"""Grids of samples while a run goes on, always from the same noise, so that they compare.

A network with a condition is given those of held-out images, which are shown before the samples.
"""

from collections.abc import Callable

import numpy as np

from ..noise import portable
from ..plan import iterate, prior
from .draws import condition_of
from .images import Float, Images
from .stepper import Stepper, Task, Weights

SAMPLE_SEED = 2**62 + 2
PAIRED_COLUMNS = 8


def columns(task: Task) -> int:
    """How many columns show what `draw` gives: one for each class, or pairs side by side."""
    return PAIRED_COLUMNS if task.recipe.data.condition_size else task.unet.classes


def draw(
    stepper: Stepper,
    task: Task,
    weights: Weights,
    held_out: Images,
    interrupted: Callable[[], bool],
) -> Float | None:
    """`evaluation.samples` samples, (samples, C, H, W), classes in turn; None if interrupted.

    With a condition: (2 samples, C, H, W), each condition and what was drawn for it.
    """
    n, unet = task.recipe.evaluation.samples, task.unet
    plan = task.recipe.evaluation.plan(task.schedule, unet.learned_variance)
    labels = np.arange(n, dtype=np.int64) % unet.classes if unet.classes else None
    shown = np.arange(n) % len(held_out)
    condition = condition_of(held_out.batch(shown), task.recipe.data.condition_size)
    if condition is not None and labels is not None and held_out.labels is not None:
        labels = held_out.labels[shown]
    noise = portable(SAMPLE_SEED)
    shape = (n, unet.channels, unet.image_size, unet.image_size)
    like = stepper.array(np.zeros(shape, np.float32))
    x = prior(task.schedule, plan.stages[0].time, noise(like, 0))
    for progress in iterate(stepper.denoise(weights, labels, condition), plan, x, noise):
        if interrupted():
            return None
        x = progress.x
    samples = stepper.host(x)
    if condition is None:
        return samples
    return np.stack([condition, samples], axis=1).reshape(2 * n, *samples.shape[1:])
