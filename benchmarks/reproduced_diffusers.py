"""What findings in diffusers' schedulers are reproduced with: the code under test and no other."""

import warnings
from typing import Any

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers

diffusers.logging.set_verbosity_error()


def made(name: str, steps: int | None = None, **config: Any) -> Any:
    """A scheduler, its timesteps set."""
    scheduler = getattr(diffusers, name)(**config)
    if steps is not None:
        scheduler.set_timesteps(steps)
    return scheduler


def run(scheduler: Any, x_0: float = 0.0, **arguments: Any) -> list[torch.Tensor]:
    """Its states on data that is always x_0, of ten thousand samples, eps told exactly."""
    torch.manual_seed(0)
    x = torch.randn(10_000, 1, 1, 1) * float(scheduler.init_noise_sigma)
    if not hasattr(scheduler, "sigmas"):
        x = x + scheduler.alphas_cumprod[scheduler.timesteps[0]].sqrt() * x_0
    states = [x]
    for k, t in enumerate(scheduler.timesteps):
        if hasattr(scheduler, "sigmas"):
            scheduler.scale_model_input(x, t)
            eps = (x - x_0) / scheduler.sigmas[k]
        else:
            bar = scheduler.alphas_cumprod[t]
            eps = (x - bar.sqrt() * x_0) / (1 - bar).sqrt()
        x = scheduler.step(eps, t, x, **arguments).prev_sample
        states.append(x)
    return states


def attempt(name: str, steps: int, said: tuple[int, int] = (1, 1), /, **config: Any) -> str:
    """What comes of a run with a network that says 0. said: channels, and those of the state."""
    channels, own = said
    x = torch.randn(2, own, 4, 4)
    try:
        scheduler = made(name, steps, **config)
        for t in scheduler.timesteps:
            x = scheduler.step(torch.zeros(2, channels, 4, 4), t, x).prev_sample
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    share = 1.0 - float(torch.isfinite(x).float().mean())
    return f"{share:.0%} of the samples are not numbers"


def unclipped(name: str) -> str:
    """A denoised x_0 of 5, with clip_sample."""
    scheduler = made(name, 4, clip_sample=True, prediction_type="sample")
    t = scheduler.timesteps[-1]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(3)
    x = scheduler.step(torch.full((1, 1, 2, 2), 5.0), t, torch.zeros(1, 1, 2, 2)).prev_sample
    return f"ends in {float(x.max()):.3f} of an x_0 of 5"


def unused(name: str, **arguments: float) -> str:
    """A step without the arguments and one with them."""
    ends = []
    for given in ({}, arguments):
        torch.manual_seed(0)
        scheduler, x = made(name, 5), torch.ones(1, 1, 1, 1)
        ends.append(float(scheduler.step(x, scheduler.timesteps[1], x, **given).prev_sample))
    words = ", ".join(f"{key} = {value:g}" for key, value in arguments.items())
    return f"one step ends in {ends[0]:.6f} without, in {ends[1]:.6f} with {words}"
