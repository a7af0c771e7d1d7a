"""diffusers' schedulers on Gaussian data with the exact denoiser, beside our plans."""

import numpy as np
import torch

from diffcore import oracles, plan, schedules

MEAN, VARIANCE = np.array([0.3, -0.5, 0.1]), np.array([0.2, 0.5, 0.04])
TOLERANCE = 32 * float(np.finfo(np.float32).eps)
"""For ten steps of order 1 in size; their levels are float32, log SNR is at most 10."""


def schedule_of(scheduler):
    """Ours, with their alpha_bar: what is compared is the samplers."""
    return schedules.from_alpha_bar(scheduler.alphas_cumprod.double().numpy())


def times_of(scheduler, last):
    """Their grid in our times: they count from 0; last: time 1 or 0, their sigma_min or zero."""
    return [int(t) + 1 for t in scheduler.timesteps] + [last]


def start():
    """Where both begin."""
    return np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32).astype(np.float64)


def theirs(scheduler, dtype=torch.float32):
    """Their states after each step, and the noise they drew for it, in float64."""
    denoise = oracles.gaussian(schedule_of(scheduler), MEAN, VARIANCE)
    rng, copy = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    draws = "generator" in scheduler.step.__code__.co_varnames
    x, states, noises = torch.from_numpy(start()).to(dtype), [], []
    for t in scheduler.timesteps:
        x_0 = torch.from_numpy(denoise(x.double().numpy(), int(t) + 1)).to(dtype)
        noises.append(torch.randn(x.shape, generator=copy, dtype=dtype).double().numpy())
        x = scheduler.step(x_0, t, x, **({"generator": rng} if draws else {})).prev_sample
        states.append(x.double().numpy())
    return np.stack(states), noises


def ours(made, schedule, noises):
    """The plan's states after each stage."""
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    run = plan.iterate(denoise, made, start(), lambda like, step: noises[step - 1])
    return np.stack([progress.x for progress in run])


def distance(planner, scheduler, last, dtype=torch.float32):
    """How far the states are from each other, at each step. planner: f(schedule, times)."""
    schedule = schedule_of(scheduler)
    states, noises = theirs(scheduler, dtype)
    mine = ours(planner(schedule, times_of(scheduler, last)), schedule, noises)
    return np.max(np.abs(mine - states), axis=(1, 2))
