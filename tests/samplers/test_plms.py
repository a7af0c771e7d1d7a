"""PLMS: the paper's steps, the order that they have, and diffusers' scheduler."""

import numpy as np
import pytest
import torch
from diffusers import PNDMScheduler
from noise_convergence import MIXTURE, SCHEDULES, even_in_time, order
from noise_diffusers import LINEAR, relative, states, whole_times

from diffcore import oracles, plan, schedules
from diffcore.samplers.lms import lms
from diffcore.samplers.plms import plms

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
EPS = np.finfo(np.float64).eps
X = np.linspace(-2.0, 2.0, 9)[:, None]
STARTS = ["lower", "singlestep"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", SCHEDULES)
def test_over_even_times_the_order_is_2(kind, start):
    """Its weights are of order 4 in time, but the noise is integrated over sigma / alpha.

    On EDM the two are one, and the order is 4 but for what the start leaves of it.
    """
    schedule = SCHEDULES[kind]
    measured = order(lambda s, g: plms(s, g, start), schedule, (48, 64, 96), spread=even_in_time)
    assert measured > 1.85
    assert (measured > 2.4) == (kind == "edm")
    if kind != "edm":
        assert order(lms, schedule, (96, 128, 192), spread=even_in_time) > 3.6


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(("n", "spacing", "offset"), [(20, "leading", 1), (20, "trailing", 0)])
def test_diffusers_is_ours(start, own, n, spacing, offset):
    """On its tables to float32, on ours to float64. skip_prk_steps is our start "lower"."""
    scheduler, called, visited = theirs(start, n, spacing, offset)
    denoise = oracles.mixture(LINEAR, *MIXTURE)
    if not own:
        exactly(scheduler)
    found = states(scheduler, LINEAR, called, denoise, X)
    made = plms(LINEAR, visited, start)
    assert [stage.time for stage in made.stages] == called
    for got, progress in zip(found, plan.iterate(denoise, made, X), strict=True):
        assert relative(got, progress.x) < (5e-6 if own else 64 * EPS)
    other = plms(LINEAR, visited, STARTS[start == STARTS[0]])
    assert relative(found[-1], plan.sample(denoise, other, X)) > 1e-6


def theirs(start, n, spacing, offset, **parameters):
    """A scheduler of n steps; the times it calls at; the grid that it goes through."""
    scheduler = PNDMScheduler(
        skip_prk_steps=start == "lower",
        timestep_spacing=spacing,
        steps_offset=offset,
        **parameters,
    )
    scheduler.set_timesteps(n)
    whole = sorted((int(i) + 1 for i in scheduler._timesteps), reverse=True)
    return scheduler, whole_times(scheduler), (*whole, 0 if "set_alpha_to_one" in parameters else 1)


def exactly(scheduler):
    """Give it our alpha_bar in float64."""
    scheduler.alphas_cumprod = torch.tensor(LINEAR.alpha_bar[1:])
    scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]


@pytest.mark.parametrize(
    ("start", "n", "spacing", "offset", "least"),
    [("lower", 30, "trailing", 0, 1e-3), ("singlestep", 40, "leading", 1, 1e-8)],
)
def test_diffusers_steps_to_times_it_does_not_call_at(start, n, spacing, offset, least):
    """It steps by 1000 // n whatever the next time is, and by twice the rounded half of it.

    With 30 trailing steps the state's level is off by up to a step's third; with 40 steps of 25 the
    first inner state is at t - 12, and called at t - 13. A point mass is the judge: its flow is a
    straight line, on which every consistent method is exact.
    """
    scheduler, called, visited = theirs(start, n, spacing, offset)
    exactly(scheduler)
    denoise = oracles.point_mass(LINEAR, 0.5)
    alpha, sigma = LINEAR(visited[0])
    x = alpha * 0.5 + sigma * X
    wanted = oracles.gaussian_flow(LINEAR, 0.5, 0.0, x, visited[0], visited[-1])
    found = states(scheduler, LINEAR, called, denoise, x)[-1]
    assert np.max(np.abs(found - wanted)) > least
    ours = plan.sample(denoise, plms(LINEAR, visited, start), x)
    assert np.max(np.abs(ours - wanted)) < 64 * EPS


def test_diffusers_extrapolates_to_data_which_is_farther_off():
    """In the last step, to sigma = 0; up to there the two agree, and the exact flow judges."""
    scheduler, called, visited = theirs("lower", 20, "leading", 0, set_alpha_to_one=True)
    scheduler.alphas_cumprod = torch.tensor(LINEAR.alpha_bar[1:])
    denoise = oracles.gaussian(LINEAR, 0.3, 0.2)
    found = states(scheduler, LINEAR, called, denoise, X)
    ours = [progress.x for progress in plan.iterate(denoise, plms(LINEAR, visited), X)]
    assert relative(found[-2], ours[-2]) < 64 * EPS
    wanted = oracles.gaussian_flow(LINEAR, 0.3, 0.2, X, visited[0], 0)
    theirs_off, ours_off = (np.max(np.abs(x[-1] - wanted)) for x in (found, ours))
    assert ours_off < 0.1 * theirs_off


def test_diffusers_default_wastes_its_last_call():
    """With steps_offset=0 the last step goes from the first timestep's level to the same level."""
    scheduler, called, _ = theirs("lower", 20, "leading", 0)
    found = states(scheduler, LINEAR, called, oracles.mixture(LINEAR, *MIXTURE), X)
    np.testing.assert_array_equal(found[-1], found[-2])


def test_a_runge_kutta_step_without_a_time_inside_is_trapezoidal():
    schedule = schedules.linear()
    visited = (10, 9, 8, 7, 6, 0)
    made = plms(schedule, visited, start="singlestep")
    assert made.evaluations == 3 * 2 + 2
    assert [stage.time for stage in made.stages] == [10, 9, 9, 8, 8, 7, 7, 6]
    assert made.stages[:2] == plms(schedule, visited).stages[:2]
