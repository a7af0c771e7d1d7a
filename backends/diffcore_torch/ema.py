"""The exponential moving average of a network's weights.

    ema_k = d_k ema_{k-1} + (1 - d_k) weights_k,     d_k = min(decay, (1 + k) / (10 + k))

(Ho et al. 2020, section 4, with the warm-up of TensorFlow's ExponentialMovingAverage.) With a
constant decay of 0.9999 the first thousands of averages are mostly the untrained start; the
warm-up makes d_k small at first, so that early samples show what has been learnt so far.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


def decay_at(step: int, decay: float) -> float:
    """d_k for the k-th update, k from 0."""
    return min(decay, (1 + step) / (10 + step))


def shadow(network: N) -> N:
    """A copy of `network` to hold the average: in evaluation mode, without gradients."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move `average` towards `network` in place, after update number `step`, from 0."""
    torch._foreach_lerp_(
        list(average.parameters()), list(network.parameters()), 1.0 - decay_at(step, decay)
    )
