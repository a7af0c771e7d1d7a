"""Which wrong formula of the forward process gives the numbers found, in words."""

from collections.abc import Mapping, Sequence

import numpy as np

from .._arrays import Host
from . import causes
from .digits import FROM_0, Exact
from .table_rounding import Drift

FEW = 2
"""How many wrong entries are told one by one rather than as a wrong formula."""


def cause(
    found: Host, wrong: Sequence[bool], name: str, times: Sequence[int], drifts: Drift
) -> str:
    """Why these entries of the table of that name are wrong where `wrong`; empty if not known."""
    return (
        only_at([t for t, bad in zip(times, wrong, strict=True) if bad], times)
        or off_by_one(found, name, times, drifts)
        or reversed_in_time(found, name, times, drifts)
        or named(found, name, times, drifts.exact)
    )


def off_by_one(found: Host, name: str, times: Sequence[int], drifts: Drift) -> str:
    """Whether the entries are right for the times one later or one earlier.

    But for the first and last time, where an index may wrap or be held.
    """
    first = 0 if name in FROM_0 else 1
    for off in (-1, 1):
        inner = [i for i, t in enumerate(times) if 1 < t < drifts.exact.T]
        there = [i for i in inner if first <= times[i] + off]
        moved = [times[i] + off for i in there]
        if len(moved) < 2:
            continue
        error = np.abs(found[there] - drifts.exact.host(name, moved))
        if np.all(error <= 4.0 * drifts.bound(name, moved) + 1e-12 * np.abs(found[there])):
            return f"off by one in time: its entries are those of t {'+-'[off < 0]} 1"
    return ""


def reversed_in_time(found: Host, name: str, times: Sequence[int], drifts: Drift) -> str:
    """Whether the entry at t is right for T + 1 - t."""
    moved = [drifts.exact.T + 1 - t for t in times if 1 <= t <= drifts.exact.T]
    held = found[[1 <= t <= drifts.exact.T for t in times]]
    if len(moved) < 2:
        return ""
    error = np.abs(held - drifts.exact.host(name, moved))
    if np.all(error <= 4.0 * drifts.bound(name, moved) + 1e-12 * np.abs(held)):
        return "reversed in time: its entries are those of T + 1 - t"
    return ""


def only_at(wrong: Sequence[int], times: Sequence[int]) -> str:
    """Whether but a few entries are wrong; x_0 is before t = 1, and q(x_0 | x_1, x_0) a point."""
    if not 0 < len(wrong) <= FEW < len(times) - FEW:
        return ""
    at = " and ".join(f"t = {t}" for t in wrong)
    edge = ", where t - 1 is data: alpha_bar_0 = 1" if list(wrong) == [1] else ""
    return f"right but at {at}{edge}"


def named(found: Host, name: str, times: Sequence[int], exact: Exact) -> str:
    """The formula that gives these entries of the table of that name."""
    # At t = 1 formulas of t - 1 are at their ends, and code may differ there.
    inner = [i for i, t in enumerate(times) if 1 < t < exact.T]
    values = found[inner]
    if len(inner) < 2 or not np.all(np.isfinite(values)):
        return ""
    at = [times[i] for i in inner]
    wanted = exact.host(name, at)
    if np.all(np.abs(values - wanted) <= causes.CLOSE * np.max(np.abs(wanted))):
        return ""
    return causes.guess(values, name, quantities(at, exact))


def quantities(times: Sequence[int], exact: Exact) -> Mapping[str, Host]:
    """What one meets in the formulas of the forward process, at times from 2 on, by name."""
    t = list(times)
    bar, before = exact.host("alpha_bar", t), exact.host("alpha_bar_prev", t)
    beta, next_ = exact.host("beta", t), exact.host("alpha_bar_next", t)
    with np.errstate(all="ignore"):
        return {
            "alpha_bar": bar,
            "alpha": np.sqrt(bar),
            "1 - alpha_bar": 1.0 - bar,
            "sigma": np.sqrt(1.0 - bar),
            "alpha_bar of t - 1": before,
            "alpha_bar of t + 1": next_,
            "beta": beta,
            "the posterior variance": exact.host("posterior_variance", t),
            "the SNR": bar / (1.0 - bar),
            "the SNR of t - 1": before / (1.0 - before),
            "the posterior's weight of x_0": exact.host("posterior_mean_x_0", t),
            "the posterior's weight of x_t": exact.host("posterior_mean_x_t", t),
            "the posterior variance with alpha_bar of t and t - 1 exchanged": (
                beta * (1.0 - bar) / (1.0 - before)
            ),
            "the posterior variance of t + 1's alpha_bar": beta * (1.0 - bar) / (1.0 - next_),
            "beta / (1 - alpha_bar)": beta / (1.0 - bar),
            "(1 - alpha_bar of t - 1) / (1 - alpha_bar)": (1.0 - before) / (1.0 - bar),
            "the weight of x_0 with alpha_bar for alpha_bar of t - 1": (
                np.sqrt(bar) * beta / (1.0 - bar)
            ),
            "the weight of x_0 with no root": before * beta / (1.0 - bar),
            "the weight of x_t with alpha_bar for 1 - beta": (
                np.sqrt(bar) * (1.0 - before) / (1.0 - bar)
            ),
            "the weight of x_t with no root": (1.0 - beta) * (1.0 - before) / (1.0 - bar),
            "beta / sigma, the weight of eps": beta / np.sqrt(1.0 - bar),
        }
