"""The likely cause of a failure, in words: which other formula gives the numbers found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import samplers
from ..plan import Plan
from ..schedules import ContinuousSchedule, DiscreteSchedule
from .claims import Planner
from .subject import Sampler

CLOSE = 1e-3
"""How near a guess must come, relative to its largest value: far above rounding."""

FAR_NEARER = 0.1
"""What is off by so small a share of another's error is far nearer."""

NO_NOISE = 1e-200
"""A time that is as good as data, but for which no planner makes an exception."""

FORMS: Mapping[str, Callable[[Any], Any]] = {
    "{}": lambda q: q,
    "the square root of {}": np.sqrt,
    "the square of {}": np.square,
    "-{}": np.negative,
    "1 / {}": np.reciprocal,
    "1 - {}": lambda q: 1.0 - q,
    "the square root of 1 - {}": lambda q: np.sqrt(1.0 - q),
    "log {}": np.log,
    "half of {}": lambda q: 0.5 * q,
    "twice {}": lambda q: 2.0 * q,
}


def guess(found: npt.ArrayLike, wanted: str, quantities: Mapping[str, npt.ArrayLike]) -> str:
    """Which form of which quantity `found` is, in words; empty where none comes close.

    found: values over several times, of what should have been `wanted`. quantities: by name, their
    values at the same times.
    """
    values = np.asarray(found, dtype=np.float64)
    with np.errstate(all="ignore"):
        for form, of in FORMS.items():
            for name, quantity in quantities.items():
                guessed = of(np.asarray(quantity, dtype=np.float64))
                scale = np.max(np.abs(guessed), initial=0.0)
                if np.isfinite(scale) and np.all(np.abs(values - guessed) <= CLOSE * scale):
                    return f"it is {form.format(name)} where {wanted} belongs"
    return ""


def rivals(sampler: Sampler) -> Iterator[tuple[str, Plan]]:
    """Plans that code may turn out to be instead of what it claims, by what to say of it."""
    for words, planner, times in _variants(sampler):
        try:
            made = planner(sampler.schedule, times)
        except (TypeError, ValueError):
            continue  # Not defined on this schedule or grid.
        yield words.format(order=made.order), made


def _variants(sampler: Sampler) -> Iterator[tuple[str, Planner, Sequence[float]]]:
    claim, schedule, grid = sampler.claim, sampler.schedule, sampler.grid
    if claim is not None:
        published = claim.published()
        if published is not None:
            yield "it is the formula as published, of order {order}", published.planner, grid
        if isinstance(schedule, DiscreteSchedule):
            for off in (-1, 1):
                moved = [min(max(int(t) + off, 0), schedule.T) for t in grid]
                yield (
                    f"its last level is that of time {moved[-1]}",
                    claim.planner,
                    (
                        *grid[:-1],
                        moved[-1],
                    ),
                )
                yield f"its levels are those of times {off:+d}", claim.planner, moved
        eta = claim.parameters.get("eta", 0.0)
        if 0.0 < eta < 1.0:
            for power, words in ((0.5, "a share of the variance"), (2.0, "squared once too often")):
                other = replace(claim, parameters={**claim.parameters, "eta": eta**power})
                yield f"its eta is {words}", other.planner, grid
        if isinstance(schedule, ContinuousSchedule) and grid[-1] == 0.0:
            near = (*grid[:-1], NO_NOISE)
            yield "its step to sigma = 0 goes on as those before it", claim.planner, near
        for lower in claim.lower_orders():
            yield "it is of order {order}", lower.planner, grid
    for name, planner in samplers.PLANNERS.items():
        yield f"it is {name}", planner, grid
    yield "it is ddim with eta = 1", lambda s, t: samplers.ddim(s, t, 1.0), grid
    yield "it has the large variance", lambda s, t: samplers.ddpm(s, t, "large"), grid


def of_noise(sampler: Sampler, scales: npt.ArrayLike) -> str:
    """The formula of the noise's weights in single steps, one for each step of the grid."""
    pairs = list(pairwise(sampler.grid))
    if len(np.atleast_1d(scales)) == len(pairs) - 1:
        pairs = pairs[:-1]  # A step to data draws no noise.
    if not pairs or len(np.atleast_1d(scales)) != len(pairs):
        return ""
    t = [sampler.schedule(a) for a, _ in pairs]
    s = [sampler.schedule(b) for _, b in pairs]
    kept = np.array([(a.alpha / b.alpha) ** 2 for a, b in zip(t, s, strict=True)])
    sigma_t, sigma_s = (np.array([level.sigma for level in levels]) for levels in (t, s))
    return guess(
        scales,
        "the noise's weight",
        {
            "beta": 1.0 - kept,
            "the posterior variance": (1.0 - kept) * (sigma_s / sigma_t) ** 2,
            "sigma_t": sigma_t,
            "sigma_s": sigma_s,
        },
    )
