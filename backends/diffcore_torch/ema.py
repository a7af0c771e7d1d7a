"""The exponential moving average of a network's weights, ema = d ema + (1 - d) weights."""

import copy
from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


def shadow(network: N) -> N:
    """A copy of `network` to hold the average: in evaluation mode, without gradients."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move `average` towards `network` in place; `diffcore.training.rates` gives the decay."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)
