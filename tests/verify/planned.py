"""Planners of ours as a target: a subject whose samplers run the plans, in any library."""

import numpy as np

from diffcore import plan, predictions
from diffcore._arrays import to_host
from diffcore.predictions import X_0
from diffcore.times import karras
from diffcore.verify import Claim, libraries
from diffcore.verify.subject import Run, Sampler, Subject


def edm_grid(schedule, n):
    """Levels as those of k-diffusion, ending at 0."""
    return tuple(karras(schedule, n, sigma_max=10.0, sigma_min=0.02))


def sampler(made, schedule, grid, *, library, predicts=X_0, run=None, dtype="float64", **fields):
    """A plan as a sampler, run by `run(denoise, plan, x, noise)`, by default our own loop."""
    epsilon = library.epsilon if dtype == "float64" else float(np.finfo(np.float32).eps)
    stages = made.stages

    def launch(answer, x, seed):
        states, times = [], []

        def denoise(x_t, t):
            states.append(x_t)
            times.append(float(t))
            x_0 = answer(to_host(x_t).astype(np.float64), t, len(times) - 1)
            if predicts is X_0:
                return library.like(x_0, x_t)
            x_0, x = np.asarray(x_0, dtype=np.float64), to_host(x_t).astype(np.float64)
            alpha, sigma = schedule(t)
            output = library.like(predicts.target(schedule, x_0, t, (x - alpha * x_0) / sigma), x)
            return predicts.x_0(schedule, library.like(output, x_t), x_t, t)

        library.seed(seed)
        noise = (lambda like, step: library.normal(like)) if made.stochastic else None
        end = (run or plan.sample)(denoise, made, x, noise)
        return Run((*states, end), tuple(times))

    return Sampler(
        label=f"{len(grid) - 1} steps of {len(stages)} stages",
        schedule=schedule,
        grid=tuple(grid),
        launch=launch,
        epsilon=epsilon,
        predicts=predicts,
        **fields,
    )


def subject(
    planner,
    schedule,
    grid=edm_grid,
    *,
    steps=(1, 2, 5, 8),
    claim=None,
    order=None,
    library="numpy",
    run=None,
    seed=0,
    **fields,
):
    """A planner f(schedule, times) on grids grid(schedule, n)."""
    arrays = libraries.of(library)

    def with_steps(n):
        times = grid(schedule, n)
        made = planner(schedule, times)
        return sampler(made, schedule, times, library=arrays, run=run, claim=claim, order=order)

    return Subject(
        name=getattr(planner, "__name__", "planner"),
        kind="planned",
        make=arrays.make,
        dtypes=arrays.dtypes,
        epsilon=arrays.epsilon,
        samplers=tuple(with_steps(n) for n in steps),
        with_steps=with_steps,
        seed=seed,
        **fields,
    )


__all__ = ["Claim", "edm_grid", "predictions", "sampler", "subject"]
