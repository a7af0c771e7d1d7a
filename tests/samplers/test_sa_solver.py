"""SA-Solver: its order without noise, its law with noise, and diffusers' scheduler side by side."""

import math

import numpy as np
import pytest
import torch
from data_convergence import SCHEDULES, exact_law, flow_order, law, weak_order
from data_diffusers import TOLERANCE, distance, ours, schedule_of, theirs, times_of
from diffusers import SASolverScheduler

from diffcore import oracles, plan, schedules
from diffcore.samplers.sa_solver import sa_solver

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # diffusers' own.
ORDERS = [(p, c) for p in (1, 2, 3, 4) for c in (0, 1, 2, 3, 4)]


@pytest.mark.parametrize(("predictor", "corrector"), ORDERS)
def test_sa_solver_without_noise_reaches_its_declared_order(predictor, corrector):
    def planner(schedule, grid):
        return sa_solver(schedule, grid, predictor, corrector, tau=0.0)

    order = min(predictor + 1, corrector) if corrector else predictor
    assert planner(SCHEDULES["edm"], (2.0, 1.0)).order == order
    # Two terms of the error cancel at some number of steps, more of them for more outputs.
    counts = (256, 512) if order == 4 else (128, 256, 512)
    assert flow_order(planner, "edm", counts) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("tau", [1.0, 0.7])
@pytest.mark.parametrize("formula", ["exact", "published"])
def test_the_law_of_sa_solver_converges(name, tau, formula):
    for predictor, corrector, order in ((1, 0, 1), (1, 2, 2), (2, 0, 2), (2, 3, 2), (3, 4, 2)):

        def planner(schedule, grid, p=predictor, c=corrector):
            return sa_solver(schedule, grid, p, c, tau, formula)

        for x in (-1.0, None):
            measured = weak_order(planner, name, tau, x)
            assert order - 0.15 <= measured <= order + 0.5


def test_a_corrector_with_noise_of_its_own_would_not_converge():
    """Half of the noise drawn anew: the variance is too small at every number of steps."""

    def planner(schedule, grid):
        made = sa_solver(schedule, grid)
        stages = [plan.Stage(**{**vars(s), "z": s.z * math.sqrt(0.5)}) for s in made.stages]
        return plan.Plan("wrong", tuple(stages))

    assert weak_order(planner, "edm", 1.0, None) < 0.2


def test_the_marginals_do_not_depend_on_tau():
    """A tau of time, constant by steps: the mean and variance stay those of the data's process."""
    schedule, mean, variance = schedules.vp_linear(), 0.7, 0.2
    errors = []
    for n in (40, 80):
        grid = [schedule.time_at(v) for v in np.linspace(-4.0, 4.0, n + 1).tolist()]
        made = sa_solver(schedule, grid, 3, 3, tau=lambda t: 1.5 if 0.2 < t < 0.5 else 0.0)
        assert made.stochastic
        assert 0.0 in made.parameters["tau"]
        assert 1.5 in made.parameters["tau"]
        alpha, sigma = schedule(grid[-1])
        wanted = alpha * mean, alpha**2 * variance + sigma**2
        errors.append(
            np.max(np.abs(np.subtract(law(made, schedule, mean, variance, None), wanted)))
        )
    assert errors[1] < 0.4 * errors[0] < 0.4 * 0.02


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_a_step_from_no_signal_forgets_the_state_where_there_is_noise(tau):
    schedule = schedules.flow()
    first = sa_solver(schedule, (1.0, 0.6, 0.2), tau=tau).stages[0]
    assert first.m == (0.4,)
    assert (*first.x, first.z) == (pytest.approx((0.6, 0.0)) if tau == 0.0 else (0.6,))


