"""What is found in diffusers' schedulers that go by whole times, each by its own code alone."""

from typing import Any

import torch

from reproduced_diffusers import made, run


def steps_elsewhere(name: str, steps: int = 7, **config: Any) -> str:
    """The weight of x_0 in the state at the second call; data is always 1."""
    scheduler = made(name, steps, **config)
    one, zero = (run(made(name, steps, **config), x_0)[1] for x_0 in (1.0, 0.0))
    right = float(scheduler.alphas_cumprod[scheduler.timesteps[1]].sqrt())
    return f"x_0 weighs {float((one - zero).mean()):.5f} for {right:.5f} at the second call"


def direction_of_clipped(name: str) -> str:
    """The noise that a step adds back, beside the one that belongs to the clipped x_0."""
    scheduler = made(name, 4, clip_sample=True)
    t = scheduler.timesteps[1]
    now, then = scheduler.alphas_cumprod[t], scheduler.alphas_cumprod[t - 250]
    x_t = now.sqrt() * 2.0 + (1 - now).sqrt() * 0.5  # x_0 = 2 is clipped to 1.
    x_s = scheduler.step(torch.tensor([0.5]), t, x_t.reshape(1)).prev_sample
    kept = float((x_s - then.sqrt()) / (1 - then).sqrt())
    return f"eps {kept:.3f} for {float((x_t - now.sqrt()) / (1 - now).sqrt()):.3f}"


def last_step_of_pndm() -> str:
    """What the last call changes: with a last level equal to the one before, nothing."""
    states = run(made("PNDMScheduler", 10, skip_prk_steps=True), 1.0)
    return f"its last call changes the state by {float((states[-1] - states[-2]).abs().max()):g}"


def means_of_v() -> str:
    """Data is always 1: how far a run is from it, told v and told eps."""
    off = {}
    for kind in ("epsilon", "v_prediction"):
        scheduler = made("PNDMScheduler", 5, prediction_type=kind, steps_offset=1)
        x = torch.full((1, 1, 1, 1), 0.5)
        for t in scheduler.timesteps:
            bar = scheduler.alphas_cumprod[t]
            eps = (x - bar.sqrt()) / (1 - bar).sqrt()
            v = bar.sqrt() * eps - (1 - bar).sqrt()
            x = scheduler.step(eps if kind == "epsilon" else v, t, x).prev_sample
        off[kind] = float(x)
    return f"ends in {off['v_prediction']:.3f} told v, {off['epsilon']:.3f} told eps"


def last_step_of_plms() -> str:
    """The weight of the newest x_0 at the end, with set_alpha_to_one."""
    ends = []
    for last in (0.0, 1.0):
        config = {"skip_prk_steps": True, "set_alpha_to_one": True, "steps_offset": 1}
        scheduler = made("PNDMScheduler", 5, **config)
        x = torch.zeros(1, dtype=torch.float64)
        for k, t in enumerate(scheduler.timesteps):
            bar = scheduler.alphas_cumprod[t].double()
            x_0 = last if k == len(scheduler.timesteps) - 1 else 0.0
            eps = (x - bar.sqrt() * x_0) / (1 - bar).sqrt()
            x = scheduler.step(eps, t, x).prev_sample
        ends.append(float(x))
    return f"the newest x_0 weighs {ends[1] - ends[0]:.3f} in the end for 1"


def digits_of_unclip() -> str:
    """The weight of the denoised x_0 in the last step, which is all of it."""
    scheduler = made("UnCLIPScheduler", 2)
    weight = scheduler.betas[0] / (1 - scheduler.alphas_cumprod[0])
    return f"x_0 weighs {float(weight):.5f} in the end for 1"


def stale_betas() -> str:
    """alpha_bar at the first time beside 1 - beta."""
    scheduler = made("CogVideoXDDIMScheduler")
    bar, beta = float(scheduler.alphas_cumprod[0]), float(scheduler.betas[0])
    return f"1 - alpha_bar_1 = {1 - bar:.3g}, beta_1 = {beta:.3g}"
