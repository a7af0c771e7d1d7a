"""Every exported sampler on a mixture of Gaussians in the plane, with the exact denoiser.

All start from the same noise and are held against the same exact samples, by the sliced Wasserstein
distance and by MMD^2 with a Gaussian kernel.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import noise, oracles, samplers, times
from ..plan import Plan, prior, sample
from ..schedules import ContinuousSchedule, DiscreteSchedule
from ..training.mmd import Double, gaussian, squared_mmd
from ..training.wasserstein import directions, sliced_wasserstein

Schedule = DiscreteSchedule | ContinuousSchedule
Planner = Callable[[Schedule, times.Times], Plan]

RING = 8
CENTRE, DEVIATIONS = 0.2, (0.06, 0.18)
"""The centre's share, and the standard deviations of the ring's components and of the centre's."""
BANDWIDTH = 0.25
SLICES = 64
MOST_STEPS = 400

# Families in the order of the picture, each with the parameters to show; one that is not named here
# is shown with its defaults.
VARIANTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "ddpm": ({},),
    "ddim": ({}, {"eta": 0.5}),
    "euler": ({},),
    "euler_ancestral": ({},),
    "flow_euler": ({},),
    "heun": ({}, {"s_churn": 4.0}),
    "flow_heun": ({},),
    "dpm2": ({},),
    "dpm2_ancestral": ({},),
    "restart": ({},),
    "runge_kutta": ({"order": 4},),
    "dpm_solver": ({"order": 2}, {"order": 3}, {"order": 3, "variant": "multistep"}),
    "dpm_solver_pp": ({"order": 2}, {"order": 3}, {"order": 3, "variant": "singlestep"}),
    "dpm_solver_pp_sde": ({"order": 2},),
    "unipc": ({"order": 2}, {"order": 3}),
    "deis": ({"order": 2}, {"order": 3}),
    "plms": ({}, {"start": "singlestep"}),
    "lms": ({},),
    "sa_solver": ({"tau": 1.0}, {"tau": 0.4}),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A sampler with its parameters."""

    name: str
    parameters: str
    planner: Planner


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One sampler at one number of evaluations, or why there is none: no plan so short."""

    evaluations: int
    points: Double
    distance: float
    mmd: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One sampler at every number of evaluations; None where it has no plan so short."""

    setting: Setting
    order: int | None
    stochastic: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """All samplers, and the exact samples; distance and mmd are those of two exact sets."""

    rows: tuple[Row, ...]
    exact: Double
    distance: float
    mmd: float
    skipped: Mapping[str, str]


def settings() -> Iterator[Setting]:
    """Every planner that `samplers` exports."""
    exported = [name for name in samplers.__all__ if _is_planner(getattr(samplers, name))]
    known = [name for name in VARIANTS if name in exported]
    for name in [*known, *(name for name in exported if name not in VARIANTS)]:
        for parameters in VARIANTS.get(name, ({},)):
            words = ", ".join(f"{key}={value}" for key, value in parameters.items())
            yield Setting(name=name, parameters=words, planner=_planner(name, parameters))


def runs(schedule: Schedule, evaluations: Sequence[int], n: int, seed: int) -> Runs:
    """Samples of n points by each sampler at each number of evaluations, or fewer, and scores."""
    exact, other = (exact_samples(n, seed, step) for step in (1, 2))
    along, kernel = directions(2, SLICES), gaussian(BANDWIDTH)
    denoise = oracles.mixture(schedule, *law())
    start = noise.portable(seed)(np.zeros((n, 2)), 0)
    rows, skipped = [], {}

    def cell(plan: Plan) -> Cell:
        x = prior(schedule, plan.stages[0].time, start)
        points = sample(denoise, plan, x, noise.portable(seed))
        if not np.isfinite(points).all():
            raise FloatingPointError(f"{plan.name}: samples are not finite")
        return Cell(
            evaluations=plan.evaluations,
            points=points,
            distance=sliced_wasserstein(points, exact, along),
            mmd=squared_mmd(kernel, points, exact).value,
        )

    for setting in settings():
        try:
            plans = [longest(setting.planner, schedule, count) for count in evaluations]
            made = [plan for plan in plans if plan is not None]
            if not made:
                raise ValueError(f"it takes more than {max(evaluations)} evaluations")
        except (TypeError, ValueError) as error:  # Not defined on this schedule, or not so short.
            skipped[f"{setting.name} {setting.parameters}".strip()] = str(error)
            continue
        rows.append(
            Row(
                setting=setting,
                order=made[-1].order,
                stochastic=made[-1].stochastic,
                cells=tuple(None if plan is None else cell(plan) for plan in plans),
            )
        )
    return Runs(
        rows=tuple(rows),
        exact=exact,
        distance=sliced_wasserstein(other, exact, along),
        mmd=squared_mmd(kernel, other, exact).value,
        skipped=skipped,
    )


def law() -> tuple[list[float], Double, Double]:
    """Weights, means and variances: a ring of narrow components, every other one twice as heavy."""
    angles = 2.0 * np.pi * np.arange(RING) / RING
    heavy = np.where(np.arange(RING) % 2, 1.0, 2.0)
    weights = [*((1.0 - CENTRE) * heavy / heavy.sum()).tolist(), CENTRE]
    means = np.vstack([np.stack([np.cos(angles), np.sin(angles)], axis=1), np.zeros((1, 2))])
    variances = np.square([DEVIATIONS[0]] * RING + [DEVIATIONS[1]])[:, None] * np.ones(2)
    return weights, means, variances


def exact_samples(n: int, seed: int, step: int) -> Double:
    """n points of the mixture."""
    weights, means, variances = law()
    upper = np.cumsum(weights)[:-1]
    chosen = np.searchsorted(upper, noise.uniform(seed, step, n), side="right")
    spread = noise.portable(seed)(np.zeros((n, 2)), 2**30 + step)
    points: Double = means[chosen] + np.sqrt(variances[chosen]) * spread
    return points


def longest(planner: Planner, schedule: Schedule, evaluations: int) -> Plan | None:
    """The plan of most steps with at most that many evaluations; None where a step takes more."""
    most = schedule.T if isinstance(schedule, DiscreteSchedule) else MOST_STEPS
    best = None
    for steps in range(1, min(most, evaluations) + 1):
        try:
            plan = planner(schedule, times.trailing(schedule, steps))
        except _TooFewError:
            continue
        if plan.evaluations > evaluations:
            break
        best = plan
    return best


class _TooFewError(ValueError):
    """The grid has too few times for this sampler."""


def _is_planner(value: Any) -> bool:
    if not inspect.isfunction(value):
        return False
    names = list(inspect.signature(value).parameters)
    return names[:2] == ["schedule", "times"] or names[:3] == ["schedule", "planner", "times"]


def _planner(name: str, parameters: Mapping[str, Any]) -> Planner:
    function = getattr(samplers, name)
    if name == "restart":
        return _restart

    def plan(schedule: Schedule, grid: times.Times) -> Plan:
        made: Plan = function(schedule, grid, **parameters)
        return made

    return plan


def _restart(schedule: Schedule, grid: times.Times) -> Plan:
    """Heun's method, with a restart over the middle third of its steps."""
    steps = len(grid) - 1
    high, low = steps // 3, steps - steps // 3
    if not 0 < high < low < steps:
        raise _TooFewError
    interval = samplers.Interval(t_min=grid[low], t_max=grid[high])
    return samplers.restart(schedule, samplers.heun, grid, interval)
