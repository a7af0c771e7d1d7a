"""A folder of an unconditional pipeline of diffusers, and a checkpoint, each from the other.

    unet/       UNet2DModel     <->  unet, weights
    scheduler/  its config      <->  schedule, predicts

Networks there are told the step t - 1 of a discrete schedule, those trained here the time t; the
difference goes into the weights (`shifted_times`), so that each is told what it expects. On the
flow both are told 1000 t.
"""

import json
from pathlib import Path
from typing import Any, Literal

from .._files import write_atomically
from ..checkpoint import Checkpoint
from ..schedules import DiscreteSchedule
from ._source import SCHEDULER
from .network_times import shifted_times
from .predictions import prediction
from .scheduler_config import scheduler_config
from .schedules import schedule
from .unet_2d import read_unet_2d, write_unet_2d


def read_pipeline(folder: str | Path, *, image_size: int | None = None) -> Checkpoint:
    """The network, schedule and prediction type of a local pipeline's folder, as a checkpoint.

    folder: with `unet` and `scheduler` in it, or with their files side by side. The checkpoint's
    network is told times as the ones trained here are, and `checkpoint.save` writes it for any
    backend. Raises FileNotFoundError for a missing file, ValueError that names what is unsupported.
    """
    folder = Path(folder)
    place = folder / "unet" if (folder / "unet").is_dir() else folder
    unet, weights = read_unet_2d(place, image_size=image_size)
    made = schedule(folder)
    if isinstance(made, DiscreteSchedule):
        weights = shifted_times(unet, weights, -1.0)
    elif made.config["kind"] == "ve":
        raise ValueError("schedule must be one of betas, flow or edm for its network, got ve")
    return Checkpoint(
        unet=unet,
        schedule=made,
        predicts=prediction(folder),
        weights=weights,
        training={"source": folder.name},
    )


def write_pipeline(
    folder: str | Path, checkpoint: Checkpoint, *, weights: Literal["ema", "raw"] = "ema"
) -> None:
    """Write a folder that `DDPMPipeline.from_pretrained` reads and runs.

    weights: "ema", the average (the weights themselves where there is none), or "raw". Raises
    ValueError for what that pipeline cannot give a network, labels, a conditioning image or EDM's
    scaled input, and for what `unet_2d_config` and `scheduler_config` have no word for.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f"weights must be 'ema' or 'raw', got {weights!r}")
    unet = checkpoint.unet
    for name in ("classes", "condition_channels"):
        if getattr(unet, name):
            raise ValueError(f"{name} must be 0: DDPMPipeline gives a network x_t and t alone")
    described = scheduler_config(
        checkpoint.schedule, checkpoint.predicts, learned_variance=unet.learned_variance
    )
    if described["_class_name"] == "EDMEulerScheduler":
        raise ValueError("schedule must be discrete or flow: DDPMPipeline does not scale its input")
    raw = weights == "raw" or checkpoint.ema is None
    arrays: Any = checkpoint.weights if raw else checkpoint.ema
    if isinstance(checkpoint.schedule, DiscreteSchedule):
        arrays = shifted_times(unet, arrays, 1.0)
    index = {
        "_class_name": "DDPMPipeline",
        "scheduler": ["diffusers", described["_class_name"]],
        "unet": ["diffusers", "UNet2DModel"],
    }
    folder = Path(folder)
    write_unet_2d(folder / "unet", unet, arrays)
    _write_json(folder / "scheduler" / SCHEDULER, described)
    _write_json(folder / "model_index.json", index)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
