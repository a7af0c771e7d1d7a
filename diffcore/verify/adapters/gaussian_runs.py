"""The samplers of a GaussianDiffusion object, its clipping, and its loops' options.

`p_sample` is DDPM's step, `ddim_sample` DDIM's with eta, `ddim_reverse_sample` DDIM's upwards; the
loops walk all times.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..._arrays import Host
from ...predictions import MEAN
from ..claims import Claim, claim
from ..subject import Clipped, Option, Sampler
from .indexed import Step
from .kinds import Kind

ETAS = (0.0, 0.4, 1.0)


def _clip(x_0: Host) -> Host:
    clipped: Host = np.clip(x_0, -1.0, 1.0)
    return clipped


_CHANGES: tuple[tuple[str, Callable[[Host], Host], dict[str, Any]], ...] = (
    ("clip_denoised", _clip, {"clip_denoised": True}),
    ("denoised_fn", lambda x_0: 0.5 * x_0 + 0.1, {"denoised_fn": lambda x_0: 0.5 * x_0 + 0.1}),
    (
        "denoised_fn, then clip_denoised",
        lambda x_0: _clip(0.5 * x_0 + 0.8),
        {"denoised_fn": lambda x_0: 0.5 * x_0 + 0.8, "clip_denoised": True},
    ),
)
"""What is done to x_0, and the options that do it."""


def samplers(kind: Kind, *, rich: bool) -> Iterator[Sampler]:
    """Its `p_sample` and `ddim_sample`; with `rich` each eta, upwards, and loops that are short."""
    ancestral = kind.ancestral()
    windows = kind.steps.windows()
    for grid in windows if rich else windows[-1:]:
        yield _walked(kind, grid, "p_sample", ancestral)
        for eta in ETAS if rich else ETAS[:1]:
            if hasattr(kind.target, "ddim_sample"):
                yield _walked(kind, grid, "ddim_sample", claim("ddim", eta=eta), eta=eta)
        upwards = grid[::-1][grid[-1] == 0 :]
        if rich and hasattr(kind.target, "ddim_reverse_sample"):
            yield _walked(kind, upwards, "ddim_reverse_sample", claim("ddim", eta=0.0))
    whole = rich and len(windows) == 1
    if whole and hasattr(kind.target, "p_sample_loop"):
        yield _looped(kind, "p_sample_loop", ancestral)
    if whole and hasattr(kind.target, "ddim_sample_loop"):
        yield _looped(kind, "ddim_sample_loop", claim("ddim", eta=0.0))


def _step(kind: Kind, method: str, **options: Any) -> Step:
    """One step of the method as a function."""
    call = getattr(kind.target, method)
    return lambda network, x, t: call(network, x, t, **options)["sample"]


def _walked(
    kind: Kind,
    grid: tuple[int, ...],
    method: str,
    claimed: Claim,
    clip_denoised: bool = False,
    **options: Any,
) -> Sampler:
    """The steps one by one."""
    step = _step(kind, method, clip_denoised=clip_denoised, **options)
    words = [method, kind.label, *(f"{k} = {v}" for k, v in options.items() if k == "eta")]
    if len(grid) <= kind.steps.schedule.T - 1:
        words.append(f"from time {grid[0]}")
    return Sampler(
        label=", ".join(words),
        schedule=kind.steps.schedule,
        grid=grid,
        launch=kind.steps.walk(step, grid, kind.raw),
        epsilon=kind.epsilon,
        claim=claimed,
        predicts=kind.predicts,
        group=f"{claimed}{claimed.fraction if 'learned' in str(claimed) else ''} {grid}",
    )


def _looped(kind: Kind, method: str, claimed: Claim) -> Sampler:
    """The whole loop."""
    call = getattr(kind.target, method)

    def run(network: Any, x: Any) -> Any:
        return call(network, tuple(x.shape), noise=x, clip_denoised=False, device=x.device)

    grid = tuple(range(kind.steps.schedule.T, -1, -1))
    walked = _walked(kind, grid, method.removesuffix("_loop"), claimed)
    return replace(
        walked,
        label=f"{method}, {kind.label}",
        launch=kind.steps.loop(run, kind.raw),
    )


def clipped(kind: Kind) -> Iterator[Clipped]:
    """The steps with x_0 clipped to [-1, 1], and with a function of it, before the clipping."""
    grid = kind.steps.windows()[-1]
    methods = {"p_sample": kind.ancestral(), "ddim_sample": claim("ddim", eta=0.0)}
    for method, claimed in methods.items():
        if not hasattr(kind.target, method) or kind.predicts is MEAN:
            continue
        plain = _walked(kind, grid, method, claimed)
        for words, change, options in _CHANGES:
            made = _walked(kind, grid, method, claimed, **options)
            yield Clipped(replace(made, label=f"{made.label}, {words}"), plain, change)


def options(kind: Kind) -> Iterator[Option]:
    """The loops' options, one at a time."""
    for method in ("p_sample_loop", "ddim_sample_loop"):
        for words, given in (
            ("no noise", {}),
            ("clip_denoised", {"clip_denoised": True}),
            ("denoised_fn", {"denoised_fn": lambda x_0: x_0}),
            ("model_kwargs", {"model_kwargs": {"y": 1}}),
        ):
            if hasattr(kind.target, method):
                yield Option(f"{method}: {words}", _attempt(kind, method, given))


def _attempt(kind: Kind, method: str, given: dict[str, Any]) -> Callable[[], None]:
    def answer(x_t: Host, t: float, k: int) -> Host:
        return np.zeros_like(x_t)

    def attempt() -> None:
        made = copy.copy(kind.target)

        def run(network: Any, x: Any) -> Any:
            def told(x_t: Any, t: Any, **_: Any) -> Any:
                return network(x_t, t)

            return getattr(made, method)(told, tuple(x.shape), device=x.device, **given)

        x = kind.library.make(np.zeros((2, 1, 2, 2)), kind.library.dtypes[0])
        kind.steps.loop(run, kind.raw)(answer, x, 0)

    return attempt
