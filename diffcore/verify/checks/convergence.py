"""How far a sampler's map of Gaussian data is from the exact one, at its end and on its way.

A reading of the closed loop has the weights of the start, of mu and of the noises in every state;
the exact flow and the exact marginals are those of `checks.order`.
"""

import numpy as np

from ..._arrays import Host
from ...schedules import Level
from ..reading import Reading
from ..subject import Sampler

VARIANCE = 0.25
"""Of the data."""

MIDDLE = (-1.0, 1.0)
"""Half log SNRs between which steps are short on any grid: near ln(1 / deviation), all moves."""

SAME_TIME = 1e-5
"""How near times are one, relative: coarser than float32, finer than any grid."""


def errors_at_end(found: Reading, sampler: Sampler, noisy: bool) -> Host:
    """Signed errors of what decides: the weights of x_T and mu; or, noisy, mean and variance.

    Relative to the exact state's deviation. At the end of the grid, or before a last step to
    sigma = 0.
    """
    k, time = _last(found, sampler)
    t, s = sampler.schedule(sampler.grid[0]), sampler.schedule(time)
    before, after = _total(t), _total(s)
    start, mean = found.start[k], found.means[k, 0]
    if noisy:
        spread = start * start * before + float(np.sum(found.noises[k] ** 2))
        off = start * t.alpha + mean - s.alpha
        return np.array([off / np.sqrt(after), spread / after - 1.0])
    kept = np.sqrt(after / before)
    return np.array([start / kept - 1.0, (mean - s.alpha + kept * t.alpha) / np.sqrt(after)])


def errors_on_the_way(found: Reading, sampler: Sampler) -> float:
    """The error made between two levels in the middle, for each unit of half log SNR.

    The state at the first is taken to the second by the exact flow.
    """
    nodes = _nodes(found, sampler)
    levels = [sampler.schedule(t) for _, t in nodes]
    heights = np.array([_half_log_snr(level) for level in levels])
    a, b = (int(np.argmin(np.abs(heights - wanted))) for wanted in MIDDLE)
    if heights[b] - heights[a] < 0.5 * (MIDDLE[1] - MIDDLE[0]):
        return np.inf
    kept = np.sqrt(_total(levels[b]) / _total(levels[a]))
    first, last = nodes[a][0], nodes[b][0]
    start = found.start[last] - kept * found.start[first]
    mean = found.means[last, 0] - kept * found.means[first, 0]
    mean -= levels[b].alpha - kept * levels[a].alpha
    scale = np.sqrt(_total(levels[b]))
    noise = np.sqrt(_total(sampler.schedule(sampler.grid[0])))
    size = max(abs(start) * noise, abs(mean)) / scale
    return float(size / (heights[b] - heights[a]))


def fit(counts: Host, errors: Host) -> float:
    """p of errors like n^-p over numbers of steps n."""
    return -float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


def _nodes(found: Reading, sampler: Sampler) -> list[tuple[int, float]]:
    """The last observation at each time of the grid, and the time."""
    times = np.array(found.times)
    seen = []
    for t in sampler.grid:
        near = np.flatnonzero(np.abs(times - t) <= SAME_TIME * abs(t))
        if len(near):
            seen.append((int(near[-1]), t))
    return seen


def _last(found: Reading, sampler: Sampler) -> tuple[int, float]:
    """The observation whose law is compared, and its time."""
    if sampler.schedule(sampler.grid[-1]).sigma == 0.0:
        k, time = (_nodes(found, sampler) or [(0, 0.0)])[-1]
        if time == sampler.grid[-2] and k > 0:
            return k, time
    return len(found.states) - 1, sampler.grid[-1]


def _total(level: Level) -> float:
    return float(level.alpha**2 * VARIANCE + level.sigma**2)


def _half_log_snr(level: Level) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(level.alpha) - np.log(level.sigma))
