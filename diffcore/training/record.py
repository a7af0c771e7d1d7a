"""What a run writes down for people: metrics, TensorBoard, and pictures of samples."""

from collections.abc import Mapping
from pathlib import Path

from .._files import write_atomically
from .images import Float
from .metrics import MetricsLog, TensorBoard
from .pictures import encode_png, grid
from .run_folder import RunFolder
from .stepper import Weights

MOST_COLUMNS = 12


class Record:
    """The open logs of a run. `latest` holds the last value of each metric."""

    def __init__(self, run: RunFolder, *, tensorboard: bool, resume_at: int | None) -> None:
        """Begin logs, or go on with those of a run after step `resume_at`."""
        self.run = run
        self.latest: dict[str, float] = {}
        self._log = MetricsLog(run.metrics, resume_at=resume_at)
        self._board: TensorBoard | None = None
        if tensorboard:
            try:
                self._board = TensorBoard(run.tensorboard, resume_at=resume_at)
            except ImportError:
                self._board = None  # where it is not installed, there is the log

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """Log the metrics of a step; of none, nothing."""
        if not row:
            return
        self.latest |= row
        self._log.log(step, row)
        if self._board is not None:
            self._board.log(step, row)

    def grid(self, step: int, weights: Weights) -> Path:
        """Where the samples of a step are."""
        path = self.run.sample_grid(step)
        return path if weights == "ema" else path.with_name(f"{path.stem}-raw{path.suffix}")

    def draw(self, step: int, weights: Weights, samples: Float, columns: int) -> None:
        """Write a grid of samples, in so many columns where that is neither one nor many."""
        picture = grid(samples, columns if 2 <= columns <= MOST_COLUMNS else None)
        png = encode_png(picture)
        write_atomically(self.grid(step, weights), png)
        if self._board is not None:
            height, width = picture.shape[:2]
            self._board.picture(step, f"samples/{weights}", png, height, width)

    def close(self) -> None:
        self._log.close()
        if self._board is not None:
            self._board.close()
