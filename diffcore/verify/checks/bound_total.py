"""Checks of the bound's last term and of its sum.

    L = L_T + sum_t L_{t-1},   L_T = KL(N(alpha_T x_0, sigma_T^2) || N(0, 1))

(Ho et al. 2020, eq. 5.) Losses of kind "prior" are of(x_0), "bpd" of(network, x_0), in bits per
dimension, a value for each sample; network(x_t, times) -> output.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ... import losses as closed
from ..._arrays import Host, to_host
from ...schedules import DiscreteSchedule
from ..causes import CLOSE, FAR_NEARER
from ..outcome import Outcome
from ..rounding import SAFETY
from ..script import normals
from ..subject import Loss, Subject
from . import weightings
from .bound import Terms, found
from .trial import PIXELS, losses


def prior(subject: Subject) -> Iterator[Outcome]:
    """L_T = KL(N(alpha_T x_0, sigma_T^2) || N(0, 1))."""
    schedule = subject.schedule
    if not isinstance(schedule, DiscreteSchedule):
        return
    rng = np.random.default_rng(subject.seed)
    x_0 = rng.uniform(-1.0, 1.0, (4, *PIXELS[: max(subject.ranks[0] - 1, 0)]))
    x_0[0] = 0.0
    wanted = closed.l_T(schedule, x_0, schedule.T, 1.0)
    for name, loss in losses(subject, "prior"):
        has = np.asarray(to_host(loss.of(subject.make(x_0, subject.dtypes[-1]))), dtype=np.float64)
        if has.shape != wanted.shape:
            words = f"its shape is {has.shape} where {wanted.shape} belongs"
            yield Outcome(error=1.0, bound=0.0, where=name, cause=words)
            continue
        ratio = has[1:] / wanted[1:]
        cause = weightings.constant(ratio, weightings.elements(subject), len(has))
        if not cause and schedule.T > 1:
            earlier = closed.l_T(schedule, x_0, schedule.T - 1, 1.0)
            cause = "it is that of time T - 1" if np.allclose(has, earlier, rtol=CLOSE) else ""
        for b in range(len(has)):
            yield Outcome(
                error=float(abs(has[b] - wanted[b])),
                bound=SAFETY * subject.epsilon * float(1.0 + wanted[b]),
                where=f"{name}: {has[b]:.6g} bits per dimension for {wanted[b]:.6g}",
                cause=cause,
            )


def total(subject: Subject) -> Iterator[Outcome]:
    """The bound is L_T and the sum of its terms, each time once, at x_t = alpha x_0 + sigma z."""
    schedule = subject.schedule
    terms, priors = (dict(losses(subject, kind)) for kind in ("vlb", "prior"))
    if not isinstance(schedule, DiscreteSchedule) or "vlb" not in terms or "prior" not in priors:
        return
    for name, loss in losses(subject, "bpd"):
        yield from _total(subject, name, loss, terms["vlb"], priors["prior"])


def _total(subject: Subject, name: str, loss: Loss, term: Loss, last: Loss) -> Iterator[Outcome]:
    schedule, dtype = subject.schedule, subject.dtypes[-1]
    assert isinstance(schedule, DiscreteSchedule)
    rng = np.random.default_rng(subject.seed)
    x_0 = rng.uniform(-1.0, 1.0, (2, *PIXELS[: max(subject.ranks[0] - 1, 0)]))
    guess = x_0 + 0.05 * rng.uniform(0.5, 1.5, x_0.shape)
    seen: list[tuple[int, Host]] = []

    def network(x_t: Any, times: Sequence[float]) -> Any:
        t = min(max(round(times[0]), 1), schedule.T)
        host = np.asarray(to_host(x_t), dtype=np.float64)
        seen.append((t, host))
        alpha, sigma = schedule(t)
        eps = (host - alpha * guess) / sigma
        return subject.make(loss.predicts.target(schedule, guess, t, eps), dtype)

    with normals(lambda k, shape: rng.standard_normal(shape)):
        has = to_host(loss.of(network, subject.make(x_0, dtype))).astype(np.float64)
    missing = set(range(1, schedule.T + 1)) ^ {t for t, _ in seen}
    again = len(seen) - len({t for t, _ in seen})
    yield Outcome(
        error=float(len(missing) + again),
        bound=0.0,
        where=f"times that are not visited once, {name}",
        cause=f"it leaves out time {min(missing)}" if missing else "it visits a time twice",
    )
    known = np.asarray(to_host(last.of(subject.make(x_0, dtype))), np.float64)
    wanted = known
    for t, x_t in seen:
        wanted = wanted + found(subject, term, Terms(x_0, guess, x_t, (t,) * len(x_0)))
    yield Outcome(
        error=float(np.max(np.abs(has - wanted))),
        bound=SAFETY * subject.epsilon * len(seen) * float(np.max(np.abs(wanted))),
        where=f"{name}: {has[0]:.6g} bits per dimension for {wanted[0]:.6g}",
        cause=_cause(has, wanted, known, schedule.T),
    )


def _cause(has: Host, wanted: Host, prior: Host, T: int) -> str:
    """What the sum is instead, in words."""
    rivals = {
        "it lacks the prior's term": wanted - prior,
        "it is the mean of its terms, not their sum": (wanted - prior) / T + prior,
    }
    near = FAR_NEARER * np.max(np.abs(has - wanted))  # The prior's term may be next to nothing.
    for words, values in rivals.items():
        if np.allclose(has, values, rtol=CLOSE) and np.max(np.abs(has - values)) <= near:
            return words
    return ""
