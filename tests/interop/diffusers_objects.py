"""The published schedulers and networks that interop is held against."""

import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")


def scheduler(name: str, arguments: dict[str, Any]) -> Any:
    """A scheduler of that class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(diffusers, name)(**arguments)


def unet_2d(**config: Any) -> Any:
    """A `UNet2DModel` with random weights, nowhere zero, that keep activations of order 1."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = diffusers.UNet2DModel(**{**SMALL, **config}).eval()
    scatter(torch, model)
    return model


SMALL: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
}


def scatter(torch: Any, model: Any, seed: int = 0) -> None:
    """Random weights from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim > 1:
                p.copy_(noise * p[0].numel() ** -0.5)
            else:
                p.copy_(0.3 * noise + (1.0 if "norm" in name and "weight" in name else 0.0))
