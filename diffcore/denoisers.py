"""From a network to a denoiser: network + schedule + prediction type -> E[x_0 | x_t].

    m(x_t, t) = threshold(x_0 that network(inputs(x_t), time(t)) stands for)

The state stays in its own dtype. What a network counts or scales differently is met here and
nowhere else.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ._arguments import number, positive, require_time
from ._arrays import is_number, namespace, placement, require_floating, require_library
from .plan import Denoise, Denoised
from .predictions import Prediction, require_prediction
from .schedules import ContinuousSchedule, DiscreteSchedule, Schedule
from .schedules.level import require_schedule

Network = Callable[[Any, Any], Any]
"""network(x, t) -> output, with x of shape (batch, channels, ...) and t of shape (batch,)."""

Threshold = Callable[[Any], Any]
"""Maps an estimate of x_0 to an admissible one of its shape."""


@dataclass(frozen=True)
class Clip:
    """Clip x_0 to [low, high], as DDPM's code does for images."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not number("low", self.low) < number("high", self.high):
            raise ValueError(f"high must be above low, got low = {self.low}, high = {self.high}")

    def __call__(self, x_0: Any) -> Any:
        require_floating("x_0", x_0)
        return namespace(x_0).clip(x_0, float(self.low), float(self.high))


@dataclass(frozen=True)
class DynamicThreshold:
    """Clip each sample to its own quantile s >= 1 of |x_0| and divide by s.

    Saharia et al. 2022, "Imagen", section 2.3. quantile in (0, 1]; s is at most `maximum`.
    """

    quantile: float = 0.995
    maximum: float = math.inf

    def __post_init__(self) -> None:
        if not 0.0 < number("quantile", self.quantile) <= 1.0:
            raise ValueError(f"quantile must be in (0, 1], got {self.quantile}")
        if not number("maximum", self.maximum) >= 1.0:
            raise ValueError(f"maximum must be at least 1, got {self.maximum}")

    def __call__(self, x_0: Any) -> Any:
        require_floating("x_0", x_0)
        xp = namespace(x_0)
        flat = xp.reshape(xp.abs(x_0), (x_0.shape[0], math.prod(x_0.shape[1:])))
        flat = xp.sort(flat, axis=1)
        # Linear interpolation between order statistics, as numpy.quantile does it.
        position = float(self.quantile) * (flat.shape[1] - 1)
        below = math.floor(position)
        above = min(below + 1, flat.shape[1] - 1)
        limit = flat[:, below] + (position - below) * (flat[:, above] - flat[:, below])
        limit = xp.clip(limit, 1.0, float(self.maximum) if math.isfinite(self.maximum) else None)
        limit = limit[(...,) + (None,) * (x_0.ndim - 1)]
        return xp.minimum(xp.maximum(x_0, -limit), limit) / limit


def denoiser(
    network: Network,
    schedule: Schedule,
    predicts: Prediction,
    *,
    timestep: Literal["time", "index"] = "time",
    time_scale: float = 1.0,
    threshold: Threshold | None = None,
    learned_variance: bool = False,
) -> Denoise:
    """`network` as a denoiser for `diffcore.plan.sample`.

    network: called as network(x, t), t of shape (batch,) in x's library and device, in float32, or
    float64 for a float64 x.
    timestep: "time" gives the network times as the schedule counts them, data at 0; "index" gives
    t - 1, and 0 below t = 1, for networks whose discrete steps run 0..T-1. time_scale multiplies
    what is given, for networks that count a continuous t in [0, 1] to 1000, say. A respaced
    schedule's times are translated back to the ones the network was trained on, an interpolated
    one's are given as they are, whole or not. threshold: `Clip()`,
    `DynamicThreshold()` or any function of x_0. learned_variance: the network's output has twice
    the channels on axis 1, the second half being the variance fraction in [-1, 1] (Nichol &
    Dhariwal 2021); the denoiser then returns `Denoised`.

    The denoiser's x_0 is that of the pivot: with thresholding, samplers that need eps use the one
    that belongs to the thresholded x_0.
    """
    if not callable(network):
        raise TypeError(f"network must be callable, got {type(network).__name__}")
    require_schedule(schedule)
    require_prediction(predicts)
    time_scale = positive("time_scale", time_scale)
    if threshold is not None:
        _require_threshold(threshold)
    if timestep not in ("time", "index"):
        raise ValueError(f"timestep must be 'time' or 'index', got {timestep!r}")
    if timestep == "index" and not _counts_steps(schedule):
        raise ValueError("timestep must be 'time' on a schedule without whole times")

    def denoise(x_t: Any, t: Any, /) -> Any:
        require_floating("x_t", x_t)
        require_time("t", t, "x_t", x_t)
        xp = namespace(x_t)
        x_in, time = predicts.inputs(schedule, x_t, t)
        if time is t and isinstance(schedule, (DiscreteSchedule, ContinuousSchedule)):
            time = schedule.origin_at(t)
            if timestep == "index":
                time = max(time - 1.0, 0.0) if is_number(time) else xp.clip(time - 1.0, 0.0, None)
        # bfloat16 knows the times up to 1000 to 4 only.
        dtype = xp.float64 if x_t.dtype == xp.float64 else xp.float32
        times = time * time_scale
        if is_number(times):
            times = xp.full((x_t.shape[0],), times, dtype=dtype, **placement(x_t))
        else:
            times = xp.astype(times, dtype, copy=False)
        output = network(x_in, times)
        require_floating("the network's output", output)
        require_library("the network's output", output, "x_t", x_t)
        fraction = None
        if learned_variance:
            if output.ndim < 2 or output.shape[1] % 2:
                raise ValueError(
                    f"network must give twice the channels, got shape {tuple(output.shape)}"
                )
            channels = output.shape[1] // 2
            fraction = 0.5 * (output[:, channels:, ...] + 1.0)
            output = output[:, :channels, ...]
        x_0 = predicts.x_0(schedule, xp.astype(output, x_t.dtype, copy=False), x_t, t)
        if threshold is not None:
            x_0 = threshold(x_0)
        return (
            x_0 if fraction is None else Denoised(x_0, xp.astype(fraction, x_t.dtype, copy=False))
        )

    return denoise


def thresholded(denoise: Denoise, threshold: Threshold) -> Denoise:
    """`denoise` with `threshold` applied to its x_0: for guided ones, which leave the range."""

    if not callable(denoise):
        raise TypeError(f"denoise must be callable, got {denoise!r}")
    _require_threshold(threshold)

    def within(x_t: Any, t: float, /) -> Any:
        output = denoise(x_t, t)
        if isinstance(output, Denoised):
            return Denoised(threshold(output.x_0), output.variance_fraction)
        return threshold(output)

    return within


def _require_threshold(threshold: Any) -> None:
    if not callable(threshold) or isinstance(threshold, type):
        raise TypeError(f"threshold must be a function of x_0 such as Clip(), got {threshold!r}")


def _counts_steps(schedule: Schedule) -> bool:
    """Whether the schedule's times are those of a discrete one, fractions between them or not."""
    if isinstance(schedule, ContinuousSchedule):
        return bool(schedule.config["kind"] == "interpolate")
    return isinstance(schedule, DiscreteSchedule)
