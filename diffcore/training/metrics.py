"""The log of a run: `metrics.jsonl`, one JSON object a line, and TensorBoard beside it.

A line is {"step": 100, "loss": 0.031, ...}. It is written by one call, so that a killed run leaves
at most one partial line, its last. JSON has no word for infinities and NaN: they are the strings
"inf", "-inf" and "nan", and read back as the floats.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .._files import write_atomically
from .._optional import optional

NON_FINITE = ("nan", "inf", "-inf")


class Column(NamedTuple):
    """One quantity over a run: the steps at which it was logged, int64, and its values, float64."""

    step: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


class Writer(Protocol):
    """Where metrics go."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class MetricsLog:
    """An append-only `metrics.jsonl`. Every line is on its way to the disk when `log` returns."""

    def __init__(self, path: Path, *, resume_at: int | None = None) -> None:
        """Begin an empty file, or go on with one after step `resume_at`.

        Lines past that step, and a partial last line, are cut off: the run will log them again.
        Raises FileExistsError where a new log would write over an old one, and ValueError that
        names the file and line where an old one cannot be read.
        """
        if resume_at is not None:
            kept = [json.dumps(row) + "\n" for row in _rows(path) if row["step"] <= resume_at]
            write_atomically(path, "".join(kept).encode())
        elif path.exists() and path.stat().st_size:
            raise FileExistsError(f"{path} exists already")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line of numbers, or arrays of one number; TypeError names what is neither."""
        row: dict[str, float | str] = {"step": int(step)}
        for name, value in values.items():
            if name == "step":
                raise ValueError("values must not hold 'step', which is the line's own")
            row[name] = _encoded(name, value)
        self._file.write((json.dumps(row, allow_nan=False) + "\n").encode())

    def close(self) -> None:
        if not self._file.closed:
            os.fsync(self._file.fileno())
        self._file.close()


class TensorBoard:
    """TensorBoard's event files, written by the `tensorboard` package alone."""

    def __init__(self, folder: Path, *, resume_at: int | None = None) -> None:
        """Begin an event file; with `resume_at`, TensorBoard forgets what it had past that step."""
        self._event = optional("tensorboard.compat.proto.event_pb2", "tensorboard")
        self._summary = optional("tensorboard.compat.proto.summary_pb2", "tensorboard").Summary
        files = optional("tensorboard.summary.writer.event_file_writer", "tensorboard")
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = files.EventFileWriter(str(folder))
        if resume_at is not None:
            start = self._event.SessionLog(status=self._event.SessionLog.START)
            self._add(resume_at + 1, session_log=start)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add scalars; a name "train/loss" is shown in the group "train"."""
        scalars = [
            self._summary.Value(tag=name, simple_value=float(value))
            for name, value in values.items()
        ]
        self._add(step, summary=self._summary(value=scalars))

    def picture(self, step: int, name: str, png: bytes, height: int, width: int) -> None:
        """Add a picture, given as an encoded PNG."""
        image = self._summary.Image(
            encoded_image_string=png, height=height, width=width, colorspace=3
        )
        self._add(step, summary=self._summary(value=[self._summary.Value(tag=name, image=image)]))

    def close(self) -> None:
        self._writer.close()

    def _add(self, step: int, **content: Any) -> None:
        self._writer.add_event(self._event.Event(step=step, wall_time=time.time(), **content))
        self._writer.flush()


def read(path: Path) -> dict[str, Column]:
    """Every quantity of a log by its name, in order of steps; a partial last line is left out."""
    rows: dict[str, list[tuple[int, float]]] = {}
    for row in _rows(path):
        for name, value in row.items():
            if name != "step":
                rows.setdefault(name, []).append((row["step"], float(value)))
    return {
        name: Column(np.array([s for s, _ in pairs], np.int64), np.array([v for _, v in pairs]))
        for name, pairs in rows.items()
    }


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log; one that is not a line of metrics raises, unless it is a partial last."""
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # a whole line ends in a newline
        try:
            row = json.loads(line)
            if type(row["step"]) is not int or not all(map(_is_number, row.values())):
                raise ValueError("no line of metrics")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: cannot be read: {line[:80]!r}") from error
        yield row


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or value in NON_FINITE


def _encoded(name: str, value: Any) -> float | str:
    try:
        number = value if type(value) is int else float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    return number if math.isfinite(number) else str(number)
