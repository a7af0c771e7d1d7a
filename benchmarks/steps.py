"""The core against diffusers' schedulers, step for step, on a CPU in eager mode.

    python benchmarks/steps.py

The network is free (it returns its input), so what is measured is the sampler and the noising:
arithmetic on small and large arrays, and the cost of checking the arguments.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from diffcore import denoisers, plan, predictions, process, samplers, schedules, times
from timing import RESULTS, markdown, ratio, recipe, seconds

SHAPES = ((1, 1, 8, 8), (16, 3, 32, 32), (64, 3, 64, 64))
STEPS = 20


def calls(shape: tuple[int, ...]) -> Iterator[tuple[str, dict]]:
    """What is compared: (name, {"diffcore": call, "diffusers": call}), checked to agree."""
    schedule = schedules.linear()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    eps = torch.randn(shape, generator=generator)

    theirs = DDPMScheduler()
    t = torch.randint(1, 1001, shape[:1], generator=generator)
    tables = schedule.tables(x)
    yield (
        "q_sample",
        {
            "diffcore": lambda: process.q_sample(tables, x, t, eps),
            "diffusers": lambda: theirs.add_noise(x, eps, t - 1),
        },
    )

    # diffusers' "leading" spacing starts at time 1, ours at 1 too; both count down in strides.
    grid = times.leading(schedule, STEPS)
    denoise = denoisers.denoiser(lambda x_t, _: x_t, schedule, predictions.EPS)
    draws = [torch.randn(shape, generator=generator) for _ in range(STEPS + 2)]
    for name, made, scheduler in (
        ("DDIM step", samplers.ddim(schedule, grid), DDIMScheduler(set_alpha_to_one=True)),
        ("DDPM step", samplers.ddpm(schedule, grid), DDPMScheduler()),
    ):
        scheduler.config.clip_sample = False
        scheduler.set_timesteps(STEPS)

        def ours(made=made):
            return plan.sample(denoise, made, x, lambda like, k: draws[k])

        def peer(scheduler=scheduler):
            state = x
            for t in scheduler.timesteps:
                state = scheduler.step(state, t, state).prev_sample
            return state

        yield name, {"diffcore": ours, "diffusers": peer}


def main() -> None:
    """Print the table and write it to results/steps.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    rows = []
    for shape in SHAPES:
        for name, pair in calls(shape):
            if name != "DDPM step":  # Its noise is drawn by each in its own way.
                ours, peer = pair["diffcore"](), pair["diffusers"]()
                np.testing.assert_allclose(ours, peer, rtol=1e-3, atol=1e-3 * peer.abs().max())
            readings = seconds(pair, rounds)
            middle, least, greatest = ratio(readings["diffcore"], readings["diffusers"])
            each = min(readings["diffcore"]) / (1 if name == "q_sample" else STEPS)
            rows.append(
                (
                    name,
                    "x".join(map(str, shape)),
                    f"{middle:.2f} ({least:.2f} to {greatest:.2f})",
                    f"{each * 1e6:.0f}",
                )
            )
    text = markdown(("call", "shape", "time, diffcore / diffusers", "microseconds"), rows)
    text += "\n\n" + recipe(("torch", "diffusers", "numpy"), rounds) + "\n"
    print(text)
    (RESULTS / "steps.md").write_text("# Sampler steps and noising\n\n" + text)


if __name__ == "__main__":
    main()
