"""Checks of L_simple and its weightings.

    loss_b = w(t_b) mean_i (output_i - target_i)^2,   x_t = alpha_t x_0 + sigma_t eps

with the target p x_0 + q eps of what the network predicts, the mean over a sample's elements (Ho et
al. 2020, eq. 14). A loss of kind "simple" is of(network, x_0, times, eps) with
network(x_t, times) -> output; it gives one value for each sample, or their mean.
"""

from collections.abc import Iterator

import numpy as np

from ..._arrays import Host, to_host
from ...predictions import EPS, X_0, V
from ...schedules import DiscreteSchedule
from .. import causes
from ..outcome import Outcome
from ..rounding import SAFETY
from ..subject import Loss, Subject
from . import weightings
from .trial import Trial, losses, spread, trial

SAMPLES = 3
"""Samples at one time."""


def _simple(subject: Subject) -> list[tuple[str, Loss]]:
    return losses(subject, "simple") if subject.schedule is not None else []


def inputs(subject: Subject) -> Iterator[Outcome]:
    """The network is given alpha_t x_0 + sigma_t eps and told t."""
    for name, loss in _simple(subject):
        assert subject.schedule is not None
        for drawn in (False, True) if loss.own_eps else (False,):
            made = trial(subject, loss, spread(subject.schedule), drawn=drawn)
            made.run()
            yield from _told(made, name + (", with noise of its own" if drawn else ""))


def _told(made: Trial, name: str) -> Iterator[Outcome]:
    loss, schedule, batch = made.loss, made.schedule, len(made.times)
    if len(made.told) != batch:
        cause = f"the network sees {len(made.told)} samples for {batch}"
        yield Outcome(error=1.0, bound=0.0, where=name, cause=cause)
        return
    last = schedule.T if isinstance(schedule, DiscreteSchedule) else np.inf
    beyond = [t for t in made.told if loss.own_times and not 1 <= round(t) <= last]
    if beyond:
        cause = f"the network is told a time beyond 1..{last}"
        where = f"{name}: time {beyond[0]:g}"
        yield Outcome(error=float(len(beyond)), bound=0.0, where=where, cause=cause)
        return
    times = np.asarray(made.told if loss.own_times else made.times, dtype=np.float64)
    off = set(np.round(np.subtract(made.told, times), 6))
    cause = f"every time is off by {off.pop():+g}" if len(off) == 1 else ""
    for has, should in zip(made.told, times, strict=True):
        yield Outcome(
            error=abs(has - should),
            bound=1e-6 * max(1.0, abs(should)),
            where=f"{name}: time {has:g} for {should:g}",
            cause=cause,
        )
    levels = [schedule(round(t) if isinstance(schedule, DiscreteSchedule) else t) for t in times]
    alpha, sigma = np.array(levels).T
    cause = _mixed(made, alpha, sigma)
    for b, x_t in enumerate(made.states):
        wanted = alpha[b] * made.x_0[b] + sigma[b] * made.eps[b]
        # 1 - alpha_bar, found from a rounded alpha_bar.
        rest = sigma[b] + alpha[b] ** 2 / (2.0 * sigma[b])
        size = alpha[b] * np.max(np.abs(made.x_0[b])) + rest * np.max(np.abs(made.eps[b]))
        yield Outcome(
            error=float(np.max(np.abs(x_t - wanted))),
            bound=SAFETY * made.subject.epsilon * float(size),
            where=f"x_t at time {times[b]:g}, {name}",
            cause=cause,
            at=float(times[b]),
            axis=f"x_t, {name}",
        )


def _mixed(made: Trial, alpha: Host, sigma: Host) -> str:
    """What the x_t that the network saw are made of, in words."""
    found, left = [], 0.0
    for x_t, x_0, eps in zip(made.states, made.x_0, made.eps, strict=True):
        basis = np.stack([x_0.reshape(-1), eps.reshape(-1)], axis=1)
        weights, *_ = np.linalg.lstsq(basis, x_t.reshape(-1), rcond=None)
        found.append(weights)
        left = max(left, float(np.max(np.abs(basis @ weights - x_t.reshape(-1)))))
    if left > 1e-3:
        return "its x_t holds another noise than the one given"
    known = {"alpha_t": alpha, "sigma_t": sigma}
    of_x_0 = causes.guess(np.array(found)[:, 0], "the weight alpha_t of x_0", known)
    of_eps = causes.guess(np.array(found)[:, 1], "the weight sigma_t of eps", known)
    right = ("it is alpha_t where", "it is sigma_t where")
    return "; ".join(words for words in (of_x_0, of_eps) if words and not words.startswith(right))


def target(subject: Subject) -> Iterator[Outcome]:
    """A network without error has no loss."""
    for name, loss in _simple(subject):
        assert subject.schedule is not None
        for drawn in (False, True) if loss.own_eps else (False,):
            for t in spread(subject.schedule):
                made = trial(subject, loss, [t] * SAMPLES, drawn=drawn)
                found = made.values()
                bound = _floor(made, t)
                yield Outcome(
                    error=float(np.max(np.abs(found))),
                    bound=bound,
                    where=f"time {t:g}, {name}" + (", with noise of its own" if drawn else ""),
                    cause=_other_target(made, bound) if np.max(np.abs(found)) > bound else "",
                    at=float(t),
                    axis=f"target, {name}",
                )


