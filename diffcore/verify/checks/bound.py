"""Checks of the variational bound, in bits per dimension, against its closed form.

    L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))

(Ho et al. 2020, eq. 5; L_0 is in `checks.decoder`.) Losses of kind "vlb" are
of(network, x_0, x_t, times) with network(x_t, times) -> output, a value for each sample.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import losses as closed
from ..._arrays import Host, to_host
from ...schedules import DiscreteSchedule
from ..causes import CLOSE
from ..outcome import Outcome
from ..rounding import SAFETY
from ..subject import Loss, Subject
from . import weightings
from .trial import PIXELS, losses, spread

OFFSETS = (0.0, 0.05, 0.5)
"""Of the denoised x_0 from x_0, at each time."""

BITS = 1.0 / math.log(2.0)


class Terms(NamedTuple):
    """A batch for terms of the bound: host arrays, and a time for each sample."""

    x_0: Host
    guess: Host
    x_t: Host
    times: tuple[int, ...]


class Logs(NamedTuple):
    """Log variances of the posterior and of the model's step, and the offset of their means."""

    true: Host
    model: Host
    offset: Host


def found(subject: Subject, loss: Loss, terms: Terms) -> Host:
    """What the target says of the terms, over its own scale."""
    schedule, dtype = subject.schedule, subject.dtypes[-1]
    assert isinstance(schedule, DiscreteSchedule)
    t = np.array(terms.times)
    alpha, sigma = (column(c, terms.x_0) for c in schedule(t, np.zeros(1)))
    out = loss.predicts.target(schedule, terms.guess, t, (terms.x_t - alpha * terms.guess) / sigma)

    def network(x_t: Any, times: Sequence[float]) -> Any:
        return subject.make(out, dtype)

    x_0, x_t = subject.make(terms.x_0, dtype), subject.make(terms.x_t, dtype)
    values = to_host(loss.of(network, x_0, x_t, terms.times))
    if values.shape != (len(t),):
        raise ValueError(f"a bound of shape {values.shape} where {(len(t),)} belongs")
    return values.astype(np.float64) / loss.scale


def column(values: Host, like: Host) -> Host:
    """One value for each sample, to broadcast against the samples."""
    return np.reshape(values, (-1, *(1,) * (like.ndim - 1)))


def log_variance(schedule: DiscreteSchedule, loss: Loss, times: Sequence[int], like: Host) -> Host:
    """The logarithm of the variance of p(x_{t-1} | x_t), to broadcast against `like`."""
    low, high = closed.log_variances(schedule, np.array(times), like)
    fraction = {"small": 0.0, "large": 1.0}.get(str(loss.variance))
    fraction = float(loss.variance) if fraction is None else fraction
    result: Host = low + fraction * (high - low)
    return result


def vlb(subject: Subject) -> Iterator[Outcome]:
    """Each term above L_0 is the KL of two Gaussians, posterior first, over a sample's mean."""
    schedule = subject.schedule
    if not isinstance(schedule, DiscreteSchedule) or schedule.T < 2:
        return
    for name, loss in losses(subject, "vlb"):
        terms = _terms(subject, [int(t) for t in spread(schedule) if t > 1])
        logs = logs_of(schedule, loss, terms)
        wanted = per_sample(kl(logs))
        has = found(subject, loss, terms)
        bounds = per_sample(moved(subject, loss, terms, logs))
        cause = ""
        if np.any(~(np.abs(has - wanted) <= bounds)):
            cause = _cause(subject, has, wanted, logs)
        for b, t in enumerate(terms.times):
            yield Outcome(
                error=float(abs(has[b] - wanted[b])),
                bound=float(bounds[b]),
                where=f"time {t}, {name}: {has[b]:.6g} bits per dimension for {wanted[b]:.6g}",
                cause=cause,
                at=t,
                axis=name,
            )


def _terms(subject: Subject, times: Sequence[int]) -> Terms:
    schedule = subject.schedule
    assert isinstance(schedule, DiscreteSchedule)
    pairs = [(t, offset) for t in times for offset in OFFSETS]
    shape = (len(pairs), *PIXELS[: max(subject.ranks[0] - 1, 0)])
    rng = np.random.default_rng(subject.seed)
    x_0 = np.round(rng.uniform(0.0, 255.0, shape)) / 127.5 - 1.0
    offsets = column(np.array([offset for _, offset in pairs]), x_0)
    t = np.array([t for t, _ in pairs])
    alpha, sigma = (column(c, x_0) for c in schedule(t, np.zeros(1)))
    x_t = alpha * x_0 + sigma * rng.standard_normal(shape)
    return Terms(x_0, x_0 + offsets * rng.uniform(0.5, 1.5, shape), x_t, tuple(int(n) for n in t))


