"""The reference backend on a device: its kernels, its network, its training, and their time.

On a GPU it runs on CuPy. On a CPU the same kernels are compiled as C++, and run on NumPy's arrays.
"""

import functools
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import host_cuda
import kernel_cases
from device_checks import CONFIGS, Row, awake, compare, distance, inputs
from diffcore.training.draws import Batch, Draws
from diffcore.training.recipe import load as load_recipe
from diffcore.training.stepper import Task
from diffcore.unet import UNetConfig
from diffcore_reference import UNet
from diffcore_reference.device import on_host
from diffcore_reference.kernels.gpu import Gpu, on_device
from diffcore_reference.stepper import ReferenceStepper
from diffcore_torch import UNet as TorchUNet
from diffcore_torch.stepper import TorchStepper

STEPS = 20


def missing(device: torch.device) -> str:
    """What the reference backend lacks to run on the device, or nothing."""
    if device.type == "cuda":
        return "" if importlib.util.find_spec("cupy") else "CuPy"
    return "" if shutil.which("g++") else "a C++ compiler, g++"


@functools.cache
def kernels_on(device: torch.device) -> Gpu:
    """The kernels of a GPU, or on a CPU the same text."""
    if device.type == "cuda":
        return on_device()
    return Gpu(np, host_cuda.compiled(Path(tempfile.mkdtemp(prefix="kernels-"))))


def kernels(device: torch.device) -> Iterator[Row]:
    """Each kernel on the device against its definition in float64, from the same numbers."""
    yield from kernel_cases.measured(kernels_on(device))


def networks(device: torch.device) -> Iterator[Row]:
    """The network on the device against PyTorch's in float64 on the CPU, of the same weights."""
    there = kernels_on(device)
    batch = 8 if device.type == "cuda" else 2
    for name, config in CONFIGS.items():
        exact = awake(TorchUNet(config)).double()
        x, t = (tensor[:batch] for tensor in inputs(config))
        y = exact(x.double(), t.double())
        weights = {name: p.detach() for name, p in exact.named_parameters()}
        slopes = torch.autograd.grad(y.square().mean(), list(exact.parameters()))
        wanted = {"output": y.detach().flatten(), "gradient": _joined(slopes)}
        for kind, bound in ((np.float32, 1e-4), (np.float64, 1e-10)):
            network = UNet(config, there, kind)
            network.weights.write(network.weights.value, weights)
            send = there.xp.asarray
            output, pull = network.run(send(x.numpy().astype(kind)), send(t.numpy().astype(kind)))
            pull(2.0 / output.size * output)
            found = network.weights.read(network.weights.gradient)
            got = {
                "output": torch.from_numpy(on_host(output).flatten()),
                "gradient": _joined([torch.from_numpy(found[k]) for k in weights]),
            }
            for part, vector in wanted.items():
                row = f"reference's {part}, {np.dtype(kind).name}, {name}"
                yield Row(row, distance(got[part], vector), bound)


def _joined(tensors: Any) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def lock_step(device: torch.device) -> Iterator[Row]:
    """A short training run, update for update, against PyTorch's in float64 on the CPU."""
    steps = STEPS if device.type == "cuda" else 6
    small = ["training.batch=16", "unet.width=16", "unet.groups=4", "unet.dropout=0.1"]
    made = load_recipe("digits", small)
    images, _ = made.data.load()
    task = Task.of(made, made.unet_config(images))
    draws = Draws(
        images=images,
        schedule=task.schedule,
        seed=made.seed,
        batch=made.training.batch,
        label_dropout=made.training.label_dropout,
        null_label=task.unet.classes,
    )

    def losses(stepper: Any) -> Any:
        return stepper.numbers([stepper.step(draws.at(k), 1e-3, 0.9) for k in range(steps)])[:, 0]

    wanted = losses(TorchStepper(task, torch.device("cpu"), torch.float64))
    for kind, bound in ((np.float32, 1e-3), (np.float64, 1e-8)):
        found = losses(ReferenceStepper(task, kernels_on(device), kind))
        error = float(np.abs(found / wanted - 1.0).max())
        yield Row(f"reference's {steps} losses, {np.dtype(kind).name}", error, bound)


def timings(device: torch.device, rounds: int) -> Iterator[tuple[str, str, str]]:
    """Forward pass and training step against PyTorch eager, both in float32 without TF32."""
    width, batch = (128, 64) if device.type == "cuda" else (16, 2)
    unet = UNetConfig(
        image_size=32, channels=3, width=width, multipliers=(1, 2, 2), attention=(16,), groups=8
    )
    task = Task.of(load_recipe("digits", ["training.precision=float32"]), unet)
    x_0 = np.random.default_rng(0).uniform(-1.0, 1.0, (batch, 3, 32, 32)).astype(np.float32)
    update = Batch(x_0=x_0, t=1 + np.arange(batch) % 100, labels=None, seed=0, step=0)
    here, there = ReferenceStepper(task, kernels_on(device)), TorchStepper(task, device)
    for name, call in {
        "forward pass": lambda stepper: stepper.losses(update, "raw"),
        "training step": lambda stepper: stepper.step(update, 1e-4, 0.9),
    }.items():
        ours = f"reference's {name}, batch {batch}, 32x32x3, width {width}"
        peer = "PyTorch eager's, float32"
        calls = {ours: functools.partial(call, here), peer: functools.partial(call, there)}
        yield compare(device, rounds, ours, peer, calls)
