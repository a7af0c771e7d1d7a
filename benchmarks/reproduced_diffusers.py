"""What is found in diffusers' schedulers, each finding reproduced by its own code alone."""

import warnings
from typing import Any

import numpy as np
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


def noise_of_a_fresh_one(name: str) -> str:
    """The weight of the noise at timestep 0, where next to nothing is added."""
    scheduler = made(name)
    got = scheduler.add_noise(torch.zeros(1), torch.ones(1), torch.tensor([0]))
    right = float((1 - scheduler.alphas_cumprod[0]).sqrt())
    return f"noise weighs {float(got):.5f} at timestep 0 for {right:.5f}"


def told(name: str, **config: Any) -> str:
    """The level of what the network is told beside the level of its state, at the second call."""
    scheduler = made(name, 6, **config)
    k = 2 if name.startswith("KDPM2") else 1
    t, sigma = float(scheduler.timesteps[k]), float(scheduler.sigmas[k])
    if config.get("use_flow_sigmas"):
        return f"told {t:g}, its state is at {1000 * sigma:g}"
    bar = scheduler.alphas_cumprod[round(t)]
    return f"told the level {float(((1 - bar) / bar) ** 0.5):.5g}, its state is at {sigma:.5g}"


def steps_elsewhere(name: str, steps: int = 7, **config: Any) -> str:
    """The weight of x_0 in the state at the second call; data is always 1."""
    scheduler = made(name, steps, **config)
    one, zero = (run(made(name, steps, **config), x_0)[1] for x_0 in (1.0, 0.0))
    right = float(scheduler.alphas_cumprod[scheduler.timesteps[1]].sqrt())
    return f"x_0 weighs {float((one - zero).mean()):.5f} for {right:.5f} at the second call"


def direction_of_clipped() -> str:
    """The noise that a step adds back, beside the one that belongs to the clipped x_0."""
    scheduler = made("DDIMScheduler", 4, clip_sample=True)
    t = scheduler.timesteps[1]
    now, then = scheduler.alphas_cumprod[t], scheduler.alphas_cumprod[t - 250]
    x_t = now.sqrt() * 2.0 + (1 - now).sqrt() * 0.5  # x_0 = 2 is clipped to 1.
    x_s = scheduler.step(torch.tensor([0.5]), t, x_t.reshape(1)).prev_sample
    kept = float((x_s - then.sqrt()) / (1 - then).sqrt())
    return f"eps {kept:.3f} for {float((x_t - now.sqrt()) / (1 - now).sqrt()):.3f}"


def levels_that_differ(name: str, **config: Any) -> str:
    """How many of the levels that a run of 6 steps goes through differ."""
    sigmas = made(name, 6, **config).sigmas.double().numpy()
    apart = np.abs(np.diff(sigmas)) > 1e-6 * sigmas[:-1]
    return f"{1 + int(np.sum(apart))} of {len(sigmas)} levels differ"


def levels_for_one_step() -> str:
    """The level that a run of one step starts at, and the noise that it starts from."""
    scheduler = made("CosineDPMSolverMultistepScheduler", 1)
    start, level = float(scheduler.init_noise_sigma), float(scheduler.sigmas[0])
    return f"starts from noise of deviation {start:.6g} at sigma = {level:.3g}"


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


def newest_of_the_last_step() -> str:
    """The weight of the newest x_0 in the last state, where the level is 0."""
    ends = []
    for last in (0.0, 1.0):
        scheduler = made("LMSDiscreteScheduler", 5)
        x = torch.zeros(1, dtype=torch.float64)
        for k, t in enumerate(scheduler.timesteps):
            scheduler.scale_model_input(x, t)
            x_0 = last if k == 4 else 0.0
            x = scheduler.step((x - x_0) / scheduler.sigmas[k].double(), t, x).prev_sample
        ends.append(float(x))
    return f"the newest x_0 weighs {ends[1] - ends[0]:.5f} in the end for 1"


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


def part_of_lms() -> str:
    """Data is always 0: the deviation after one step of a run that begins at its third level."""
    scheduler = made("LMSDiscreteScheduler", 5)
    scheduler.set_begin_index(2)
    t, now, then = scheduler.timesteps[2], *scheduler.sigmas[2:4]
    x = now * torch.ones(1)
    scheduler.scale_model_input(x, t)
    x = scheduler.step(x / now, t, x).prev_sample
    return f"noise of {float(x):.4f} after its first step for {float(then):.4f}"


def churned(name: str) -> str:
    """Data is always 0, of which sigma is the deviation of a right state."""
    scheduler = made(name, 20)
    if name.startswith("EDM"):
        torch.manual_seed(0)
        x = 80.0 * torch.randn(10_000, 1, 1, 1)
        for k, t in enumerate(scheduler.timesteps[:-1]):
            scheduler.scale_model_input(x, t)
            rest = 0.25 / (scheduler.sigmas[k] ** 2 + 0.25)
            output = -rest * x / (scheduler.sigmas[k] * rest.sqrt())
            x = scheduler.step(output, t, x, s_churn=8.0).prev_sample
        ratio = float(x.std() / scheduler.sigmas[-2])
    else:
        states = run(scheduler, s_churn=8.0)
        ratio = float(states[-2].std() / scheduler.sigmas[-2])
    return f"deviation / sigma before the last step is {ratio:.2f} for 1"


