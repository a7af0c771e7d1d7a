"""DPM-Solver against its paper's algorithm and against diffusers' schedulers."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from diffusers import DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler
from noise_convergence import (
    MIXTURE,
    SCHEDULES,
    error,
    even_in_time,
    gaussian_case,
    grid,
    order,
    root_mean_square,
)
from noise_diffusers import LINEAR, levels, relative, states

from diffcore import oracles, plan, schedules
from diffcore.samplers.deis import deis
from diffcore.samplers.dpm_solver import dpm_solver

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
EPS = np.finfo(np.float64).eps
X = np.linspace(-2.0, 2.0, 9)[:, None]
VP = SCHEDULES["vp_linear"]


def theirs(cls, p, solver_type="midpoint"):
    with pytest.warns(FutureWarning, match="algorithm_type"):
        return cls(
            algorithm_type="dpmsolver",
            solver_order=p,
            solver_type=solver_type,
            final_sigmas_type="sigma_min",
            lower_order_final=False,
        )


def ours(made, schedule, x=X):
    denoise = oracles.mixture(schedule, *MIXTURE)
    return [progress.x for progress in plan.iterate(denoise, made, x)]


def by_the_paper(schedule, t, s, x, p, r1, r2):
    """One step of DPM-Solver-1, 2 or 3 (algorithms 1 to 3, for all r1 and r2), on the oracle."""
    denoise = oracles.mixture(schedule, *MIXTURE)

    def eps(state, u):
        return (state - schedule(u).alpha * denoise(state, u)) / schedule(u).sigma

    def at(r):
        u = schedule.time_at(schedule.log_snr_at(t) + 2.0 * r * h)
        return u, *schedule(u)

    h = 0.5 * (schedule.log_snr_at(s) - schedule.log_snr_at(t))
    (alpha_t, _), (alpha_s, sigma_s) = schedule(t), schedule(s)
    e = eps(x, t)
    if p == 1:
        return alpha_s / alpha_t * x - sigma_s * math.expm1(h) * e
    u, alpha, sigma = at(r1)
    e1 = eps(alpha / alpha_t * x - sigma * math.expm1(r1 * h) * e, u)
    if p == 2:
        straight = alpha_s / alpha_t * x - sigma_s * math.expm1(h) * e
        return straight - sigma_s / (2.0 * r1) * math.expm1(h) * (e1 - e)
    u, alpha, sigma = at(r2)
    bent = r2 / r1 * (math.expm1(r2 * h) / (r2 * h) - 1.0)
    e2 = eps(alpha / alpha_t * x - sigma * (math.expm1(r2 * h) * e + bent * (e1 - e)), u)
    bent = (math.expm1(h) / h - 1.0) / r2
    return alpha_s / alpha_t * x - sigma_s * (math.expm1(h) * e + bent * (e2 - e))


@pytest.mark.parametrize(("p", "r1", "r2"), [(1, 0, 0), (2, 0.5, 0), (2, 0.3, 0), (3, 0.25, 0.6)])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_published_steps_are_the_papers_algorithms(kind, p, r1, r2):
    schedule = SCHEDULES[kind]
    parameters = {name: r for name, r in (("r1", r1), ("r2", r2)) if r}
    visited = grid(schedule, 4)
    x = X * math.hypot(*schedule(visited[0]))
    made = dpm_solver(schedule, visited, order=p, formula="published", **parameters)
    wanted = x
    for t, s in pairwise(visited):
        wanted = by_the_paper(schedule, t, s, wanted, p, r1, r2)
    assert relative(ours(made, schedule, x)[-1], wanted) < 256 * EPS
    exact = dpm_solver(schedule, visited, order=p, **parameters)
    if p > 1:
        assert relative(ours(exact, schedule, x)[-1], wanted) > 1e-6


def test_the_published_third_order_needs_r2_at_two_thirds():
    for r1, r2, published in ((1 / 3, 2 / 3, 3), (0.2, 2 / 3, 3), (1 / 3, 0.9, 2), (0.5, 0.8, 2)):
        for formula, declared in (("published", published), ("exact", 3)):
            planner = partial(dpm_solver, order=3, r1=r1, r2=r2, formula=formula)
            assert planner(VP, grid(VP, 3)).order == declared
            assert order(planner, VP, (48, 64, 96)) == pytest.approx(declared, abs=0.15)


def test_multistep_is_deis_in_log_rho():
    visited = (0.9, 0.7, 0.6, 0.35, 0.2, 0.1)
    for p in (2, 3):
        a = dpm_solver(VP, visited, order=p, variant="multistep")
        assert a.stages == deis(VP, visited, order=p, variable="log_rho").stages


def test_inner_times_of_a_discrete_schedule_are_whole_and_as_many_as_fit():
    schedule = schedules.linear()
    made = dpm_solver(schedule, (1000, 400, 20, 17, 15, 14, 0), order=3)
    called = [stage.time for stage in made.stages]
    assert all(isinstance(t, int) for t in called)
    steps = [sum(s < t <= e for t in called) for e, s in ((1000, 400), (400, 20), (20, 17))]
    assert steps == [3, 3, 3]
    assert called[-4:] == [17, 16, 15, 14]
    assert made.stages[-2].time_next == 14
    # Near the middle in lambda, not in time.
    u = dpm_solver(schedule, (1000, 100), order=2).stages[0].time_next
    middle = 0.5 * (schedule.log_snr_at(1000) + schedule.log_snr_at(100))
    inside = range(101, 1000)
    assert u == min(inside, key=lambda v: abs(schedule.log_snr_at(v) - middle)) != 550


def test_the_exact_formula_keeps_its_order_at_whole_times():
    """Of 20000 times the nearest is 0.002 of a step or more off, which the published one feels."""
    schedule = schedules.from_betas(np.linspace(1e-4, 2e-2, 20000) / 20)

    def even(_, n):
        ends = schedule.log_snr_at(16000), schedule.log_snr_at(3000)
        wanted = np.linspace(*ends, n + 1)
        return tuple(int(np.argmin(np.abs(schedule.log_snr - w))) for w in wanted)

    for formula in ("exact", "published"):
        planner = partial(dpm_solver, order=3, formula=formula)
        assert order(planner, schedule, (16, 24, 32), spread=even) > 2.85
    for r2, formula, least, most in ((0.8, "exact", 2.85, 3.2), (0.8, "published", 1.8, 2.4)):
        planner = partial(dpm_solver, order=3, r2=r2, formula=formula)
        assert least < order(planner, schedule, (16, 24, 32), spread=even) < most


@pytest.mark.parametrize("p", [1, 2, 3])
def test_diffusers_multistep_is_the_published_one_with_a_lower_order_start(p):
    """Given our noise levels in float64; it casts the state to float32 in each step."""
    visited = grid(VP, 24)
    denoise = oracles.mixture(VP, *MIXTURE)
    scheduler = levels(theirs(DPMSolverMultistepScheduler, p), VP, visited)
    found = states(scheduler, VP, visited[:-1], denoise, X)
    made = {
        formula: dpm_solver(VP, visited, p, "multistep", formula, start="lower")
        for formula in ("published", "exact")
    }
    for got, wanted in zip(found, ours(made["published"], VP), strict=True):
        assert relative(got, wanted) < 24 * np.finfo(np.float32).eps
    if p > 1:
        assert relative(found[-1], ours(made["exact"], VP)[-1]) > 1e-4


def their_error(scheduler, schedule, visited):
    """Of Gaussian data; the exact flow is the judge."""
    denoise, start, wanted = gaussian_case(schedule, visited)
    found = states(levels(scheduler, schedule, visited), schedule, visited[:-1], denoise, start)
    return root_mean_square(found[-1] - wanted) / schedule(visited[-1]).alpha


def test_diffusers_third_order_multistep_has_order_2():
    """It weighs half of the second derivative with the integral of the whole; ours weighs all."""
    scheduler = theirs(DPMSolverMultistepScheduler, 3)
    measured = order(scheduler, VP, (32, 48, 64), their_error)
    assert measured == pytest.approx(2.1, abs=0.1)
    exact = partial(dpm_solver, order=3, variant="multistep")
    assert order(exact, VP, (32, 48, 64)) == pytest.approx(3.0, abs=0.15)
    assert error(exact, VP, grid(VP, 32)) < 0.3 * their_error(scheduler, VP, grid(VP, 32))


@pytest.mark.parametrize(
    ("p", "solver_type", "formula"),
    [(1, "midpoint", "published"), (2, "midpoint", "published"), (2, "heun", "exact")],
)
def test_diffusers_singlestep_is_ours(p, solver_type, formula):
    """Given the times that our plan calls at."""
    made = dpm_solver(VP, grid(VP, 12), order=p, formula=formula)
    called = [stage.time for stage in made.stages]
    scheduler = theirs(DPMSolverSinglestepScheduler, p, solver_type)
    levels(scheduler, VP, [*called, made.stages[-1].time_next])
    found = states(scheduler, VP, called, oracles.mixture(VP, *MIXTURE), X)
    for got, wanted in zip(found, ours(made, VP), strict=True):
        assert relative(got, wanted) < 64 * EPS


def test_diffusers_third_order_singlestep_takes_its_third_call_elsewhere():
    """Its state there is DPM-Solver-2's, the paper's algorithm has another; both have order 3."""
    made = dpm_solver(VP, grid(VP, 12), order=3, formula="published")
    called = [stage.time for stage in made.stages]
    scheduler = theirs(DPMSolverSinglestepScheduler, 3)
    levels(scheduler, VP, [*called, made.stages[-1].time_next])
    found = states(scheduler, VP, called, oracles.mixture(VP, *MIXTURE), X)
    first, second, third = (
        relative(*pair) for pair in zip(found[:3], ours(made, VP)[:3], strict=True)
    )
    assert first < 64 * EPS
    assert second > 1e-7
    assert third < second
    assert order(scheduler, VP, (48, 72, 96), their_error) == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("solver_type", ["midpoint", "heun"])
def test_diffusers_third_order_singlestep_keeps_its_order_on_its_own_grids(solver_type):
    """Its calls are even in time, so that r2 is 2/3 only in the limit, which is enough."""
    scheduler = theirs(DPMSolverSinglestepScheduler, 3, solver_type)
    measured = order(scheduler, VP, (48, 72, 96), their_error, even_in_time)
    assert measured == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize(
    ("variant", "p"), [*(("singlestep", p) for p in (1, 2)), *(("multistep", p) for p in (1, 2, 3))]
)
def test_diffusers_own_tables_are_right_to_float32(variant, p):
    """Its sigmas come from 1 - alpha_bar in float32, which at the last time, 1e-4, is 3e-4 off."""
    cls = {"singlestep": DPMSolverSinglestepScheduler, "multistep": DPMSolverMultistepScheduler}
    scheduler = theirs(cls[variant], p)
    visited = (1000, 800, 600, 400, 200, 100, 50, 1)
    start = {"start": "lower"} if variant == "multistep" else {}
    made = dpm_solver(LINEAR, visited, p, variant, "published", **start)
    called = [stage.time for stage in made.stages]
    scheduler.set_timesteps(timesteps=[t - 1 for t in called])
    found = states(scheduler, LINEAR, called, oracles.mixture(LINEAR, *MIXTURE), X)
    assert relative(found[-1], ours(made, LINEAR)[-1]) < 2e-5
