"""The checks: each asks one thing of a subject."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..outcome import Outcome
from ..subject import Subject
from . import running, steps


@dataclass(frozen=True, kw_only=True)
class Check:
    """A statement, and how to measure what a subject makes of it.

    run: yields an outcome for everything measured, none where the check is not applicable.
    """

    name: str
    identity: str
    run: Callable[[Subject], Iterable[Outcome]]


CHECKS = (
    Check(name="runs", identity="every configuration ends in numbers", run=running.runs),
    Check(name="linear", identity="states are linear in x_T, x_0 and noise", run=running.linear),
    Check(name="calls", identity="the network is told the state's time", run=steps.calls),
    Check(name="mean", identity="w(x_T) alpha_T + w(x_0) = alpha_t", run=steps.mean),
    Check(name="variance", identity="deviation of x_t given x_0 = sigma_t", run=steps.variance),
    Check(name="plan", identity="every weight is the exact plan's", run=steps.plan),
)
"""Every check, in the order in which a report lists them."""