def logs_of(schedule: DiscreteSchedule, loss: Loss, terms: Terms) -> Logs:
    """The two Gaussians of each term."""
    t = np.array(terms.times)
    model = log_variance(schedule, loss, terms.times, terms.x_0)
    true, _ = closed.log_variances(schedule, t, terms.x_0)
    at_x_0 = column(schedule.posterior_mean_x_0[t], terms.x_0)
    return Logs(true, model, at_x_0 * (terms.x_0 - terms.guess))


def kl(logs: Logs) -> Host:
    """The divergence elementwise, in nats."""
    gap = logs.true - logs.model
    # expm1 keeps what exp - 1 - gap would lose where the variances are close.
    return 0.5 * ((np.expm1(gap) - gap) + logs.offset**2 * np.exp(-logs.model))


def per_sample(nats: Host) -> Host:
    """Bits per dimension of each sample."""
    result: Host = BITS * np.mean(nats, axis=tuple(range(1, nats.ndim)))
    return result


def moved(subject: Subject, loss: Loss, terms: Terms, logs: Logs) -> Host:
    """How far rounding of the tables' entries and of the network may move the KL, elementwise."""
    schedule, t, epsilon = subject.schedule, np.array(terms.times), subject.epsilon
    assert isinstance(schedule, DiscreteSchedule)
    table = subject.tables["alpha_bar"].epsilon if "alpha_bar" in subject.tables else 0.0
    rough = column(
        table * (1.0 / schedule.beta[t] + 1.0 / schedule.one_minus_alpha_bar[t]), logs.true
    )
    log_error = SAFETY * (epsilon * (1.0 + np.abs(logs.true) + np.abs(logs.model)) + rough)
    at_x_0 = column(schedule.posterior_mean_x_0[t], logs.true)
    size = lost(schedule, loss, terms) + np.abs(terms.guess)
    mean_error = SAFETY * epsilon * (at_x_0 * size + np.abs(logs.offset))
    square = (np.abs(logs.offset) + mean_error) ** 2
    precision = np.exp(-logs.model)
    gap = np.exp(logs.true - logs.model)
    of_logs = log_error * (1.0 + gap + square * precision)
    result: Host = of_logs + (square - logs.offset**2) * precision
    return result


def lost(schedule: DiscreteSchedule, loss: Loss, terms: Terms) -> Host:
    """The size of what cancels when the denoised x_0 is found from the network's output."""
    t = np.array(terms.times)
    alpha, sigma = (column(c, terms.x_t) for c in schedule(t, np.zeros(1)))
    p, q = (np.asarray(c) for c in loss.predicts.mix(schedule, t, terms.x_t))
    eps = (terms.x_t - alpha * terms.guess) / sigma
    determinant = np.abs(alpha * q - sigma * p)
    size = np.abs(q * terms.x_t) + sigma * (np.abs(p * terms.guess) + np.abs(q * eps))
    result: Host = np.where(q == 0.0, np.abs(terms.guess), size / determinant)
    return result


def _cause(subject: Subject, has: Host, wanted: Host, logs: Logs) -> str:
    """What the target's values are instead, in words."""
    size = weightings.elements(subject)
    with np.errstate(all="ignore"):
        words = weightings.constant(has[wanted > 0] / wanted[wanted > 0], size, len(has))
    if words:
        return words
    gap = logs.true - logs.model
    square = logs.offset**2
    rivals = {
        "the KL is taken the other way round": kl(Logs(logs.model, logs.true, logs.offset)),
        "it lacks the -1 of the KL": kl(logs) + 0.5,
        "it is the means' part of the KL alone": 0.5 * square * np.exp(-logs.model),
        "it lacks the means' part of the KL": 0.5 * (np.expm1(gap) - gap),
        "the means' part is over the posterior's variance": 0.5
        * (np.expm1(gap) - gap + square * np.exp(-logs.true)),
        "the means' part is over the deviation, not the variance": 0.5
        * (np.expm1(gap) - gap + square * np.exp(-0.5 * logs.model)),
        "the means' offset is not squared": 0.5
        * (np.expm1(gap) - gap + logs.offset * np.exp(-logs.model)),
        "the KL's factor of a half is missing": 2.0 * kl(logs),
        "the sign of the log variances is wrong": kl(logs) + gap,
    }
    near = CLOSE * np.maximum(np.abs(has), 1e-3 * np.max(np.abs(has)))
    if np.all(np.abs(has - wanted) <= near):
        return ""  # Nor is it any other formula, then.
    for words, nats in rivals.items():
        if np.all(np.abs(has - per_sample(nats)) <= near):
            return words
    return ""
