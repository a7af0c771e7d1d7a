"""All that is random in training, as functions of (seed, step).

Update k = 0, 1, ... of a run with n images and batches of B trains on positions k B .. k B + B - 1
of the endless sequence of epochs, where epoch e is `noise.permutation(seed, e, n)`. With u, u', u''
uniform in [0, 1) and each a stream of its own:

    t = time of the quantile u,   label dropped if u' < label_dropout,   mirrored if u'' < 1/2

A generator would have a state to save; a run that goes on at step k draws what it would have drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ..noise import permutation, uniform
from ..schedules import ContinuousSchedule, DiscreteSchedule
from ..tasks import low_resolution
from .images import Float, Images
from .sources import Labels

TIMES, LABELS, FLIPS = range(3)
"""Streams of `noise.uniform`."""
EDGE = 1e-5
"""Share of a continuous schedule's times left out at either end, where log SNR is infinite."""
EDM_LOG_SIGMA = NormalDist(-1.2, 1.2)
"""The law of log sigma in training (Karras et al. 2022, table 1)."""
HELD_OUT_SEED = 2**62 + 1
"""The seed of the held-out loss: one for all runs, so that their losses compare."""
HELD_OUT_BATCH = 64
GOLDEN = (5**0.5 - 1.0) / 2.0

Schedule = DiscreteSchedule | ContinuousSchedule


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What one update, or one measurement of the loss, sees.

    `x_0`: (batch, C, H, W), float32 in [-1, 1]. `t`: (batch,), int64 on a discrete schedule, else
    float64. `labels`: (batch,) int64, the null class included, or None. `condition`: float32 of
    x_0's height and width, or None. The noise is `noise.portable(seed)(x_0, step)`, which the
    backend draws on its device.
    """

    x_0: Float
    t: npt.NDArray[Any]
    labels: Labels | None
    seed: int
    step: int
    condition: Float | None = None

    def __len__(self) -> int:
        return len(self.x_0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """The batches of a run, by the number of the update.

    `label_dropout`: the probability that a label becomes `null_label`. `flips`: whether half of the
    images are mirrored. `condition_size`: see `condition_of`.
    """

    images: Images
    schedule: Schedule
    seed: int
    batch: int
    label_dropout: float = 0.0
    null_label: int | None = None
    flips: bool = False
    condition_size: int = 0

    def __post_init__(self) -> None:
        if self.label_dropout > 0.0 and self.null_label is None and self.images.labels is not None:
            raise ValueError(
                f"label_dropout must be 0 for a network without a null class, "
                f"got {self.label_dropout}"
            )

    def at(self, step: int) -> Batch:
        """The batch of update number `step`, from 0."""
        n = self.batch
        index = self._order(step)
        flips = uniform(self.seed, step, n, FLIPS) < 0.5 if self.flips else None
        labels = None if self.images.labels is None else self.images.labels[index]
        if labels is not None and self.null_label is not None:
            dropped = uniform(self.seed, step, n, LABELS) < self.label_dropout
            labels[dropped] = self.null_label
        x_0 = self.images.batch(index, flips)
        return Batch(
            x_0=x_0,
            t=times_at(self.schedule, uniform(self.seed, step, n, TIMES)),
            labels=labels,
            seed=self.seed,
            step=step,
            condition=condition_of(x_0, self.condition_size),
        )

    def _order(self, step: int) -> npt.NDArray[np.int64]:
        first, n = step * self.batch, len(self.images)
        parts, left = [], self.batch
        while left:
            epoch, start = divmod(first, n)
            parts.append(self._epoch(epoch)[start : start + left])
            first, left = first + len(parts[-1]), left - len(parts[-1])
        return np.concatenate(parts)

    def _epoch(self, epoch: int) -> npt.NDArray[np.int64]:
        # Sorting a million images' words takes longer than an update: keep the last two orders.
        cache: dict[int, npt.NDArray[np.int64]] = self.__dict__.setdefault("_orders", {})
        if epoch not in cache:
            for old in [e for e in cache if e != epoch - 1]:
                del cache[old]
            cache[epoch] = permutation(self.seed, epoch, len(self.images))
        return cache[epoch]


def condition_of(x_0: Float, size: int) -> Float | None:
    """What the network is shown of x_0 besides x_t: its blocks' means, `size` each way; 0: None."""
    return low_resolution(x_0, size) if size else None


def counts_sigma(schedule: Schedule) -> bool:
    """Whether the schedule's time is EDM's noise level, shifted or not."""
    config = schedule.config
    while "schedule" in config:
        config = config["schedule"]
    return bool(config["kind"] == "edm")


def times_at(schedule: Schedule, u: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """The times at the quantiles `u`, in [0, 1), of the law that training draws them from.

    Discrete: 1 .. T, each as likely, int64. Continuous: uniform over the schedule's times but for a
    share of `EDGE` at either end, float64; on the EDM schedule log sigma is normal.
    """
    if isinstance(schedule, DiscreteSchedule):
        return 1 + np.floor(u * schedule.T).astype(np.int64)
    t_max = schedule.curve.t_max
    if counts_sigma(schedule):
        inner = np.clip(u, 2.0**-54, 1.0 - 2.0**-53)
        log_sigma = np.array([EDM_LOG_SIGMA.inv_cdf(float(v)) for v in inner])
        sigma: npt.NDArray[np.float64] = np.minimum(np.exp(log_sigma), t_max)
        return sigma
    return t_max * (EDGE + (1.0 - 2.0 * EDGE) * u)


def held_out_batches(
    images: Images, schedule: Schedule, count: int, condition_size: int = 0
) -> Iterator[Batch]:
    """At most `count` images, each at one time and noise: the same whenever it is asked.

    The times are spread evenly over the quantiles (the multiples of the golden ratio modulo 1),
    which leaves less to chance than draws do.
    """
    chosen = permutation(HELD_OUT_SEED, 0, len(images))[:count]
    quantiles: npt.NDArray[np.float64] = (np.arange(1.0, len(chosen) + 1.0) * GOLDEN) % 1.0
    times = times_at(schedule, quantiles)
    for k, start in enumerate(range(0, len(chosen), HELD_OUT_BATCH)):
        part = slice(start, start + HELD_OUT_BATCH)
        index = chosen[part]
        x_0 = images.batch(index)
        yield Batch(
            x_0=x_0,
            t=times[part],
            labels=None if images.labels is None else images.labels[index],
            seed=HELD_OUT_SEED,
            step=k,
            condition=condition_of(x_0, condition_size),
        )
