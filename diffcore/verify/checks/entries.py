"""A table's entries beside the exact ones: what a report shows of them, and why they differ."""

from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from ..._arrays import Host
from .. import digits, formulas
from ..digits import FROM_0
from ..outcome import Outcome
from ..subject import Table
from ..table_rounding import SINGLE, Drift, drift

Mask = npt.NDArray[np.bool_]

SHOWN = 48
"""How many times of a table, at most, a report plots."""


def beside(name: str, table: Table, drifts: Drift, called: str = "") -> Iterator[Outcome]:
    """The outcome at some times of a table, the worst and the first failure among them."""
    exact, first = drifts.exact, 0 if name in FROM_0 else 1
    held = dict(zip(times_of(table), table.values.tolist(), strict=True))
    times = [t for t in held if first <= t <= exact.T]
    if not times:
        return
    found, wanted = [held[t] for t in times], exact.table(name, times)
    errors = np.array([digits.error(a, b) for a, b in zip(found, wanted, strict=True)])
    bounds = drifts.bound(name, times)
    if name == "posterior_log_variance_clipped" and times[0] == 1:
        # Any floor is right at t = 1, where nothing is drawn, if it does not add noise.
        errors[0] = 0.0 if np.isfinite(found[0]) and found[0] <= wanted[0] else errors[0]
    wrong = ~(errors <= bounds)
    cause = ""
    if wrong.any():
        bad = wrong.tolist()
        cause = _spoilt(errors, bad, times, name, drifts) or formulas.cause(
            np.array(found), bad, name, times, drifts
        )
    note = _note(called or name, np.array(found), wanted, times, table.epsilon)
    for i in shown(errors, bounds, wrong):
        yield Outcome(
            error=float(errors[i]),
            bound=float(bounds[i]),
            where=f"{called or name} at t = {times[i]}: {found[i]:.9g} for {wanted[i]:.9g}",
            cause=cause,
            note=note,
            at=times[i],
            axis=called or name,
        )


def times_of(table: Table) -> list[int]:
    """The times that its entries stand for."""
    return list(range(table.first, table.first + len(table.values)))


def _spoilt(errors: Host, wrong: list[bool], times: list[int], name: str, drifts: Drift) -> str:
    """Whether the errors are float32's in a table that holds more digits, and of which entries."""
    reached = drift(drifts.exact, SINGLE).bound(name, times)
    if drifts.epsilon >= SINGLE or not np.all(errors <= reached):
        return ""
    spoilt = [t for t, bad in zip(times, wrong, strict=True) if bad]
    if len(spoilt) <= formulas.FEW < len(times) - formulas.FEW:
        return ""
    return (
        "it has float32's digits in a wider table, as of a running product in float32: "
        f"{len(spoilt)} of {len(times)} entries, t = {spoilt[0]}..{spoilt[-1]}"
    )


def _note(name: str, found: Host, wanted: list[Decimal], times: list[int], epsilon: float) -> str:
    """How many entries of a float32 table are not the nearest number, and how far off.

    Of a derived table only where it loses more than a digit, which is to cancellation.
    """
    if epsilon != SINGLE:
        return ""
    exact = np.array([float(value) for value in wanted])
    there = np.isfinite(found) & np.isfinite(exact) & (exact != 0.0)
    off = there & (found != exact.astype(np.float32).astype(np.float64))
    share = np.abs(found - exact)[off] / (0.5 * epsilon * np.abs(exact[off]))
    if not off.any() or np.max(share) < (2.0 if name == "alpha_bar" else 10.0):
        return ""
    worst = np.flatnonzero(off)[int(np.argmax(share))]
    return (
        f"{name}: {int(np.sum(off))} of {len(times)} float32 entries are not the nearest number; "
        f"{np.log10(np.max(share)):.1f} digits lost at t = {times[worst]}"
    )


def shown(errors: Host, bounds: Host, wrong: Mask) -> list[int]:
    """Entries for a report: some over all times, the worst by its bound, the first failure."""
    with np.errstate(all="ignore"):
        worst = int(np.nanargmax(np.append(np.where(bounds > 0.0, errors / bounds, 0.0), 0.0)))
    spread = np.unique(np.linspace(0, len(errors) - 1, SHOWN).astype(int)).tolist()
    first = np.flatnonzero(wrong)[:1].tolist()
    return sorted({*spread, *first, min(worst, len(errors) - 1)})
