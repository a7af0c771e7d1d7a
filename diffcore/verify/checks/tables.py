"""Checks of the tables that a target holds, beside the same tables at 50 digits.

    alpha_bar_t = prod_{i <= t} (1 - beta_i),  1 > alpha_bar_1 > ... > alpha_bar_T >= 0

and what is derived from it. A table is held to what a running product in its own dtype can reach.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ...schedules import DiscreteSchedule
from .. import digits, formulas
from ..digits import Exact
from ..outcome import Outcome
from ..subject import Subject, Table
from ..table_rounding import drift
from .entries import beside, shown, times_of

POSTERIOR = (
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_x_0",
    "posterior_mean_x_t",
)
DERIVED = tuple(n for n in digits.NAMES if n not in ("beta", "alpha_bar", *POSTERIOR))

AT_DATA = ": with first = 0 the first entry is that of data, for which no noise is added"


def levels(subject: Subject) -> Iterator[Outcome]:
    """0 < beta <= 1, and 1 >= alpha_bar_t > alpha_bar_{t+1} >= 0."""
    for name in ("beta", "alpha_bar"):
        if name not in subject.tables:
            continue
        table = subject.tables[name]
        lowest = 0.0 if name == "alpha_bar" else np.nextafter(0.0, 1.0)
        for t, value in zip(times_of(table), table.values.tolist(), strict=True):
            inside = value == 0.0 if name == "beta" and t == 0 else lowest <= value <= 1.0
            yield Outcome(
                error=float(not inside),
                bound=0.0,
                where=f"{name} at t = {t}: {value:.9g}",
                cause=f"{name} is out of its range" + (AT_DATA if (name, t) == ("beta", 0) else ""),
            )
        if name == "alpha_bar":
            for t, gap in zip(times_of(table)[1:], np.diff(table.values).tolist(), strict=True):
                yield Outcome(
                    error=float(not gap < 0.0),
                    bound=0.0,
                    where=f"alpha_bar at t = {t}: {gap:+.3g} from the time before",
                    cause="alpha_bar must fall: it is in the reverse order, or no product",
                )


def product(subject: Subject) -> Iterator[Outcome]:
    """alpha_bar_t = prod_{i <= t} (1 - beta_i); betas are those of the schedule it claims."""
    beta, alpha_bar = subject.tables.get("beta"), subject.tables.get("alpha_bar")
    if beta is not None and isinstance(subject.schedule, DiscreteSchedule):
        yield from _against_schedule(beta, alpha_bar, subject.schedule)
    exact = _from_betas(beta)
    if beta is None and isinstance(subject.schedule, DiscreteSchedule):
        # A schedule that was made of the table itself says nothing of it.
        made = subject.schedule.config["kind"] == "from_alpha_bar"
        exact = None if made else digits.of_schedule(subject.schedule)
    if alpha_bar is not None and exact is not None:
        yield from _products(beta, alpha_bar, exact)


def terminal(subject: Subject) -> Iterator[Outcome]:
    """alpha_bar_T is exactly 0 where zero terminal SNR is claimed."""
    table = subject.tables.get("alpha_bar")
    if table is None or not len(table.values):
        return
    last = float(table.values[-1])
    rest = 1.0 - last
    yield Outcome(
        error=abs(last) if subject.zero_terminal_snr else 0.0,
        bound=0.0,
        where=f"alpha_bar at t = {times_of(table)[-1]}: {last:.6g} for 0",
        cause="the last time holds some of the data, for all that zero terminal SNR is claimed",
        note=f"SNR at the last time is {last / rest:.3g}" if rest else "",
    )


def derived(subject: Subject) -> Iterator[Outcome]:
    """Roots, logarithms and neighbours of alpha_bar."""
    yield from _all(subject, DERIVED)


def posterior(subject: Subject) -> Iterator[Outcome]:
    """The tables of q(x_{t-1} | x_t, x_0) are those that Bayes' rule gives."""
    yield from _all(subject, POSTERIOR)


