"""Schedules as words on the command line: NAME[:key=value,...][+TRANSFORM[:key=value,...]].

linear          cosine:T=300,max_beta=0.99          cosine+shift:factor=2
"""

import json
import re
from typing import Any

from ..schedules import ContinuousSchedule, DiscreteSchedule, from_config

NAMES = (
    "linear",
    "scaled_linear",
    "quadratic",
    "cosine",
    "sigmoid",
    "constant",
    "vp_linear",
    "sub_vp",
    "cosine_continuous",
    "ve",
    "edm",
    "flow",
)
TRANSFORMS = ("shift", "zero_terminal_snr")
SYNTAX = (
    f"NAME[:key=value,...], NAME one of {', '.join(NAMES)}; "
    f"+{' or +'.join(TRANSFORMS)} may follow, as in cosine:T=300+shift:factor=2"
)


def parse(text: str) -> DiscreteSchedule | ContinuousSchedule:
    """The schedule that `text` names. Raises ValueError that says what is wrong with it."""
    first, *transforms = re.split(r"\+(?=[A-Za-z_])", text)
    config = _config(first, NAMES)
    for transform in transforms:
        config = {**_config(transform, TRANSFORMS), "schedule": config}
    try:
        return from_config(config)
    except (ValueError, TypeError) as error:
        raise ValueError(f"schedule {text!r}: {error}") from None


def _config(text: str, names: tuple[str, ...]) -> dict[str, Any]:
    name, _, rest = text.partition(":")
    if name not in names:
        raise ValueError(f"schedule must be one of {', '.join(names)}, got {name!r}")
    config: dict[str, Any] = {"kind": name}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ValueError(f"schedule parameters are written key=value, got {pair!r} in {text!r}")
        if key in ("kind", "schedule"):  # What the words before and beside the colon say.
            raise ValueError(f"schedule {name!r} has no parameter {key!r}")
        try:
            config[key] = json.loads(value)
        except ValueError:
            raise ValueError(f"schedule {name!r}: {key} must be a number, got {value!r}") from None
    return config
