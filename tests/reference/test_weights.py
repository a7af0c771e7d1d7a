"""All weights in one flat array: each once, by name, in the layout of each side."""

from typing import Any

import numpy as np
import pytest

from diffcore.unet import UNetConfig, count, initial, parameters
from diffcore_reference.weights import Weights

CONFIG = UNetConfig(
    image_size=8, channels=2, width=8, multipliers=(1, 2), attention=(4,), groups=4, heads=2,
    classes=3, scale_shift=True,
)  # fmt: skip


def made(dtype: Any = np.float32) -> Weights:
    weights = Weights(CONFIG, np, dtype)
    weights.write(weights.value, initial(CONFIG, 0))
    return weights


def test_every_number_is_one_weights_and_one_gradients() -> None:
    weights = Weights(CONFIG, np, np.float64)
    assert weights.value.shape == weights.gradient.shape == (count(CONFIG),)
    for name in parameters(CONFIG):
        weights[name].value[...] += 1.0
        weights[name].gradient[...] += 2.0
    assert (weights.value == 1.0).all()
    assert (weights.gradient == 2.0).all()


def test_a_weight_is_a_view_in_the_layout_of_the_products() -> None:
    weights, outward = made(), initial(CONFIG, 0)
    for name, tensor in outward.items():
        view = weights[name].value
        assert np.shares_memory(view, weights.value)
        assert view.flags.c_contiguous
        if tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
            np.testing.assert_array_equal(view, tensor[:, :, 0, 0].T)
        elif tensor.ndim == 4:
            out, entering = tensor.shape[:2]
            assert view.shape == (3, 3, entering, out)
            np.testing.assert_array_equal(view[2, 1], tensor[:, :, 2, 1].T)
        elif name == "labels.weight" or tensor.ndim == 1:
            np.testing.assert_array_equal(view, tensor)
        else:
            np.testing.assert_array_equal(view, tensor.T)
    affine = weights.affine("time_1")
    assert affine.weight.value is weights["time_1.weight"].value
    assert affine.bias.gradient is weights["time_1.bias"].gradient


def test_what_is_read_is_what_was_written_and_a_copy() -> None:
    weights, outward = made(), initial(CONFIG, 0)
    rng = np.random.default_rng(0)
    outward = {k: rng.standard_normal(v.shape).astype(np.float32) for k, v in outward.items()}
    weights.write(weights.value, outward)
    read = weights.read(weights.value)
    assert list(read) == list(parameters(CONFIG))
    for name, tensor in outward.items():
        np.testing.assert_array_equal(read[name], tensor)
        assert read[name].flags.c_contiguous
        assert not np.shares_memory(read[name], weights.value)


def test_another_flat_array_is_read_and_written_alike() -> None:
    weights = made(np.float64)
    first = np.zeros_like(weights.value)
    named = {f"adam.first.{name}": w for name, w in weights.read(weights.value).items()}
    weights.write(first, named, prefix="adam.first.")
    np.testing.assert_array_equal(first, weights.value)
    own = Weights(CONFIG, np, np.float64, first)
    assert own.value is first
    own["norm.bias"].value[...] = 7.0
    assert (weights.views(first)["norm.bias"] == 7.0).all()


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("labels.weight", None),
        ("input.weight", np.zeros((8, 2, 1, 1))),
        ("time_1.weight", np.zeros((8, 32))),
        ("norm.bias", np.zeros((1, 8))),
    ],
)
def test_what_is_missing_or_of_another_shape_is_named(name: str, tensor: Any) -> None:
    weights = made()
    tensors: dict[str, Any] = {f"ema.{k}": w for k, w in initial(CONFIG, 0).items()}
    if tensor is None:
        del tensors[f"ema.{name}"]
    else:
        tensors[f"ema.{name}"] = tensor
    shape = parameters(CONFIG)[name].shape
    with pytest.raises(ValueError, match=f"state has no ema.{name} of shape ") as raised:
        weights.write(weights.value, tensors, prefix="ema.")
    assert str(shape) in str(raised.value)