def _floor(made: Trial, t: float) -> float:
    """The loss that rounding explains."""
    schedule = made.schedule
    size = float(np.max(np.abs(made.target(made.times))))
    size += float(np.max(np.abs(made.x_0)) + np.max(np.abs(made.eps)))
    weight = made.loss.weight(schedule, int(t)) if made.loss.weight else 1.0
    return max(weight, 1.0) * (SAFETY * made.subject.epsilon * size) ** 2


def _other_target(made: Trial, bound: float) -> str:
    """For which other target the loss would be nothing."""
    if made.drawn and made.draws > 1:
        return "its target is another noise than the one in x_t"
    for other in (EPS, X_0, V):
        tried = trial(made.subject, made.loss, made.times, drawn=made.drawn, predicts=other)
        if other is not made.predicts and np.max(np.abs(tried.values())) <= bound:
            return f"its target is {other.name} where {made.predicts.name} belongs"
    return ""


def weight(subject: Subject) -> Iterator[Outcome]:
    """A network with the error e has the loss w(t) mean(e^2)."""
    for name, loss in _simple(subject):
        assert subject.schedule is not None
        times = spread(subject.schedule)
        trials = [trial(subject, loss, [t] * SAMPLES, scale=1.0) for t in times]
        ratios = np.array([_ratio(made, 2) for made in trials])
        wanted = [loss.weight(subject.schedule, int(t)) if loss.weight else 1.0 for t in times]
        cause = weightings.name(subject, loss, times, ratios, np.array(wanted), SAMPLES)
        if not cause and max(abs(_ratio(made, 1) - 1.0) for made in trials) <= causes.CLOSE:
            cause = "it is the mean of |e|, not of e^2"
        for t, has, should in zip(times, ratios, wanted, strict=True):
            yield Outcome(
                error=float(abs(has - should)),
                bound=weightings.bound(subject, loss, t, should),
                where=f"time {t:g}, {name}: weight {has:.6g} for {should:.6g}",
                cause=cause,
                at=float(t),
                axis=f"weight, {name}",
            )


def _ratio(made: Trial, power: int) -> float:
    """The loss over the mean of that power of the error, which is positive, over the batch."""
    axes = tuple(range(1, made.error.ndim))
    found, powers = made.values(), np.mean(made.error**power, axis=axes)
    whole = np.mean(powers) if found.ndim == 0 else np.sum(powers)
    return float(np.sum(found) / whole)


def samples(subject: Subject) -> Iterator[Outcome]:
    """Each sample has its own loss, w(t_b) mean(e_b^2), or the batch has their mean."""
    for name, loss in _simple(subject):
        assert subject.schedule is not None
        times = spread(subject.schedule)
        made = trial(subject, loss, times, scale=1.0)
        found = made.values()
        allowed = ((len(times),),) if loss.each else ((len(times),), ())
        if found.shape not in allowed:
            words = f"its shape is {found.shape} where {' or '.join(map(str, allowed))} belongs"
            yield Outcome(error=1.0, bound=0.0, where=name, cause=words)
            continue
        single = np.array([float(np.mean(_alone(made, b))) for b in range(len(times))])
        wanted = single if found.ndim else np.mean(single)
        yield Outcome(
            error=float(np.max(np.abs(found - wanted))),
            bound=float(SAFETY * subject.epsilon * np.max(np.abs(single))),
            where=f"a batch of {len(times)} times, {name}",
            cause="a sample's loss depends on the others of its batch",
        )


def _alone(made: Trial, b: int) -> Host:
    """What the loss says of sample b by itself."""
    one = slice(b, b + 1)
    return Trial(
        subject=made.subject,
        loss=made.loss,
        schedule=made.schedule,
        times=list(made.told[one] if made.loss.own_times else made.times[one]),
        x_0=made.x_0[one],
        eps=made.eps[one],
        error=made.error[one],
        predicts=made.predicts,
        dtype=made.dtype,
    ).values()


def gradient(subject: Subject) -> Iterator[Outcome]:
    """d loss_b / d output = 2 w(t_b) e / n, n the elements of a sample."""
    for name, loss in _simple(subject):
        assert subject.schedule is not None
        made = trial(subject, loss, spread(subject.schedule), scale=1.0)
        if not hasattr(subject.make(np.zeros(1), made.dtype), "requires_grad_"):
            return
        found = made.run(track=True)
        if not found.requires_grad:
            cause = "no gradient reaches the network's output"
            yield Outcome(error=1.0, bound=0.0, where=name, cause=cause)
            continue
        found.sum().backward()
        grads = [to_host(o.grad) for o in made.outputs if o.grad is not None]
        has = np.concatenate(grads) if grads else np.zeros_like(made.error)
        times = made.told if loss.own_times else made.times
        w = [loss.weight(made.schedule, round(t)) if loss.weight else 1.0 for t in times]
        scale = np.reshape(w, (-1, *(1,) * (made.error.ndim - 1))) * 2.0
        wanted = scale * made.error / made.error[0].size
        wanted = wanted / (1 if found.ndim else len(times))
        slack = [weightings.bound(subject, loss, t, x) / x for t, x in zip(times, w, strict=True)]
        yield Outcome(
            error=float(np.max(np.abs(has - wanted))),
            bound=float(max(slack) * np.max(np.abs(wanted))),
            where=name,
            cause="another gradient reaches the network's output than its loss has",
        )
