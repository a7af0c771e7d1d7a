"""What a saved scheduler holds of each argument of `scheduler`, and the argument from that again.

A function is held by its name, a schedule or a prediction by its `config`, a threshold by its
fields: what JSON has words for.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .. import predictions, schedules, times
from ..denoisers import Clip, DynamicThreshold, Threshold
from ..predictions import Prediction
from ..samplers import PLANNERS
from ..schedules import ContinuousSchedule, DiscreteSchedule
from .predictions import NAMES

GRIDS = {name: getattr(times, name) for name in times.__all__ if name != "Times"}
THRESHOLDS = {kind.__name__: kind for kind in (Clip, DynamicThreshold)}
STEPS = 1000
"""What continuous schedules of published schedulers call their end."""


def as_schedule(value: Any) -> DiscreteSchedule | ContinuousSchedule:
    """A schedule, or the one of that config."""
    if isinstance(value, DiscreteSchedule | ContinuousSchedule):
        return value
    if isinstance(value, Mapping):
        return schedules.from_config(value)
    raise TypeError(f"schedule must be a schedule of diffcore, got {type(value).__name__}")


def as_prediction(value: Any) -> Prediction:
    """A prediction, or the one of that config."""
    configured = isinstance(value, str | Mapping)
    predicts: Prediction = predictions.from_config(value) if configured else value
    predictions.require_prediction(predicts)
    return predicts


def as_threshold(value: Any) -> Threshold | None:
    """A threshold, or the one of those fields."""
    if value is None or callable(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, Mapping) and value.get("kind") in THRESHOLDS:
        made: Threshold = THRESHOLDS[value["kind"]](
            **{k: v for k, v in value.items() if k != "kind"}
        )
        return made
    raise TypeError(f"threshold must be a function such as denoisers.Clip(), got {value!r}")


def as_function(argument: str, value: Any, known: Mapping[str, Any]) -> Any:
    """A function, or the known one of that name."""
    if callable(value):
        return value
    if value not in known:
        raise ValueError(f"{argument} must be one of {', '.join(known)}, got {value!r}")
    return known[value]


def name_of(value: Any, known: Mapping[str, Any]) -> str | None:
    """The name of what is known; None for anything else."""
    return next((name for name, function in known.items() if function == value), None)


def saved(
    *,
    schedule: DiscreteSchedule | ContinuousSchedule,
    predicts: Prediction,
    planner: Any,
    grid: Any,
    threshold: Threshold | None,
) -> tuple[dict[str, Any], list[str]]:
    """(what JSON holds of these, the names of those that it has no word for).

    prediction_type, num_train_timesteps and trained_betas are for the schedulers of diffusers,
    whose `from_config` makes one of the same schedule of them.
    """
    of_threshold = None
    if isinstance(threshold, Clip | DynamicThreshold):
        of_threshold = {"kind": type(threshold).__name__, **asdict(threshold)}
    held: dict[str, Any] = {
        "planner": name_of(planner, PLANNERS),
        "grid": name_of(grid, GRIDS),
        "threshold": of_threshold,
    }
    given = {"planner": planner, "grid": grid, "threshold": threshold}
    unnamed = [name for name, value in given.items() if value is not None and held[name] is None]
    held |= {
        "schedule": dict(schedule.config),
        "predicts": dict(predicts.config),
        "prediction_type": name_of(predicts, NAMES),
        "num_train_timesteps": STEPS,
    }
    if isinstance(schedule, DiscreteSchedule):
        betas = schedule.beta[1:].tolist()
        held |= {"num_train_timesteps": schedule.T, "trained_betas": betas}
    return held, unnamed
