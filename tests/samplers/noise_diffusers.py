"""diffusers' schedulers run side by side: on their own tables, or on ours in float64."""

import numpy as np
import torch
from diffusers import LMSDiscreteScheduler

from diffcore import schedules

LINEAR = schedules.linear()  # Both sides' default: 1000 betas from 1e-4 to 0.02.


def levels(scheduler, schedule, times):
    """Make `scheduler` take the steps of `times`, at our noise levels in float64."""
    scheduler.set_timesteps(len(times) - 1)
    pairs = [schedule(t) for t in times]
    scheduler.sigmas = torch.tensor([p.sigma / p.alpha for p in pairs], dtype=torch.float64)
    scheduler.timesteps = torch.arange(len(times) - 1)
    return scheduler


def states(scheduler, schedule, times, denoise, x):
    """Every state that `scheduler` goes through, called at `times`; eps is that of `denoise`."""
    x, found = torch.tensor(x), []
    lms = isinstance(scheduler, LMSDiscreteScheduler)
    for index, t in zip(scheduler.timesteps, times, strict=True):
        alpha, sigma = schedule(t)
        told = x * alpha if lms else x
        if lms:
            scheduler.is_scale_input_called = True
        eps = (told - alpha * torch.tensor(denoise(told.numpy(), t))) / sigma
        x = scheduler.step(eps, index, x).prev_sample
        found.append(x.numpy())
    return found


def whole_times(scheduler):
    """Their timestep i is our time i + 1."""
    return [int(i) + 1 for i in scheduler.timesteps]


def relative(got, wanted):
    """The largest difference, in units of the largest entry."""
    return float(np.max(np.abs(got - wanted)) / np.max(np.abs(wanted)))
