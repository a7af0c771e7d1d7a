"""The check of the times that a loss draws: uniform over 1..T (Ho et al. 2020, algorithm 1).

Losses of kind "times" are of(n, seed) -> n times.
"""

import math
from collections.abc import Iterator

import numpy as np

from ..._arrays import Host
from ...schedules import DiscreteSchedule
from ..outcome import Outcome
from ..subject import Subject
from .trial import losses

FALSE_ALARM = 1e-9
"""The probability that right code fails."""

DRAWS = 200
"""Draws for each time."""


def drawn_times(subject: Subject) -> Iterator[Outcome]:
    """Times that a loss draws are uniform over 1..T."""
    for name, loss in losses(subject, "times"):
        schedule = subject.schedule
        if not isinstance(schedule, DiscreteSchedule):
            continue
        T = schedule.T
        times = np.asarray(loss.of(DRAWS * T, subject.seed), dtype=np.float64)
        off = times[(times < 1) | (times > T)]
        yield Outcome(
            error=float(len(off)),
            bound=0.0,
            where=f"{name}: times beyond 1..{T}",
            cause=f"it draws time {off[0]:g}" if len(off) else "",
        )
        counts = np.array([np.sum(times == t) for t in range(1, T + 1)])
        never = np.flatnonzero(counts == 0) + 1
        yield Outcome(
            error=float(len(never)),
            bound=0.0,
            where=f"{name}: times of 1..{T} that are never drawn",
            cause=_never(times, never.tolist()),
        )
        expected = len(times) / T
        statistic = float(np.sum((counts - expected) ** 2) / expected)
        # Laurent & Massart 2000, lemma 1: a chi-square's tail, for T - 1 degrees of freedom.
        x = math.log(1.0 / FALSE_ALARM)
        yield Outcome(
            error=statistic,
            bound=T - 1 + 2.0 * math.sqrt((T - 1) * x) + 2.0 * x,
            where=f"{name}: chi-square over the times",
            cause="its times are not uniform",
        )


def _never(times: Host, never: list[int]) -> str:
    if never and np.all(times == times[0]):
        return "it draws one time for the whole batch"
    return f"it never draws time {never[0]}" if never else ""
