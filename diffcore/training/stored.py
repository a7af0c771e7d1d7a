"""Which network a path stands for, and which of its weights are asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .. import checkpoint
from ..checkpoint import Checkpoint
from .run_folder import RunFolder
from .stepper import Weights


class Stored(NamedTuple):
    """A checkpoint, and the weights of it that are meant, by name."""

    checkpoint: Checkpoint
    weights: Mapping[str, Any]


def stored(path: str | Path, weights: Weights) -> Stored:
    """What lies at `path`, a run's folder or a checkpoint's file.

    weights: "ema", the average (the weights themselves in a checkpoint without one), or "raw".
    Raises FileNotFoundError or ValueError that names the file.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f"weights must be 'ema' or 'raw', got {weights!r}")
    path = Path(path)
    if path.is_dir():
        path = RunFolder.read(path).checkpoint
    found = checkpoint.load(path)
    average = found.ema if weights == "ema" else None
    return Stored(found, found.weights if average is None else average)
