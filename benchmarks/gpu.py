"""Checks and times all GPU code in one run of less than ten minutes.

    python benchmarks/gpu.py                    on an NVIDIA GPU, with results/gpu.md written
    python benchmarks/gpu.py --device cpu       the same checks in small, on a CPU, nothing written

Checks, held to stated bounds: the identities on PyTorch's device arrays and on CuPy; the portable
noise bit for bit; the UNet, forward and gradients, against float64 on the CPU, and compiled whole;
a short training run against the same one on the CPU; resuming; every kernel of the reference
backend, its network and its training. Exit status 1 if any fails.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import gpu_reference
from device_checks import CONFIGS, Row, awake, compare, distance, inputs
from diffcore import noise, plan, predictions, samplers, schedules, times, verify
from diffcore.denoisers import denoiser
from diffcore.training import metrics
from diffcore.training.recipe import load as load_recipe
from diffcore.training.run_folder import RunFolder
from diffcore.unet import UNetConfig
from diffcore_torch import UNet
from diffcore_torch.noise import DeviceNoise
from diffcore_torch.training import fit
from timing import RESULTS, markdown, recipe


def identities(device: torch.device) -> Iterator[Row]:
    """The table of identities on every GPU array library that is here."""
    likes = {
        f"torch {dtype}".replace("torch.", ""): torch.zeros(1, dtype=dtype, device=device)
        for dtype in (torch.float64, torch.float32)
    }
    if device.type == "cuda" and importlib.util.find_spec("cupy"):
        likes["cupy"] = verify.example("cupy")
    for name, like in likes.items():
        for row in verify.measure(like, name):
            yield Row(f"{row.identity}, {name}", row.error, row.bound)


def noise_bits(device: torch.device) -> Iterator[Row]:
    """The noise that training draws on the device is the portable one."""
    host = noise.portable(3)(np.zeros((5, 3, 9), dtype=np.float32), 11)
    like = torch.zeros((5, 3, 9), device=device)
    for name, got in (
        ("portable", noise.portable(3)(like, 11)),
        ("training's", DeviceNoise(device).drawn_there(3, like, 11)),
    ):
        yield Row(f"bits of the {name} noise", float(np.abs(got.cpu().numpy() - host).max()), 0.0)


def networks(device: torch.device) -> Iterator[Row]:
    """The UNet in float32 on the device against float64 on the CPU, from one set of weights."""
    for name, config in CONFIGS.items():
        exact = awake(UNet(config)).double()
        network = UNet(config)
        network.load_state_dict(exact.state_dict())
        network = network.to(device, memory_format=torch.channels_last)
        x, t = inputs(config)
        wanted = forward_and_gradient(exact, x.double(), t.double())
        got = forward_and_gradient(network, x.to(device), t.to(device))
        for part, g, w in zip(("output", "gradient"), got, wanted, strict=True):
            yield Row(f"UNet's {part}, {name}", distance(g, w), 1e-4)
        backend = "inductor" if device.type == "cuda" else "aot_eager"
        compiled = torch.compile(network, fullgraph=True, backend=backend)
        output = compiled(x.to(device), t.to(device)).detach()
        yield Row(f"UNet compiled whole, {name}", distance(output.flatten(), wanted[0]), 1e-4)
        with torch.autocast(device.type, torch.bfloat16):
            output = network(x.to(device), t.to(device)).detach()
        yield Row(f"UNet in bfloat16, {name}", distance(output.flatten(), wanted[0]), 0.05)


def forward_and_gradient(
    network: UNet, x: torch.Tensor, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The output, and the gradient of its mean square, each as one vector."""
    output = network(x, t)
    gradients = torch.autograd.grad(output.square().mean(), list(network.parameters()))
    return output.detach().flatten(), torch.cat([g.flatten() for g in gradients])


def training(device: torch.device) -> Iterator[Row]:
    """Thirty updates of the demo's recipe follow the CPU's loss; so do fifteen, and a resumed rest.

    In float32 throughout. Sums in another order move the losses apart, a little more every step.
    """
    short = load_recipe(
        "digits",
        [
            "training.steps=30",
            "training.precision=float32",
            "evaluation.log_every=1",
            "evaluation.loss_every=0",
            "evaluation.samples_every=0",
            "evaluation.checkpoint_every=15",
            "evaluation.tensorboard=false",
        ],
    )
    half = replace(short, training=replace(short.training, steps=15))

    def losses(folder: Path, where: str, parts: tuple) -> np.ndarray:
        for k, part in enumerate(parts):
            with RunFolder.create(folder) if k == 0 else RunFolder.resume(folder) as run:
                fit(part, run, resume=k > 0, device=where, progress=False)
        return metrics.read(folder / "metrics.jsonl")["loss"].value

    constant = replace(short, training=replace(short.training, decay="constant"))
    halves = (replace(half, training=replace(half.training, decay="constant")), constant)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        here = losses(root / "cpu", "cpu", (constant,))
        there = losses(root / "device", str(device), (constant,))
        again = losses(root / "resumed", str(device), halves)
    yield Row("30 losses against the CPU's", float(np.abs(there / here - 1.0).max()), 1e-3)
    yield Row("30 losses, stopped and resumed", float(np.abs(again / there - 1.0).max()), 1e-5)


