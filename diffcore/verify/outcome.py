"""What a check finds: an error, the bound it is held to, where, and why.

A check measures many things (each time, each configuration of a sampler); its `Result` is the worst
of them, by error / bound.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .coefficients import Coefficients


class Verdict(StrEnum):
    """What becomes of a check."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_APPLICABLE = "not applicable"


class Point(NamedTuple):
    """One measurement, for the plots: its place on the axis, its error, and its bound."""

    at: float
    error: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One measurement of a check.

    error: what was found, in the units of `bound`. where: the time, step, coefficient and
    configuration. cause: for a failure the likely cause in words. note: what is worth knowing of
    one that holds. at: where it belongs on the axis of a plot, if it does. axis: the plot's name.
    coefficients: the table that it was found in.
    """

    error: float
    bound: float
    where: str = ""
    cause: str = ""
    note: str = ""
    at: float | None = None
    axis: str = ""
    coefficients: Coefficients | None = None

    @property
    def holds(self) -> bool:
        """Whether the error is within the bound; NaN is not."""
        return self.error <= self.bound

    @property
    def ratio(self) -> float:
        """error / bound; infinite for NaN and for any error over a bound of 0."""
        if not self.holds and (math.isnan(self.error) or self.bound == 0.0):
            return math.inf
        return self.error / self.bound if self.bound else 0.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """A check and what it came to."""

    check: str
    identity: str
    verdict: Verdict
    error: float | None = None
    bound: float | None = None
    where: str = ""
    cause: str = ""
    note: str = ""
    curves: tuple[tuple[str, tuple[Point, ...]], ...] = ()
    """Errors over an axis, by the name of what was measured."""
    coefficients: Coefficients | None = None
    """The table of weights of the first failure; without one, the largest that is shown whole."""


def summarise(check: str, identity: str, outcomes: Iterable[Outcome]) -> Result:
    """The result of a check: its first failure in order, else its largest share of a bound.

    The first failure is named because later ones follow from it; its configuration's largest error
    is not. Without any outcome the check was not applicable.
    """
    found = list(outcomes)
    if not found:
        return Result(check=check, identity=identity, verdict=Verdict.NOT_APPLICABLE)
    failed = [o for o in found if not o.holds]
    shown = failed[0] if failed else max(found, key=lambda o: o.ratio)
    curves: dict[str, list[Point]] = {}
    for o in found:
        if o.at is not None:
            curves.setdefault(o.axis, []).append(Point(o.at, o.error, o.bound))
    notes = list(dict.fromkeys(o.note for o in found if o.note))
    return Result(
        check=check,
        identity=identity,
        verdict=Verdict.FAILS if failed else Verdict.HOLDS,
        error=shown.error,
        bound=shown.bound,
        where=shown.where,
        cause=shown.cause if failed else "",
        note="; ".join(notes),
        curves=tuple((axis, tuple(points)) for axis, points in curves.items()),
        coefficients=_table(failed or found, bool(failed)),
    )


def _table(outcomes: list[Outcome], failed: bool) -> Coefficients | None:
    tables = [o.coefficients for o in outcomes if o.coefficients is not None]
    if failed or not tables:
        return tables[0] if tables else None
    whole = [t for t in tables if t.size == (len(t.rows), len(t.columns))]
    return max(whole or tables[:1], key=lambda table: table.size)
