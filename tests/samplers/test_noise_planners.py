"""What every planner on the noise must satisfy: DPM-Solver, DEIS, LMS, PLMS."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from identities import assert_keeps_marginals
from noise_convergence import SCHEDULES, error, grid, mixture_error, order
from noise_planners import ON_DISCRETE, PLANNERS
from strategies import timed

from diffcore import oracles, plan, schedules, times
from diffcore.samplers import ddim
from diffcore.samplers.deis import deis
from diffcore.samplers.dpm_solver import dpm_solver
from diffcore.samplers.lms import lms
from diffcore.samplers.plms import plms

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("name", [n for n in PLANNERS if n != "lms-lower"])
def test_the_declared_order_is_reached(name, kind):
    schedule = SCHEDULES[kind]
    declared = PLANNERS[name](schedule, grid(schedule, 4)).order
    measured = order(PLANNERS[name], schedule, (48, 64, 96))
    assert declared - 0.15 <= measured <= declared + 0.3


@pytest.mark.parametrize("name", [n for n in PLANNERS if n != "lms-lower"])
def test_the_declared_order_is_reached_on_a_mixture(name):
    """Whose noise is not linear in the state; the reference is SciPy's DOP853."""
    schedule = SCHEDULES["flow"]
    declared = PLANNERS[name](schedule, grid(schedule, 4)).order
    measured = order(PLANNERS[name], schedule, (48, 64, 96), mixture_error)
    assert declared - 0.15 <= measured <= declared + 0.35


def test_a_higher_order_than_there_is_is_not_measured():
    """The measurement tells a method from one of the next order."""
    schedule = SCHEDULES["flow"]
    for name in ("dpm_solver-3-published", "plms", "dpm_solver-3m-published", "lms-3"):
        declared = PLANNERS[name](schedule, grid(schedule, 4)).order
        for by in (error, mixture_error):
            assert order(PLANNERS[name], schedule, (48, 64, 96), by) < declared + 0.85


@pytest.mark.parametrize("name", ON_DISCRETE)
@given(case=timed(count=6), to_data=st.booleans())
def test_a_point_mass_keeps_its_mean_and_variance(name, case, to_data):
    schedule, found = case
    found = [*found[::-1], 0] if to_data else found[::-1]
    assert_keeps_marginals(PLANNERS[name](schedule, found), schedule)


def test_the_identities_reject_a_wrong_weight():
    schedule = schedules.linear()
    made = lms(schedule, times.trailing(schedule, 10))
    stages = list(made.stages)
    k = len(stages) - 3
    stages[k] = plan.Stage(**{**vars(stages[k]), "m": (1.001 * stages[k].m[0], *stages[k].m[1:])})
    wrong = plan.Plan("wrong", tuple(stages))
    assert np.max(np.abs(plan.mean_residuals(wrong, schedule))) > 1e-4


