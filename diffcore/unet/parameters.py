"""The weights of the UNet: names, shapes, and the distributions they start from.

    w ~ U[-a, a),   a = sqrt(6 / (fan_in + fan_out)),   b = 0

as in DDPM's code: the variance is 1 over the mean of the two fans (Glorot & Bengio 2010,
https://proceedings.mlr.press/v9/glorot10a.html), and every branch ends in a layer of zeros.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .config import UNetConfig
from .layout import Residual, layout


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A weight and its initial distribution.

    - "uniform": on [-scale, scale), with scale = sqrt(6 / ((in + out) prod(kernel))) for a weight
      of shape (out, in, *kernel); for `qkv`, each of the three projections counts as its own layer.
    - "normal": mean 0, standard deviation `scale`.
    - "zeros", "ones": constant; `scale` is 0.
    """

    name: str
    shape: tuple[int, ...]
    init: Literal["uniform", "normal", "zeros", "ones"]
    scale: float = 0.0


def parameters(config: UNetConfig) -> dict[str, Parameter]:
    """Every weight by name, in the order in which a backend draws their initial values.

    Convolutions are (out, in, height, width), linear layers (out, in), the label table
    (rows, embedding width); biases and normalisations are (channels,). conv_2 of each residual
    block, attention's `out` and the output convolution start as zeros, so the network's first
    output is exactly 0.
    """
    return {p.name: p for p in _parameters(config)}


def count(config: UNetConfig) -> int:
    """Number of trainable values."""
    return sum(math.prod(p.shape) for p in _parameters(config))


def _parameters(config: UNetConfig) -> Iterator[Parameter]:
    first, embedding = config.widths[0], config.embedding_width
    yield from _affine("time_1", embedding, config.width)
    yield from _affine("time_2", embedding, embedding)
    if config.label_rows:
        shape = (config.label_rows, embedding)
        yield Parameter(name="labels.weight", shape=shape, init="normal", scale=1.0)
    yield from _affine("input", first, config.in_channels, 3, 3)
    for block in layout(config):
        if isinstance(block, Residual):
            yield from _residual(block, embedding, config.scale_shift)
        else:
            yield from _affine(f"{block.name}.conv", block.channels, block.channels, 3, 3)
    yield from _norm("norm", first)
    yield from _affine("output", config.out_channels, first, 3, 3, zero=True)


def _residual(block: Residual, embedding: int, scale_shift: bool) -> Iterator[Parameter]:
    name, out = block.name, block.out_channels
    entering = block.in_channels + block.skip_channels
    yield from _norm(f"{name}.norm_1", entering)
    yield from _affine(f"{name}.conv_1", out, entering, 3, 3)
    yield from _affine(f"{name}.embedding", 2 * out if scale_shift else out, embedding)
    yield from _norm(f"{name}.norm_2", out)
    yield from _affine(f"{name}.conv_2", out, out, 3, 3, zero=True)
    if entering != out:
        yield from _affine(f"{name}.shortcut", out, entering, 1, 1)
    if block.heads:
        yield from _norm(f"{name}.attention.norm", out)
        yield from _affine(f"{name}.attention.qkv", 3 * out, out, fan_out=out)
        yield from _affine(f"{name}.attention.out", out, out, zero=True)


def _affine(
    name: str, out: int, entering: int, *kernel: int, fan_out: int = 0, zero: bool = False
) -> Iterator[Parameter]:
    shape = (out, entering, *kernel)
    if zero:
        yield Parameter(name=f"{name}.weight", shape=shape, init="zeros")
    else:
        scale = math.sqrt(6.0 / ((entering + (fan_out or out)) * math.prod(kernel)))
        yield Parameter(name=f"{name}.weight", shape=shape, init="uniform", scale=scale)
    yield Parameter(name=f"{name}.bias", shape=(out,), init="zeros")


def _norm(name: str, channels: int) -> Iterator[Parameter]:
    yield Parameter(name=f"{name}.weight", shape=(channels,), init="ones")
    yield Parameter(name=f"{name}.bias", shape=(channels,), init="zeros")