def timings(device: torch.device, rounds: int) -> Iterator[tuple[str, str, str]]:
    """(what, time against its peer, milliseconds), with the device's queue drained each time."""

    big = device.type == "cuda"
    shape = (128, 3, 32, 32) if big else (4, 3, 32, 32)
    x = torch.randn(shape, device=device)
    portable, native = DeviceNoise(device), lambda: torch.randn_like(x)
    yield compare(
        device,
        rounds,
        "portable noise",
        "torch.randn",
        {"portable noise": lambda: portable.drawn_there(0, x, 1)} | {"torch.randn": native},
    )
    schedule = schedules.linear()
    grid = times.trailing(schedule, 50)
    made = samplers.ddim(schedule, grid)
    free = denoiser(lambda x, t: x, schedule, predictions.EPS)
    levels = [
        (*schedule(t), *stage.x, *stage.m) for t, stage in zip(grid, made.stages, strict=False)
    ]

    def by_hand() -> torch.Tensor:
        state = x
        for alpha, sigma, at_x, at_m in levels:
            x_0 = (state - sigma * state) / alpha
            state = at_x * state + at_m * x_0
        return state

    yield compare(
        device,
        rounds,
        "50 DDIM steps",
        "the same written out",
        {"50 DDIM steps": lambda: plan.sample(free, made, x), "the same written out": by_hand},
    )
    width = 128 if big else 32
    config = UNetConfig(
        image_size=32, channels=3, width=width, multipliers=(1, 2, 2, 2), attention=(16,)
    )
    network = awake(UNet(config)).to(device, memory_format=torch.channels_last)
    t = torch.full(shape[:1], 500.0, device=device)
    x = x.contiguous(memory_format=torch.channels_last)

    def update(module: Callable, half: bool) -> Callable[[], None]:
        def call() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = module(x, t).float().square().mean()
            loss.backward()
            network.zero_grad(set_to_none=True)

        return call

    calls = {"UNet forward and backward, float32": update(network, False)}
    if importlib.util.find_spec("diffusers"):
        calls["diffusers' UNet2DModel"] = update(diffusers_unet(width).to(device), False)
        yield compare(device, rounds, *calls, calls)
    eager = "UNet forward and backward, float32"
    half, whole = "the same in bfloat16", "the same in bfloat16, compiled"
    calls = {eager: calls[eager], half: update(network, True)}
    if big:
        calls[whole] = update(torch.compile(network, fullgraph=True), True)
    for name in list(calls)[1:]:
        yield compare(device, rounds, name, eager, {name: calls[name], eager: calls[eager]})


def diffusers_unet(width: int) -> Callable:
    """The same network by diffusers."""
    from diffusers import UNet2DModel

    down = ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D")
    up = ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    model = UNet2DModel(
        sample_size=32,
        block_out_channels=(width, 2 * width, 2 * width, 2 * width),
        layers_per_block=2,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=None,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        norm_eps=1e-6,
    )

    class Output(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return model(x, t).sample

    return Output().to(memory_format=torch.channels_last)


def main() -> int:
    """Check, time, print, and on a GPU write results/gpu.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("gpu.py: error: no CUDA device here; --device cpu runs it in small", file=sys.stderr)
        return 2
    device = torch.device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rows = []
    parts = [identities, noise_bits, networks, training]
    lacking = gpu_reference.missing(device)
    if lacking:
        print(f"the reference backend is left out, for want of {lacking}", flush=True)
    else:
        parts += [gpu_reference.kernels, gpu_reference.networks, gpu_reference.lock_step]
    for part in parts:
        for row in part(device):
            rows.append(row)
            verdict = "holds" if row.holds else "FAILS"
            print(f"{row.name:52} {row.error:9.1e} <= {row.bound:.1e}  {verdict}", flush=True)
    timed = [] if lacking else list(gpu_reference.timings(device, args.rounds))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    timed += timings(device, args.rounds)
    text = markdown(("what", "time", "milliseconds"), timed)
    text += "\n\n" + recipe(("torch", "cupy-cuda13x", "diffusers", "numpy"), args.rounds)
    if device.type == "cuda":
        text += (
            f" {torch.cuda.get_device_name()}, TF32 allowed in the timings but the reference's.\n"
        )
        checks = [(r.name, f"{r.error:.1e}", f"{r.bound:.1e}", str(r.holds)) for r in rows]
        table = markdown(("check", "error", "bound", "holds"), checks)
        (RESULTS / "gpu.md").write_text(f"# On a GPU\n\n{text}\n{table}\n")
    print("\n" + text)
    failed = [row.name for row in rows if not row.holds]
    print(
        f"{len(rows) - len(failed)} of {len(rows)} hold" + "".join(f"\nFAILS: {n}" for n in failed)
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