def test_the_exact_law_composes_and_has_its_limits():
    """The oracle itself: two steps are one, tau = 0 is the flow, tau = 1 is Bayes' rule."""
    schedule, mean, variance, x = schedules.flow(), 0.7, 0.2, -1.0
    t, u, s = 0.8, 0.5, 0.1
    middle, spread = exact_law(schedule, (t, u), mean, variance, x, 0.6)
    end, rest = exact_law(schedule, (u, s), mean, variance, middle, 0.6)
    gain = exact_law(schedule, (u, s), mean, variance, middle + 1.0, 0.6)[0] - end
    whole = exact_law(schedule, (t, s), mean, variance, x, 0.6)
    np.testing.assert_allclose((end, gain**2 * spread + rest), whole, rtol=1e-12)
    flow = oracles.gaussian_flow(schedule, mean, variance, np.array([x]), t, s)
    np.testing.assert_allclose(exact_law(schedule, (t, s), mean, variance, x, 0.0), (*flow, 0.0))
    (a_t, s_t), (a_s, s_s) = schedule(t), schedule(s)
    before, after = a_t**2 * variance + s_t**2, a_s**2 * variance + s_s**2
    shared = a_t / a_s * after  # The covariance of x_t = (a_t / a_s) x_s + noise with x_s.
    bayes = a_s * mean + shared / before * (x - a_t * mean), after - shared**2 / before
    np.testing.assert_allclose(exact_law(schedule, (t, s), mean, variance, x, 1.0), bayes)


def sa_of(predictor, corrector, tau, steps=10):
    made = SASolverScheduler(
        prediction_type="sample",
        predictor_order=predictor,
        corrector_order=corrector,
        tau_func=lambda t: np.float64(tau(float(t)) if callable(tau) else tau),
    )
    made.set_timesteps(steps)
    return made


def as_published(predictor, corrector, tau, formula="published"):
    def planner(schedule, grid):
        return sa_solver(
            schedule, grid, predictor, corrector, tau, formula, "lower", lower_order_end=True
        )

    return planner


@pytest.mark.parametrize(
    ("predictor", "corrector"), [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 4)]
)
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_sa_solver_is_that_of_diffusers(predictor, corrector, tau):
    apart = distance(
        as_published(predictor, corrector, tau), sa_of(predictor, corrector, tau), last=1
    )
    assert np.max(apart) <= TOLERANCE
    if predictor == 2:
        planner = as_published(predictor, corrector, tau, "exact")
        apart = distance(planner, sa_of(predictor, corrector, tau), last=1)
        assert np.max(apart) > 100 * TOLERANCE


def test_sa_solver_with_a_tau_of_time_is_that_of_diffusers():
    """tau belongs to the time that a step starts from; theirs counts it from 0."""
    planner = as_published(2, 2, lambda t: 1.0 if 201 <= t <= 801 else 0.0)
    theirs_too = sa_of(2, 2, lambda t: 1.0 if 200 <= t <= 800 else 0.0)
    assert np.max(distance(planner, theirs_too, last=1)) <= TOLERANCE


def test_sa_solver_of_order_4_in_diffusers_loses_digits_in_fine_steps():
    """Its powers of lambda cancel in float32; the same code in float64 agrees with ours."""
    steps = 200
    planner = as_published(3, 4, 0.5)
    rough = distance(planner, sa_of(3, 4, 0.5, steps), last=1)
    wide = sa_of(3, 4, 0.5, steps)
    bar = wide.alphas_cumprod.double()
    index = [int(t) for t in wide.timesteps] + [0]
    wide.sigmas = ((1.0 - bar[index]) / bar[index]) ** 0.5
    states, noises = theirs(wide, torch.float64)
    schedule = schedule_of(wide)
    mine = ours(planner(schedule, times_of(wide, 1)), schedule, noises)
    assert np.max(rough) > 100 * TOLERANCE
    assert np.max(np.abs(mine - states)) <= 1e-3 * np.max(rough)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: sa_solver(s, (9, 0), predictor=0), "predictor must be 1, 2, 3 or 4, got 0"),
        (lambda s: sa_solver(s, (9, 0), predictor=5), "predictor must be 1, 2, 3 or 4, got 5"),
        (lambda s: sa_solver(s, (9, 0), corrector=5), "corrector must be 0, 1, 2, 3 or 4, got 5"),
        (lambda s: sa_solver(s, (9, 0), tau=-1.0), "tau must be non-negative and finite, got -1.0"),
        (lambda s: sa_solver(s, (9, 0), tau=lambda t: math.inf), "got inf at time 9"),
        (lambda s: sa_solver(s, (9, 0), formula="best"), "formula must be 'exact' or 'published'"),
        (lambda s: sa_solver(s, (9, 0), start="none"), "start must be 'singlestep' or 'lower'"),
        (lambda s: sa_solver(s, (9,)), "times must be at least two numbers"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(schedules.linear())
