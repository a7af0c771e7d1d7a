"""The order of convergence, measured on Gaussian data whose answer is known.

With the exact denoiser of N(mu, v) the probability flow takes x_t to

    x_s = alpha_s mu + sqrt(V_s / V_t) (x_t - alpha_t mu),    V = alpha^2 v + sigma^2,

and a process that keeps the marginals ends in mean alpha_s mu and variance V_s. The error of a
sampler's linear map against these falls like n^-p over its n steps. p is held to the order that is
declared, to 1 where none is.

Grids may hide an order, so that a fitted one is compared with that of known samplers on the same
grids: the exact plan of what is claimed, else one of each family of that order. Where these do not
show it either, what counts is the error made on the way between two levels in the middle, where
steps are all short. A last step to sigma = 0 is left out, for it is DDIM's in every method.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from ..._arrays import Host
from ...schedules import DiscreteSchedule
from .. import reading
from ..claims import Claim, claim
from ..outcome import Outcome
from ..reading import Reading
from ..rounding import closed_bound
from ..subject import Sampler, Subject
from .convergence import VARIANCE, errors_at_end, errors_on_the_way, fit

COUNTS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 128)
TOLERANCE = 0.35
FITTED = 5
"""How many of the finest grids the order is fitted over."""

KNOWN: dict[int, tuple[Claim, ...]] = {
    1: (claim("ddim"),),
    2: (claim("dpm_solver"), claim("dpm_solver_pp"), claim("plms"), claim("lms", order=2)),
    3: (claim("deis"), claim("dpm_solver_pp", order=3), claim("unipc"), claim("lms", order=3)),
    4: (claim("lms"),),
}
"""Samplers of each order."""


@dataclass(frozen=True)
class _Series:
    """A sampler read at each number of steps, and what known ones make of the same grids."""

    counts: tuple[int, ...]
    samplers: tuple[Sampler, ...]
    readings: tuple[Reading, ...]

    @cached_property
    def noisy(self) -> bool:
        """Whether its steps add noise."""
        return bool(self.readings[-1].noises.shape[1] > 0)

    @cached_property
    def errors(self) -> Host:
        """The error at the end, for each number of steps."""
        return self.ends(self.readings)

    @cached_property
    def floor(self) -> float:
        """What rounding explains of an error at the end."""
        of = partial(errors_at_end, sampler=self.samplers[-1], noisy=self.noisy)
        return float(np.max(closed_bound(self.samplers[-1], of, 2, VARIANCE)))

    @cached_property
    def fitted(self) -> list[int]:
        """The numbers of the finest grids whose error is above the floor."""
        above = np.flatnonzero(self.errors > self.floor)
        return [int(k) for k in above[-FITTED:]]

    def order(self, errors: Host) -> float:
        """The order fitted over the finest grids."""
        return fit(np.array(self.counts)[self.fitted], errors[self.fitted])

    def ends(self, readings: tuple[Reading, ...]) -> Host:
        """The error at the end of each reading."""
        pairs = zip(readings, self.samplers, strict=True)
        errors = [np.max(np.abs(errors_at_end(r, s, self.noisy))) for r, s in pairs]
        return np.maximum(errors, np.finfo(np.float64).tiny)

    def on_the_way(self, readings: tuple[Reading, ...]) -> float:
        """The order between two levels in the middle; -inf where grids have too few times there."""
        pairs = zip(readings, self.samplers, strict=True)
        errors = np.array([errors_on_the_way(found, sampler) for found, sampler in pairs])
        if not np.all(np.isfinite(errors[self.fitted])):
            return -np.inf
        return self.order(np.maximum(errors, np.finfo(np.float64).tiny))

    def of(self, known: Claim) -> tuple[Reading, ...]:
        """What a known sampler's exact plans make of these grids."""
        return tuple(
            reading.exact(known.planner(s.schedule, s.grid), s, variance=VARIANCE)
            for s in self.samplers
        )


def order(subject: Subject) -> Iterator[Outcome]:
    """The error on Gaussian data falls with the declared order."""
    series = _series(subject)
    if series is None:
        return
    yield _converged(series) or _verdict(series)
    for n, error in zip(series.counts, series.errors, strict=True):
        yield Outcome(error=float(error), bound=np.inf, at=n, axis="error on Gaussian data")


