"""AdamW (Loshchilov & Hutter 2019, algorithm 2)."""

from collections.abc import Iterable

import torch
from torch import nn


def adamw(
    parameters: Iterable[nn.Parameter],
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
) -> torch.optim.AdamW:
    """AdamW in one fused pass where PyTorch has one (CPU and CUDA), else by `foreach`."""
    parameters = list(parameters)
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    return torch.optim.AdamW(
        parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=fused or None
    )
