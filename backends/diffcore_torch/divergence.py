"""v^T dx_0/dx_t of a denoiser, by PyTorch's reverse-mode differentiation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diffcore.likelihood import Pullback
from diffcore.plan import Denoise, Denoised
from diffcore.training.trained import Trained


def pullback(trained: Trained, labels: Any = None, condition: Any = None) -> Pullback:
    """The vector-Jacobian products of a trained network's denoiser, for `diffcore.likelihood`.

    labels, condition: as for `Trained.denoise`.
    """
    return through(trained.differentiable(labels, condition=condition))


def through(denoise: Denoise) -> Pullback:
    """A denoiser's vector-Jacobian products, for the divergences of `diffcore.likelihood`.

    denoise: of tensors, through which gradients pass, as they do through `Trained.differentiable`.
    The graph of a call is kept for as long as its vjp is. Raises ValueError where no gradient
    passes.
    """

    def of(x_t: Tensor, t: float) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        with torch.enable_grad():
            leaf = x_t.detach().requires_grad_()
            output = denoise(leaf, t)
        x_0: Tensor = output.x_0 if isinstance(output, Denoised) else output
        if not x_0.requires_grad:
            raise ValueError("denoise must let gradients pass from x_0 to x_t, got none")

        def vjp(v: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(x_0, leaf, v, retain_graph=True)
            return product

        return x_0.detach(), vjp

    return of
