"""Which weighting a loss has, by its weights at several times.

Each known weighting is stated here in alpha and sigma, on the squared error of what the network
predicts; k = (D / sigma)^2 turns a weight on x_0's error into one on the output's.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..._arrays import Host
from ...schedules import DiscreteSchedule, Schedule, from_alpha_bar
from ..causes import CLOSE
from ..rounding import SAFETY, SEEDS
from ..subject import Loss, Subject
from .trial import PIXELS


def name(
    subject: Subject,
    loss: Loss,
    times: Sequence[float],
    found: Host,
    wanted: Host,
    batch: int,
) -> str:
    """The weighting that gives the weights found instead of those wanted; empty if unknown."""
    with np.errstate(all="ignore"):
        ratio = found / wanted
    if np.all(np.abs(ratio - 1.0) <= CLOSE):
        return ""
    words = constant(ratio, elements(subject), batch)
    if words:
        return words
    for words, weights in _known(subject, loss, times).items():
        # Relative: a weighting may fall over many orders of magnitude.
        if np.all(np.abs(found - weights) <= CLOSE * np.abs(weights)):
            return f"it is weighted by {words}"
    return ""


def elements(subject: Subject) -> int:
    """How many elements a trial's sample has."""
    return int(np.prod(PIXELS[: max(subject.ranks[0] - 1, 0)]))


def constant(ratio: Host, size: int, batch: int) -> str:
    """What a loss that is a constant times the right one does wrong; empty if unknown."""
    constants = {
        f"it sums over a sample's {size} elements instead of averaging": size,
        f"it sums over the batch of {batch} instead of averaging": batch,
        f"it sums over the batch of {batch} and a sample's {size} elements": size * batch,
        f"it averages over the batch of {batch} where each sample has its own": 1.0 / batch,
        f"it divides by a sample's {size} elements twice": 1.0 / size,
        "it is half of it": 0.5,
        "it is twice it": 2.0,
        "its sign is wrong": -1.0,
        "it is in nats, not bits": math.log(2.0),
        "it is divided by log 2 once too often": 1.0 / math.log(2.0),
    }
    for words, value in constants.items():
        if np.all(np.abs(ratio - value) <= CLOSE * abs(value)):
            return words
    return ""


def _known(subject: Subject, loss: Loss, times: Sequence[float]) -> dict[str, Host]:
    schedule = subject.schedule
    assert schedule is not None
    discrete = isinstance(schedule, DiscreteSchedule)
    whole = [round(t) if discrete else t for t in times]
    alpha, sigma = np.array([schedule(t) for t in whole]).T
    p, q = np.array([loss.predicts.mix(schedule, t, np.zeros(1)) for t in whole]).T
    snr = (alpha / sigma) ** 2
    of_x_0 = {
        "SNR on the error of x_0": snr,
        "1 on the error of x_0": np.ones_like(snr),
        "1 on the error of v": snr + 1.0,
        "min-SNR with gamma = 5": np.minimum(snr, 5.0),
        "max(SNR, 1), truncated": np.maximum(snr, 1.0),
        "P2 with gamma = 1, which is a sigmoid of log SNR": snr / (1.0 + snr),
    }
    if isinstance(schedule, DiscreteSchedule):
        of_x_0["the posterior's KL"] = np.array([posterior_mean(schedule, int(t)) for t in whole])
    with np.errstate(all="ignore"):
        factor = ((alpha * q - sigma * p) / sigma) ** 2
        made = {words: w / factor for words, w in of_x_0.items()}
        made |= {"SNR": snr, "1 / SNR": 1.0 / snr, "sigma_t": sigma, "alpha_t": alpha}
        return made | {
            "sigma_t^2": sigma**2,
            "1 / sigma_t^2": sigma**-2.0,
            "1 / sigma_t": 1 / sigma,
        }


def posterior_mean(schedule: Schedule, t: int) -> float:
    """What x_0's squared error weighs in the KL of two posteriors with the posterior's variance.

    (SNR_{t-1} - SNR_t) / 2 (Kingma et al. 2021, eq. 14); at t = 1, where it is infinite, with the
    variance of the step from t = 2, so that it is one over twice that.
    """
    assert isinstance(schedule, DiscreteSchedule)
    if t == 1:
        return float(0.5 / schedule.posterior_variance[min(2, schedule.T)])
    before, after = (schedule.alpha_bar[s] / schedule.one_minus_alpha_bar[s] for s in (t - 1, t))
    return float(0.5 * (before - after))


def bound(subject: Subject, loss: Loss, t: float, wanted: float) -> float:
    """How far the weight may be off: by its arithmetic, and where it follows from the levels by
    the rounding of their table.
    """
    moved = 4.0 * subject.epsilon * abs(wanted)
    schedule = subject.schedule
    if loss.weight is not None and isinstance(schedule, DiscreteSchedule):
        epsilon = subject.tables["alpha_bar"].epsilon if "alpha_bar" in subject.tables else 0.0
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            blur = 1.0 + epsilon * rng.uniform(-1.0, 1.0, schedule.T)
            bar = np.clip(schedule.alpha_bar[1:] * blur, 0.0, np.nextafter(1.0, 0.0))
            other = loss.weight(from_alpha_bar(bar), int(t))
            moved = max(moved, abs(other - wanted))
    return SAFETY * moved
