"""A trained network in PyTorch, read from its file."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from diffcore.training.stepper import Weights
from diffcore.training.stored import stored
from diffcore.training.trained import Trained

from .device import chosen_device
from .unet import UNet

__all__ = ["Trained", "load"]


def load(path: str | Path, *, weights: Weights = "ema", device: str = "auto") -> Trained:
    """The network at `path`, a run's folder or a checkpoint's file.

    weights: "ema", the average (the weights themselves in a checkpoint without one), or "raw".
    device: "auto" is the GPU where there is one. Raises FileNotFoundError or ValueError that names
    the file.
    """
    where = chosen_device(device)
    found, arrays = stored(path, weights)
    with torch.device("meta"):
        network = UNet(found.unet)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    network.load_state_dict(tensors, assign=True)
    network.to(device=where, dtype=torch.float32)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def array(host: npt.NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.require(host, requirements=["C", "W"])).to(where)
        return tensor.float() if tensor.is_floating_point() else tensor

    return Trained(
        unet=found.unet,
        schedule=found.schedule,
        predicts=found.predicts,
        step=found.step,
        training=found.training,
        network=network.eval().requires_grad_(False),
        array=array,
        host=lambda tensor: tensor.detach().cpu().numpy(),
        without_gradients=torch.no_grad(),
    )
