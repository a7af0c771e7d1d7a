"""AdamW (Loshchilov & Hutter 2019, algorithm 2), its learning rate, and gradient clipping."""

import math
from collections.abc import Iterable

import torch
from torch import nn


def learning_rate(
    step: int, peak: float, warmup: int, steps: int, decay: str = "constant"
) -> float:
    """The rate of update number `step`, from 0: linear up to `peak`, then `decay`.

    decay: "constant", or "cosine", half a cosine from the end of the warm-up down to 0 at `steps`.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if decay == "constant":
        return peak
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


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
