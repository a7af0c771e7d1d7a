"""What the checks and timings of a device are made of: a row, networks, distances, ratios."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from diffcore.unet import UNetConfig
from diffcore_torch import UNet
from timing import ratio, seconds


class Row(NamedTuple):
    """One check: what, its error, and the most that it may be."""

    name: str
    error: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the error is within the bound; NaN is not."""
        return self.error <= self.bound


CONFIGS = {
    "attention, labels": UNetConfig(
        image_size=16, channels=3, width=64, multipliers=(1, 2), attention=(8,), heads=4, classes=5
    ),
    "scale-shift, residual resampling": UNetConfig(
        image_size=16,
        channels=1,
        width=64,
        multipliers=(1, 2, 2),
        scale_shift=True,
        resample="residual",
        learned_variance=True,
    ),
}


def awake(network: UNet) -> UNet:
    """`network` with its layers of zeros drawn too, so that every branch has a say."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in network.parameters():
            if not p.any():
                p.normal_(0.0, 0.05, generator=generator)
    return network


def inputs(config: UNetConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight images of 16 x 16 and their times, float32 on the CPU."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((8, config.channels, 16, 16), generator=generator)
    return x, torch.rand(8, generator=generator) * 1000


def distance(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """|got - wanted| / |wanted|, in the Euclidean norm."""
    return float((got.cpu().double() - wanted).norm() / wanted.norm())


def compare(
    device: torch.device, rounds: int, ours: str, peer: str, calls: dict[str, Callable[[], object]]
) -> tuple[str, str, str]:
    """(what, time against its peer, milliseconds), with the device's queue drained each time."""

    def drained(call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()  # of all libraries: CuPy's queue is the device's too

        return run

    readings = seconds({name: drained(call) for name, call in calls.items()}, rounds)
    middle, least, greatest = ratio(readings[ours], readings[peer])
    shown = f"{middle:.2f} ({least:.2f} to {greatest:.2f}) of {peer}"
    return ours, shown, f"{1e3 * min(readings[ours]):.2f}"
