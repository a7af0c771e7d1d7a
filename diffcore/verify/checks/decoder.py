"""The check of L_0 = -log p(x_0 | x_1): the mass of x_0's bin among 256 levels in [-1, 1].

    P(x_0) = Phi((x_0 + h - m) / s) - Phi((x_0 - h - m) / s),   h = 1 / 255

with the end bins open (Ho et al. 2020, eq. 13). Code in use takes tanh for the normal CDF and cuts
masses off from below; that is told, and not held against it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..._arrays import Host
from ...gaussians import discretised_log_likelihood, log_density
from ...schedules import DiscreteSchedule
from ..causes import CLOSE
from ..outcome import Outcome
from ..rounding import SAFETY
from ..subject import Loss, Subject
from . import weightings
from .bound import BITS, Terms, column, found, log_variance, lost
from .trial import PIXELS, losses

DEVIATIONS = (0.0, 0.5, -1.0, 2.0, -4.0, 8.0, -30.0, 30.0)
"""Of the mean from x_0, in standard deviations."""

LEAST = 16.0
"""Nats below which no code may cut a mass off: it would be no rarer than float32's epsilon."""

NEAR = 0.1
"""How near a form must come for its rounding to be looked at."""

FAR = 1e9
"""Nats that stand for infinitely many."""

PLACES = ("x_0 = -1", "x_0 inside", "x_0 = 1")


class Form(NamedTuple):
    """A way to compute the nats of a bin: nats(x_0, mean, deviation)."""

    words: str
    nats: Callable[[Host, Host, Host], Host]


@dataclass(frozen=True)
class Bins:
    """Bins of half a width; the end bins open or not."""

    half: float = 1.0 / 255.0
    opened: bool = True

    def exact(self, x: Host, mean: Host, deviation: Host) -> Host:
        end = 1.0 if self.opened else 100.0
        return -discretised_log_likelihood(
            x, mean, deviation**2 + 0.0 * x, 2.0 * self.half, -end, end
        )

    def tanh(self, x: Host, mean: Host, deviation: Host) -> Host:
        upper = _tanh_cdf((x + self.half - mean) / deviation)
        lower = _tanh_cdf((x - self.half - mean) / deviation)
        if self.opened:
            upper = np.where(x > 0.999, 1.0, upper)
            lower = np.where(x < -0.999, 0.0, lower)
        with np.errstate(divide="ignore"):
            nats: Host = -np.log(np.maximum(upper - lower, 0.0))
        return nats


RIGHT = (
    Form("", Bins().exact),
    Form("the normal CDF is approximated by tanh", Bins().tanh),
)
"""What is accepted."""


def _tanh_cdf(x: Host) -> Host:
    """After Page 1977, "Approximations to the cumulative normal function": off by up to 2e-4."""
    with np.errstate(over="ignore"):
        cdf: Host = 0.5 * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))
    return cdf


def decoder(subject: Subject) -> Iterator[Outcome]:
    """L_0 is the mass of x_0's bin, near the mean and far from it, inside and at the ends."""
    schedule = subject.schedule
    if not isinstance(schedule, DiscreteSchedule):
        return
    for name, loss in losses(subject, "vlb"):
        variants = [log_variance(schedule, loss, (1,), np.zeros((1, 1)))]
        if loss.variance == "large":
            # As improved DDPM has it: the large variance, but at t = 1 that of the step from 2.
            variants.append(log_variance(schedule, Loss(of=loss.of), (1,), np.zeros((1, 1))))
        tried = [list(_held(subject, loss, name, float(v.reshape(-1)[0]))) for v in variants]
        yield from next((o for o in tried if all(x.holds for x in o)), tried[-1])


def _held(subject: Subject, loss: Loss, name: str, log: float) -> Iterator[Outcome]:
    schedule = subject.schedule
    assert isinstance(schedule, DiscreteSchedule)
    deviation = np.array(np.exp(0.5 * log))
    terms, labels = _terms(subject, float(deviation))
    has = found(subject, loss, terms)
    floor = max(LEAST, float(np.max(np.abs(has[np.isfinite(has)]), initial=0.0)) / BITS)
    mean_error = SAFETY * subject.epsilon * (lost(schedule, loss, terms) + np.abs(terms.guess))
    log_error = SAFETY * subject.epsilon * (1.0 + abs(log))
    outcomes: list[Outcome] = []
    for form in RIGHT:
        for cut in (FAR, floor):
            plain = np.minimum(form.nats(terms.x_0, terms.guess, deviation), cut)
            axes = tuple(range(1, plain.ndim))
            if not np.allclose(has, BITS * np.mean(plain, axis=axes), rtol=NEAR, atol=NEAR):
                continue  # Far beyond rounding, which takes longer to find.
            wanted, bounds = _values(form, terms, deviation, mean_error, log_error, cut)
            note = _note(form, cut, terms, deviation)
            outcomes = [
                Outcome(
                    error=float(abs(has[b] - wanted[b])) if np.isfinite(has[b]) else np.inf,
                    bound=float(bounds[b]),
                    where=f"{labels[b]}, {name}: {has[b]:.6g} bits per dimension "
                    f"for {wanted[b]:.6g}",
                    note=note,
                )
                for b in range(len(has))
            ]
            if all(o.holds for o in outcomes):
                yield from outcomes
                return
    wanted, bounds = _values(RIGHT[0], terms, deviation, mean_error, log_error, FAR)
    cause = _cause(subject, has, terms, deviation, floor)
    for b in range(len(has)):
        error = float(abs(has[b] - wanted[b])) if np.isfinite(has[b]) else np.inf
        where = f"{labels[b]}, {name}: {has[b]:.6g} bits per dimension for {wanted[b]:.6g}"
        yield Outcome(error=error, bound=float(bounds[b]), where=where, cause=cause)


