"""The levels that a scheduler goes through, and those at which it starts and adds noise.

n steps: n + 1 levels, each below the last
start:   sigma_T <= init_noise_sigma <= sqrt(alpha_T^2 + sigma_T^2)     (x_0 of variance 1)
image to image: add_noise(x_0, eps, timesteps[k]) = alpha_k x_0 + sigma_k eps
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...._arrays import to_host
from ...libraries import Library
from ...outcome import Outcome
from ...rounding import SAFETY
from .configurations import Way
from .levels import Track
from .running import Setup


def visits(ways: Sequence[Way], library: Library) -> Iterator[Outcome]:
    """The outcomes for each way to run it that can be set at all."""
    for way in ways:
        try:
            levels, scheduler = way.setup.track, way.setup.made()
        except Exception:
            continue  # What is raised is a finding of the check `runs`.
        if not way.setup.begin:
            yield _count(way, levels)
            yield _start(way, levels, scheduler)
        yield from _added(way, levels, library)


def _count(way: Way, levels: Track) -> Outcome:
    wanted = way.setup.steps + 1
    rising = sum(not a > b for a, b in pairwise(levels.grid))
    missing = abs(wanted - len(levels.grid))
    words = f"{len(levels.grid)} levels for {wanted}"
    if missing:
        words += ": two next to each other are one, so that a call is wasted"
    return Outcome(
        error=float(missing + rising),
        bound=0.0,
        where=way.label,
        cause=f"{rising} of its levels are above the ones before" if rising else words,
    )


def _start(way: Way, levels: Track, scheduler: Any) -> Outcome:
    given = float(getattr(scheduler, "init_noise_sigma", 1.0))
    alpha, sigma = levels.schedule(levels.grid[0])
    most = float(np.hypot(alpha, sigma))
    off = max(sigma - given, given - most, 0.0)
    return Outcome(
        error=off,
        # A cosine of betas ends at alpha > 0, where standard noise is all that is known.
        bound=SAFETY * levels.epsilon * most + (1.0 - sigma if most <= 1.0 else 0.0),
        where=f"{way.label}: starts from noise of deviation {given:.6g} at sigma = {sigma:.6g}",
        cause="its start has another variance than its first level",
    )


def _added(way: Way, levels: Track, library: Library) -> Iterator[Outcome]:
    """add_noise at each call's timestep, as for an image to begin with."""
    name = "add_noise" if hasattr(way.setup.recipe.kind, "add_noise") else "scale_noise"
    if way.group != "state" and not way.setup.begin:
        return
    begun = range(way.setup.begin, way.setup.begin + len(levels.used))
    for k, (t, begin) in enumerate(zip(levels.used, begun, strict=True)):
        if t not in levels.grid:
            continue  # A call inside a step, where none begins.
        weights = _weights(way.setup, name, begin, library)
        if weights is None:
            return
        error = float(np.max(np.abs(weights - np.array(levels.schedule(t)))))
        size = max(1.0, levels.schedule(t).sigma)
        yield Outcome(
            error=error,
            bound=SAFETY * levels.epsilon * size,
            where=f"{name} at call {k}, {way.label}: alpha, sigma = {weights[0]:.6g}, "
            f"{weights[1]:.6g} for {levels.schedule(t).alpha:.6g}, {levels.schedule(t).sigma:.6g}",
            cause="noise is added for another level than the one that the run goes on from",
        )


def _weights(setup: Setup, name: str, begin: int, library: Library) -> Any:
    """The weights of x_0 and eps; None for what cannot add noise."""
    scheduler = setup.made()
    add = getattr(scheduler, name, None)
    if add is None:
        return None
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    basis = np.reshape(np.eye(2), (2, 2, 1, 1, 1))
    x_0, eps = (library.make(column, "float64") for column in basis)
    stamp = scheduler.timesteps[begin : begin + 1]
    stamps = library.like(np.repeat(to_host(stamp), 2), stamp)
    result = add(x_0, stamps, eps) if name == "scale_noise" else add(x_0, eps, stamps)
    return to_host(result).astype(np.float64).reshape(2)
