"""Restart: solve down, noise up again, solve down again (Xu et al. 2023, "Restart Sampling").

    x_{t_max} = (alpha_max / alpha_min) x_{t_min} + sigma_max sqrt(1 - SNR_max / SNR_min) z
    x_{t_min} = solve(x_{t_max}, t_max -> t_min),            K times

(section 3.1, in any schedule's alpha). The forward noise contracts the error that the solver has
gathered, and the exact solver would keep every marginal, so the marginals converge at the order of
the solver.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .._arguments import function, is_whole, non_negative, number
from ..plan import Plan, Stage
from ..process import transition
from ..schedules import Schedule
from ._grid import checked

Planner = Callable[..., Plan]
"""planner(schedule, times) -> Plan, such as `heun`."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where to restart, and how often: `repetitions` (K) times from t_min up to t_max and back.

    times: the grid of the way back, descending from t_max to t_min; by default the sampler's own
    times between the two.
    """

    t_min: float
    t_max: float
    repetitions: int = 1
    times: Sequence[float] | None = None


def restart(
    schedule: Schedule,
    planner: Planner,
    times: Sequence[float],
    *intervals: Interval,
    s_noise: float = 1.0,
    **parameters: Any,
) -> Plan:
    """`planner` over `times`, with a restart at each interval's t_min, which `times` must hold.

    parameters are the planner's; a multistep method starts afresh at each restart and after it.
    Intervals are taken from noise to data, those of one t_min in the order given. s_noise scales
    the noise. Raises ValueError where an interval does not fit the grid or the schedule, and for
    s_churn, which counts the steps of a whole grid; TypeError for no planner or no `Interval`.
    """
    s_noise = non_negative("s_noise", s_noise)
    function("planner", planner, "samplers.heun")
    for interval in intervals:
        if not isinstance(interval, Interval):
            raise TypeError(f"intervals must be Interval(t_min=..., t_max=...), got {interval!r}")
    grid = checked(schedule, times)
    if intervals and parameters.get("s_churn"):
        raise ValueError(
            "s_churn must be 0 with restart intervals: it is spread over the steps of one grid, "
            f"and each restart is a grid of its own; got {parameters['s_churn']}"
        )
    ways = [(interval, _way_back(schedule, grid, interval)) for interval in intervals]
    stages: list[Stage] = []
    first = 0
    for k in range(1, len(grid)):
        here = [(interval, way) for interval, way in ways if interval.t_min == grid[k]]
        if not here and k < len(grid) - 1:
            continue
        stages += planner(schedule, grid[first : k + 1], **parameters).stages
        for interval, way in here:
            back = planner(schedule, way, **parameters).stages
            stages += (_noise(schedule, way, s_noise), *back) * int(interval.repetitions)
        first = k
    plan = planner(schedule, grid, **parameters)
    if not intervals:
        return plan
    described = [
        {**vars(i), "repetitions": int(i.repetitions), "times": list(way)} for i, way in ways
    ]
    return Plan(
        f"restart_{plan.name}",
        tuple(stages),
        parameters={**plan.parameters, "intervals": described, "s_noise": s_noise},
    )


def _way_back(schedule: Schedule, grid: tuple[float, ...], interval: Interval) -> tuple[float, ...]:
    low, high, count = interval.t_min, interval.t_max, interval.repetitions
    number("t_min", low), number("t_max", high)
    if low not in grid[1:]:
        raise ValueError(f"t_min must be one of times after the first, got {low}")
    if not high > low:
        raise ValueError(f"t_max must be above t_min, got t_min = {low}, t_max = {high}")
    if not is_whole(count) or count < 1:
        raise ValueError(f"repetitions must be a positive whole number, got {count!r}")
    if interval.times is None:
        return checked(schedule, (high, *(t for t in grid if low < t < high), low))
    way = checked(schedule, interval.times)
    if (way[0], way[-1]) != (high, low):
        raise ValueError(f"times of an interval must go from t_max to t_min, got {way}")
    return way


def _noise(schedule: Schedule, way: tuple[float, ...], s_noise: float) -> Stage:
    """The stage from t_min up to t_max."""
    mean, variance = transition(schedule, way[-1], way[0])
    return Stage(way[-1], way[0], x=(mean,), z=s_noise * math.sqrt(variance))
