"""A sampler function f(model, x, sigmas, ...), where the model returns the denoised x_0.

States are x_0 + sigma eps, and sigmas descend to 0, as in EDM and k-diffusion.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..._arrays import to_host
from ...predictions import X_0
from ...schedules import edm
from ...times import karras
from ..claims import Claim
from ..libraries import Library
from ..subject import Answer, Run, Sampler, Subject

SIGMAS = (10.0, 0.02)
"""The largest and the least noise level of the grids it is run on."""


def matches(target: Any) -> bool:
    """Whether the target is a function whose first arguments are model, x, sigmas."""
    if not inspect.isroutine(target):
        return False
    names = list(inspect.signature(target).parameters)
    return len(names) >= 3 and names[1] == "x" and names[2] == "sigmas"


def subject(
    target: Callable[..., Any],
    *,
    library: Library,
    claim: Claim | None = None,
    order: int | None = None,
    steps: Sequence[int] = (1, 2, 5, 10),
    **options: Any,
) -> Subject:
    """The function run on grids of so many steps, with `options` as further arguments."""

    def with_steps(n: int) -> Sampler:
        return _sampler(target, n, library, claim, order, options)

    return Subject(
        name=getattr(target, "__name__", str(target)),
        kind="sampler function",
        make=library.make,
        dtypes=library.dtypes,
        epsilon=library.epsilon,
        samplers=tuple(with_steps(n) for n in steps),
        with_steps=with_steps,
    )


def _sampler(
    target: Callable[..., Any],
    n: int,
    library: Library,
    claim: Claim | None,
    order: int | None,
    options: dict[str, Any],
) -> Sampler:
    schedule = edm(2.0 * SIGMAS[0])
    grid = tuple(karras(schedule, n, sigma_max=SIGMAS[0], sigma_min=SIGMAS[1]))
    takes = inspect.signature(target).parameters

    def launch(answer: Answer, x: Any, seed: int) -> Run:
        states, times = [], []

        def model(x_t: Any, sigma: Any, **_: Any) -> Any:
            states.append(x_t)
            t = float(to_host(sigma).reshape(-1)[0])
            times.append(t)
            host = to_host(x_t).astype(np.float64)
            return library.like(answer(host, t, len(times) - 1), x_t)

        library.seed(seed)
        arguments = dict(options)
        if "noise_sampler" in takes:
            arguments.setdefault("noise_sampler", lambda *_: library.normal(x))
        if "disable" in takes:
            arguments.setdefault("disable", True)
        end = target(model, x, library.make(grid, library.dtypes[-1]), **arguments)
        return Run((*states, end), tuple(times))

    return Sampler(
        label=f"{n} step" + "s" * (n > 1),
        schedule=schedule,
        grid=grid,
        launch=launch,
        epsilon=library.epsilon,
        claim=claim,
        predicts=X_0,
        order=order,
    )
