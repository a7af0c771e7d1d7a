"""The noise schedule that a scheduler's configuration describes, at full precision.

    linear            beta_t even from beta_start to beta_end
    scaled_linear     sqrt(beta_t) even
    squaredcos_cap_v2 alpha_bar_t = cos^2, betas clipped at 0.999 (Nichol & Dhariwal 2021)
    sigmoid           beta_t = beta_start + S(z) (beta_end - beta_start), z even in [-6, 6]
    laplace           sqrt(SNR / (1 + SNR)) in place of alpha_bar, log SNR of a Laplace law

The tables of published schedulers are float32 running products; these are not rounded, so the two
agree to float32's precision and no better. Time t here is their step t - 1.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import schedules
from .._arrays import Host
from ..schedules import ContinuousSchedule, DiscreteSchedule
from ._source import configuration
from .families import family, needed, unsupported

MAX_BETA = 0.999


def schedule(source: Any) -> DiscreteSchedule | ContinuousSchedule:
    """The noise schedule of a scheduler of diffusers, by its configuration alone.

    source: the scheduler, its config, or the path of its `scheduler_config.json`, of that file's
    folder or of a pipeline's. Gives a `DiscreteSchedule` for one with betas (zero terminal SNR and
    a shift of the SNR included), `schedules.flow()` for flow matching, `schedules.edm` and
    `schedules.ve` where the configuration has noise levels.

    The shift of a flow-matching scheduler is one of its grid: its network is told the noise level
    that the shift leads to. So the schedule is the flow itself, and the shift is in `times`.

    Raises ValueError that names a key and its value where that is unsupported, or a key that is
    missing; TypeError for another source; FileNotFoundError where there is no such file.
    """
    config = configuration(source)
    kind = family(config)
    if kind == "flow":
        return schedules.flow()
    if kind == "edm":
        return schedules.edm(float(needed(config, "sigma_max")))
    if kind == "ve":
        return schedules.ve(float(needed(config, "sigma_min")), float(config["sigma_max"]))
    made: DiscreteSchedule | ContinuousSchedule = _of_betas(config)
    if config.get("snr_shift_scale", 1.0) != 1.0:
        made = schedules.shift(made, math.sqrt(config["snr_shift_scale"]))
    if config.get("rescale_betas_zero_snr") and isinstance(made, DiscreteSchedule):
        made = schedules.zero_terminal_snr(made)
    return made


def _of_betas(config: Mapping[str, Any]) -> DiscreteSchedule:
    if config.get("trained_betas") is not None:
        return schedules.from_betas(config["trained_betas"])
    if config["beta_schedule"] not in RULES:
        raise unsupported(config, "beta_schedule", ", ".join(RULES))
    return RULES[config["beta_schedule"]](config, int(needed(config, "num_train_timesteps")))


def _ends(config: Mapping[str, Any]) -> tuple[float, float]:
    return float(needed(config, "beta_start")), float(needed(config, "beta_end"))


def _linear(config: Mapping[str, Any], T: int) -> DiscreteSchedule:
    return schedules.linear(T, *_ends(config))


def _scaled_linear(config: Mapping[str, Any], T: int) -> DiscreteSchedule:
    return schedules.scaled_linear(T, *_ends(config))


def _cosine(config: Mapping[str, Any], T: int) -> DiscreteSchedule:
    return schedules.cosine(T, max_beta=MAX_BETA)


def _sigmoid(config: Mapping[str, Any], T: int) -> DiscreteSchedule:
    start, end = _ends(config)
    return schedules.from_betas(start + (end - start) / (1.0 + np.exp(-np.linspace(-6.0, 6.0, T))))


def _laplace(config: Mapping[str, Any], T: int) -> DiscreteSchedule:
    t = np.arange(T + 1) / T
    tail = 2.0 * np.minimum(t, 1.0 - t) + 1e-6
    log_snr = -0.5 * np.copysign(1.0, 0.5 - t) * np.log(tail)
    log_kept: Host = -0.5 * np.logaddexp(0.0, -log_snr)
    return schedules.from_betas(np.minimum(-np.expm1(np.diff(log_kept)), MAX_BETA))


RULES: Mapping[str, Callable[[Mapping[str, Any], int], DiscreteSchedule]] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": _cosine,
    "sigmoid": _sigmoid,
    "laplace": _laplace,
}
