"""What is found in diffusers' schedulers that go by noise levels, each by its own code alone."""

from typing import Any

import numpy as np
import torch

from reproduced_diffusers import made, run


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


def noise_drawn_afresh() -> str:
    """One step from two states of the same x_0, 0, with the same draw."""
    ends = []
    for x in (torch.zeros(1), torch.ones(1)):
        scheduler = made("FlowMatchLCMScheduler", 5)
        draw, level = torch.Generator().manual_seed(0), scheduler.sigmas[0]
        t = scheduler.timesteps[0]
        ends.append(float(scheduler.step(x / level, t, x, generator=draw).prev_sample))
    return f"from 0 and from 1, both of x_0 = 0, it steps to {ends[0]:.4f} and {ends[1]:.4f}"


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
