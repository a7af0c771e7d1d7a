"""Every sampler of the core, wrapped as a target of each kind, passes every check."""

from itertools import pairwise

import numpy as np
import pytest

from diffcore import interop, plan, predictions, schedules
from diffcore.samplers import PLANNERS
from diffcore.verify import check, claim

ONE_STEP = (
    *("ddpm", "ddim", "euler", "heun", "dpm2", "euler_ancestral", "dpm2_ancestral"),
    *("flow_euler", "flow_heun", "runge_kutta", "dpm_solver"),
)
"""Those whose steps know nothing of the steps before."""

STEPS = (1, 2, 5)


def normal(like, step):
    return np.random.standard_normal(like.shape).astype(like.dtype)  # noqa: NPY002


def run(model, planner, schedule, grid, x):
    made = PLANNERS[planner](schedule, grid)
    return plan.sample(model, made, x, normal if made.stochastic else None)


def as_function(planner):
    """f(model, x, sigmas) on EDM's schedule."""

    def sampled(model, x, sigmas):
        grid = [float(sigma) for sigma in sigmas]
        return run(model, planner, schedules.edm(grid[0]), grid, x)

    return sampled


def as_class(planner):
    """A class around a denoiser whose schedule is one of ours."""

    class Sampler:
        def __init__(self, denoiser, steps=10):
            self.denoiser = denoiser
            self.timesteps = np.linspace(0.98, 0.0, steps + 1).tolist()

        def __call__(self, x_T):
            return self.sampled(x_T, self.timesteps)

        def sampled(self, x, grid):
            return run(self.denoised, planner, self.denoiser.schedule, grid, x)

        def denoised(self, x_t, t):
            return self.denoiser(x_t, t).mean

    def step(self, x_t, t, s):
        return self.sampled(x_t, [t, s])

    if planner in ONE_STEP:
        Sampler.step = step
    return Sampler


@pytest.mark.parametrize("planner", PLANNERS)
def test_as_a_sampler_function(planner):
    report = check(as_function(planner), claims=claim(planner), library="numpy", steps=STEPS)
    assert report.ok, str(report)


@pytest.mark.parametrize("planner", PLANNERS)
def test_as_a_class(planner):
    report = check(
        as_class(planner),
        claims=claim(planner),
        library="numpy",
        schedule=schedules.flow(),
        steps=STEPS,
    )
    assert report.ok, str(report)
