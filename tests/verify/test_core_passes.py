"""Every sampler of the core, wrapped as a target of each kind, passes every check."""

from functools import lru_cache

import numpy as np
import pytest

from diffcore import plan, schedules, times
from diffcore.interop.plan_run import PlanRun
from diffcore.samplers import PLANNERS
from diffcore.verify import check, claim

ONE_STEP = (
    *("ddpm", "ddim", "euler", "heun", "dpm2", "euler_ancestral", "dpm2_ancestral"),
    *("flow_euler", "flow_heun", "runge_kutta", "dpm_solver"),
)
"""Those whose steps know nothing of the steps before."""

STEPS = (1, 2)
EDM = schedules.edm(20.0)

STEPPED = {
    "runge_kutta": {"order": 2},
    "deis": {"start": "lower"},
    "lms": {"start": "lower"},
}
"""Parameters for a step scheduler, which calls inside a step once at most."""


def normal(like, step):
    return np.random.standard_normal(like.shape).astype(like.dtype)  # noqa: NPY002


@lru_cache
def planned(planner, schedule, grid, **parameters):
    return PLANNERS[planner](schedule, grid, **parameters)


def run(model, planner, schedule, grid, x):
    made = planned(planner, schedule, tuple(grid))
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


@lru_cache
def levels(n):
    return times.karras(EDM, n, sigma_max=10.0, sigma_min=0.02)


def as_scheduler(planner, parameters):
    """set_timesteps and step on x / alpha, of a network of eps that is told log(sigma) / 4."""

    class Scheduler:
        init_noise_sigma = 10.0

        def __init__(self):
            self.alphas_cumprod = schedules.linear(40).alpha_bar[1:]

        def set_timesteps(self, num_inference_steps):
            grid = levels(num_inference_steps)
            made = planned(planner, EDM, grid, **parameters)
            called = [stage.time for stage in made.stages if stage.calls]
            ends = [max(s for s in grid if s <= t * (1.0 + 1e-12)) for t in called]
            self.timesteps = np.log(called) / 4.0
            self.sigmas = np.array([*ends, 0.0])
            if ends != called:
                self.sigmas_interpol = np.array(called)
            self.run = PlanRun(made, 0)

        def step(self, model_output, timestep, sample):
            x_0 = sample - self.run.stage.time * model_output
            return (self.run.step(sample, x_0, lambda like: normal(like, 0))[0],)

    return Scheduler


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


@pytest.mark.parametrize("planner", PLANNERS)
def test_as_a_step_scheduler(planner):
    parameters = STEPPED.get(planner, {})
    report = check(
        as_scheduler(planner, parameters)(),
        claims=claim(planner, **parameters),
        library="numpy",
        steps=STEPS,
    )
    assert report.ok, str(report)
