"""The blocks of the UNet, forward and backward.

    x + conv_2(dropout(silu(norm_2(conv_1(silu(norm_1(x))) + embedding(e)))))   a residual block

`pull(dy)` gives dx and adds to `de`, the gradient of the embedding that all blocks share. With f'
the pull of a layer f, and u the input of norm_2,

    du = norm_2'(silu'(dropout'(conv_2'(dy)))),   de += embedding'(sum du over the pixels)
    dx = dy + norm_1'(silu'(conv_1'(du)))
"""

from typing import Any

from diffcore.unet import Block, Residual, UNetConfig

from .kernels.arrays import SAME, Arrays, Padding
from .layers import (
    Pull,
    added_norm_silu,
    attention,
    convolution,
    dropout,
    linear,
    norm_silu,
    scaled_norm_silu,
)
from .weights import Weights


def block(
    kernels: Arrays,
    weights: Weights,
    config: UNetConfig,
    plan: Block,
    x: Any,
    e: Any,
    de: Any,
    kept: Any,
) -> tuple[Any, Pull]:
    """One block of the layout. e, de: (batch, embedding width), de to be added to.

    kept: what its dropout keeps, or None for everything.
    """
    if isinstance(plan, Residual):
        return residual(kernels, weights, config, plan, x, e, de, kept)
    p = weights.affine(f"{plan.name}.conv")
    if plan.resample == "down":
        symmetric = config.downsample_padding == "symmetric"
        return convolution(kernels, p, x, stride=2, pad=SAME if symmetric else Padding(0, 1))
    y, pull = convolution(kernels, p, kernels.double(x))
    return y, lambda dy: kernels.double_pull(pull(dy))


def residual(
    kernels: Arrays,
    weights: Weights,
    config: UNetConfig,
    plan: Residual,
    x: Any,
    e: Any,
    de: Any,
    kept: Any,
) -> tuple[Any, Pull]:
    """A residual block, followed by attention where the layout says so."""
    name, of_norm = plan.name, (config.groups, config.norm_eps)
    h, norm_1 = norm_silu(kernels, weights.affine(f"{name}.norm_1"), x, *of_norm)
    h, resample_h = _resample(kernels, plan, h)
    straight, resample_x = _resample(kernels, plan, x)
    h, conv_1 = convolution(kernels, weights.affine(f"{name}.conv_1"), h)
    shift, embedding = linear(kernels, weights.affine(f"{name}.embedding"), e)
    second = scaled_norm_silu if config.scale_shift else added_norm_silu
    h, norm_2 = second(kernels, weights.affine(f"{name}.norm_2"), h, shift, *of_norm)
    h, drop = dropout(h, kept, config.dropout)
    shortcut: Pull = lambda dy: dy  # noqa: E731
    if plan.in_channels + plan.skip_channels != plan.out_channels:
        straight, shortcut = linear(kernels, weights.affine(f"{name}.shortcut"), straight)
    y, conv_2 = convolution(kernels, weights.affine(f"{name}.conv_2"), h, added=straight)
    attended: Pull = lambda dy: dy  # noqa: E731
    if plan.heads:
        normal, qkv, out = (
            weights.affine(f"{name}.attention.{part}") for part in ("norm", "qkv", "out")
        )
        y, attended = attention(kernels, normal, qkv, out, y, plan.heads, *of_norm)

    def pull(dy: Any) -> Any:
        dy = attended(dy)
        dh, dshift = norm_2(drop(conv_2(dy)))
        de[...] += embedding(dshift)
        return kernels.increase(norm_1(resample_h(conv_1(dh))), resample_x(shortcut(dy)))

    return y, pull


def _resample(kernels: Arrays, plan: Residual, x: Any) -> tuple[Any, Pull]:
    if plan.resample == "down":
        return kernels.halve(x), kernels.halve_pull
    if plan.resample == "up":
        return kernels.double(x), kernels.double_pull
    return x, lambda dy: dy
