"""Restart sampling around any planner."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from level_convergence import SCHEDULES, errors, fitted_order, grid
from strategies import timed

from diffcore import oracles, plan, samplers, schedules, times
from diffcore.samplers._trace import Trace
from diffcore.samplers.restart import Interval, restart

EPS = np.finfo(np.float64).eps
PLANNERS = {"euler": (samplers.euler, 1), "heun": (samplers.heun, 2), "dpm2": (samplers.dpm2, 2)}


def test_it_is_the_published_algorithm():
    """Xu et al. 2023, section 3.1, on EDM: noise of variance t_max^2 - t_min^2, then the solver."""
    schedule = schedules.edm()
    main, way = (80.0, 10.0, 1.0, 0.1, 0.0), (5.0, 2.0, 1.0)
    made = restart(
        schedule,
        samplers.euler,
        main,
        Interval(t_min=1.0, t_max=5.0, repetitions=3, times=way),
        s_noise=1.003,
    )
    rng = np.random.default_rng(0)
    x = 80.0 * rng.standard_normal((4, 2))
    normals = rng.standard_normal((3, 4, 2))
    denoise = oracles.gaussian(schedule, 0.3, 0.2)
    draws = iter(normals)
    got = plan.sample(denoise, made, x, lambda like, step: next(draws))

    def solve(x, grid):
        for t, s in itertools.pairwise(grid):
            x = x + (s - t) * (x - denoise(x, t)) / t
        return x

    x = solve(x, main[:3])
    for z in normals:
        x = solve(x + math.sqrt(5.0**2 - 1.0**2) * 1.003 * z, way)
    np.testing.assert_allclose(got, solve(x, main[2:]), rtol=0, atol=64 * EPS * 80)
    assert made.evaluations == 4 + 3 * 2
    assert made.order is None


def from_grid(planner, name, steps, repetitions=2):
    """The plan with a restart over a quarter of the grid."""
    main = grid(name, steps)
    interval = Interval(t_min=main[3 * steps // 4], t_max=main[steps // 2], repetitions=repetitions)
    return restart(SCHEDULES[name][0], planner, main, interval)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("planner", PLANNERS)
def test_the_marginals_converge_at_the_order_of_the_solver(planner, name):
    function, order = PLANNERS[planner]

    def planned(schedule, main):
        return from_grid(function, name, len(main) - 1)

    assert fitted_order(planned, name, (96, 192, 384)) == pytest.approx(order, abs=0.15)


def test_noise_of_the_wrong_variance_is_rejected():
    def planned(schedule, main):
        n = len(main) - 1
        return restart(
            schedule,
            samplers.heun,
            main,
            Interval(t_min=main[3 * n // 4], t_max=main[n // 2]),
            s_noise=1.05,
        )

    assert fitted_order(planned, "edm", (96, 192, 384)) < 0.5


def test_restarts_contract_the_error_that_came_before():
    """A start that is off is forgotten, the more the oftener."""
    schedule = SCHEDULES["edm"][0]
    main = (20.0, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # One long first step makes the error.
    made = [
        restart(schedule, samplers.heun, main, Interval(t_min=0.1, t_max=0.6, repetitions=k))
        for k in (1, 2, 4)
    ]
    sizes = [errors(p, schedule) for p in (samplers.heun(schedule, main), *made)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.2 * sizes[0]


@given(
    case=timed(count=6),
    low=st.integers(1, 5),
    repetitions=st.integers(1, 3),
    planner=st.sampled_from(["euler", "heun", "ddim"]),
)
def test_mean_and_marginal_variance_are_kept(case, low, repetitions, planner):
    schedule, grid = case
    grid = grid[::-1]
    interval = Interval(t_min=grid[low], t_max=grid[0], repetitions=repetitions)
    made = restart(schedule, getattr(samplers, planner), grid, interval)
    gain = np.cumprod([max(1.0, sum(map(abs, stage.x))) for stage in made.stages])
    weights = np.array([sum(map(abs, (*stage.x, *stage.m))) for stage in made.stages])
    assert np.all(np.abs(plan.mean_residuals(made, schedule)) <= 64 * EPS * (1.0 + weights))
    states = [made.stages[0].time, *(stage.time_next for stage in made.stages)]
    wanted = np.array([schedule(t).sigma ** 2 for t in states])
    error = np.abs(plan.variances(made, schedule) - wanted)[1:]
    assert np.all(error <= 256 * EPS * (np.max(wanted) + wanted[1:]) * gain**2)
    assert made.stages[-1].time_next == grid[-1]


def test_intervals_are_taken_from_noise_to_data():
    schedule = schedules.edm()
    main = (80.0, 10.0, 1.0, 0.1, 0.0)
    made = restart(
        schedule,
        samplers.euler,
        main,
        Interval(t_min=0.1, t_max=0.5),
        Interval(t_min=10.0, t_max=20.0, repetitions=2),
        Interval(t_min=0.1, t_max=1.0),
    )
    visited = [made.stages[0].time, *(stage.time_next for stage in made.stages)]
    assert visited == [80, 10, 20, 10, 20, 10, 1, 0.1, 0.5, 0.1, 1, 0.1, 0]
    assert made.name == "restart_euler"
    assert plan.Plan.from_json(made.to_json()).stages == made.stages
    assert restart(schedule, samplers.euler, main) == samplers.euler(schedule, main)


def test_the_way_back_is_the_samplers_own_grid_by_default():
    schedule = schedules.edm()
    made = restart(
        schedule, samplers.euler, (80.0, 10.0, 1.0, 0.1), Interval(t_min=0.1, t_max=10.0)
    )
    assert [stage.time_next for stage in made.stages[3:]] == [10.0, 1.0, 0.1]


def test_from_data_and_from_pure_noise():
    """t_min may be data, t_max the end without signal: then nothing of the state is left."""
    schedule = schedules.flow()
    made = restart(
        schedule, samplers.heun, times.trailing(schedule, 4), Interval(t_min=0.0, t_max=1.0)
    )
    up = made.stages[6]
    assert (up.time, up.time_next, up.x, up.z) == (0.0, 1.0, (0.0,), 1.0)
    target = np.array([[0.3, -0.7]])
    end = plan.sample(
        oracles.point_mass(schedule, target), made, target, lambda like, k: 0.0 * like + 0.3
    )
    np.testing.assert_array_equal(end, target)


def adams_bashforth_2(schedule, grid, start="euler"):
    """A multistep method in n, whose first step is Euler's."""
    trace = Trace(schedule, grid[0])
    before = None
    for s in grid[1:]:
        (alpha, sigma), (beta, noise), n = trace.level, schedule(s), trace.level
        slope = trace.eps(trace.denoise())
        width = noise / beta - sigma / alpha
        along = slope if before is None else slope + 0.5 * width / before[0] * (slope - before[1])
        before = width, slope
        trace.move(s, (beta / n.alpha) * trace.x + (beta * width) * along)
    return trace.plan("ab2", start=start)


