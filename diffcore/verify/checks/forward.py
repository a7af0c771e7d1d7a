"""Checks of the forward process x_t = alpha_t x_0 + sigma_t eps, from the weights of its parts.

    q_sample         alpha_t on x_0, sigma_t on eps, at every time
    q_mean_variance  alpha_t x_0 and sigma_t^2
    q_transition     scale alpha_s = alpha_t,  scale^2 sigma_s^2 + variance = sigma_t^2

with sigma_t^2 = 1 - alpha_bar_t on a discrete schedule (Ho et al. 2020, eq. 4).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..._arrays import Host, to_host
from ...schedules import DiscreteSchedule
from .. import digits, formulas
from ..outcome import Outcome
from ..probing import Function, functions, spread, weights
from ..rounding import SAFETY
from ..subject import Subject
from ..table_rounding import drift


def sample(subject: Subject) -> Iterator[Outcome]:
    """q_sample(x_0, t, eps) = alpha_t x_0 + sigma_t eps."""
    for function in _named(subject, "q_sample"):
        found = weights(subject, function)
        yield from compare(subject, found.times, found.inputs[0], "sqrt_alpha_bar", "weight of x_0")
        yield from compare(
            subject, found.times, found.inputs[1], "sqrt_one_minus_alpha_bar", "weight of eps"
        )
        yield from _nothing(subject, found.times, found.constant)


def mean_variance(subject: Subject) -> Iterator[Outcome]:
    """q(x_t | x_0) = N(alpha_t x_0, sigma_t^2)."""
    for function in _named(subject, "q_mean_variance"):
        found = weights(subject, function)
        yield from compare(subject, found.times, found.inputs[0], "sqrt_alpha_bar", "mean of x_0")
        (variance,) = found.others
        yield from compare(subject, found.times, variance, "one_minus_alpha_bar", "variance")
        yield from _nothing(subject, found.times, found.constant)


def composition(subject: Subject) -> Iterator[Outcome]:
    """q(x_s | x_0) followed by q(x_t | x_s) is q(x_t | x_0)."""
    transition, schedule = subject.q_transition, subject.schedule
    if transition is None or schedule is None:
        return
    times = spread(subject)
    middle = len(times) // 2
    pairs = [*pairwise(times), (times[0], times[-1]), (times[0], times[middle])]
    s, t = ([pair[k] for pair in pairs] for k in (0, 1))
    shape = (len(pairs), *(1,) * (subject.ranks[0] - 1))
    ones = subject.make(np.ones(shape), subject.dtypes[-1])
    scale, variance = (
        np.broadcast_to(np.asarray(to_host(y), dtype=np.float64), shape).reshape(-1)
        for y in transition(ones, s, t)
    )
    for k, (a, b) in enumerate(pairs):
        before, after = schedule(a), schedule(b)
        condition = before.sigma**2 + after.sigma**2 + 1.0
        parts = (
            ("mean", scale[k] * before.alpha, after.alpha, 1.0),
            (
                "variance",
                scale[k] ** 2 * before.sigma**2 + variance[k],
                after.sigma**2,
                condition,
            ),
        )
        for part, has, should, size in parts:
            yield Outcome(
                error=abs(has - should),
                bound=SAFETY * _steps(subject, b) * subject.epsilon * size,
                where=f"{part} from t = {a:g} to {b:g}: {has:.9g} for {should:.9g}",
                cause="q(x_t | x_s) does not lead from q(x_s | x_0) to q(x_t | x_0)",
                at=b,
                axis=part,
            )


def compare(
    subject: Subject, times: Sequence[float], found: Host, name: str, called: str
) -> Iterator[Outcome]:
    """The outcome at each time of what should be the table of that name."""
    schedule = subject.schedule
    cause = ""
    if isinstance(schedule, DiscreteSchedule):
        drifts = drift(digits.of_schedule(schedule), subject.epsilon)
        at = [int(t) for t in times]
        wanted = drifts.exact.host(name, at)
        bounds = drifts.bound(name, at) + 4.0 * subject.epsilon * np.abs(wanted)
        wrong = ~(np.abs(found - wanted) <= bounds)
        if wrong.any():
            cause = formulas.cause(found, wrong.tolist(), name, at, drifts)
    elif schedule is not None:
        levels = [schedule(t) for t in times]
        alpha, sigma = (np.array([level[k] for level in levels]) for k in (0, 1))
        loss = SAFETY * subject.epsilon
        wanted, bounds = {
            "sqrt_alpha_bar": (alpha, loss * (1.0 + alpha)),
            # Variance preserving code takes the root of a difference from 1.
            "sqrt_one_minus_alpha_bar": (sigma, loss * (1.0 + sigma + 1.0 / sigma)),
            "one_minus_alpha_bar": (sigma**2, loss * (1.0 + sigma**2)),
        }[name]
    else:
        return
    for k, t in enumerate(times):
        yield Outcome(
            error=float(abs(found[k] - wanted[k])),
            bound=float(bounds[k]),
            where=f"{called} at t = {t:g}: {found[k]:.9g} for {wanted[k]:.9g}",
            cause=cause,
            at=t,
            axis=called,
        )


def _nothing(subject: Subject, times: Sequence[float], constant: Host) -> Iterator[Outcome]:
    for t, value in zip(times, constant.tolist(), strict=True):
        yield Outcome(
            error=abs(value),
            bound=subject.epsilon,
            where=f"constant at t = {t:g}: {value:.6g} for 0",
            cause="zeros do not stay zeros: a constant is added, or noise is drawn",
        )


def _named(subject: Subject, name: str) -> list[Function]:
    if subject.schedule is None:
        return []
    return [f for f in functions(subject) if f.name == name]


def _steps(subject: Subject, t: float) -> float:
    """How many factors alpha_bar has, each of which is rounded."""
    return t if isinstance(subject.schedule, DiscreteSchedule) else 1.0
