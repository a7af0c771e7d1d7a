"""diffusers' `UNet2DModel` and our UNet: one network under two sets of names.

    down.3, middle.0, up.7   down_blocks.1.resnets.0, mid_block.resnets.0, up_blocks.2.resnets.1
    qkv                      to_q, to_k, to_v, one above the other

A folder holds `config.json` and `diffusion_pytorch_model.safetensors`. NumPy and safetensors are
enough: diffusers itself is not imported.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .._files import write_atomically
from .._optional import optional
from .._tensors import read_arrays
from ..unet import Block, UNetConfig, layout
from ._source import read_json
from .unet_2d_config import unet_2d_config, unet_config
from .weights import Layers, Weights, ours, theirs

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"

RESIDUAL = {
    "norm_1": "norm1",
    "conv_1": "conv1",
    "embedding": "time_emb_proj",
    "norm_2": "norm2",
    "conv_2": "conv2",
    "shortcut": "conv_shortcut",
    "conv": "conv",
}
ATTENTION = {"norm": ("group_norm",), "qkv": ("to_q", "to_k", "to_v"), "out": ("to_out.0",)}
FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What the layers of attention were called in files before 2023."""


def read_unet_2d(
    folder: str | Path,
    *,
    image_size: int | None = None,
    condition_channels: int | None = None,
    null_class: bool = False,
) -> tuple[UNetConfig, Weights]:
    """(config, weights) of the `UNet2DModel` in a local folder.

    weights: NumPy float32 arrays by the names of `diffcore.unet.parameters`, for any backend. The
    network is the same function: of a time that it counts as theirs does, see `shifted_times`. The
    other arguments are those of `unet_config`.

    Raises FileNotFoundError where a file is missing, ValueError that names the option that
    `UNetConfig` lacks, or the tensor that does not fit.
    """
    folder = Path(folder)
    config = unet_config(
        read_json(folder / CONFIG),
        image_size=image_size,
        condition_channels=condition_channels,
        null_class=null_class,
    )
    path = folder / WEIGHTS
    if not path.is_file():
        there = sorted(p.name for p in folder.glob("diffusion_pytorch_model*"))
        raise FileNotFoundError(
            f"{path}: no such file; what is read is one whole file of the safetensors format"
            + (f", the folder holds {', '.join(there)}" if there else "")
        )
    return config, from_unet_2d(config, read_arrays(path))


def write_unet_2d(folder: str | Path, config: UNetConfig, weights: Mapping[str, Any]) -> None:
    """Write a network as a folder that `UNet2DModel.from_pretrained` reads.

    Raises ValueError that names the field of `config` which `UNet2DModel` has no option for, or the
    weight that does not fit.
    """
    safetensors = optional("safetensors.numpy", "checkpoint")
    described = unet_2d_config(config)
    state = to_unet_2d(config, weights)
    data = safetensors.save(state, metadata={"format": "pt"})
    write_atomically(Path(folder) / WEIGHTS, data)
    text = json.dumps(described, indent=2, sort_keys=True) + "\n"
    write_atomically(Path(folder) / CONFIG, text.encode())


def from_unet_2d(config: UNetConfig, state: Mapping[str, Any]) -> Weights:
    """The weights by our names from those of the `UNet2DModel` that is `config`'s network.

    state: its state dict, arrays of any library. Raises ValueError that names the tensor.
    """
    return ours(config, {_today(name): x for name, x in state.items()}, layers(config))


def to_unet_2d(config: UNetConfig, weights: Mapping[str, Any]) -> Weights:
    """The inverse of `from_unet_2d`. Raises ValueError that names the weight."""
    return theirs(config, weights, layers(config))


def layers(config: UNetConfig) -> Layers:
    """The layers of the `UNet2DModel` that are each layer of ours."""
    made: dict[str, tuple[str, ...]] = {
        "time_1": ("time_embedding.linear_1",),
        "time_2": ("time_embedding.linear_2",),
        "labels": ("class_embedding",),
        "input": ("conv_in",),
        "norm": ("conv_norm_out",),
        "output": ("conv_out",),
    }
    for name, residual, attention in _places(config):
        made |= {f"{name}.{part}": (f"{residual}.{its}",) for part, its in RESIDUAL.items()}
        made |= {
            f"{name}.attention.{part}": tuple(f"{attention}.{its}" for its in parts)
            for part, parts in ATTENTION.items()
        }
    return made


def _places(config: UNetConfig) -> Iterator[tuple[str, str, str]]:
    """(our block, their residual block or convolution, their attention)."""
    blocks = layout(config)
    yield from _levels("down", blocks.down)
    for i, block in enumerate(blocks.middle):
        yield block.name, f"mid_block.resnets.{i}", f"mid_block.attentions.{i}"
    yield from _levels("up", blocks.up)


def _levels(way: str, blocks: tuple[Block, ...]) -> Iterator[tuple[str, str, str]]:
    level = index = 0
    for block in blocks:
        here = f"{way}_blocks.{level}"
        if block.resample:
            yield block.name, f"{here}.{way}samplers.0", ""
            level, index = level + 1, 0
        else:
            yield block.name, f"{here}.resnets.{index}", f"{here}.attentions.{index}"
            index += 1


def _today(name: str) -> str:
    """A tensor's name today."""
    layer, _, kind = name.rpartition(".")
    head, _, last = layer.rpartition(".")
    known = ".attentions." in name and last in FORMER
    return f"{head}.{FORMER[last]}.{kind}" if known else name
