"""Every table of a discrete schedule at 50 digits.

    alpha_bar_t = prod_{i <= t} (1 - beta_i),  alpha_bar_0 = 1

The posterior's come by Bayes' rule from the precisions of q(x_{t-1} | x_0) and q(x_t | x_{t-1}),
not from the closed form that code under test has (Ho et al. 2020, eqs. 6 and 7).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np

from .._arrays import Host
from ..schedules import DiscreteSchedule

DIGITS = Context(prec=50)
ONE = Decimal(1)
INFINITE = Decimal("Infinity")


@dataclass(frozen=True)
class Exact:
    """alpha_bar at the times 0..T; whether a product of betas gave it."""

    alpha_bar: tuple[Decimal, ...]
    from_betas: bool = False
    _known: dict[tuple[str, int], Decimal] = field(default_factory=dict, compare=False, repr=False)

    @property
    def T(self) -> int:
        """The last time."""
        return len(self.alpha_bar) - 1

    def table(self, name: str, times: Iterable[int]) -> list[Decimal]:
        """The entries of a table of `NAMES` at these times, 1..T (or 0, where it has one)."""
        with localcontext(DIGITS):
            return [self._entry(name, t) for t in times]

    def host(self, name: str, times: Iterable[int]) -> Host:
        """The same, each rounded to float64."""
        return np.array([float(value) for value in self.table(name, times)])

    def _entry(self, name: str, t: int) -> Decimal:
        if (name, t) not in self._known:
            self._known[name, t] = _FORMULAS[name](self, t)
        return self._known[name, t]

    def rest(self, t: int) -> Decimal:
        """1 - alpha_bar_t."""
        return ONE - self.alpha_bar[t]

    def keep(self, t: int) -> Decimal:
        """1 - beta_t."""
        before = self.alpha_bar[t - 1]
        return self.alpha_bar[t] / before if before else Decimal(0)

    def posterior(self, t: int) -> tuple[Decimal, Decimal, Decimal]:
        """The weights of x_0 and x_t in the mean of q(x_{t-1} | x_t, x_0), and its variance."""
        prior, keep = self.rest(t - 1), self.keep(t)
        if prior == 0:
            return ONE, Decimal(0), Decimal(0)
        variance = ONE / (ONE / prior + keep / (ONE - keep))
        mean_x_0 = self.alpha_bar[t - 1].sqrt() / prior * variance
        return mean_x_0, keep.sqrt() / (ONE - keep) * variance, variance


def of_betas(betas: Host) -> Exact:
    """The running product of 1 - beta, of the betas of times 1..T taken as they stand."""
    return _of_betas(tuple(betas.tolist()))


def of_alpha_bar(alpha_bar: Host) -> Exact:
    """alpha_bar of the times 1..T taken as it stands."""
    return _of_alpha_bar(tuple(alpha_bar.tolist()))


@lru_cache(maxsize=4)
def of_schedule(schedule: DiscreteSchedule) -> Exact:
    """What a schedule of this package says."""
    with localcontext(DIGITS):
        return Exact(tuple(Decimal(x).exp() for x in schedule.log_alpha_bar.tolist()))


@lru_cache(maxsize=4)
def _of_betas(betas: tuple[float, ...]) -> Exact:
    product, products = ONE, [ONE]
    with localcontext(DIGITS):
        for beta in betas:
            product *= ONE - Decimal(beta)
            products.append(product)
    return Exact(tuple(products), from_betas=True)


@lru_cache(maxsize=4)
def _of_alpha_bar(alpha_bar: tuple[float, ...]) -> Exact:
    return Exact((ONE, *map(Decimal, alpha_bar)))


def error(found: float, wanted: Decimal) -> float:
    """|found - wanted|; NaN, or infinite, where only one of them is finite."""
    if found == float(wanted):
        if not np.isfinite(found):
            return 0.0
    elif not np.isfinite(found) or not wanted.is_finite():
        return float("nan") if np.isnan(found) else float("inf")
    with localcontext(DIGITS):
        return float(abs(Decimal(found) - wanted))


def _next(exact: Exact, t: int) -> Decimal:
    return exact.alpha_bar[t + 1] if t < exact.T else Decimal(0)


def _recip(exact: Exact, t: int) -> Decimal:
    alpha_bar = exact.alpha_bar[t]
    return ONE / alpha_bar if alpha_bar else INFINITE


def _log_variance(exact: Exact, t: int) -> Decimal:
    # Nichol & Dhariwal 2021, section 3.1: the variance at t = 1 is 0; its logarithm is t = 2's.
    if exact.T == 1:
        return (ONE - exact.keep(1)).ln()
    return exact.posterior(max(t, 2))[2].ln()


_FORMULAS: dict[str, Callable[[Exact, int], Any]] = {
    "beta": lambda e, t: ONE - e.keep(t),
    "alpha_bar": lambda e, t: e.alpha_bar[t],
    "alpha_bar_prev": lambda e, t: e.alpha_bar[t - 1],
    "alpha_bar_next": _next,
    "one_minus_alpha_bar": lambda e, t: e.rest(t),
    "sqrt_alpha_bar": lambda e, t: e.alpha_bar[t].sqrt(),
    "sqrt_one_minus_alpha_bar": lambda e, t: e.rest(t).sqrt(),
    "log_one_minus_alpha_bar": lambda e, t: e.rest(t).ln(),
    "sqrt_recip_alpha_bar": lambda e, t: _recip(e, t).sqrt(),
    "sqrt_recipm1_alpha_bar": lambda e, t: (_recip(e, t) - ONE).sqrt(),
    "posterior_variance": lambda e, t: e.posterior(t)[2],
    "posterior_log_variance_clipped": _log_variance,
    "posterior_mean_x_0": lambda e, t: e.posterior(t)[0],
    "posterior_mean_x_t": lambda e, t: e.posterior(t)[1],
}
NAMES = tuple(_FORMULAS)
"""The tables' names, as in `Subject.tables`; there `sigma2` is beta or the posterior variance."""

FROM_0 = frozenset(name for name in NAMES if name.endswith("alpha_bar") and "log" not in name) | {
    "alpha_bar_next"
}
"""The tables that have an entry at t = 0."""
