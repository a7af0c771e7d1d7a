"""What a network is told of the time, as the noise level n that it means.

| what it is told | told by | its level |
| --- | --- | --- |
| a place in the table | alphas_cumprod | the table's, interpolated between whole times |
| log(n) / 4, EDM's | no table, or it fits | exp(4 t) |
| 2 atan(n) / pi | no table, and it fits | tan(pi t / 2) |

Between whole times a linear and a logarithmic interpolation of sigma / alpha differ, and either
counts.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...._arrays import Host

EPS32 = float(np.finfo(np.float32).eps)

SLACK = 64.0 * EPS32
"""How far a level may be off, as a share of it, before it is another one."""

NEAR = 2.5e-3
"""How near a function of the level every time must be for it to be the one that is meant."""


def heard(
    times: Sequence[float], used: Sequence[float], table: Host | None
) -> Callable[[float, float], float]:
    """From what the network is told, and the level of its state, to the level it was told.

    times, used: of every call. table: alpha_bar, if there is one.
    """
    if _are(lambda n: 0.25 * math.log(n), times, used):
        return _of_logarithm
    if table is not None:
        return _of_table(table)
    return _of_angle if _are(_angle, times, used) else _of_logarithm


def snapped(low: float, high: float, used: float) -> float:
    """`used` where it lies in [low, high] but for rounding, else the middle of these."""
    if low * (1.0 - SLACK) <= used <= high * (1.0 + SLACK):
        return used
    return 0.5 * (low + high)


def _are(told: Callable[[float], float], times: Sequence[float], used: Sequence[float]) -> bool:
    pairs = zip(times, used, strict=True)
    return all(0.0 < n < math.inf and abs(t - told(n)) < NEAR for t, n in pairs)


def _of_logarithm(t: float, used: float) -> float:
    level = float(np.exp(4.0 * t))
    return snapped(level, level, used)


def _angle(n: float) -> float:
    return 2.0 / math.pi * math.atan(n)


def _of_angle(t: float, used: float) -> float:
    level = math.tan(0.5 * math.pi * t)
    # t itself is rounded, and near 1 a level is a small part of it.
    slack = EPS32 * t * 0.5 * math.pi * (level + 1.0 / level)
    return snapped(level * (1.0 - slack), level * (1.0 + slack), used)


def _of_table(table: Host) -> Callable[[float, float], float]:
    with np.errstate(divide="ignore"):
        ratios = np.sqrt((1.0 - table) / table)

    def level(t: float, used: float) -> float:
        inside = min(max(t, 0.0), len(ratios) - 1.0)
        low = int(inside)
        part = inside - low
        a, b = ratios[low], ratios[min(low + 1, len(ratios) - 1)]
        if part == 0.0:
            return snapped(a, a, used)
        # t itself is rounded.
        slack = EPS32 * t * math.log(b / a)
        ends = sorted((a * (b / a) ** part, a + part * (b - a)))
        return snapped(ends[0] * (1.0 - slack), ends[1] * (1.0 + slack), used)

    return level
