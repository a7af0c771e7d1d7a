"""A trained network by hand, read from its file."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from diffcore.training.stepper import Weights
from diffcore.training.stored import stored
from diffcore.training.trained import Trained

from .device import chosen_kernels, on_host
from .unet import UNet

__all__ = ["Trained", "load"]


def load(path: str | Path, *, weights: Weights = "ema", device: str = "auto") -> Trained:
    """The network at `path`, a run's folder or a checkpoint's file; any backend's.

    weights: "ema", the average (the weights themselves in a checkpoint without one), or "raw".
    device: see `device.chosen_kernels`. Raises FileNotFoundError or ValueError that names the file.
    """
    kernels = chosen_kernels(device)
    found, arrays = stored(path, weights)
    network = UNet(found.unet, kernels, np.float32)
    network.weights.write(network.weights.value, arrays)

    def array(host: npt.NDArray[Any]) -> Any:
        kind = np.float32 if host.dtype.kind == "f" else host.dtype
        return kernels.xp.asarray(host, dtype=kind)

    return Trained(
        unet=found.unet,
        schedule=found.schedule,
        predicts=found.predicts,
        step=found.step,
        training=found.training,
        network=network,
        array=array,
        host=on_host,
    )
