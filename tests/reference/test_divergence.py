"""v^T dx_0/dx_t by hand: as PyTorch's, and as differences of the denoiser itself, in float64."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from commands import ANIMALS, write_checkpoint

from diffcore import checkpoint, likelihood, predictions, schedules
from diffcore.predictions import Prediction
from diffcore.training.trained import Trained
from diffcore_reference import UNet, loading
from diffcore_reference import divergence as by_hand
from diffcore_reference.kernels.arrays import Arrays
from diffcore_torch import divergence as by_autograd
from diffcore_torch.loading import load as load_torch

DEEP = {"attention": (4,), "middle_attention": True, "heads": 2}
CASES: dict[str, tuple[Any, Prediction, dict[str, Any], float]] = {
    "v": (schedules.cosine(20), predictions.V, DEEP, 7),
    "eps": (schedules.linear(20), predictions.EPS, {}, 20),
    "x_0": (schedules.linear(20), predictions.X_0, {}, 1),
    "a respaced schedule": (
        schedules.respace(schedules.cosine(1000), (10, 500, 900)),
        predictions.V,
        {},
        2,
    ),
    "EDM": (schedules.edm(), predictions.Edm(0.5), {}, 1.5),
    "EDM on the flow": (schedules.flow(), predictions.Edm(0.5), {}, 0.4),
    "velocity": (schedules.flow(), predictions.VELOCITY, {"scale_shift": True}, 0.9),
    "learned variance": (schedules.cosine(20), predictions.V, {"learned_variance": True}, 5),
    "labels": (schedules.cosine(20), predictions.V, {"classes": ANIMALS, **DEEP}, 12),
    "a condition": (schedules.cosine(20), predictions.V, {"condition_channels": 1}, 9),
}


def pair(folder: Path, name: str) -> tuple[Trained, Trained]:
    """One network in both backends, in float64."""
    schedule, predicts, options, _ = CASES[name]
    path = write_checkpoint(folder / "net.safetensors", **options)
    checkpoint.save(
        path, replace(checkpoint.load(path), schedule=schedule, predicts=predicts, ema=None)
    )
    here = loading.load(path, device="cpu")
    network = UNet(here.unet, Arrays(np), np.float64)
    network.weights.value[...] = here.network.weights.value
    there = load_torch(path, device="cpu")

    def tensor(host: Any) -> Any:
        host = np.array(host)
        return torch.from_numpy(host.astype(np.float64) if host.dtype.kind == "f" else host)

    return (
        replace(here, network=network, array=lambda host: host),
        replace(there, network=there.network.double(), array=tensor),
    )


@pytest.mark.parametrize("name", CASES)
def test_products_are_autograds_and_the_trace_is_that_of_differences(
    name: str, tmp_path: Path
) -> None:
    here, there = pair(tmp_path, name)
    t = CASES[name][3]
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, 3, 1, 4, 4))
    labels = np.array([2, 0, 3]) if here.unet.classes else None
    shown = rng.standard_normal((3, 1, 4, 4)) if here.unet.condition_channels else None
    of_hand = by_hand.pullback(here, labels, shown)
    of_autograd = by_autograd.pullback(there, labels, shown)
    x_0, vjp = of_hand(x, t)
    wanted_x_0, wanted_vjp = of_autograd(torch.from_numpy(x), t)
    close(x_0, wanted_x_0.numpy(), 1e-12)
    for vector in (v, v[::-1].copy()):  # asked again, it says the same
        close(vjp(vector), wanted_vjp(torch.from_numpy(vector)).numpy(), 1e-10)

    # Without a backward pass: the denoiser's own differences along every pixel of every sample.
    each = None if labels is None else np.repeat(labels, 16)
    beside = None if shown is None else np.repeat(shown, 16, axis=0)
    denoise, h = here.differentiable(each, condition=beside), 1e-3
    ways = np.tile(h * np.eye(16), (3, 1)).reshape(48, 1, 4, 4)
    ends = {}
    for k in (-2, -1, 1, 2):
        moved = np.repeat(x, 16, axis=0) + k * ways
        ends[k] = value(denoise(moved, t)).reshape(3, 16, 16).trace(axis1=1, axis2=2)
    trace = (8 * (ends[1] - ends[-1]) - (ends[2] - ends[-2])) / (12 * h)
    again, found = likelihood.exact_divergence(of_hand)(x, t)
    close(again, x_0, 1e-12)
    close(found, trace, 1e-7)
    if name == "EDM":
        wrong = replace(here, predicts=predictions.Edm(0.6))
        _, other = likelihood.exact_divergence(by_hand.pullback(wrong))(x, t)
        assert np.abs(other - trace).max() > 1e-4 * np.abs(trace).max()


def value(output: Any) -> Any:
    return getattr(output, "x_0", output)


def close(found: Any, wanted: Any, bound: float) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= bound * np.abs(wanted).max()


def test_labels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    here, _ = pair(tmp_path, "labels")
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2"):
        by_hand.pullback(here, 4)(np.zeros((1, 1, 4, 4)), 3)
