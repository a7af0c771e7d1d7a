"""What the network of a scheduler predicts, by its configuration, for the states that it steps."""

import math
from typing import Any

from ....predictions import EPS, VELOCITY, X_0, Edm, Mix, Prediction, V
from ....schedules import Schedule
from .shape import setting

NAMES = {"epsilon": EPS, "sample": X_0, "v_prediction": V, "flow_prediction": VELOCITY}


def prediction(scheduler: Any, otherwise: Prediction) -> Prediction:
    """By `prediction_type`; `otherwise` where it says none. Raises ValueError for another."""
    given = setting(scheduler, "prediction_type", None)
    if given is None:
        return otherwise
    if given not in NAMES:
        raise ValueError(f"prediction_type must be one of {', '.join(NAMES)}; got {given!r}")
    return NAMES[given]


def of_ratio(prediction: Prediction) -> Prediction:
    """The same target for states x / alpha of a variance preserving process."""

    def mix(schedule: Schedule, t: Any, like: Any) -> Mix:
        return Mix(-float(t) / math.hypot(1.0, t), 1.0 / math.hypot(1.0, t))

    return Prediction("v", mix) if prediction is V else prediction


def preconditioned(scheduler: Any, sigma_data: float) -> Prediction:
    """EDM's F, or with "v_prediction" minus that."""
    made = Edm(sigma_data)
    if setting(scheduler, "prediction_type", "epsilon") != "v_prediction":
        return made

    def mix(schedule: Schedule, t: Any, like: Any) -> Mix:
        p, q = made.mix(schedule, t, like)
        return Mix(-p, -q)

    return Prediction("edm, its sign turned", mix)