def _terms(subject: Subject, deviation: float) -> tuple[Terms, list[str]]:
    schedule = subject.schedule
    assert isinstance(schedule, DiscreteSchedule)
    shape = PIXELS[: max(subject.ranks[0] - 1, 0)]
    rng = np.random.default_rng(subject.seed)
    inside = rng.integers(2, 253, shape) / 127.5 - 1.0
    places = (np.full(shape, -1.0), inside, np.full(shape, 1.0))
    x_0 = np.stack([place for place in places for _ in DEVIATIONS])
    off = column(np.tile(DEVIATIONS, len(PLACES)), x_0) * deviation
    alpha, sigma = schedule(1)
    x_t = alpha * x_0 + sigma * rng.standard_normal(x_0.shape)
    labels = [f"{place}, the mean {d:+g} deviations off" for place in PLACES for d in DEVIATIONS]
    return Terms(x_0, x_0 + off, x_t, (1,) * len(x_0)), labels


def _values(
    form: Form, terms: Terms, deviation: Host, mean_error: Host, log_error: float, cut: float
) -> tuple[Host, Host]:
    """The bits per dimension, and how far rounding of the mean and the deviation moves them."""

    def bits(shift: float, stretch: float) -> Host:
        mean = terms.guess + shift * mean_error
        nats = form.nats(terms.x_0, mean, deviation * np.exp(0.5 * stretch * log_error))
        return np.minimum(nats, min(cut, FAR))

    wanted = bits(0.0, 0.0)
    moved = np.zeros_like(wanted)
    for shift in (-1.0, 1.0):
        for stretch in (-1.0, 1.0):
            moved = np.maximum(moved, np.abs(bits(shift, stretch) - wanted))
    # The difference of two CDFs keeps fewer digits, the smaller the mass.
    digits = 4.0 * np.finfo(np.float64).eps * np.exp(np.minimum(wanted, 40.0))
    moved = moved + log_error * np.minimum(1.0, wanted) + digits
    axes = tuple(range(1, wanted.ndim))
    return BITS * np.mean(wanted, axis=axes), BITS * np.mean(moved, axis=axes)


def _note(form: Form, cut: float, terms: Terms, deviation: Host) -> str:
    words = []
    if form.words:
        exact, other = (f.nats(terms.x_0, terms.guess, deviation) for f in (RIGHT[0], form))
        near = np.abs(terms.guess - terms.x_0) <= 4.5 * deviation
        off = BITS * float(np.max(np.abs(exact - other)[near]))
        words.append(f"{form.words}: up to {off:.1g} bits off within 4 deviations")
    if cut < FAR:
        words.append(f"masses below {np.exp(-cut):.1g} are cut off")
    return "L_0: " + ", ".join(words) if words else ""


def _cause(subject: Subject, has: Host, terms: Terms, deviation: Host, floor: float) -> str:
    """What the target's values are instead, in words."""
    if not np.all(np.isfinite(has)):
        return "it is infinite far from the mean"

    def mean(nats: Host) -> Host:
        bits: Host = BITS * np.mean(nats, axis=tuple(range(1, nats.ndim)))
        return bits

    def density(x: Host, mean: Host, deviation: Host) -> Host:
        return -log_density(x, mean, deviation**2 + 0.0 * x)

    for base in (Bins().exact, Bins().tanh):
        for cut in (np.inf, floor):
            wanted = mean(np.minimum(base(terms.x_0, terms.guess, deviation), min(cut, FAR)))
            usual = wanted > 1e-3
            words = weightings.constant(
                has[usual] / wanted[usual], weightings.elements(subject), len(has)
            )
            if words:
                return words
    rivals: dict[str, tuple[Callable[[Host, Host, Host], Host], ...]] = {
        "its bins are twice as wide as a level": (Bins(2 / 255).exact, Bins(2 / 255).tanh),
        "its bins are half as wide as a level": (Bins(0.5 / 255).exact, Bins(0.5 / 255).tanh),
        "its end bins are not open": (Bins(opened=False).exact, Bins(opened=False).tanh),
        "it is a density, not the mass of a bin": (density,),
    }
    for words, forms in rivals.items():
        for form in forms:
            for scale, power in (("", 1.0), (", and takes the variance for the deviation", 2.0)):
                values = form(terms.x_0, terms.guess, deviation**power)
                if _same(has, mean(values)) or _same(has, mean(np.minimum(values, floor))):
                    return words + scale
    for form in (Bins().exact, Bins().tanh):
        for words, other in (
            ("it takes the variance for the deviation", deviation**2),
            ("it takes the deviation's root for the deviation", deviation**0.5),
        ):
            values = form(terms.x_0, terms.guess, other)
            if _same(has, mean(values)) or _same(has, mean(np.minimum(values, floor))):
                return words
    return ""


def _same(has: Host, values: Host) -> bool:
    return bool(np.all(np.abs(has - values) <= CLOSE * np.maximum(np.abs(values), 1e-2)))
