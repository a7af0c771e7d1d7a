"""One evaluation of a target's loss, with a network whose error is known.

The network answers with the target of its prediction, p x_0 + q eps, plus an error of ours, and
notes what it is shown and told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..._arrays import Host, to_host
from ...predictions import Prediction
from ...schedules import ContinuousSchedule, DiscreteSchedule, Schedule
from ..script import normals
from ..subject import Loss, Subject

PIXELS = (2, 3, 2)
"""The shape of a sample of rank 4: no two neighbouring axes are alike."""


@dataclass(kw_only=True)
class Trial:
    """x_0, eps and the network's error of a batch of samples at `times`; float64 host arrays.

    drawn: whether the loss is left to draw eps itself. It then gets that of the trial, in its first
    draw, and other numbers in any further one.
    """

    subject: Subject
    loss: Loss
    schedule: Schedule
    times: Sequence[float]
    x_0: Host
    eps: Host
    error: Host
    predicts: Prediction
    drawn: bool = False
    dtype: str = "float64"
    states: list[Host] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    draws: int = 0

    def run(self, *, track: bool = False) -> Any:
        """What the loss returns, native. track: whether to ask for gradients at the outputs."""

        def network(x_t: Any, times: Sequence[float]) -> Any:
            out = self.subject.make(self._answer(x_t, times), self.dtype)
            if track:
                out.requires_grad_(True)
                self.outputs.append(out)
            return out

        def script(k: int, shape: tuple[int, ...]) -> Host:
            if k == 0 and self.drawn and shape == self.eps.shape:
                return self.eps
            bits = np.random.PCG64((self.subject.seed, 1 + k))  # default_rng is scripted here.
            return np.random.Generator(bits).standard_normal(shape)

        make = self.subject.make
        with normals(script) as drawn:
            eps = None if self.drawn else make(self.eps, self.dtype)
            found = self.loss.of(network, make(self.x_0, self.dtype), tuple(self.times), eps)
        self.draws = len(drawn.shapes)
        return found

    def values(self) -> Host:
        """What the loss returns, as float64."""
        return np.asarray(to_host(self.run()), dtype=np.float64)

    def target(self, times: Sequence[float], rows: Any = slice(None)) -> Host:
        """p x_0 + q eps of these rows at these times."""
        t = np.asarray(times)
        if isinstance(self.schedule, DiscreteSchedule):
            t = np.clip(np.rint(t), 1, self.schedule.T).astype(np.int64)
        return self.predicts.target(self.schedule, self.x_0[rows], t, self.eps[rows])

    def _answer(self, x_t: Any, times: Sequence[float]) -> Host:
        # A loss may go through the batch in parts.
        rows = (len(self.told) + np.arange(len(x_t))) % len(self.x_0)
        self.states += list(np.asarray(to_host(x_t), dtype=np.float64))
        self.told += [float(t) for t in times]
        return self.target(times, rows) + self.error[rows]


def losses(subject: Subject, kind: str) -> list[tuple[str, Loss]]:
    """The target's losses of that kind, by label."""
    return [
        (name, loss if isinstance(loss, Loss) else Loss(of=loss))
        for name, loss in subject.losses.items()
        if name.replace(",", " ").split()[0] == kind
    ]


def spread(schedule: Schedule) -> tuple[float, ...]:
    """Times to try: both ends, their neighbours, and some between."""
    if isinstance(schedule, ContinuousSchedule):
        return tuple(float(f * schedule.curve.t_max) for f in (0.02, 0.1, 0.4, 0.7, 0.95))
    assert isinstance(schedule, DiscreteSchedule)
    T = schedule.T
    return tuple(sorted({t for t in (1, 2, 3, T // 3, T // 2, T - 1, T) if 1 <= t <= T}))


def trial(
    subject: Subject,
    loss: Loss,
    times: Sequence[float],
    *,
    scale: float = 0.0,
    drawn: bool = False,
    predicts: Prediction | None = None,
) -> Trial:
    """A trial with random x_0 and eps, and errors of about `scale`, another for each sample."""
    assert subject.schedule is not None
    shape = (len(times), *PIXELS[: max(subject.ranks[0] - 1, 0)])
    rng = np.random.default_rng((subject.seed, len(times)))
    x_0, eps = rng.uniform(-1.0, 1.0, shape), rng.standard_normal(shape)
    # Its mean is not 0, nor its square's mean one for all samples.
    error = scale * (0.5 + rng.uniform(0.0, 1.0, shape))
    error = error * np.reshape(1.0 + np.arange(len(times)), (-1, *(1,) * (len(shape) - 1)))
    return Trial(
        subject=subject,
        loss=loss,
        schedule=subject.schedule,
        times=times,
        x_0=x_0,
        eps=eps,
        error=error,
        predicts=predicts or loss.predicts,
        drawn=drawn,
        dtype=subject.dtypes[-1],
    )
