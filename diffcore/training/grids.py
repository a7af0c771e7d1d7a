"""Grids of samples while a run goes on, always from the same noise, so that they compare."""

from collections.abc import Callable

import numpy as np

from ..noise import portable
from ..plan import Plan, iterate, prior
from ..samplers import ddim, ddpm
from ..times import trailing
from .draws import Schedule
from .images import Float
from .sections import Evaluation
from .stepper import Stepper, Task, Weights

SAMPLE_SEED = 2**62 + 2


def sampling_plan(evaluation: Evaluation, schedule: Schedule, learned_variance: bool) -> Plan:
    """The plan of a recipe's sampler, over `evaluation.steps` times."""
    times = trailing(schedule, evaluation.steps)
    if evaluation.sampler == "ddim":
        return ddim(schedule, times, evaluation.eta)
    return ddpm(schedule, times, "learned" if learned_variance else "small")


def draw(
    stepper: Stepper, task: Task, weights: Weights, interrupted: Callable[[], bool]
) -> Float | None:
    """`evaluation.samples` samples, (samples, C, H, W), classes in turn; None if interrupted."""
    n, unet = task.recipe.evaluation.samples, task.unet
    plan = sampling_plan(task.recipe.evaluation, task.schedule, unet.learned_variance)
    labels = np.arange(n, dtype=np.int64) % unet.classes if unet.classes else None
    noise = portable(SAMPLE_SEED)
    shape = (n, unet.channels, unet.image_size, unet.image_size)
    like = stepper.array(np.zeros(shape, np.float32))
    x = prior(task.schedule, plan.stages[0].time, noise(like, 0))
    for progress in iterate(stepper.denoise(weights, labels), plan, x, noise):
        if interrupted():
            return None
        x = progress.x
    return stepper.host(x)