def _converged(series: _Series) -> Outcome | None:
    """The outcome where too few errors are above rounding to show an order, or are no numbers."""
    errors = series.errors
    if np.all(np.isfinite(errors)) and len(series.fitted) >= 3:
        return None
    return Outcome(
        error=float(errors[-1]),
        bound=series.floor,
        where=f"{series.counts[-1]} steps: the error on Gaussian data",
        note="its error on Gaussian data is within rounding",
    )


def _verdict(series: _Series) -> Outcome:
    sampler = series.samplers[-1]
    plan = sampler.plan()
    claimed = (plan.order or 1) if plan is not None else 0
    declared = sampler.order or claimed or 1
    found = series.order(series.errors)
    wanted, best, shown = float(declared), found, ""
    if found < declared - TOLERANCE:
        own = sampler.claim is not None and claimed >= declared
        known = [series.of(one) for one in _known(sampler, declared, series.noisy, own)]
        least = min(series.order(series.ends(one)) for one in known)
        wanted = min(wanted, least)
        shown = f"; a known sampler shows {least:.2f}"
        hidden = least < declared - TOLERANCE
        if sampler.order is None:
            hidden = found < wanted - TOLERANCE
        if not own and hidden and series.noisy:
            # A scheme that is better than the known one may show less order, but no larger errors.
            fine = series.fitted[-3:]
            if np.all(series.errors[fine] <= series.ends(known[0])[fine]):
                best = max(found, wanted)
        elif not own and hidden:
            best = max(found, series.on_the_way(series.readings))
            way = (max(series.order(series.ends(o)), series.on_the_way(o)) for o in known)
            wanted = min(float(declared), *way)
            shown += f"; between levels in the middle {best:.2f} for {wanted:.2f}"
    first, last = series.fitted[0], series.fitted[-1]
    return Outcome(
        error=max(0.0, wanted - best),
        bound=TOLERANCE,
        where=f"{series.counts[first]} to {series.counts[last]} steps: "
        f"order {found:.2f} for {declared}{shown}",
        cause=_cause(found),
        note=f"its order is {best:.2f}, declared {declared}{shown}",
    )


def _known(sampler: Sampler, declared: int, noisy: bool, own: bool) -> tuple[Claim, ...]:
    if own and sampler.claim is not None:
        published = sampler.claim.published()
        if published is None or _order_of(published, sampler) != _order_of(sampler.claim, sampler):
            return (sampler.claim,)
        return sampler.claim, published  # What errs less by chance of its grids is no judge.
    return (claim("ddpm"),) if noisy else KNOWN[min(declared, 4)]


def _order_of(one: Claim, sampler: Sampler) -> int | None:
    return one.planner(sampler.schedule, sampler.grid).order


def _cause(found: float) -> str:
    if found < TOLERANCE:
        return "it does not converge: some weight is wrong however short the steps"
    return f"it is of order {max(round(found), 1)}: a term of its steps is wrong or missing"


def _series(subject: Subject) -> _Series | None:
    """None where fewer than three grids can be had."""
    counts: list[int] = []
    made: list[Sampler] = []
    readings: list[Reading] = []
    for n in COUNTS if subject.with_steps is not None else ():
        if made and (n > _most(made[0]) or (n == COUNTS[-1] and made[0].claim is not None)):
            break  # What has a plan is compared with it at any number of steps.
        try:
            assert subject.with_steps is not None
            sampler = subject.with_steps(n)
            found = reading.closed_loop(sampler, subject.make, subject.dtypes[-1], VARIANCE)
        except Exception:
            break  # What few steps raise is for other checks, and it may not take so many.
        counts.append(n)
        made.append(sampler)
        readings.append(found)
    return _Series(tuple(counts), tuple(made), tuple(readings)) if len(counts) >= 3 else None


def _most(sampler: Sampler) -> float:
    """Steps of two whole times at least: finer ones leave no time for a method's midpoints."""
    schedule = sampler.schedule
    return schedule.T // 2 if isinstance(schedule, DiscreteSchedule) else np.inf