def polynomial(schedule, coordinate, degree):
    """A denoiser whose noise is 1, u, u^2, ... of u = coordinate(t), whatever the state."""

    def denoise(x_t, t, /):
        alpha, sigma = schedule(t)
        return (x_t - sigma * coordinate(t) ** degree) / alpha

    return denoise


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize(
    ("name", "variable", "exact_to"),
    [
        *((f"dpm_solver-{p}", "log_rho", p - 1) for p in (1, 2, 3)),
        ("dpm_solver-3-0.25-0.85", "log_rho", 2),
        *((f"dpm_solver-{p}m", "log_rho", p - 1) for p in (1, 2, 3)),
        *((f"deis-{p}-{v}", v, p - 1) for p in (2, 3) for v in ("rho", "log_rho", "t")),
        *((f"lms-{p}", "rho", p - 1) for p in (2, 3, 4)),
    ],
)
def test_a_polynomial_noise_is_integrated_exactly(name, variable, exact_to, kind, degree):
    """Uneven steps; what a start of lower order misses is left out. One degree more is not."""
    schedule = SCHEDULES[kind]

    def coordinate(t):
        half = 0.5 * schedule.log_snr_at(t)
        scale = schedule.curve.t_max
        return {"t": t / scale, "rho": math.exp(-half) / 8.0, "log_rho": half}[variable]

    edges = [-2.0, -1.4, -0.9, -0.65, -0.2, 0.1, 0.5]
    visited = [schedule.time_at(2.0 * half) for half in edges]
    made = PLANNERS[name](schedule, visited)
    ends = [
        (p.stage.time_next, p.x)
        for p in plan.iterate(polynomial(schedule, coordinate, degree), made, np.zeros((1,)))
        if p.stage.time_next in visited
    ]
    (t, before), (s, after) = ends[2], ends[-1]
    # int eps dn by Gauss and Legendre's rule over the half log SNR, in many pieces.
    whole = 0.0
    nodes, weights = np.polynomial.legendre.leggauss(20)
    fine = np.linspace(*(0.5 * schedule.log_snr_at(u) for u in (t, s)), 9)
    for a, b in pairwise(fine):
        for node, weight in zip(nodes, weights, strict=True):
            half = 0.5 * (a + b) + 0.5 * (b - a) * node
            value = coordinate(schedule.time_at(2.0 * half)) ** degree
            whole -= 0.5 * (b - a) * weight * value * math.exp(-half)
    got = (after / schedule(s).alpha - before / schedule(t).alpha)[0]
    if degree <= exact_to:
        assert got == pytest.approx(whole, rel=1e-12)
    elif degree == exact_to + 1:
        assert abs(got / whole - 1.0) > 1e-5


@pytest.mark.parametrize("kind", ["linear", "zero_terminal_snr", "vp", "cosine", "flow", "edm"])
@pytest.mark.parametrize("name", PLANNERS)
def test_the_last_step_takes_the_denoised_data(name, kind):
    schedule = {
        "linear": schedules.linear,
        "zero_terminal_snr": lambda: schedules.zero_terminal_snr(schedules.linear()),
        "vp": schedules.vp_linear,
        "cosine": schedules.cosine_continuous,
        "flow": schedules.flow,
        "edm": schedules.edm,
    }[kind]()
    if name.endswith("-t") and kind in ("linear", "zero_terminal_snr"):
        with pytest.raises(ValueError, match="variable must be 'rho' or 'log_rho' on a discrete"):
            PLANNERS[name](schedule, (1000, 0))
        return
    target = np.array([[0.3, -0.7]])
    for n in (1, 2, 6):
        visited = times.trailing(schedule, n)
        made = PLANNERS[name](schedule, visited)
        last = made.stages[-1]
        assert (last.time_next, any(last.x), last.m) == (0, False, (1.0,))
        start = plan.prior(schedule, visited[0], np.array([[0.4, -1.1]]))
        end = plan.sample(oracles.point_mass(schedule, target), made, start)
        np.testing.assert_array_equal(end, target)
        if schedule(visited[0]).alpha == 0.0:
            first, wanted = made.stages[0], ddim(schedule, visited).stages[0]
            assert (first.time_next, first.m) == (wanted.time_next, wanted.m)
            assert (first.x or (0.0,)) == wanted.x


@pytest.mark.parametrize("name", ["dpm_solver-1", "dpm_solver-1m", "deis-1-rho", "lms-1"])
def test_order_1_is_ddim(name):
    schedule = schedules.linear()
    visited = times.trailing(schedule, 7)[:-1]
    assert PLANNERS[name](schedule, visited).stages == ddim(schedule, visited).stages


@pytest.mark.parametrize(
    ("calls", "name"),
    [
        (10, "lms-1"),
        (10, "lms-2"),
        (11, "lms-3"),
        (14, "lms-4"),
        (11, "deis-3-log_rho"),
        (10, "deis-2-t"),
        (19, "dpm_solver-2"),
        (28, "dpm_solver-3"),
        (11, "dpm_solver-3m"),
        (11, "plms"),
        (19, "plms-singlestep"),
    ],
)
def test_how_often_the_denoiser_is_called(calls, name):
    """Ten steps, the last one to sigma = 0."""
    schedule = schedules.flow()
    visited = (*grid(schedule, 9), 0.0)
    assert PLANNERS[name](schedule, visited).evaluations == calls


