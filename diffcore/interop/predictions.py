"""What a network predicts, as a scheduler's configuration says it.

    epsilon -> EPS, sample -> X_0, v_prediction -> V, flow_prediction -> VELOCITY

A flow-matching network gives the velocity, EDM's its preconditioned F, a variance-exploding one the
score; an older configuration without a word on it, the noise.
"""

from collections.abc import Mapping
from typing import Any

from ..predictions import EPS, SCORE, VELOCITY, X_0, Edm, Prediction, V
from ._source import configuration
from .families import family, needed, unsupported

NAMES: Mapping[str, Prediction] = {
    "epsilon": EPS,
    "sample": X_0,
    "v_prediction": V,
    "flow_prediction": VELOCITY,
}


def prediction(source: Any) -> Prediction:
    """The prediction type of a scheduler of diffusers; `source` as for `schedule`.

    Raises ValueError that names a key and its value where that is unsupported.
    """
    config = configuration(source)
    kind = family(config)
    if kind == "ve":
        return SCORE
    if kind == "edm":
        # The other signs and scales that there are of EDM's output have no name here, nor have a
        # consistency model's, which say no prediction type.
        if needed(config, "prediction_type") != "epsilon":
            raise unsupported(config, "prediction_type", "epsilon beside sigma_data")
        return Edm(float(config["sigma_data"]))
    given = config.get("prediction_type", "flow_prediction" if kind == "flow" else "epsilon")
    if given not in NAMES:
        raise unsupported(config, "prediction_type", ", ".join(NAMES))
    if (kind == "flow") != (given == "flow_prediction"):
        raise unsupported(config, "prediction_type", "flow_prediction, with flow sigmas only")
    # What prediction_type was called before it had a third value.
    if config.get("predict_epsilon") is False and "prediction_type" not in config:
        return X_0
    return NAMES[given]
