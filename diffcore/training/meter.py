"""The updates since the last line of the log: their losses, gradients and time."""

import time

import numpy as np
import numpy.typing as npt

from .stepper import Stepper, Update


class Meter:
    """Collects updates on the device, and waits for it only when asked to `settle`.

    `pending`: (updates, 2), the loss and gradient norm of those that are settled and not yet
    logged. It goes into a run's state, since the mean of an interval may span an interruption.
    """

    def __init__(self, pending: npt.NDArray[np.float64] | None = None) -> None:
        empty = np.empty((0, len(Update._fields)))
        self.pending: npt.NDArray[np.float64] = empty if pending is None else pending
        self._updates: list[Update] = []
        self._seconds, self._timed = 0.0, 0
        self._mark = time.perf_counter()

    def start(self) -> None:
        """Updates take up the time from now on."""
        self._mark = time.perf_counter()

    def add(self, update: Update) -> None:
        """Take in an update, unread."""
        self._updates.append(update)

    def settle(self, stepper: Stepper) -> tuple[int, Update] | None:
        """Read what was added. The first that is not finite: how many ago, the last being 0."""
        values = stepper.numbers(self._updates)
        self._seconds += time.perf_counter() - self._mark
        self._timed += len(values)
        self._updates = []
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            return len(values) - 1 - int(bad[0]), Update(*values[bad[0]])
        self.pending = np.concatenate([self.pending, values])
        return None

    def row(self, batch: int) -> dict[str, float]:
        """The means of all that is settled, and the speed; the next interval begins."""
        loss, norm = self.pending.mean(axis=0)
        speed = batch * self._timed / self._seconds if self._timed else 0.0
        self.pending, self._seconds, self._timed = self.pending[:0], 0.0, 0
        return {"loss": float(loss), "gradient_norm": float(norm), "images_per_second": speed}
