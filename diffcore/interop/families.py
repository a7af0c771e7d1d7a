"""What kind of process a scheduler's configuration is about, told by its keys alone.

| family | told by | levels |
| --- | --- | --- |
| discrete | beta_schedule, trained_betas | alpha_bar_t = prod (1 - beta_i) |
| flow | shift, use_flow_sigmas | alpha = 1 - t, sigma = t |
| edm | sigma_max, sigma_data | alpha = 1, sigma = t |
| ve | sigma_max, snr | alpha = 1, sigma geometric in t |
"""

from collections.abc import Mapping
from typing import Any, Literal

Family = Literal["discrete", "flow", "edm", "ve"]

REFUSED: Mapping[str, tuple[Any, ...]] = {
    "timestep_type": ("continuous",),
    "invert_sigmas": (True,),
    "_class_name": (
        "CosineDPMSolverMultistepScheduler",
        "HeliosDMDScheduler",
        "HeliosScheduler",
        "MiniMaxH3Scheduler",
        "PiflowScheduler",
    ),
}
"""Values that change the process, or what a network is told or says, in a way without a word here.

The classes: a time by the arc tangent of the level, states of several sizes, a velocity towards the
data, several outputs for one call."""


def family(config: Mapping[str, Any]) -> Family:
    """The family of a configuration. Raises ValueError where there is none, or it is refused."""
    for key, values in REFUSED.items():
        if config.get(key) in values:
            raise unsupported(config, key)
    if config.get("use_flow_sigmas"):
        return "flow"
    if "beta_schedule" in config or config.get("trained_betas") is not None:
        return "discrete"
    if "shift" in config:
        return "flow"
    if "sigma_max" in config and "sigma_data" in config:
        return "edm"
    if "sigma_max" in config and "snr" in config:
        return "ve"
    raise ValueError(
        "source must have the key beta_schedule, trained_betas, shift, or sigma_max beside "
        f"sigma_data or snr; its keys are {', '.join(map(str, config))}"
    )


def needed(config: Mapping[str, Any], key: str) -> Any:
    """config[key]; ValueError that names a missing key."""
    if config.get(key) is None:
        raise ValueError(f"source must have the key {key!r}, got {', '.join(map(str, config))}")
    return config[key]


def unsupported(config: Mapping[str, Any], key: str, accepted: str = "") -> ValueError:
    """The error that names the key and the value."""
    wanted = f"; supported: {accepted}" if accepted else ""
    return ValueError(f"{key} = {config[key]!r} is not supported{wanted}")
