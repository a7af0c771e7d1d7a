"""Layers: each does its forward pass and returns how gradients go back.

    y, pull = layer(...),   dx = pull(dy)

`pull` adds the gradients of the layer's weights to where they are kept, and returns that of its
input. What it needs of the forward pass it holds, and lets go of with itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .kernels.arrays import SAME, Arrays, Padding

Pull = Callable[[Any], Any]


class Weight(NamedTuple):
    """A weight and its gradient, views of the flat arrays of all."""

    value: Any
    gradient: Any


@dataclass(frozen=True)
class Affine:
    """The weight and bias of a layer."""

    weight: Weight
    bias: Weight


def linear(kernels: Arrays, p: Affine, x: Any, added: Any = None) -> tuple[Any, Pull]:
    """y = x w + b + added;   dx = dy w',  dw = x' dy,  db = sum dy.

    The gradient of what is added is dy, and left to the caller.
    """

    def pull(dy: Any) -> Any:
        kernels.affine_weight(x, dy, p.weight.gradient, p.bias.gradient)
        return kernels.affine_input(dy, p.weight.value)

    return kernels.affine(x, p.weight.value, p.bias.value, added), pull


def convolution(
    kernels: Arrays,
    p: Affine,
    x: Any,
    stride: int = 1,
    pad: Padding = SAME,
    added: Any = None,
) -> tuple[Any, Pull]:
    """A 3 x 3 convolution; see `Arrays.convolve` and its two adjoints. added: as for `linear`."""

    def pull(dy: Any) -> Any:
        kernels.convolve_weight(x, dy, p.weight.gradient, p.bias.gradient, stride, pad)
        return kernels.convolve_input(dy, p.weight.value, x.shape, stride, pad)

    return kernels.convolve(x, p.weight.value, p.bias.value, stride, pad, added), pull


def silu(kernels: Arrays, x: Any) -> tuple[Any, Pull]:
    """y = x s(x), s(x) = 1 / (1 + exp(-x));   dx = dy s (1 + x (1 - s))."""
    return kernels.silu(x), lambda dy: kernels.silu_pull(dy, x)


def norm(kernels: Arrays, p: Affine, x: Any, groups: int, eps: float) -> tuple[Any, Pull]:
    """GroupNorm (Wu & He 2018): y = weight xhat + bias; back, see `Arrays.normalise_pull`."""
    gain, bias = p.weight.value[None], p.bias.value[None]
    y, statistics = kernels.normalise(x, None, gain, bias, groups, eps)

    def pull(dy: Any) -> Any:
        dx, dgain, dbias = kernels.normalise_pull(dy, x, None, gain, statistics)
        kernels.gather(dgain, p.weight.gradient)
        kernels.gather(dbias, p.bias.gradient)
        return dx

    return y, pull


def norm_silu(
    kernels: Arrays, p: Affine, x: Any, groups: int, eps: float, added: Any = None
) -> tuple[Any, Pull]:
    """y = silu(z), z = weight xhat + bias, in one pass each way: dz = dy silu'(z), then `norm`.

    added: (batch, channels), of which xhat is that of x + added; its gradient is the sum of dx over
    the pixels, and left to the caller.
    """
    gain, bias = p.weight.value[None], p.bias.value[None]
    y, statistics = kernels.normalise_silu(x, added, gain, bias, groups, eps)

    def pull(dy: Any) -> Any:
        dx, dgain, dbias = kernels.normalise_silu_pull(dy, x, added, gain, bias, statistics)
        kernels.gather(dgain, p.weight.gradient)
        kernels.gather(dbias, p.bias.gradient)
        return dx

    return y, pull


def added_norm_silu(
    kernels: Arrays, p: Affine, x: Any, e: Any, groups: int, eps: float
) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
    """silu(weight xhat + bias) where xhat is that of x + e, e: (batch, channels).

    pull gives dx, and de = sum of dx over the pixels.
    """
    y, of_sum = norm_silu(kernels, p, x, groups, eps, added=e)

    def pull(dy: Any) -> tuple[Any, Any]:
        dx = of_sum(dy)
        return dx, kernels.sum_pixels(dx)

    return y, pull


def scaled_norm_silu(
    kernels: Arrays, p: Affine, x: Any, e: Any, groups: int, eps: float
) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
    """silu((weight xhat + bias) (1 + scale) + shift), [scale, shift] = e: (batch, 2 channels).

    One gain and bias for each image: gain = weight (1 + scale), b = bias (1 + scale) + shift, so
    that dscale = weight dgain + bias db and dshift = db.
    """
    xp, c = kernels.xp, x.shape[-1]
    weight, offset = p.weight.value[None], p.bias.value[None]
    scale, shift = 1.0 + e[:, :c], e[:, c:]
    gain, bias = weight * scale, offset * scale + shift
    y, statistics = kernels.normalise_silu(x, None, gain, bias, groups, eps)

    def pull(dy: Any) -> tuple[Any, Any]:
        dx, dgain, dbias = kernels.normalise_silu_pull(dy, x, None, gain, bias, statistics)
        kernels.gather(dgain * scale, p.weight.gradient)
        kernels.gather(dbias * scale, p.bias.gradient)
        return dx, xp.concatenate((dgain * weight + dbias * offset, dbias), axis=1)

    return y, pull


def dropout(x: Any, kept: Any, p: float) -> tuple[Any, Pull]:
    """y = m x, m = 1 / (1 - p) where `kept`, else 0;   dx = m dy. m = 1 where that is None."""
    if kept is None:
        return x, lambda dy: dy
    factor = kept.astype(x.dtype) / x.dtype.type(1.0 - p)
    return x * factor, lambda dy: dy * factor


def attention(
    kernels: Arrays, normal: Affine, qkv: Affine, out: Affine, x: Any, heads: int, *of_norm: Any
) -> tuple[Any, Pull]:
    """y = x + out(softmax(q k' / sqrt(d)) v), [q, k, v] = qkv(norm(x)), over the positions.

    dx = dy + norm'(qkv'(d[q, k, v])), f' the pull of a layer f; `Arrays.attend_pull` has d[q, k, v]
    """
    b, h, w, c = x.shape
    flat = (b, h * w, c)
    y, norm_pull = norm(kernels, normal, x, *of_norm)
    mixed, qkv_pull = linear(kernels, qkv, y.reshape(flat))
    attended, kept = kernels.attend(mixed, heads)
    result, out_pull = linear(kernels, out, attended, x.reshape(flat))

    def pull(dy: Any) -> Any:
        back = out_pull(dy.reshape(flat))
        back = kernels.attend_pull(back, mixed, heads, attended, kept)
        return kernels.increase(norm_pull(qkv_pull(back).reshape(x.shape)), dy)

    return result.reshape(x.shape), pull
