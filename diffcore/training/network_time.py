"""What a network is told of the time, in training and in sampling alike.

    discrete schedule       t itself, 1 .. T (a respaced one: the time it had before)
    continuous, t in [0, 1] 1000 t
    EDM's schedule          t = sigma, also where it is shifted
    Edm prediction          c_noise = log(sigma / alpha) / 4, on any schedule

The sinusoid of the UNet has periods from 2 pi to 2 pi 10^4, so that times should differ by about 1.
"""

from typing import Any

import numpy as np

from .._arrays import constant, gather, namespace
from ..denoisers import Threshold, denoiser
from ..plan import Denoise
from ..predictions import Prediction
from ..schedules import ContinuousSchedule, DiscreteSchedule, Tables
from .draws import counts_sigma

CONTINUOUS = 1000.0


def time_scale(schedule: DiscreteSchedule | ContinuousSchedule, predicts: Prediction) -> float:
    """The factor between the time that `predicts.inputs` gives and what the network is told."""
    unit = isinstance(schedule, ContinuousSchedule) and schedule.curve.t_max == 1.0
    own = counts_sigma(schedule) or predicts.config["kind"] == "edm"
    return CONTINUOUS if unit and not own else 1.0


def inputs(
    schedule: DiscreteSchedule | ContinuousSchedule,
    predicts: Prediction,
    tables: Tables | ContinuousSchedule,
    x_t: Any,
    t: Any,
) -> tuple[Any, Any]:
    """The state and the times to give the network, of x_t's dtype; t has shape (batch,).

    tables: those of a discrete `schedule` beside x_t, else the schedule itself.
    """
    x_in, time = predicts.inputs(tables, x_t, t)
    if time is t and isinstance(schedule, DiscreteSchedule) and is_respaced(schedule):
        time = gather(constant(schedule.origin, x_t), t)
    time = namespace(x_t).astype(time, x_t.dtype, copy=False)
    scale = time_scale(schedule, predicts)
    return x_in, time if scale == 1.0 else time * scale


def is_respaced(schedule: DiscreteSchedule) -> bool:
    """Whether the schedule counts its times otherwise than the one it was made from."""
    return bool((schedule.origin != np.arange(schedule.T + 1)).any())


def as_denoiser(
    network: Any,
    schedule: DiscreteSchedule | ContinuousSchedule,
    predicts: Prediction,
    *,
    threshold: Threshold | None,
    learned_variance: bool,
) -> Denoise:
    """A network that was trained on `inputs` as a denoiser; network(x, t) as in `denoisers`."""
    return denoiser(
        network,
        schedule,
        predicts,
        time_scale=time_scale(schedule, predicts),
        threshold=threshold,
        learned_variance=learned_variance,
    )
