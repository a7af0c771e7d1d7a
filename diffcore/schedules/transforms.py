"""Schedules made from schedules: fewer times, more noise, no signal left at the end."""

import math
from collections.abc import Sequence

import numpy as np

from .._arguments import numbers, positive
from .._arrays import Host
from .betas import of_log_alpha_bar
from .continuous import ContinuousSchedule
from .curves import Shifted
from .discrete import DiscreteSchedule


def respace(
    schedule: DiscreteSchedule | ContinuousSchedule, times: Sequence[float]
) -> DiscreteSchedule:
    """The discrete schedule that visits `times`, increasing and without 0, in their order.

    Time k of the result has the level of times[k - 1] (Nichol & Dhariwal 2021, section 4), and
    `origin[k]` remembers that time. A continuous schedule must be variance preserving, so that it
    has an alpha_bar. Raises ValueError where the times do not increase or are out of range.
    """
    _require_either(schedule)
    host = numbers("times", times)
    if host.ndim != 1 or host.size == 0 or not np.all(np.diff(host, prepend=0.0) > 0):
        raise ValueError(f"times must increase strictly from above 0, got {host.tolist()}")
    if isinstance(schedule, DiscreteSchedule):
        if host[-1] > schedule.T or np.any(host != np.floor(host)):
            raise ValueError(f"times must be whole and in 1..{schedule.T}, got {host.tolist()}")
        index = host.astype(np.int64)
        log_alpha_bar = schedule.log_alpha_bar[index]
        origin = schedule.origin[np.append(0, index)]
    else:
        levels = [schedule(float(t)) for t in host]
        if not all(math.isclose(math.hypot(*level), 1.0, rel_tol=1e-9) for level in levels):
            raise ValueError("schedule must be variance preserving to have an alpha_bar")
        log_snr = np.array([schedule.log_snr_at(float(t)) for t in host])
        log_alpha_bar, origin = (
            _log_sigmoid(log_snr),
            np.array([0.0, *map(schedule.origin_at, host.tolist())]),
        )
    config = {"kind": "respace", "times": host.tolist(), "schedule": schedule.config}
    return of_log_alpha_bar(log_alpha_bar, config, origin)


def shift(
    schedule: DiscreteSchedule | ContinuousSchedule, factor: float
) -> DiscreteSchedule | ContinuousSchedule:
    """The schedule with log SNR lowered by 2 log(factor), of the same family.

    factor = new side / old side keeps the noise of an image's coarse features when its resolution
    grows (Hoogeboom et al. 2023, "simple diffusion", eq. 4); on rectified flow it is
    t -> factor t / (1 + (factor - 1) t) (Esser et al. 2024, eq. 23).
    """
    _require_either(schedule)
    factor = positive("factor", factor)
    if isinstance(schedule, ContinuousSchedule):
        return ContinuousSchedule(Shifted(schedule.curve, factor))
    log_alpha_bar = _log_sigmoid(schedule.log_snr[1:] - 2.0 * math.log(factor))
    config = {"kind": "shift", "factor": factor, "schedule": schedule.config}
    return of_log_alpha_bar(log_alpha_bar, config, schedule.origin.copy())


def zero_terminal_snr(schedule: DiscreteSchedule) -> DiscreteSchedule:
    """sqrt(alpha_bar) shifted and scaled to end at 0 and keep its value at t = 1.

    Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1.
    """
    if not isinstance(schedule, DiscreteSchedule):
        raise TypeError(f"schedule must be discrete, got {type(schedule).__name__}")
    if schedule.T < 2:
        raise ValueError(f"schedule must have at least 2 steps, got T = {schedule.T}")
    half = schedule.log_alpha_bar[1:] / 2
    config = {"kind": "zero_terminal_snr", "schedule": schedule.config}
    if half[-1] == -math.inf:
        return of_log_alpha_bar(2.0 * half, config, schedule.origin.copy())
    # (s_t - s_T) / (s_1 - s_T), once from each end: near 1 as 1 + small, near 0 as a product.
    near_one = np.expm1(half - half[0]) / -np.expm1(half[-1] - half[0])
    # Where all but no signal is left already these leave float64, and a ValueError follows.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        near_zero = np.expm1(half - half[-1]) / np.expm1(half[0] - half[-1])
        log_ratio = np.where(
            near_zero > 0.5, np.log1p(np.maximum(near_one, -0.5)), np.log(near_zero)
        )
    return of_log_alpha_bar(2.0 * (half[0] + log_ratio), config, schedule.origin.copy())


def _require_either(schedule: object) -> None:
    if not isinstance(schedule, DiscreteSchedule | ContinuousSchedule):
        raise TypeError(f"schedule must be discrete or continuous, got {type(schedule).__name__}")


def _log_sigmoid(x: Host) -> Host:
    log_sigmoid: Host = -np.logaddexp(0.0, -x)
    return log_sigmoid
