"""What a network of diffusers is told of the time, and the time that it is told of.

whole times     origin - 1, so 0 .. T - 1
t in [0, 1]     1000 t
EDM's schedule  t, the noise level
Edm prediction  log(sigma / alpha) / 4, whatever the schedule
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..denoisers import denoiser
from ..predictions import Prediction
from ..schedules import ContinuousSchedule, DiscreteSchedule, Interpolated

UNIT = 1000.0


@dataclass(frozen=True, kw_only=True)
class Told:
    """The map between a schedule's times and what the network is told; a float each.

    timestep, time_scale: as of `denoisers.denoiser`.
    """

    schedule: DiscreteSchedule | ContinuousSchedule
    predicts: Prediction
    timestep: Literal["time", "index"]
    time_scale: float

    @property
    def scales(self) -> bool:
        """Whether the network is given another state than the sample, and its noise level."""
        return bool(self.predicts.config["kind"] == "edm")

    def __call__(self, time: float) -> float:
        """What the network is told at `time`, rounded to float32 as it will be."""
        heard: list[Any] = []

        def network(x: Any, t: Any) -> Any:
            heard.append(t)
            return x

        denoise = denoiser(
            network,
            self.schedule,
            self.predicts,
            timestep=self.timestep,
            time_scale=self.time_scale,
        )
        denoise(np.zeros((1, 1), dtype=np.float32), time)
        return float(heard[0][0])

    def time(self, told: float) -> float:
        """The inverse. Raises ValueError where no time is told so."""
        schedule, value = self.schedule, told / self.time_scale
        if self.scales:
            if isinstance(schedule, DiscreteSchedule):
                raise ValueError("schedule must be continuous for a time by EDM's c_noise")
            return schedule.time_at(-8.0 * value)
        if self.timestep == "index":
            value += 1.0
        if isinstance(schedule, DiscreteSchedule):
            found = np.flatnonzero(schedule.origin == value)
            if not found.size:
                raise ValueError(f"timesteps must be those of the schedule, got {told:g}")
            return int(found[0])
        if isinstance(schedule.curve, Interpolated):
            origin = schedule.curve.pieces.origin
            return float(np.interp(value, origin, np.arange(len(origin))))
        return value


def told(
    schedule: DiscreteSchedule | ContinuousSchedule,
    predicts: Prediction,
    timestep: Literal["time", "index"] | None = None,
    time_scale: float | None = None,
) -> Told:
    """What a network is told; None is the table above.

    Raises ValueError that names the argument.
    """
    steps = isinstance(schedule, DiscreteSchedule) or isinstance(schedule.curve, Interpolated)
    if time_scale is None:
        unit = not steps and isinstance(schedule, ContinuousSchedule) and schedule.curve.t_max == 1
        time_scale = UNIT if unit and predicts.config["kind"] != "edm" else 1.0
    if not 0.0 < time_scale < math.inf:
        raise ValueError(f"time_scale must be positive and finite, got {time_scale}")
    made = Told(
        schedule=schedule,
        predicts=predicts,
        timestep=timestep or ("index" if steps else "time"),
        time_scale=float(time_scale),
    )
    denoiser(max, schedule, predicts, timestep=made.timestep)  # It checks its arguments.
    return made
