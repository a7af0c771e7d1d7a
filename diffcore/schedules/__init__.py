"""Noise schedules: a time is two numbers, x_t = alpha x_0 + sigma eps."""

from collections.abc import Callable, Mapping
from typing import Any

from .._arguments import made
from .betas import (
    constant,
    cosine,
    from_alpha_bar,
    from_betas,
    linear,
    quadratic,
    scaled_linear,
    sigmoid,
)
from .continuous import ContinuousSchedule, cosine_continuous, edm, flow, sub_vp, ve, vp_linear
from .discrete import DiscreteSchedule, Tables
from .interpolated import Interpolated, interpolate
from .level import Level, Posterior, Schedule
from .transforms import respace, shift, zero_terminal_snr

KINDS: dict[str, Callable[..., DiscreteSchedule | ContinuousSchedule]] = {
    f.__name__: f
    for f in (
        linear,
        scaled_linear,
        quadratic,
        cosine,
        sigmoid,
        constant,
        from_betas,
        from_alpha_bar,
        vp_linear,
        cosine_continuous,
        ve,
        sub_vp,
        edm,
        flow,
        respace,
        shift,
        interpolate,
        zero_terminal_snr,
    )
}


def from_config(config: Mapping[str, Any]) -> DiscreteSchedule | ContinuousSchedule:
    """The schedule that `schedule.config` describes: {"kind": name, parameter: value, ...}.

    Raises ValueError that names an unknown kind or parameter.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a mapping, got {config!r}")
    parameters = dict(config)
    kind = parameters.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"schedule kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if "schedule" in parameters:
        parameters["schedule"] = from_config(parameters["schedule"])
    return made(f"schedule {kind!r}", KINDS[kind], parameters)


__all__ = [
    "KINDS",
    "ContinuousSchedule",
    "DiscreteSchedule",
    "Interpolated",
    "Level",
    "Posterior",
    "Schedule",
    "Tables",
    "constant",
    "cosine",
    "cosine_continuous",
    "edm",
    "flow",
    "from_alpha_bar",
    "from_betas",
    "from_config",
    "interpolate",
    "linear",
    "quadratic",
    "respace",
    "scaled_linear",
    "shift",
    "sigmoid",
    "sub_vp",
    "ve",
    "vp_linear",
    "zero_terminal_snr",
]
