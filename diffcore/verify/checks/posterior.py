"""Checks of q(x_{t-1} | x_t, x_0), by Bayes' rule.

    q(x_{t-1} | x_t, x_0) is proportional to q(x_t | x_{t-1}) q(x_{t-1} | x_0)

The weights of its mean and its variance come from the precisions of these two at 50 digits, not
from the closed form that code has (Ho et al. 2020, eqs. 6 and 7).
"""

from collections.abc import Iterator

from ...schedules import DiscreteSchedule
from ..outcome import Outcome
from ..probing import Weights, functions, weights
from ..subject import Subject
from .forward import compare


def mean(subject: Subject) -> Iterator[Outcome]:
    """The mean weighs x_0 and x_t as the precisions of both sides do."""
    for found in _read(subject):
        yield from compare(
            subject, found.times, found.inputs[0], "posterior_mean_x_0", "weight of x_0"
        )
        yield from compare(
            subject, found.times, found.inputs[1], "posterior_mean_x_t", "weight of x_t"
        )


def variance(subject: Subject) -> Iterator[Outcome]:
    """The variance is 1 over the sum of the precisions; 0 at t = 1."""
    for found in _read(subject):
        (held,) = found.others
        yield from compare(subject, found.times, held, "posterior_variance", "variance")


def _read(subject: Subject) -> Iterator[Weights]:
    if isinstance(subject.schedule, DiscreteSchedule):
        for function in functions(subject):
            if function.name == "q_posterior":
                yield weights(subject, function)
