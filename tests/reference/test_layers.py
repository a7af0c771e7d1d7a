"""Every layer alone: its backward pass against central differences in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from diffcore_reference import layers
from diffcore_reference.kernels.arrays import SAME, Arrays, Padding
from diffcore_reference.layers import Affine, Weight

STEP = 2e-4
BOUND = 1e-7
SHAPE = (2, 4, 6, 6)
OF_NORM = (3, 1e-6)


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def affine(seed: int, *shape: int) -> Affine:
    """A weight of that shape, and a bias, with gradients of zero."""
    values = (normal(seed, *shape), normal(seed + 1, shape[-1]))
    return Affine(*(Weight(v, np.zeros_like(v)) for v in values))


def slope(of: Callable[[Any], Any], x: Any, way: Any) -> float:
    """d of(x + h way) / dh, with an error of order h^4."""
    start = x.copy()
    ends = {}
    for k in (-2, -1, 1, 2):
        x[...] = start + k * STEP * way
        ends[k] = of(x)
    x[...] = start
    return float(8.0 * (ends[1] - ends[-1]) - (ends[2] - ends[-2])) / (12.0 * STEP)


def error(layer: Callable[..., Any], inputs: list[Any], weights: list[Affine]) -> float:
    """The largest relative error of <gradient, way>, over each input, weight and bias in turn.

    layer(*inputs) gives (y, pull), and pull(dy) the gradients of the inputs.
    """
    y, pull = layer(*inputs)
    dy = normal(99, *y.shape)
    got = pull(dy)
    gradients = list(got) if isinstance(got, tuple) else [got]
    assert len(gradients) == len(inputs)
    for x, gradient in zip(inputs, gradients, strict=True):
        assert gradient.shape == x.shape
        assert gradient.dtype == x.dtype == np.float64
    parts = list(zip(inputs, gradients, strict=True))
    parts += [tuple(weight) for p in weights for weight in (p.weight, p.bias)]
    worst = 0.0
    for k, (x, gradient) in enumerate(parts):
        way = normal(50 + k, *x.shape)
        wanted = slope(lambda _: np.sum(dy * layer(*inputs)[0]), x, way)
        found = float(np.sum(gradient * way))
        scale = float(np.linalg.norm(gradient) * np.linalg.norm(way)) / np.sqrt(x.size)
        worst = max(worst, abs(found - wanted) / max(abs(wanted), scale))
    return worst


def cases(kernels: Arrays) -> dict[str, tuple[Callable[..., Any], list[Any], list[Affine]]]:
    """Each layer with its inputs and weights."""
    x, rows = normal(0, *SHAPE), normal(1, 5, 6)
    line, conv, gain = affine(10, 6, 4), affine(20, 3, 3, 6, 5), affine(30, 6)
    gain = Affine(gain.weight, Weight(normal(31, 6), np.zeros(6)))
    added, beside = normal(2, 5, 4), normal(3, 2, 4, 6, 5)
    e, both = normal(4, 2, 6), 0.5 * normal(5, 2, 12)
    qkv, out = affine(40, 6, 18), affine(50, 6, 6)
    kept = normal(6, *SHAPE) > -0.5

    def attention(heads: int) -> Callable[..., Any]:
        return lambda x: layers.attention(kernels, gain, qkv, out, x, heads, *OF_NORM)

    def convolution(**how: Any) -> Callable[..., Any]:
        return lambda x: layers.convolution(kernels, conv, x, **how)

    return {
        "linear": (lambda x: layers.linear(kernels, line, x), [rows], [line]),
        "linear, added": (lambda x: layers.linear(kernels, line, x, added), [rows], [line]),
        "linear over pixels": (lambda x: layers.linear(kernels, line, x), [x], [line]),
        "convolution": (convolution(), [x], [conv]),
        "convolution, added": (convolution(added=beside), [x], [conv]),
        "convolution of stride 2": (convolution(stride=2, pad=SAME), [x], [conv]),
        "asymmetric": (convolution(stride=2, pad=Padding(0, 1)), [x], [conv]),
        "silu": (lambda x: layers.silu(kernels, x), [3.0 * x], []),
        "norm": (lambda x: layers.norm(kernels, gain, x, *OF_NORM), [x], [gain]),
        "norm and silu": (lambda x: layers.norm_silu(kernels, gain, x, *OF_NORM), [x], [gain]),
        "norm of a sum and silu": (
            lambda x, e: layers.added_norm_silu(kernels, gain, x, e, *OF_NORM),
            [x, e],
            [gain],
        ),
        "norm, scale, shift and silu": (
            lambda x, e: layers.scaled_norm_silu(kernels, gain, x, e, *OF_NORM),
            [x, both],
            [gain],
        ),
        "dropout": (lambda x: layers.dropout(x, kept, 0.3), [x], []),
        "attention": (attention(1), [x], [gain, qkv, out]),
        "attention in heads": (attention(3), [x], [gain, qkv, out]),
        "doubling": (lambda x: (kernels.double(x), kernels.double_pull), [x], []),
        "halving": (lambda x: (kernels.halve(x), kernels.halve_pull), [x], []),
        "joining": (
            lambda a, b: (kernels.join(a, b), lambda dy: kernels.split(dy, a.shape[-1])),
            [x, beside[..., :3].copy()],
            [],
        ),
    }


@pytest.mark.parametrize("name", cases(Arrays(np)))
def test_a_gradient_is_the_slope(name: str) -> None:
    assert error(*cases(Arrays(np))[name]) < BOUND


class Flipped(Arrays):
    """An input gradient by the weights as they are, not turned about."""

    def convolve_input(
        self, dy: Any, w: Any, shape: tuple[int, ...], stride: int = 1, pad: Padding = SAME
    ) -> Any:
        return super().convolve_input(dy, w[::-1, ::-1].copy(), shape, stride, pad)


class Sloped(Arrays):
    """silu' = s."""

    def silu_pull(self, dy: Any, z: Any) -> Any:
        return dy * self._sigmoid(z)


