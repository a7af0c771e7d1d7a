"""Linear multistep: its weights, and diffusers' scheduler (k-diffusion's LMS)."""

import numpy as np
import pytest
from diffusers import LMSDiscreteScheduler
from noise_convergence import (
    MIXTURE,
    SCHEDULES,
    error,
    gaussian_case,
    grid,
    order,
    root_mean_square,
)
from noise_diffusers import LINEAR, levels, relative, states, whole_times

from diffcore import oracles, plan, schedules
from diffcore.samplers.lms import lms
from diffcore.samplers.plms import MEANS

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
EPS = np.finfo(np.float64).eps
X = np.linspace(-2.0, 2.0, 9)[:, None]
VP = SCHEDULES["vp_linear"]


@pytest.mark.parametrize("p", [2, 3, 4])
def test_over_even_noise_levels_the_weights_are_adams_and_bashforths(p):
    """On EDM x_s = x_t + (s - t) sum_j b_j (x_j - m_j) / t_j with the textbook's b_j."""
    schedule = schedules.edm()
    visited = (7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    last = lms(schedule, visited, order=p, start="lower").stages[-1]
    levels_then = visited[-2::-1][:p]
    for j, (b, n) in enumerate(zip(MEANS[p], levels_then, strict=True)):
        assert last.m[j] == pytest.approx(b / n, rel=1e-13)
        assert last.x[j] == pytest.approx(float(j == 0) - b / n, rel=1e-13)
    uneven = lms(schedule, (7.0, 6.0, 5.0, 4.0, 3.0, 2.2, 1.0), order=p, start="lower").stages[-1]
    assert uneven.m[1] != pytest.approx(-abs(MEANS[p][1]) / 3.0, rel=0.05)


def test_its_first_steps_are_those_of_one_order_less():
    """Order 4: two steps of DPM-Solver-3, three calls each, then Adams and Bashforth's method."""
    made = lms(VP, grid(VP, 6))
    assert [stage.time_next in grid(VP, 6) for stage in made.stages] == [
        *(False, False, True) * 2,
        *(True,) * 4,
    ]


def test_diffusers_is_ours_with_a_lower_order_start():
    """Given our noise levels in float64; it runs on x / alpha. So does k-diffusion."""
    visited = grid(VP, 24)
    denoise = oracles.mixture(VP, *MIXTURE)
    alphas = [VP(t).alpha for t in visited]
    scheduler = levels(LMSDiscreteScheduler(), VP, visited)
    found = states(scheduler, VP, visited[:-1], denoise, X / alphas[0])
    made = lms(VP, visited, start="lower")
    for got, alpha, progress in zip(found, alphas[1:], plan.iterate(denoise, made, X), strict=True):
        assert relative(got * alpha, progress.x) < 64 * EPS
    full = plan.sample(denoise, lms(VP, visited), X)
    assert relative(found[-1] * alphas[-1], full) > 1e-6


def test_diffusers_has_order_2_in_the_limit():
    """Its first step is Euler's; ours keeps order 4. The exact flow is the judge."""

    def their_error(scheduler, schedule, visited):
        denoise, start, wanted = gaussian_case(schedule, visited)
        levels(scheduler, schedule, visited)
        start = start / schedule(visited[0]).alpha
        found = states(scheduler, schedule, visited[:-1], denoise, start)[-1]
        return root_mean_square(found - wanted / schedule(visited[-1]).alpha)

    steps = (128, 256)
    assert order(LMSDiscreteScheduler(), VP, steps, their_error) == pytest.approx(2.3, abs=0.2)
    assert order(lms, VP, steps) == pytest.approx(4.0, abs=0.15)
    visited = grid(VP, 256)
    assert error(lms, VP, visited) < 0.1 * their_error(LMSDiscreteScheduler(), VP, visited)


@pytest.mark.parametrize("n", [10, 28])
def test_diffusers_own_tables_are_right_to_float32(n):
    """But for the last step, to sigma = 0, which extrapolates eps where ours takes x_0.

    n so that its evenly spaced times are whole. Which one is nearer depends on the data.
    """
    scheduler = LMSDiscreteScheduler()
    scheduler.set_timesteps(n)
    called = whole_times(scheduler)
    denoise = oracles.mixture(LINEAR, *MIXTURE)
    found = states(scheduler, LINEAR, called, denoise, X / LINEAR(called[0]).alpha)
    made = lms(LINEAR, (*called, 0), start="lower")
    wanted = [progress.x for progress in plan.iterate(denoise, made, X)]
    assert relative(found[-2] * LINEAR(called[-1]).alpha, wanted[-2]) < 2e-5
    assert relative(found[-1], wanted[-1]) > 1e-5
