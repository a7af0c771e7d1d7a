"""Classifier guidance: the score of p(x_t | y) from that of p(x_t) and a classifier of noisy x_t.

    score + w grad log p(y | x_t)    =>    x_0 + w (sigma^2 / alpha) grad log p(y | x_t)

(Dhariwal & Nichol 2021, "Diffusion models beat GANs on image synthesis", algorithm 2, with w their
s; by Tweedie's formula alpha x_0 = x_t + sigma^2 score.) With the exact gradient and w = 1 it is
the conditional denoiser, by Bayes' rule; in general it is classifier-free guidance with weight w.
Their algorithm 1 shifts DDPM's mean by w times its variance times the gradient: the same to first
order in the step, where this is the same for every sampler.
"""

import math
from collections.abc import Callable
from typing import Any

from .._arguments import function
from .._arrays import is_number, linear_combination, require_floating, require_like
from ..plan import Denoise, Denoised
from ..process import level
from ..schedules import Schedule
from .rules import has_zero


def classifier(
    denoise: Denoise,
    schedule: Schedule,
    gradient: Callable[[Any, Any], Any],
    weight: float = 1.0,
) -> Denoise:
    """`denoise` guided by a classifier.

    gradient: called as gradient(x_t, t), t as a denoiser's; the gradient of log p(y | x_t) with
    respect to x_t, of its shape and dtype, by whatever differentiates in the caller's library.

    Raises ValueError at alpha = 0, where p(y | x_t) does not depend on x_t and its gradient says
    nothing of x_0: begin the sampling grid just below. At sigma = 0 x_0 stays as it is.
    """
    function("denoise", denoise)
    function("gradient", gradient)
    if not is_number(weight) or not math.isfinite(weight):
        raise ValueError(f"weight must be a finite number, got {weight!r}")
    weight = float(weight)

    def guided(x_t: Any, t: Any, /) -> Any:
        require_floating("x_t", x_t)
        alpha, sigma = level(schedule, t, x_t)
        if has_zero(alpha):
            raise ValueError(
                f"t must have alpha > 0 for a classifier to guide, got t = {t}, where x_t is noise"
            )
        output = denoise(x_t, t)
        x_0, fraction = output if isinstance(output, Denoised) else (output, None)
        towards = gradient(x_t, t)
        require_like("gradient", towards, "x_t", x_t)
        x_0 = linear_combination((1.0, weight * (sigma * sigma / alpha)), (x_0, towards))
        return x_0 if fraction is None else Denoised(x_0, fraction)

    return guided