def test_a_multistep_method_starts_afresh():
    """Its weights never reach back over a restart, where the state jumped."""
    schedule = schedules.edm()
    main = (80.0, 40.0, 10.0, 3.0, 1.0)
    interval = Interval(t_min=10.0, t_max=40.0, repetitions=2, times=(40.0, 20.0, 10.0))
    made = restart(schedule, adams_bashforth_2, main, interval, start="same")
    assert made.parameters["start"] == "same"
    assert [len(stage.m) for stage in made.stages] == [1, 2, 0, 1, 2, 0, 1, 2, 1, 2]
    assert made.stages[:2] == adams_bashforth_2(schedule, main[:3]).stages
    assert made.stages[-2:] == adams_bashforth_2(schedule, main[2:]).stages


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        ({"t_min": 2.0, "t_max": 5.0}, "t_min must be one of times after the first, got 2.0"),
        ({"t_min": 80.0, "t_max": 90.0}, "t_min must be one of times after the first"),
        ({"t_min": 1.0, "t_max": 1.0}, "t_max must be above t_min"),
        ({"t_min": 1.0, "t_max": 5.0, "repetitions": 0}, "repetitions must be a positive whole"),
        ({"t_min": 1.0, "t_max": 90.0}, "t must be in"),
        ({"t_min": 1.0, "t_max": 5.0, "times": (5.0, 2.0)}, "times of an interval must go from"),
        ({"t_min": 1.0, "t_max": 5.0, "times": (1.0, 5.0)}, "times must descend strictly"),
    ],
)
def test_bad_intervals_are_named(interval, message):
    with pytest.raises(ValueError, match=message):
        restart(schedules.edm(), samplers.euler, (80.0, 1.0, 0.0), Interval(**interval))


@pytest.mark.parametrize("s_noise", [-1.0, math.inf, math.nan])
def test_bad_noise_is_named(s_noise):
    with pytest.raises(ValueError, match=f"s_noise must be non-negative and finite, got {s_noise}"):
        restart(schedules.edm(), samplers.euler, (80.0, 1.0), s_noise=s_noise)


def test_churn_is_refused_inside_a_restart() -> None:
    schedule = schedules.edm()
    walked = (20.0, 5.0, 1.0, 0.1)
    with pytest.raises(ValueError, match="s_churn must be 0 with restart intervals"):
        restart(schedule, samplers.heun, walked, Interval(t_min=1.0, t_max=5.0), s_churn=2.0)
