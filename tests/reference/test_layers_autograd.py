"""Every layer alone: its output and every gradient against the same in PyTorch, by autograd."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from diffcore_reference import layers
from diffcore_reference.kernels.arrays import SAME, Arrays, Padding
from diffcore_reference.kernels.cpu import Cpu
from diffcore_reference.layers import Affine, Weight

GROUPS, EPS = 4, 1e-5
SHAPE = (2, 6, 4, 16)
KEPT = np.random.default_rng(9).random(SHAPE) > 0.3


class Case(NamedTuple):
    """A layer twice: of inputs (our layout) and weights; shapes of inputs, then of weights."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    inputs: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[int, ...], ...]


def images(function: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's function of images, on images with their channels last."""

    def last(x: Any, *arrays: Any) -> Any:
        return function(x.movedim(-1, 1), *arrays).movedim(1, -1)

    return last


def conv(stride: int, pad: Padding) -> Callable[..., Any]:
    sides = (pad.before, pad.after, pad.before, pad.after)
    return images(
        lambda x, w, b: F.conv2d(F.pad(x, sides), w.permute(3, 2, 0, 1), b, stride=stride)
    )


def group_norm(x: Any, gain: Any, bias: Any) -> Any:
    return F.group_norm(x, GROUPS, gain, bias, EPS)


def scaled(x: Any, e: Any, gain: Any, bias: Any) -> Any:
    scale, shift = e[:, :, None, None].chunk(2, dim=1)
    return F.silu(group_norm(x, gain, bias) * (1 + scale) + shift)


def attention(heads: int) -> Callable[..., Any]:
    def mixed(x: Any, gain: Any, bias: Any, qkv: Any, qkv_b: Any, out: Any, out_b: Any) -> Any:
        b, c, h, w = x.shape
        rows = group_norm(x, gain, bias).movedim(1, -1).reshape(b, h * w, c)
        q, k, v = (
            (rows @ qkv + qkv_b).reshape(b, h * w, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h, w, c)
        return x + (y @ out + out_b).movedim(-1, 1)

    return images(mixed)


def cases(k: Arrays) -> dict[str, Case]:
    """Every layer; weights come in pairs, a layer's weight and its bias."""
    x, e, c = SHAPE, (2, 16), 16
    of_norm, pair = (GROUPS, EPS), ((c,), (c,))
    kernel = ((3, 3, c, 16), (16,))

    def convolution(stride: int, pad: Padding) -> Case:
        ours = lambda x, p: layers.convolution(k, p, x, stride, pad)  # noqa: E731
        return Case(ours, conv(stride, pad), (x,), kernel)

    def attends(heads: int) -> Case:
        ours = lambda x, *p: layers.attention(k, *p, x, heads, *of_norm)  # noqa: E731
        return Case(ours, attention(heads), (x,), (*pair, (c, 3 * c), (3 * c,), (c, c), (c,)))

    return {
        "linear": Case(
            lambda x, p: layers.linear(k, p, x), lambda x, w, b: x @ w + b, (x,), ((c, 5), (5,))
        ),
        "convolution": convolution(1, SAME),
        "convolution of stride 2": convolution(2, SAME),
        "asymmetric": convolution(2, Padding(0, 1)),
        "convolution of few channels": Case(
            lambda x, p: layers.convolution(k, p, x),
            conv(1, SAME),
            ((2, 6, 4, 1),),
            ((3, 3, 1, 5), (5,)),
        ),
        "silu": Case(lambda x: layers.silu(k, x), F.silu, (x,), ()),
        "norm": Case(lambda x, p: layers.norm(k, p, x, *of_norm), images(group_norm), (x,), pair),
        "norm and silu": Case(
            lambda x, p: layers.norm_silu(k, p, x, *of_norm),
            images(lambda x, g, b: F.silu(group_norm(x, g, b))),
            (x,),
            pair,
        ),
        "norm of a sum and silu": Case(
            lambda x, e, p: layers.added_norm_silu(k, p, x, e, *of_norm),
            images(lambda x, e, g, b: F.silu(group_norm(x + e[:, :, None, None], g, b))),
            (x, e),
            pair,
        ),
        "norm, scale, shift and silu": Case(
            lambda x, e, p: layers.scaled_norm_silu(k, p, x, e, *of_norm),
            images(scaled),
            (x, (2, 32)),
            pair,
        ),
        "dropout": Case(
            lambda x: layers.dropout(x, KEPT, 0.3),
            lambda x: x * torch.from_numpy(KEPT) / 0.7,
            (x,),
            (),
        ),
        "attention": attends(1),
        "attention in heads": attends(4),
        "doubling": Case(
            lambda x: (k.double(x), k.double_pull),
            images(lambda x: F.interpolate(x, scale_factor=2)),
            (x,),
            (),
        ),
        "halving": Case(
            lambda x: (k.halve(x), k.halve_pull), images(lambda x: F.avg_pool2d(x, 2)), (x,), ()
        ),
        "joining": Case(
            lambda a, b: (k.join(a, b), lambda dy: k.split(dy, a.shape[-1])),
            lambda a, b: torch.cat((a, b), dim=-1),
            (x, (2, 6, 4, 5)),
            (),
        ),
    }


def errors(case: Case, dtype: Any) -> list[float]:
    """Of the output and of each gradient, relative to the largest number of it."""
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape).astype(dtype) for shape in case.inputs]
    weights = [(0.5 * rng.standard_normal(shape)).astype(dtype) for shape in case.weights]
    held = [Weight(w, np.zeros_like(w)) for w in weights]
    affine = [Affine(w, b) for w, b in zip(held[::2], held[1::2], strict=True)]
    y, pull = case.ours(*inputs, *affine)
    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (*inputs, *weights)]
    wanted = case.theirs(*leaves)
    dy = rng.standard_normal(y.shape).astype(dtype)
    slopes = torch.autograd.grad(wanted, leaves, torch.from_numpy(dy))
    back = pull(dy)
    found = [y, *(back if isinstance(back, tuple) else (back,)), *(w.gradient for w in held)]
    true = [t.detach().numpy() for t in (wanted, *slopes)]
    assert [(a.shape, a.dtype) for a in found] == [(t.shape, np.dtype(dtype)) for t in true]
    return [float(np.abs(a - t).max() / np.abs(t).max()) for a, t in zip(found, true, strict=True)]


@pytest.mark.parametrize("name", cases(Arrays(np)))
def test_a_layer_is_autograds(name: str) -> None:
    assert max(errors(cases(Arrays(np))[name], np.float64)) < 1e-10
    for kernels in (Arrays(np), Cpu()):
        assert max(errors(cases(kernels)[name], np.float32)) < 1e-4


class Wrong(Arrays):
    """Kernels of which some are a little off."""

    def silu_pull(self, dy: Any, z: Any) -> Any:
        return super().silu_pull(dy, z) * 1.001

    def double_pull(self, dy: Any) -> Any:
        return super().double_pull(dy) * 1.001

    def affine_weight(self, x: Any, dy: Any, dw: Any, db: Any) -> None:
        super().affine_weight(x, 1.001 * dy, dw, db)

    def normalise_pull(self, *arrays: Any) -> Any:
        dx, dgain, dbias = super().normalise_pull(*arrays)
        return dx, dgain * 1.001, dbias


def test_a_wrong_layer_is_found() -> None:
    made = cases(Wrong(np))
    right = {"dropout", "joining"}
    assert {name for name in made if max(errors(made[name], np.float32)) < 1e-4} == right