def churned_flow() -> str:
    """Data is always 1: the weight of it in the state after the first step."""
    scheduler = made("FlowMatchHeunDiscreteScheduler", 5)
    torch.manual_seed(0)
    x = torch.randn(200_000)
    for k, t in enumerate(scheduler.timesteps[:2]):
        x = scheduler.step((x - 1.0) / scheduler.sigmas[k], t, x, s_churn=2.0).prev_sample
    level = float(scheduler.sigmas[2])
    return f"its mean is {float(x.mean()):.3f} for {1 - level:.3f}"


def levels_of_log_linear() -> str:
    """The levels beside the times that are told."""
    scheduler = made("EulerDiscreteScheduler", 6, interpolation_type="log_linear")
    left = float(scheduler.sigmas[len(scheduler.timesteps)])
    return (
        f"{len(scheduler.sigmas)} levels for {len(scheduler.timesteps)} calls: "
        f"the last step ends at sigma = {left:.3g}"
    )


def sign_of_third_order() -> str:
    """The weight of the second difference in a third step, all steps of length 0.1 in lambda."""
    h, config = 0.1, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}
    scheduler = made("DPMSolverMultistepScheduler", 20, prediction_type="sample", **config)
    scheduler.sigmas = torch.exp(torch.tensor([1.0 - h * k for k in range(21)]))
    zero, one = torch.zeros(1), torch.ones(1)
    for x_0, t in zip((one, zero, zero), scheduler.timesteps[:3], strict=True):
        x = scheduler.step(x_0, t, zero, variance_noise=zero).prev_sample
    alpha = float(1 / (1 + scheduler.sigmas[3] ** 2).sqrt())
    slope = (1 - np.exp(-2 * h)) / (-2 * h) + 1
    found = 2 * float(x) / alpha - slope  # The oldest output is half of both differences.
    right = (1 - np.exp(-2 * h) - 2 * h) / (2 * h) ** 2 + 0.5
    return f"the second difference weighs {found:.3f} for {right:.3f}"


def spread_of_noise_prediction() -> str:
    """Data is always 0, whose states have the deviation sigma."""
    config = {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}
    scheduler = made("DPMSolverMultistepScheduler", 8, **config)
    torch.manual_seed(0)
    x, t = torch.randn(100_000, 1, 1, 1), scheduler.timesteps[0]
    bar = scheduler.alphas_cumprod[scheduler.timesteps[0]]
    x = scheduler.step(x / (1 - bar).sqrt(), t, x).prev_sample
    then = scheduler.alphas_cumprod[scheduler.timesteps[1]]
    return f"deviation {float(x.std()):.3f} for {float((1 - then).sqrt()):.3f} after one step of 8"


def digits_of_unclip() -> str:
    """The weight of the denoised x_0 in the last step, which is all of it."""
    scheduler = made("UnCLIPScheduler", 2)
    weight = scheduler.betas[0] / (1 - scheduler.alphas_cumprod[0])
    return f"x_0 weighs {float(weight):.5f} in the end for 1"


def unclipped(name: str) -> str:
    """A denoised x_0 of 5, with clip_sample."""
    scheduler = made(name, 4, clip_sample=True, prediction_type="sample")
    t = scheduler.timesteps[-1]
    scheduler.set_begin_index(3)
    x = scheduler.step(torch.full((1, 1, 2, 2), 5.0), t, torch.zeros(1, 1, 2, 2)).prev_sample
    return f"ends in {float(x.max()):.3f} of an x_0 of 5"


def stale_betas() -> str:
    """alpha_bar at the first time beside 1 - beta."""
    scheduler = made("CogVideoXDDIMScheduler")
    bar, beta = float(scheduler.alphas_cumprod[0]), float(scheduler.betas[0])
    return f"1 - alpha_bar_1 = {1 - bar:.3g}, beta_1 = {beta:.3g}"


def unused(name: str, **arguments: float) -> str:
    """A step without the arguments and one with them."""
    ends = []
    for given in ({}, arguments):
        torch.manual_seed(0)
        scheduler, x = made(name, 5), torch.ones(1, 1, 1, 1)
        ends.append(float(scheduler.step(x, scheduler.timesteps[1], x, **given).prev_sample))
    words = ", ".join(f"{key} = {value:g}" for key, value in arguments.items())
    return f"one step ends in {ends[0]:.6f} without, in {ends[1]:.6f} with {words}"


def second_state_of_third_order() -> str:
    """The order on the exact flow, in `benchmarks/results/published.md`."""
    scheduler = made("DPMSolverSinglestepScheduler", 7, solver_order=3)
    lam = -np.log(scheduler.sigmas[:-1].numpy().astype(np.float64))
    r = (lam[1:3] - lam[0]) / (lam[3] - lam[0])
    return f"calls at {r[0]:.3f} and {r[1]:.3f} of the first step"


def long_step(name: str, steps: int) -> str:
    """Cosine betas, with a network that says 0: what is left of sigma_down in float32."""
    scheduler = made(name, steps, beta_schedule="squaredcos_cap_v2")
    x = torch.randn(2, 1, 4, 4) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scheduler.scale_model_input(x, t)
        x = scheduler.step(torch.zeros_like(x), t, x).prev_sample
    share = 1.0 - float(torch.isfinite(x).float().mean())
    return f"{share:.0%} of the samples are not numbers"
