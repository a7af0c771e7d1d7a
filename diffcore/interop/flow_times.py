"""The grid that a flow-matching scheduler visits: even times, moved towards noise.

    t = s u / (1 + (s - 1) u)

with s the scheduler's shift (Esser et al. 2024, "Scaling Rectified Flow Transformers", eq. 23), and
u even. Of n steps, T being num_train_timesteps, published schedulers have

| scheduler | u, from the first to the last |
| --- | --- |
| FlowMatch* | 1 .. the shifted 1 / T, or 1 / T where the shift comes with the image |
| FlowMapEulerDiscrete | 1 .. 1 / n |
| use_flow_sigmas | 1 - 1 / T .. (1 - 1 / T) / n |
| use_flow_sigmas of UniPCMultistep | 1 .. one step of n above 1 / T |
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._arguments import is_whole
from .._arrays import Host
from ..times import Times
from ._source import configuration
from .families import family, needed, unsupported

REFUSED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def flow_times(source: Any, n: int, mu: float | None = None) -> Times:
    """n descending times of `schedules.flow()`, then 0, by a flow-matching scheduler's config.

    source: as for `schedule`. mu: log s, or s where the config has `time_shift_type` "linear", for
    a scheduler whose shift depends on the image (`use_dynamic_shifting`). UniPC's own first time is
    1e-6 below 1. Raises ValueError that names the key and its value where that is unsupported,
    TypeError for another source.
    """
    config = configuration(source)
    if family(config) != "flow":
        raise ValueError("source must be of a flow-matching scheduler, with shift or flow sigmas")
    for key in REFUSED:
        if config.get(key):
            raise unsupported(config, key)
    if not is_whole(n) or n < 1:
        raise ValueError(f"n must be a positive whole number of steps, got {n!r}")
    factor = _factor(config, mu)
    T = int(needed(config, "num_train_timesteps"))
    times = _shifted(_even(config, int(n), T, factor), factor)
    if config.get("shift_terminal"):
        times = 1.0 - (1.0 - times) * ((1.0 - config["shift_terminal"]) / (1.0 - times[-1]))
    return (*map(float, times), 0.0)


def _factor(config: Mapping[str, Any], mu: float | None) -> float:
    dynamic = bool(config.get("use_dynamic_shifting"))
    if dynamic != (mu is not None):
        raise ValueError(
            f"mu must be given where use_dynamic_shifting is True, and there alone, got {mu}"
        )
    if mu is not None:
        factor = mu if config.get("time_shift_type") == "linear" else math.exp(mu)
    else:
        factor = float(needed(config, "flow_shift" if config.get("use_flow_sigmas") else "shift"))
    if not 0.0 < factor < math.inf:
        raise ValueError(f"the shift must be positive and finite, got {factor}")
    return factor


def _even(config: Mapping[str, Any], n: int, T: int, factor: float) -> Host:
    kind = config.get("_class_name")
    if config.get("use_flow_sigmas"):
        if kind == "UniPCMultistepScheduler":
            return np.linspace(1.0, 1.0 / T, n + 1)[:-1]
        return (1.0 - 1.0 / T) * np.arange(n, 0, -1) / n
    if kind == "FlowMapEulerDiscreteScheduler":
        return np.arange(n, 0, -1) / n
    last = 1.0 / T if config.get("use_dynamic_shifting") else float(_shifted(1.0 / T, factor))
    return np.linspace(1.0, last, n)


def _shifted(u: Any, factor: float) -> Host:
    times: Host = factor * u / (1.0 + (factor - 1.0) * u)
    return times