class Unscaled(Arrays):
    """Attention with a query's gradient a little too large."""

    def attend_pull(self, dy: Any, qkv: Any, heads: int, y: Any, kept: Any) -> Any:
        right = super().attend_pull(dy, qkv, heads, y, kept)
        right[..., : right.shape[-1] // 3] *= 1.0001
        return right


class Centred(Arrays):
    """GroupNorm with a part along xhat, of which its gradient has none."""

    def normalise_pull(
        self, dz: Any, x: Any, added: Any, gain: Any, statistics: Any
    ) -> tuple[Any, Any, Any]:
        dx, dgain, dbias = super().normalise_pull(dz, x, added, gain, statistics)
        return dx + 1e-2 * self._standard(x, added, statistics), dgain, dbias


class Whole(Arrays):
    """The sum of a block, not the mean, in halving's backward pass."""

    def halve_pull(self, dy: Any) -> Any:
        return self.double(dy)


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (Flipped, ["convolution", "asymmetric", "convolution of stride 2"]),
        (Sloped, ["silu", "norm and silu", "norm of a sum and silu"]),
        (Unscaled, ["attention", "attention in heads"]),
        (Centred, ["norm", "norm and silu", "norm, scale, shift and silu", "attention"]),
        (Whole, ["halving"]),
    ],
)
def test_a_wrong_gradient_is_found(wrong: type[Arrays], names: list[str]) -> None:
    for name in names:
        assert error(*cases(wrong(np))[name]) > 10 * BOUND, name


def test_the_derivative_along_the_imaginary_axis_is_the_slope_too() -> None:
    """f(x + i h v) = f(x) + i h f'(x) v + O(h^2): no difference is taken, so h may be tiny."""
    kernels, h = Arrays(np), 1e-30
    for name in ("linear", "convolution", "asymmetric", "silu", "norm and silu", "attention"):
        layer, (x,), _ = cases(kernels)[name]
        y, pull = layer(x)
        dy, way = normal(7, *y.shape), normal(8, *x.shape)
        found = np.sum(pull(dy) * way)
        wanted = np.sum(dy * layer(x + 1j * h * way)[0].imag) / h
        assert found == pytest.approx(wanted, rel=1e-12), name


def test_dropout_of_nothing_is_nothing() -> None:
    x = normal(0, *SHAPE)
    y, pull = layers.dropout(x, None, 0.3)
    assert y is x
    assert pull(x) is x
    kept = normal(1, *SHAPE) > 0
    assert np.array_equal(layers.dropout(x, kept, 0.5)[0], np.where(kept, 2.0 * x, 0.0))
