"""The values that a scheduler's options take: those its signature lists, else those known here."""

import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from .shape import Recipe, parameters

KNOWN: Mapping[str, tuple[Any, ...]] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"),
    "prediction_type": ("epsilon", "sample", "v_prediction"),
    "timestep_spacing": ("linspace", "leading", "trailing"),
    "variance_type": (
        "fixed_small",
        "fixed_small_log",
        "fixed_large",
        "fixed_large_log",
        "learned",
        "learned_range",
    ),
    "algorithm_type": ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"),
    "solver_type": ("midpoint", "heun", "bh1", "bh2", "logrho"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "interpolation_type": ("linear", "log_linear"),
    "timestep_type": ("discrete", "continuous"),
    "sigma_schedule": ("karras", "exponential"),
    "time_shift_type": ("exponential", "linear"),
    "solver_order": (1, 2, 3),
    "predictor_order": (1, 2, 3),
    "corrector_order": (1, 2, 3, 4),
    "steps_offset": (0, 1),
    "flow_shift": (1.0, 3.0),
    "shift": (1.0, 3.0),
    "snr_shift_scale": (1.0, 3.0),
    "shift_terminal": (0.02,),
    "lambda_min_clipped": (-5.1,),
    "clip_sample_range": (1.0, 2.0),
    "sample_max_value": (1.0, 2.0),
}
"""Values that are accepted, in the words that published schedulers use."""

LATER = ("device", "return_dict", "generator")


def of(recipe: Recipe, option: str) -> tuple[Any, ...]:
    """The values of an option; none for one that is unknown or not there."""
    parameter = recipe.takes.get(option)
    if parameter is None:
        return ()
    listed = _listed(recipe.kind, option)
    if listed:
        return listed
    if isinstance(parameter.default, bool):
        return (False, True)
    return KNOWN.get(option, ())


def _listed(kind: type, option: str) -> tuple[Any, ...]:
    """The values of a Literal among the annotation's alternatives."""
    make = inspect.unwrap(kind.__init__)  # type: ignore[misc]
    try:
        annotation = typing.get_type_hints(make).get(option)
    except (NameError, TypeError):
        return ()
    parts = (annotation, *typing.get_args(annotation))
    return tuple(v for p in parts if typing.get_origin(p) is typing.Literal for v in p.__args__)


def others(recipe: Recipe, option: str) -> Iterator[Any]:
    """The values but the one that the recipe has."""
    yield from (v for v in of(recipe, option) if v != recipe.value(option))


def every(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Each option with each value that it takes besides the recipe's."""
    for option in parameters(recipe.kind):
        for value in others(recipe, option):
            yield option, value
