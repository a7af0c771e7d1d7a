"""Identities of samplers and of the noise they draw."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import noise, oracles, plan, samplers
from ..._arrays import constant, namespace, to_host
from .measure import error, examples, normals, times_of, worst


def ancestral(like: Any) -> float:
    """DDIM with eta = 1 is DDPM with the posterior's variance, draw for draw."""

    def errors() -> Iterator[float]:
        for schedule in examples():
            (x,) = normals(like, 1)
            grid = (*times_of(schedule)[::-1], 0)
            denoise = oracles.gaussian(schedule, 0.2, 0.7)
            start = plan.prior(schedule, grid[0], x)
            made = (samplers.ddpm(schedule, grid), samplers.ddim(schedule, grid, eta=1.0))
            a, b = (plan.sample(denoise, p, start, noise.portable(1)) for p in made)
            yield error(b, a)

    return worst(errors())


def marginals(like: Any) -> float:
    """DDIM keeps x_t ~ N(alpha_t x_0, sigma_t^2) at every step, whatever eta.

    A sample per draw of noise, 1 in that draw and 0 in all others: the squares of a state add up
    to its variance.
    """

    def errors() -> Iterator[float]:
        for schedule in examples():
            grid = (*times_of(schedule)[::-1], 0)
            n = len(grid)
            rows = constant(np.eye(n), like)
            for eta in (0.0, 0.3, 1.0):
                made = samplers.ddim(schedule, grid, eta)
                start = schedule(grid[0]).sigma * rows[:, :1]
                draw = lambda x, step: rows[:, step : step + 1]  # noqa: B023, E731
                for progress in plan.iterate(lambda x, t: 0.0 * x, made, start, draw):
                    variance = schedule(progress.stage.time_next).sigma ** 2
                    got = namespace(rows).sum(progress.x * progress.x)
                    yield error(got, variance + 0.0 * got)

    return worst(errors())


def recovery(like: Any) -> float:
    """Samplers give a point mass back exactly, from any noise."""

    def errors() -> Iterator[float]:
        x_0, eps = normals(like, 2)
        for schedule in examples():
            grid = (*times_of(schedule)[::-1], 0)
            denoise = oracles.point_mass(schedule, x_0)
            start = plan.prior(schedule, grid[0], eps)
            for made in (samplers.ddpm(schedule, grid), samplers.ddim(schedule, grid)):
                yield error(plan.sample(denoise, made, start, noise.portable(1)), x_0)

    return worst(errors())


def same_noise(like: Any) -> float:
    """Portable noise has the same bits as NumPy's."""
    source = noise.portable(2**40 + 7)
    x = constant(np.zeros((3, 1001)), like)
    return error(source(x, 3), source(np.zeros((3, 1001), dtype=to_host(x).dtype), 3))
