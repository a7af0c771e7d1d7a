"""The check of L_hybrid = L_simple + scale L_{t-1}, which trains the variance beside the mean.

The bound's term has its gradient stopped at the mean, and no other at the variance (Nichol &
Dhariwal 2021, eq. 16). Losses of kind "hybrid" are of(network, x_0, times, eps), with as many
channels again in the network's output: v in [-1, 1] for a log variance (v + 1) / 2 of the way from
small to large.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..._arrays import Host, to_host
from ...losses import log_variances
from ...schedules import DiscreteSchedule
from ..outcome import Outcome
from ..rounding import SAFETY
from ..subject import Loss, Subject
from .bound import BITS, Terms, column, kl, logs_of, moved, per_sample
from .trial import Trial, losses, spread, trial

FRACTION = 0.25
"""Of the way from small to large."""


def hybrid(subject: Subject) -> Iterator[Outcome]:
    """The sum of the two losses, and the gradient of each where it belongs."""
    schedule = subject.schedule
    if not isinstance(schedule, DiscreteSchedule) or schedule.T < 2:
        return
    times = [t for t in spread(schedule) if t > 1]
    for name, loss in losses(subject, "hybrid"):
        made = trial(subject, loss, times, scale=0.1)
        outputs: list[Any] = []
        value = _run(made, outputs)
        yield from _compared(made, name, to_host(value), outputs, value)


def _run(made: Trial, outputs: list[Any]) -> Any:
    subject = made.subject

    def network(x_t: Any, times: Sequence[float]) -> Any:
        mean = made.target(times) + made.error
        learned = np.full_like(mean, 2.0 * FRACTION - 1.0)
        out = subject.make(np.concatenate([mean, learned], axis=1), made.dtype)
        if hasattr(out, "requires_grad_"):
            out.requires_grad_(True)
        outputs.append(out)
        return out

    x_0, eps = (subject.make(x, made.dtype) for x in (made.x_0, made.eps))
    return made.loss.of(network, x_0, tuple(made.times), eps)


def _compared(
    made: Trial, name: str, has: Host, outputs: list[Any], value: Any
) -> Iterator[Outcome]:
    schedule, loss, epsilon = made.schedule, made.loss, made.subject.epsilon
    assert isinstance(schedule, DiscreteSchedule)
    t = np.array(made.times, dtype=np.int64)
    alpha, sigma = (column(c, made.x_0) for c in schedule(t, np.zeros(1)))
    x_t = alpha * made.x_0 + sigma * made.eps
    guess = loss.predicts.x_0(schedule, made.target(made.times) + made.error, x_t, t)
    terms = Terms(made.x_0, guess, x_t, tuple(int(n) for n in t))
    within = replace(loss, variance=FRACTION)
    logs = logs_of(schedule, within, terms)
    simple = np.mean(made.error**2, axis=tuple(range(1, made.error.ndim)))
    term = per_sample(kl(logs))
    wanted = simple + loss.scale * term
    rough = moved(made.subject, within, terms, logs)
    bounds = loss.scale * per_sample(rough)
    bounds = bounds + SAFETY * epsilon * 8.0 * simple
    if has.shape != wanted.shape:
        words = f"its shape is {has.shape} where {wanted.shape} belongs"
        yield Outcome(error=1.0, bound=0.0, where=name, cause=words)
        return
    cause = _cause(has, simple, term, loss, schedule.T)
    for b in range(len(t)):
        yield Outcome(
            error=float(abs(has[b] - wanted[b])),
            bound=float(bounds[b]),
            where=f"time {t[b]}, {name}: {has[b]:.6g} for {wanted[b]:.6g}",
            cause=cause,
        )
    if not getattr(value, "requires_grad", False):
        return
    value.sum().backward()
    grads = [to_host(out.grad) for out in outputs if out.grad is not None]
    if len(grads) != 1:
        words = "no gradient reaches the network's output"
        yield Outcome(error=1.0, bound=0.0, where=name, cause=words)
        return
    of_mean, of_variance = np.split(grads[0], 2, axis=1)
    size = made.error[0].size
    straight = 2.0 * made.error / size
    yield Outcome(
        error=float(np.max(np.abs(of_mean - straight))),
        bound=float(SAFETY * epsilon * 8.0 * np.max(np.abs(straight))),
        where=f"gradient of the mean, {name}",
        cause="the bound's term has a gradient at the mean",
    )
    low, high = log_variances(schedule, t, made.x_0)
    slope = 1.0 - np.exp(logs.true - logs.model) - logs.offset**2 * np.exp(-logs.model)
    share = 0.25 * loss.scale * BITS / size * (high - low)
    # The slope's terms are the KL's, and its range is of rounded logarithms too.
    ends = SAFETY * epsilon * (np.abs(low) + np.abs(high)) / (high - low)
    bounds = share * (2.0 * rough + (ends + SAFETY * epsilon) * (1.0 + np.abs(slope)))
    off = np.abs(of_variance - share * slope)
    for b in range(len(t)):
        worst = np.argmax(off[b] - bounds[b])
        yield Outcome(
            error=float(off[b].flat[worst]),
            bound=float(bounds[b].flat[worst]),
            where=f"gradient of the variance at time {t[b]}, {name}",
            cause="no gradient reaches the variance"
            if not np.any(of_variance)
            else "it is another gradient than the bound's term has",
        )


def _cause(has: Host, simple: Host, term: Host, loss: Loss, T: int) -> str:
    known = {
        "the bound's term is not scaled": simple + term,
        "the bound's term is over 1000 where T / 1000 belongs": simple + term / 1000.0,
        "the bound's term is times T": simple + T * term,
        "the bound's term is missing": simple,
        "the bound's term stands alone": loss.scale * term,
        "the bound's term is subtracted": simple - loss.scale * term,
    }
    right = simple + loss.scale * term
    for words, values in known.items():
        if np.allclose(has, values, rtol=1e-4) and not np.allclose(right, values, rtol=1e-4):
            return words
    return ""
