"""Schedulers of diffusers that work in y = x / alpha, run on Gaussian data with the exact denoiser.

Their own float32 sigmas are the times of an EDM schedule, so that only their arithmetic differs.
"""

import warnings

import numpy as np

from diffcore import oracles, schedules

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers
    import torch

MEAN, VARIANCE = 0.3, 0.2
EPS32 = float(np.finfo(np.float32).eps)
SPACINGS = {
    "trailing": {"timestep_spacing": "trailing"},
    "leading": {"timestep_spacing": "leading", "steps_offset": 1},
    "karras": {"use_karras_sigmas": True},
}


def scheduler(name, steps, **config):
    """A scheduler of that class name, its timesteps set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(diffusers, name)(**config)
        made.set_timesteps(steps)
    return made


def times(made):
    """Its noise levels, descending, each once, as float64 times."""
    sigmas = made.sigmas.double().tolist()
    return [s for k, s in enumerate(sigmas) if k == 0 or s != sigmas[k - 1]]


def edm(made):
    """The EDM schedule that holds its noise levels, and the exact denoiser on it."""
    schedule = schedules.edm(2.0 * times(made)[0])
    return schedule, oracles.gaussian(schedule, MEAN, VARIANCE)


def start(made, size=5):
    """A state to start from."""
    return torch.randn(size, generator=torch.Generator().manual_seed(0)) * times(made)[0]


def level(made):
    """The noise level at which it calls its network now."""
    if hasattr(made, "sigmas_interpol") and not made.state_in_first_order:
        back = 1 if "Ancestral" in type(made).__name__ else 0
        return float(made.sigmas_interpol[made.step_index - back])
    return float(made.sigmas[made.step_index])


def run(made, y, denoise, **arguments):
    """The state after each call of its `step`, from y, as NumPy arrays of float64."""
    states = []
    for t in made.timesteps:
        made.scale_model_input(y, t)
        sigma = level(made)
        x_0 = np.full(y.shape, np.nan)
        if np.isfinite(sigma):
            x_0 = np.asarray(denoise(y.double().numpy()[:, None], sigma))[:, 0]
        if type(made).__name__ == "EDMEulerScheduler":
            rest = VARIANCE_OF_EDM / (sigma**2 + VARIANCE_OF_EDM)
            output = (x_0 - rest * y.double().numpy()) / (sigma * rest**0.5)
        else:
            output = (y.double().numpy() - x_0) / sigma
        y = made.step(torch.from_numpy(output).float(), t, y, **arguments).prev_sample
        states.append(y.double().numpy())
    return states


VARIANCE_OF_EDM = 0.25
"""sigma_data^2 of its preconditioning: c_skip = rest, c_out = sigma sqrt(rest)."""


def normals(seed, plan, size=5):
    """The normals that a generator of that seed hands to a plan: noise(like, step).

    diffusers draws for the step to sigma = 0 too, and gives it no weight.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        k + 1: torch.randn(size, generator=generator).double().numpy()[:, None]
        for k, stage in enumerate(plan.stages)
        if stage.z != 0.0
    }
    return lambda like, step: drawn[step]
