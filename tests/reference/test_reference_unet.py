"""The UNet by hand: as PyTorch's in every option, and as central differences."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from diffcore.unet import UNetConfig
from diffcore_reference import UNet
from diffcore_reference.kernels.arrays import Arrays
from diffcore_reference.kernels.cpu import Cpu
from diffcore_torch.unet import UNet as TorchUNet

BASE: dict[str, Any] = {
    "image_size": 8,
    "channels": 1,
    "width": 8,
    "multipliers": (1, 2),
    "attention": (4,),
    "groups": 4,
    "heads": 2,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "the plain network": {},
    "scale and shift": {"scale_shift": True},
    "residual resampling": {"resample": "residual"},
    "residual resampling with scale and shift": {"resample": "residual", "scale_shift": True},
    "symmetric padding": {"downsample_padding": "symmetric"},
    "classes": {"classes": 3},
    "classes without a null class": {"classes": 3, "null_class": False},
    "a condition": {"condition_channels": 2},
    "learned variance": {"learned_variance": True},
    "cosines first": {"embedding_order": "cos-sin", "frequency_shift": 0},
    "another period": {"max_period": 100.0},
    "no attention": {"attention": (), "middle_attention": False},
    "attention everywhere, in heads of a width": {"attention": (4, 8), "head_width": 4, "heads": 1},
    "three levels": {"multipliers": (1, 2, 3), "channels": 3},
    "one block": {"blocks": 1},
    "dropout": {"dropout": 0.3},
    "another eps": {"norm_eps": 1e-3},
    "attention at a level, none in the middle": {"middle_attention": False},
    "fewer groups": {"groups": 2},
    "a wider network": {"width": 16},
}
SIDES: dict[str, tuple[int, int]] = {
    "sides that are not the configured ones": (12, 6),
    "the same, resampled in residual blocks, dropped": (4, 10),
}
OPTIONS |= {
    "sides that are not the configured ones": {},
    "the same, resampled in residual blocks, dropped": {"resample": "residual", "dropout": 0.2},
}


def pair(
    config: UNetConfig, dtype: Any, seed: int = 0, kernels: Arrays | None = None
) -> tuple[UNet, TorchUNet]:
    """Both networks with the same random weights, none of them zero."""
    rng = np.random.default_rng(seed)
    there = TorchUNet(config, 0).to(torch.float64 if dtype is np.float64 else torch.float32)
    with torch.no_grad():
        for p in there.parameters():
            p.copy_(torch.from_numpy(0.3 * rng.standard_normal(p.shape)))
    here = UNet(config, kernels or Arrays(np), dtype)
    here.weights.write(here.weights.value, {k: p.detach() for k, p in there.named_parameters()})
    return here, there


def given(
    config: UNetConfig, dtype: Any, batch: int = 3, sides: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Inputs of a pass, as NumPy arrays."""
    rng = np.random.default_rng(1)
    sides = sides or (config.image_size, config.image_size)
    made: dict[str, Any] = {
        "x": rng.standard_normal((batch, config.channels, *sides)).astype(dtype),
        "t": np.array([1, 5, 900] * batch)[:batch],
    }
    if config.classes:
        made["labels"] = np.array([0, 2, 2] * batch)[:batch]
    if config.condition_channels:
        shape = (batch, config.condition_channels, *sides)
        made["condition"] = rng.standard_normal(shape).astype(dtype)
    return made