@pytest.mark.parametrize("function", [dpm_solver, deis, lms])
def test_lower_order_ends_cost_the_order_and_no_more(function):
    """What they change falls as the square of the step."""
    schedule = SCHEDULES["vp_linear"]
    extra = {"variant": "multistep"} if function is dpm_solver else {}
    denoise = oracles.gaussian(schedule, 0.3, 0.2)
    for change in ({"start": "lower"}, {"lower_order_end": True}):
        gaps = []
        for n in (64, 128):
            visited = grid(schedule, n)
            full = function(schedule, visited, order=3, **extra)
            low = function(schedule, visited, order=3, **change, **extra)
            assert (full.order, low.order) == (3, 2)
            ends = [plan.sample(denoise, p, np.ones((1,))) for p in (full, low)]
            gaps.append(abs(ends[0] - ends[1])[0])
        assert math.log2(gaps[0] / gaps[1]) == pytest.approx(2.0, abs=0.15)


def test_a_lower_order_end_is_ddims_last_step():
    schedule = SCHEDULES["flow"]
    visited = grid(schedule, 6)
    for made in (
        lms(schedule, visited, lower_order_end=True),
        deis(schedule, visited, lower_order_end=True),
        dpm_solver(schedule, visited, order=3, lower_order_end=True),
    ):
        assert made.stages[-1] == ddim(schedule, visited).stages[-1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, g: lms(s, g, order=5), "order must be 1, 2, 3 or 4, got 5"),
        (lambda s, g: lms(s, g, start="midpoint"), "start must be 'singlestep' or 'lower'"),
        (lambda s, g: deis(s, g, order=0), "order must be 1, 2 or 3, got 0"),
        (lambda s, g: deis(s, g, variable="time"), "variable must be 't', 'rho' or 'log_rho'"),
        (lambda s, g: deis(s, g, variable="t"), "variable must be 'rho' or 'log_rho' on a discr"),
        (lambda s, g: plms(s, g, start="upper"), "start must be 'singlestep' or 'lower'"),
        (lambda s, g: dpm_solver(s, g, order=4), "order must be 1, 2 or 3, got 4"),
        (lambda s, g: dpm_solver(s, g, variant="both"), "variant must be 'singlestep' or"),
        (lambda s, g: dpm_solver(s, g, formula="mine"), "formula must be 'exact' or 'publi"),
        (lambda s, g: dpm_solver(s, g, start="two"), "start must be 'singlestep' or 'lower'"),
        (lambda s, g: dpm_solver(s, g, r1=1.0), "0 < r1 < 1, got 1.0"),
        (lambda s, g: dpm_solver(s, g, r1=0.0), "0 < r1 < 1, got 0.0"),
        (lambda s, g: dpm_solver(s, g, order=3, r1=0.0), "0 < r1 <= 0.6"),
        (lambda s, g: dpm_solver(s, g, order=3, r1=0.5, r2=0.5), "r1 < r2 < 1, got 0.5 and 0.5"),
        (lambda s, g: dpm_solver(s, g, order=3, r2=1.0), "r1 < r2 < 1, got"),
        (
            lambda s, g: dpm_solver(s, g, order=3, variant="multistep", r2=0.5),
            "r2 must be None for variant='multistep', got 0.5",
        ),
        (lambda s, g: dpm_solver(s, g, r2=0.5), "r2 must be None at order 2, got 0.5"),
        (lambda s, g: dpm_solver(s, g, order=1, r1=0.5), "r1 must be None at order 1, got 0.5"),
        (lambda s, g: dpm_solver(s, g, order=3, r1=0.61), "0 < r1 <= 0.6"),
        (lambda s, g: dpm_solver(s, g, order=3, r1=0.4, r2=0.3), "r1 < r2 < 1, got 0.4 and 0.3"),
        (
            lambda s, g: dpm_solver(s, g, variant="multistep", r1=0.5),
            "r1 must be None for variant='multistep', got 0.5",
        ),
        (lambda s, g: lms(s, g[::-1]), "times must descend strictly"),
        (lambda s, g: plms(s, g[::-1]), "times must descend strictly"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(schedules.linear(), (1000, 500, 0))
