"""Ancestral sampling: x_s ~ N(mean of q(x_s | x_t, x_0 = m), variance) (Ho et al. 2020, alg. 2)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from ..plan import LogRange, Plan, Stage
from ..process import posterior, transition
from ..schedules import DiscreteSchedule, Schedule
from ..times import every
from ._grid import checked

Variance = Literal["small", "large", "learned"]


def ddpm(
    schedule: Schedule, times: Sequence[float] | None = None, variance: Variance = "small"
) -> Plan:
    """The DDPM sampler over `times`, by default all of a discrete schedule's.

    variance: "small" is the posterior's, sigma_s^2 (1 - r), exact for a point mass; "large" is the
    transition's, beta_t when s = t - 1, exact for standard normal data (Ho et al. 2020, section
    3.2); "learned" leaves the point between their logarithms to the denoiser, which must return
    `Denoised` (Nichol & Dhariwal 2021, eq. 15). A step to sigma = 0 draws no noise. Where times
    rise the step is q(x_s | x_t), noise as it was added, at no call.
    """
    if times is None:
        if not isinstance(schedule, DiscreteSchedule):
            raise ValueError("times must be given on a continuous schedule")
        times = every(schedule)
    if variance not in ("small", "large", "learned"):
        raise ValueError(f"variance must be 'small', 'large' or 'learned', got {variance!r}")
    stages = []
    for t, s in pairwise(checked(schedule, times, either_way=True)):
        if s > t:
            scale, added = transition(schedule, t, s)
            stages.append(Stage(t, s, x=(scale,), z=math.sqrt(added)))
            continue
        at_x_0, at_x_t, small = posterior(schedule, t, s)
        large = transition(schedule, s, t).variance
        if small == 0.0:
            z: float | LogRange = 0.0
        elif variance == "learned":
            z = LogRange(math.log(small), math.log(large))
        else:
            z = math.sqrt(small if variance == "small" else large)
        stages.append(Stage(t, s, x=(at_x_t,), m=(at_x_0,), z=z))
    return Plan("ddpm", tuple(stages), parameters={"variance": variance})