def both(
    name: str, dtype: Any, kernels: Arrays | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Output and every gradient of both networks, ours first."""
    config = UNetConfig(**{**BASE, **OPTIONS[name]})
    here, there = pair(config, dtype, kernels=kernels)
    inputs = given(config, dtype, sides=SIDES.get(name))
    tensors = {k: torch.from_numpy(v) for k, v in inputs.items()}
    x = tensors["x"].requires_grad_()
    kept = {}
    if config.dropout:
        from diffcore import noise, unet

        shape = tuple(inputs["x"].shape)
        kept = unet.kept(config, shape, lambda s, k: noise.portable(3)(np.empty(s, np.float32), k))
        assert any(not np.all(k) for k in kept.values())
    y = there(**tensors, kept={k: torch.from_numpy(v) for k, v in kept.items()})
    dy = np.random.default_rng(2).standard_normal(y.shape).astype(dtype)
    y.backward(torch.from_numpy(dy))
    theirs = {"y": y.detach().numpy(), "x": x.grad.numpy()}
    theirs |= {k: p.grad.numpy() for k, p in there.named_parameters()}
    last = {k: np.moveaxis(v, 1, -1) for k, v in kept.items()}
    out, pull = here.run(**inputs, kept=last)
    ours = {"y": out, "x": pull(dy), **here.weights.read(here.weights.gradient)}
    return ours, theirs


def distance(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    assert ours.keys() == theirs.keys()
    return max(
        float(np.max(np.abs(ours[k] - theirs[k])) / np.max(np.abs(theirs[k]))) for k in theirs
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_output_and_every_gradient_are_autograds(name: str) -> None:
    ours, theirs = both(name, np.float64)
    assert distance(ours, theirs) < 1e-10
    for k in ("y", "x", "time_1.weight", "down.0.norm_1.bias"):
        wrong = {**ours, k: 1.001 * ours[k]}
        assert distance(wrong, theirs) > 1e-4


def test_every_option_has_two_values() -> None:
    configs = [UNetConfig(**{**BASE, **options}) for options in OPTIONS.values()]
    alike = {f.name for f in fields(UNetConfig) if len({getattr(c, f.name) for c in configs}) == 1}
    assert alike == {"image_size"}  # which a network only knows its levels by: see SIDES


@pytest.mark.parametrize("name", OPTIONS)
def test_in_float32_too_by_definition_and_fast(name: str) -> None:
    for kernels in (Arrays(np), Cpu()):
        ours, theirs = both(name, np.float32, kernels)
        assert all(v.dtype == np.float32 for v in ours.values())
        assert distance(ours, theirs) < 1e-4


def test_gradients_are_central_differences() -> None:
    """A road without autograd: differences along random directions, free of h^3 terms."""
    config = UNetConfig(**{**BASE, "scale_shift": True, "classes": 3})
    here, _ = pair(config, np.float64)
    inputs = given(config, np.float64)
    out, pull = here.run(**inputs)
    dy = np.random.default_rng(5).standard_normal(out.shape)
    dx = pull(dy)
    start, rng, h = here.weights.value.copy(), np.random.default_rng(6), 1e-3

    def slope(loss: Any) -> float:
        ends = {k: loss(k * h) for k in (-2, -1, 1, 2)}
        return float(8 * (ends[1] - ends[-1]) - (ends[2] - ends[-2])) / (12 * h)

    for _ in range(3):
        way = rng.standard_normal(start.shape)
        way /= np.linalg.norm(way)

        def moved(by: float, way: Any = way) -> Any:
            here.weights.value[...] = start + by * way
            return np.sum(dy * here(**inputs))

        wanted = float(here.weights.gradient @ way)
        assert slope(moved) == pytest.approx(wanted, rel=1e-7)
        assert slope(moved) != pytest.approx(1.00001 * wanted, rel=1e-7)
    here.weights.value[...] = start
    way = rng.standard_normal(inputs["x"].shape)
    way /= np.linalg.norm(way)
    found = slope(lambda by: np.sum(dy * here(**{**inputs, "x": inputs["x"] + by * way})))
    assert found == pytest.approx(float(np.sum(dx * way)), rel=1e-7)


def test_a_pull_can_be_asked_again_and_adds_to_the_gradients() -> None:
    here, _ = pair(UNetConfig(**BASE), np.float64)
    inputs = given(here.config, np.float64)
    out, pull = here.run(**inputs)
    dy = np.ones_like(out)
    first, once = pull(dy), here.weights.gradient.copy()
    np.testing.assert_allclose(pull(dy), first, rtol=0, atol=1e-12 * np.abs(first).max())
    np.testing.assert_allclose(here.weights.gradient, 2.0 * once, rtol=1e-12, atol=1e-12)


def test_weights_go_out_as_they_came_in() -> None:
    here, there = pair(UNetConfig(**BASE), np.float32)
    read = here.weights.read(here.weights.value)
    assert list(read) == [
        name
        for name, _ in sorted(
            there.named_parameters(), key=lambda item: list(here.weights.shapes).index(item[0])
        )
    ]
    for name, p in there.named_parameters():
        np.testing.assert_array_equal(read[name], p.detach().numpy())
    with pytest.raises(ValueError, match=r"no input.weight of shape \(8, 1, 3, 3\)"):
        here.weights.write(here.weights.value, {**read, "input.weight": np.zeros((8, 1, 1, 1))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((3, 2, 8, 8))}, "x must have shape"),
        ({"x": np.zeros((3, 1, 7, 7))}, "divisible by 2"),
        ({"t": np.zeros(2)}, r"t must have shape \(3,\)"),
        ({"labels": np.zeros(3, int)}, "labels must be left out"),
        ({"condition": np.zeros((3, 1, 8, 8))}, "condition must be left out"),
    ],
)
def test_what_the_configuration_does_not_allow_is_named(
    change: dict[str, Any], message: str
) -> None:
    here, _ = pair(UNetConfig(**BASE), np.float32)
    with pytest.raises(ValueError, match=message):
        here(**{**given(here.config, np.float32), **change})
