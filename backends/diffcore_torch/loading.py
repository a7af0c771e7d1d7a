"""A trained network, read from its file and ready to denoise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffcore import checkpoint
from diffcore.denoisers import Clip, Threshold, thresholded
from diffcore.guidance import Rule, batched
from diffcore.plan import Denoise
from diffcore.predictions import Prediction
from diffcore.schedules import ContinuousSchedule, DiscreteSchedule
from diffcore.training.network_time import as_denoiser
from diffcore.training.run_folder import RunFolder
from diffcore.training.stepper import Weights
from diffcore.unet import UNetConfig

from .device import chosen_device
from .unet import UNet

CLIP = Clip()


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A network and what it was trained for; made by `load`."""

    unet: UNetConfig
    schedule: DiscreteSchedule | ContinuousSchedule
    predicts: Prediction
    step: int
    """Number of updates made."""
    training: Mapping[str, Any]
    """Where it comes from: recipe, data, names of the classes, ..."""
    network: UNet
    """In evaluation mode, without gradients."""
    device: torch.device

    def denoise(
        self,
        labels: int | Sequence[int] | Tensor | None = None,
        *,
        condition: Tensor | None = None,
        threshold: Threshold | None = CLIP,
    ) -> Denoise:
        """The network as a denoiser of float32 tensors on `device`, for `diffcore.plan.sample`.

        labels: a class for all samples or one for each, 0 .. classes - 1, or `classes` for none;
        left out, all are none. condition: (batch, condition_channels, height, width), or a batch of
        1 for all, for a network that has one. threshold: what is done to x_0; images lie in
        [-1, 1].

        Raises ValueError for a label or a condition that the network does not have.
        """
        denoise: Denoise = torch.no_grad()(
            self.differentiable(labels, condition=condition, threshold=threshold)
        )
        return denoise

    def differentiable(
        self,
        labels: int | Sequence[int] | Tensor | None = None,
        *,
        condition: Tensor | None = None,
        threshold: Threshold | None = None,
    ) -> Denoise:
        """The same, but that gradients pass from what it returns to x_t."""
        chosen = None if labels is None else _checked(labels, self.unet).to(self.device)
        if chosen is None and self.unet.classes and not self.unet.null_class:
            raise ValueError("labels must be given: the network has no null class")

        def each(n: int) -> Tensor | None:
            return chosen.expand(n) if chosen is not None and chosen.ndim == 0 else chosen

        return self._denoiser(each, condition, threshold)

    def guided(
        self,
        labels: int | Sequence[int] | Tensor,
        rule: Rule | float,
        *,
        condition: Tensor | None = None,
        threshold: Threshold | None = CLIP,
    ) -> Denoise:
        """The same, guided away from what it is without labels, at one call on a doubled batch.

        rule: of `diffcore.guidance`, or the weight w. The threshold comes after guidance.

        Raises ValueError for a network without a null class, which knows no image without a label.
        """
        if not self.unet.classes or not self.unet.null_class:
            raise ValueError("the network must have classes and a null class to be guided")
        chosen = _checked(labels, self.unet).to(self.device)

        def each(n: int) -> Tensor:
            return torch.cat(
                [chosen.expand(n // 2), torch.full_like(chosen, self.unet.classes).expand(n // 2)]
            )

        both: Denoise = torch.no_grad()(self._denoiser(each, condition, None))
        guided = batched(both, rule)
        return guided if threshold is None else thresholded(guided, threshold)

    def _denoiser(
        self,
        labels: Callable[[int], Tensor | None],
        condition: Tensor | None,
        threshold: Threshold | None,
    ) -> Denoise:
        """labels: those of a batch of so many. A condition is repeated to its length."""
        if condition is not None and not self.unet.condition_channels:
            raise ValueError("condition must be left out: the network has no condition channels")
        if condition is None and self.unet.condition_channels:
            raise ValueError("condition must be given: the network has learnt with one")
        shown = None if condition is None else condition.to(self.device, torch.float32)

        def network(x: Tensor, t: Tensor) -> Tensor:
            n = len(x)
            beside = None if shown is None else shown.repeat(n // len(shown), 1, 1, 1)
            return self.network(x, t, labels(n), beside)  # type: ignore[no-any-return]

        return as_denoiser(
            network,
            self.schedule,
            self.predicts,
            threshold=threshold,
            learned_variance=self.unet.learned_variance,
        )


def load(path: str | Path, *, weights: Weights = "ema", device: str = "auto") -> Trained:
    """The network at `path`, a run's folder or a checkpoint's file.

    weights: "ema", the average (the weights themselves in a checkpoint without one), or "raw".
    device: "auto" is the GPU where there is one. Raises FileNotFoundError or ValueError that names
    the file.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f"weights must be 'ema' or 'raw', got {weights!r}")
    where = chosen_device(device)
    path = Path(path)
    if path.is_dir():
        path = RunFolder.read(path).checkpoint
    stored = checkpoint.load(path)
    arrays = stored.ema if weights == "ema" and stored.ema is not None else stored.weights
    with torch.device("meta"):
        network = UNet(stored.unet)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    network.load_state_dict(tensors, assign=True)
    network.to(device=where, dtype=torch.float32)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Trained(
        unet=stored.unet,
        schedule=stored.schedule,
        predicts=stored.predicts,
        step=stored.step,
        training=stored.training,
        network=network.eval().requires_grad_(False),
        device=where,
    )


def _checked(labels: int | Sequence[int] | Tensor, unet: UNetConfig) -> Tensor:
    chosen = torch.as_tensor(labels)
    if not unet.classes:
        raise ValueError("labels must be left out: the network has no classes")
    if chosen.is_floating_point() or chosen.ndim > 1:
        raise ValueError(f"labels must be an integer or one for each sample, got {labels!r}")
    if chosen.numel() and not 0 <= int(chosen.min()) <= int(chosen.max()) < unet.label_rows:
        raise ValueError(
            f"labels must be in 0..{unet.classes - 1}"
            f"{f', or {unet.classes} for none' if unet.null_class else ''}; got {labels!r}"
        )
    return chosen.to(torch.int64)
