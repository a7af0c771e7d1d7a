"""Adapters: what turns a target of each kind into a `Subject`.

Each module has `matches(target)`, whether the target is of its kind by its shape, and
`subject(target, **options)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..subject import Subject
from . import denoise_diffusion, function, functions, gaussian_diffusion, scheduler, step_class


class Adapter(NamedTuple):
    """A kind of target: how it is recognised, and how it becomes a subject."""

    kind: str
    matches: Callable[[Any], bool]
    subject: Callable[..., Subject]


ADAPTERS = (
    Adapter("Target of plain functions", functions.matches, functions.subject),
    Adapter("step scheduler", scheduler.matches, scheduler.subject),
    Adapter("GaussianDiffusion", gaussian_diffusion.matches, gaussian_diffusion.subject),
    Adapter("DenoiseDiffusion", denoise_diffusion.matches, denoise_diffusion.subject),
    Adapter("sampler function", function.matches, function.subject),
    Adapter("sampler class", step_class.matches, step_class.subject),
)
"""Every kind; the first that matches is taken."""
