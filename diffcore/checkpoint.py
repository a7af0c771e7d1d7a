"""A trained network in one file: safetensors with JSON metadata.

Any backend reads any backend's file; NumPy and safetensors suffice. Its arrays are "weights.NAME"
and, where there is an average, "ema.NAME", for every NAME of `diffcore.unet.parameters`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import predictions, schedules
from ._tensors import Stored, dtype_code, header, read, read_metadata, write
from .predictions import Prediction
from .schedules import ContinuousSchedule, DiscreteSchedule
from .unet import UNetConfig, parameters

__all__ = ["Checkpoint", "describe", "load", "read", "read_metadata", "save", "write"]

WEIGHTS, EMA = "weights.", "ema."

_FLOATING = ("F16", "BF16", "F32", "F64")


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A network and all that it takes to sample from it."""

    unet: UNetConfig
    """The network's architecture."""
    schedule: DiscreteSchedule | ContinuousSchedule
    """The schedule that it was trained on."""
    predicts: Prediction
    """What its output is."""
    weights: Mapping[str, npt.NDArray[Any]]
    """An array for each of `unet.parameters(unet)`."""
    ema: Mapping[str, npt.NDArray[Any]] | None = None
    """The moving average of the weights, if there is one."""
    step: int = 0
    """Number of updates made."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from, as JSON can hold it: recipe, data, names of the classes, ..."""


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`, which holds the old file or the whole new one at any moment.

    Raises ValueError that names the tensor where the weights are not those of the architecture,
    and what `write` raises.
    """
    groups = {WEIGHTS: checkpoint.weights}
    if checkpoint.ema is not None:
        groups[EMA] = checkpoint.ema
    tensors = {
        prefix + name: np.asarray(array)
        for prefix, group in groups.items()
        for name, array in group.items()
    }
    stored = {name: (dtype_code(name, x), x.shape) for name, x in tensors.items()}
    _require_weights(Path(path), checkpoint.unet, stored, list(groups))
    content = {
        "unet": checkpoint.unet.to_dict(),
        "schedule": dict(checkpoint.schedule.config),
        "predicts": checkpoint.predicts.config,
        "step": checkpoint.step,
        "training": dict(checkpoint.training),
    }
    write(path, tensors, content)


def load(path: str | Path) -> Checkpoint:
    """The checkpoint at `path`; weights keep their dtype, but bfloat16 comes as float32.

    Raises ValueError that names the file where it is not a checkpoint or not whole, and the tensor
    where one is missing, unexpected or of the wrong shape; FileNotFoundError where there is none.
    """
    path = Path(path)
    tensors, content = read(path)
    unet, schedule, predicts, step, training = _understood(path, content)
    stored = {name: (dtype_code(name, x), x.shape) for name, x in tensors.items()}
    prefixes = [WEIGHTS] + [EMA] * any(name.startswith(EMA) for name in tensors)
    _require_weights(path, unet, stored, prefixes)
    groups = {
        prefix: {name: tensors[prefix + name] for name in parameters(unet)} for prefix in prefixes
    }
    return Checkpoint(
        unet=unet,
        schedule=schedule,
        predicts=predicts,
        weights=groups[WEIGHTS],
        ema=groups.get(EMA),
        step=step,
        training=training,
    )


def describe(path: str | Path) -> dict[str, Any]:
    """What the checkpoint at `path` holds, from its header alone; raises as `load` does.

    format, unet, schedule, predicts, step and training as stored; parameters: the number of
    weights; dtypes: theirs; ema: whether there is an average; bytes: the size of the file.
    """
    path = Path(path)
    head, stored = header(path)
    unet, *_ = _understood(path, head["content"])
    prefixes = [WEIGHTS] + [EMA] * any(name.startswith(EMA) for name in stored)
    _require_weights(path, unet, stored, prefixes)
    weights = [entry for name, entry in stored.items() if name.startswith(WEIGHTS)]
    return {
        "format": head["format"],
        **head["content"],
        "parameters": sum(math.prod(shape) for _, shape in weights),
        "dtypes": sorted({dtype for dtype, _ in weights}),
        "ema": EMA in prefixes,
        "bytes": path.stat().st_size,
    }


def _understood(path: Path, content: Mapping[str, Any]) -> tuple[Any, Any, Any, int, Any]:
    """The architecture, schedule, prediction, step and training that a file's metadata describe."""
    if missing := [
        k for k in ("unet", "schedule", "predicts", "step", "training") if k not in content
    ]:
        raise ValueError(f"{path}: not a checkpoint: its metadata have no {missing[0]!r}")
    try:
        return (
            UNetConfig.from_dict(content["unet"]),
            schedules.from_config(content["schedule"]),
            predictions.from_config(content["predicts"]),
            int(content["step"]),
            dict(content["training"]),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: damaged metadata: {error}") from error


def _require_weights(path: Path, unet: UNetConfig, stored: Stored, prefixes: list[str]) -> None:
    """ValueError unless `stored` has exactly the weights of `unet`, under each of `prefixes`."""
    wanted = {prefix + name: p.shape for prefix in prefixes for name, p in parameters(unet).items()}
    for name, shape in wanted.items():
        if name not in stored:
            raise ValueError(f"{path}: tensor {name!r} is missing")
        dtype, got = stored[name]
        if got != shape:
            raise ValueError(f"{path}: tensor {name!r} must have shape {shape}, has {got}")
        if dtype not in _FLOATING:
            raise ValueError(f"{path}: tensor {name!r} must be floating, is {dtype}")
    if unexpected := sorted(stored.keys() - wanted.keys()):
        raise ValueError(
            f"{path}: tensor {unexpected[0]!r} is not one of the network's"
            + (f" (nor are {len(unexpected) - 1} others)" if len(unexpected) > 1 else "")
        )
