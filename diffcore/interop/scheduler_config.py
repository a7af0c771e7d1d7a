"""A schedule and a prediction type as the configuration of a published scheduler.

betas   DDPMScheduler                      by their rule where that has a name there
flow    FlowMatchEulerDiscreteScheduler    predicting the velocity
edm     EDMEulerScheduler                  predicting EDM's F
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..predictions import VELOCITY, Prediction
from ..schedules import ContinuousSchedule, DiscreteSchedule
from .arguments import STEPS, name_of
from .predictions import NAMES
from .schedules import MAX_BETA

RULES: Mapping[str, str] = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "quadratic": "scaled_linear",
}


def scheduler_config(
    schedule: DiscreteSchedule | ContinuousSchedule,
    predicts: Prediction,
    *,
    learned_variance: bool = False,
) -> dict[str, Any]:
    """The contents of a `scheduler_config.json` of the same schedule and prediction type.

    It is for a network that is told the step t - 1 on a discrete schedule, 1000 t on the flow.
    Raises ValueError that names `schedule` or `predicts` where no published scheduler has it.
    """
    kind = schedule.config["kind"]
    if isinstance(schedule, DiscreteSchedule):
        if (schedule.origin != np.arange(schedule.T + 1)).any():
            raise ValueError(
                "schedule must count its network's steps, got one respaced: give the schedule it "
                "was made from"
            )
        given = name_of(predicts, {k: p for k, p in NAMES.items() if p != VELOCITY})
        if given is None:
            raise _unpublished(predicts, "eps, x_0, v", "a discrete schedule")
        return {
            "_class_name": "DDPMScheduler",
            "num_train_timesteps": schedule.T,
            "prediction_type": given,
            "variance_type": "learned_range" if learned_variance else "fixed_small",
            **_betas(schedule),
        }
    if kind == "flow":
        if predicts != VELOCITY:
            raise _unpublished(predicts, "velocity", "the flow")
        name = "FlowMatchEulerDiscreteScheduler"
        return {"_class_name": name, "num_train_timesteps": STEPS, "shift": 1.0}
    if kind == "edm":
        sigma_data = dict(predicts.config).get("sigma_data")
        if sigma_data is None:
            raise _unpublished(predicts, "edm", "EDM's schedule")
        return {
            "_class_name": "EDMEulerScheduler",
            "prediction_type": "epsilon",
            "sigma_max": schedule.curve.t_max,
            "sigma_data": sigma_data,
        }
    raise ValueError(f"schedule must be discrete, flow or edm, got {kind!r}")


def _betas(schedule: DiscreteSchedule) -> dict[str, Any]:
    config = dict(schedule.config)
    if config["kind"] in RULES:
        ends = {key: config[key] for key in ("beta_start", "beta_end")}
        return {"beta_schedule": RULES[config["kind"]], **ends}
    cosine = {"kind": "cosine", "offset": 0.008, "max_beta": MAX_BETA, "min_beta": 0.0}
    if config == {**cosine, "T": schedule.T}:
        return {"beta_schedule": "squaredcos_cap_v2"}
    return {"trained_betas": schedule.beta[1:].tolist()}


def _unpublished(predicts: Prediction, accepted: str, where: str) -> ValueError:
    return ValueError(f"predicts must be one of {accepted} on {where}, got {predicts.name}")
