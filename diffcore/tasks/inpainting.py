"""Inpainting with a denoiser that was not trained for it: what is known is put in at its noise.

    x_t <- keep (alpha_t known + sigma_t eps) + (1 - keep) x_t      before the denoiser sees x_t

(Song et al. 2021, "Score-based generative modeling", section 5 and appendix I.2). A plan is linear
and takes each pixel by itself, so that the pixels to fill in never read the other pixels' state:
the replacement is a wrapper of the denoiser, and goes with every plan.

The pixels filled in know what is known through its noised copies alone, which is not enough: of two
Gaussian pixels of correlation 0.9 in 50 steps of DDPM, the one filled in goes 68% of the way that
the known one should take it, with 1.5 times the conditional variance, and more steps do not help.
RePaint (Lugmayr et al. 2022, algorithm 1) goes back up a few steps and down again, so that both
parts come to agree: 97% and 98% of the way with 10 and 20 passes over each step.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from .._arguments import function, is_whole
from .._arrays import broadcasts, linear_combination, require_floating
from ..noise import Noise
from ..plan import Denoise, Denoised, Plan
from ..process import level
from ..samplers.restart import Interval, Planner, restart
from ..schedules import Schedule


def known_region(
    denoise: Denoise, schedule: Schedule, known: Any, keep: Any, noise: Noise | None = None
) -> Denoise:
    """`denoise`, with the pixels of `known` where `keep` is 1 put into what it sees and returns.

    known, keep: arrays that broadcast against x_t, beside it; keep is 1 where the image is known, 0
    where it is to be filled in, and mixes both in between. noise: draws eps for call k = 0, 1, ...
    as noise(x_t, k), afresh each time; it must be independent of the plan's, and the wrapper is for
    one run, as it counts its calls. Without `noise` the state's own is kept: then begin from
    `noised` where the plan's start has signal.

    A plan that ends at sigma = 0 ends with `known` itself where it is kept. Raises TypeError unless
    known and keep have x_t's dtype, and ValueError unless they broadcast to its shape.
    """
    require_floating("known", known)
    require_floating("keep", keep)
    function("denoise", denoise)
    if noise is not None:
        function("noise", noise, "noise.as_noise(0)")
    calls = itertools.count()

    def filled(x: Any, into: Any) -> Any:
        return keep * x + (1.0 - keep) * into

    def inpainting(x_t: Any, t: Any, /) -> Any:
        for name, given in (("known", known), ("keep", keep)):
            if given.dtype != x_t.dtype:
                raise TypeError(
                    f"{name} must have the dtype of x_t, {x_t.dtype}, got {given.dtype}"
                )
            if not broadcasts(given.shape, x_t.shape):
                raise ValueError(
                    f"{name} must broadcast to the shape of x_t, {tuple(x_t.shape)}, "
                    f"got {tuple(given.shape)}"
                )
        if noise is not None:
            alpha, sigma = level(schedule, t, x_t)
            eps = noise(x_t, next(calls))
            x_t = filled(linear_combination((alpha, sigma), (known, eps)), x_t)
        output = denoise(x_t, t)
        if isinstance(output, Denoised):
            return Denoised(filled(known, output.x_0), output.variance_fraction)
        return filled(known, output)

    return inpainting


def repaint(
    schedule: Schedule,
    planner: Planner,
    times: Sequence[float],
    *,
    jump: int = 10,
    resamples: int = 10,
    **parameters: Any,
) -> Plan:
    """`planner` over `times`, going back up `jump` steps and down again every `jump` steps.

    Each stretch of `jump` steps is gone down `resamples` times in all; 1 is the planner's own plan.
    Stretches are counted from the last time before the end of the grid, as in the paper's code; the
    steps at the noisy end that make no whole stretch are taken once. A way up is one stage, of the
    same law as `jump` single steps. To be run with `known_region`; the paper's planner is `ddpm`.
    parameters are the planner's.

    Raises ValueError unless jump and resamples are positive whole numbers and jump is below the
    number of steps.
    """
    for name, value in (("jump", jump), ("resamples", resamples)):
        if not is_whole(value) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    grid = tuple(times)
    jump, resamples, last = int(jump), int(resamples), len(grid) - 2
    if resamples > 1 and jump > last >= 0:
        raise ValueError(f"jump must be at most {last} for {last + 1} steps, got {jump}")
    stretches = [] if resamples == 1 else range(last, jump - 1, -jump)
    intervals = [
        Interval(t_min=grid[k], t_max=grid[k - jump], repetitions=resamples - 1) for k in stretches
    ]
    return restart(schedule, planner, grid, *intervals, **parameters)
