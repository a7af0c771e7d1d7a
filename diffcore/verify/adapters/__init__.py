"""Adapters: what turns a target of each kind into a `Subject`.

Each module has `matches(target)`, whether the target is of its kind by its shape, and
`subject(target, **options)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..subject import Subject
from . import denoise_diffusion, function, functions, gaussian_diffusion, scheduler, step_class


class Adapter(NamedTuple):
    """A kind of target, its shape in words, how it is recognised and how it becomes a subject."""

    kind: str
    shape: str
    matches: Callable[[Any], bool]
    subject: Callable[..., Subject]


ADAPTERS = (
    Adapter(
        "plain functions",
        "by name, in a diffcore.verify.Target",
        functions.matches,
        functions.subject,
    ),
    Adapter(
        "step scheduler",
        "set_timesteps(n) and step(model_output, timestep, sample)",
        scheduler.matches,
        scheduler.subject,
    ),
    Adapter(
        "GaussianDiffusion",
        f"made, with {', '.join(gaussian_diffusion.SHAPE)}",
        gaussian_diffusion.matches,
        gaussian_diffusion.subject,
    ),
    Adapter(
        "DenoiseDiffusion",
        f"made, with {', '.join(denoise_diffusion.SHAPE)} and a network",
        denoise_diffusion.matches,
        denoise_diffusion.subject,
    ),
    Adapter("sampler function", "f(model, x, sigmas)", function.matches, function.subject),
    Adapter(
        "sampler class",
        "of a denoiser, with step(x_t, t, s) or __call__(x_T)",
        step_class.matches,
        step_class.subject,
    ),
)
"""Every kind; the first that matches is taken."""
