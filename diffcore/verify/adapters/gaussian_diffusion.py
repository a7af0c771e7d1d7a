"""A GaussianDiffusion object, as in improved-diffusion and guided-diffusion.

It holds tables at indices 0..T-1 and steps from each to the one before: `p_sample` is DDPM's,
`ddim_sample` DDIM's with eta, `ddim_reverse_sample` DDIM's upwards.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..._arrays import to_host
from ..claims import Claim
from ..libraries import Library
from ..subject import Subject, Table
from . import gaussian_losses, gaussian_runs
from .kinds import Kind

SHAPE = ("betas", "alphas_cumprod", "q_sample", "p_mean_variance", "p_sample")

TABLES = {
    "betas": "beta",
    "alphas_cumprod": "alpha_bar",
    "alphas_cumprod_prev": "alpha_bar_prev",
    "alphas_cumprod_next": "alpha_bar_next",
    "sqrt_alphas_cumprod": "sqrt_alpha_bar",
    "sqrt_one_minus_alphas_cumprod": "sqrt_one_minus_alpha_bar",
    "log_one_minus_alphas_cumprod": "log_one_minus_alpha_bar",
    "sqrt_recip_alphas_cumprod": "sqrt_recip_alpha_bar",
    "sqrt_recipm1_alphas_cumprod": "sqrt_recipm1_alpha_bar",
    "posterior_variance": "posterior_variance",
    "posterior_log_variance_clipped": "posterior_log_variance_clipped",
    "posterior_mean_coef1": "posterior_mean_x_0",
    "posterior_mean_coef2": "posterior_mean_x_t",
}
"""The object's tables by the names they have here."""


def matches(target: Any) -> bool:
    """Whether the target has the tables and methods, by name."""
    return not isinstance(target, type) and all(hasattr(target, name) for name in SHAPE)


def subject(
    target: Any, *, library: Library, claim: Claim | None = None, order: int | None = None
) -> Subject:
    """The object with each type of output and of variance. claim: of `p_sample`, where given."""
    own = Kind(target, library, claim)
    kinds = list(own.others())
    steps = own.steps
    return Subject(
        name=type(target).__name__,
        kind="GaussianDiffusion",
        make=library.make,
        dtypes=library.dtypes,
        epsilon=own.epsilon,
        schedule=steps.schedule,
        tables=dict(_tables(target)),
        q_sample=lambda x_0, times, eps: target.q_sample(x_0, steps.index(times), noise=eps),
        q_mean_variance=lambda x_0, t: target.q_mean_variance(x_0, steps.index(t))[:2],
        q_posterior=lambda x_0, x_t, t: target.q_posterior_mean_variance(x_0, x_t, steps.index(t))[
            :2
        ],
        losses=gaussian_losses.losses(kinds),
        samplers=tuple(s for k in kinds for s in gaussian_runs.samplers(k, rich=k is own)),
        clipped=tuple(gaussian_runs.clipped(own)),
        options=tuple(gaussian_runs.options(own)),
    )


def _tables(target: Any) -> Iterator[tuple[str, Table]]:
    for theirs, ours in TABLES.items():
        if hasattr(target, theirs):
            table = to_host(getattr(target, theirs))
            yield ours, Table(table.astype(np.float64), 1, float(np.finfo(table.dtype).eps))