def sigma2(subject: Subject) -> Iterator[Outcome]:
    """The steps' variance is beta or the posterior variance."""
    table = subject.tables.get("sigma2")
    exact = None if table is None else base(subject)
    if table is None or exact is None:
        return
    drifts = drift(exact, table.epsilon, _epsilon(subject.tables.get("beta")))
    kinds = {"beta": "beta", "posterior_variance": "the posterior variance"}
    tried = {name: list(beside(name, table, drifts, "sigma2")) for name in kinds}
    for name, words in kinds.items():
        if all(outcome.holds for outcome in tried[name]):
            yield from tried[name]
            yield Outcome(error=0.0, bound=0.0, note=f"sigma2 is {words}")
            return
    yield from min(tried.values(), key=lambda outcomes: sum(o.error for o in outcomes))


def base(subject: Subject) -> Exact | None:
    """What the derived tables follow from: the betas, or the alpha_bar that are not their product.

    None where neither is there or in range.
    """
    beta, alpha_bar = subject.tables.get("beta"), subject.tables.get("alpha_bar")
    exact = _from_betas(beta)
    if exact is not None and (
        alpha_bar is None or all(o.holds for o in _products(beta, alpha_bar, exact))
    ):
        return exact
    return _from_alpha_bar(alpha_bar) or exact or _from_schedule(subject)


def _products(beta: Table | None, alpha_bar: Table, exact: Exact) -> Iterator[Outcome]:
    yield from beside("alpha_bar", alpha_bar, drift(exact, alpha_bar.epsilon, _epsilon(beta)))


def _all(subject: Subject, names: Sequence[str]) -> Iterator[Outcome]:
    there = [name for name in names if name in subject.tables]
    exact = base(subject) if there else None
    for name in there:
        if exact is not None:
            table = subject.tables[name]
            own = _epsilon(subject.tables.get("beta" if exact.from_betas else "alpha_bar"))
            yield from beside(name, table, drift(exact, table.epsilon, own))


def _against_schedule(
    beta: Table, alpha_bar: Table | None, schedule: DiscreteSchedule
) -> Iterator[Outcome]:
    """The betas beside those of the schedule, whichever of the two made the other."""
    epsilon = max(beta.epsilon, _epsilon(alpha_bar))
    exact = digits.of_schedule(schedule)
    times = [t for t in times_of(beta) if 1 <= t <= schedule.T]
    found = beta.values[[t - beta.first for t in times]]
    wanted = exact.host("beta", times)
    errors, bounds = np.abs(found - wanted), 8.0 * epsilon * np.ones(len(times))
    wrong = ~(errors <= bounds)
    cause = ""
    if wrong.any():
        cause = formulas.cause(found, wrong.tolist(), "beta", times, drift(exact, epsilon))
    for i in shown(errors, bounds, wrong):
        yield Outcome(
            error=float(errors[i]),
            bound=float(bounds[i]),
            where=f"beta at t = {times[i]}: {found[i]:.9g} for the schedule's {wanted[i]:.9g}",
            cause=cause,
            at=times[i],
            axis="beta",
        )


def _epsilon(table: Table | None) -> float:
    return 0.0 if table is None else table.epsilon


def _from_betas(table: Table | None) -> Exact | None:
    if table is None:
        return None
    betas = table.values[1 - table.first :]
    whole = table.first in (0, 1) and len(betas) and np.all((betas > 0.0) & (betas <= 1.0))
    return digits.of_betas(betas) if whole else None


def _from_alpha_bar(table: Table | None) -> Exact | None:
    if table is None:
        return None
    values = table.values[1 - table.first :]
    falls = np.all(np.diff(values, prepend=1.0) < 0.0) and np.all(values >= 0.0)
    whole = table.first in (0, 1) and len(values) and falls
    return digits.of_alpha_bar(values) if whole else None


def _from_schedule(subject: Subject) -> Exact | None:
    schedule = subject.schedule
    return digits.of_schedule(schedule) if isinstance(schedule, DiscreteSchedule) else None
