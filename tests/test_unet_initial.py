"""The weights a network starts from, and what dropout keeps: their laws, the same everywhere."""

import itertools
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch

from diffcore import noise
from diffcore.unet import Residual, UNetConfig, initial, kept, layout, parameters
from diffcore_reference import UNet
from diffcore_reference.kernels.arrays import Arrays
from diffcore_torch import UNet as TorchUNet

CONFIG = UNetConfig(
    image_size=8, channels=3, width=32, multipliers=(1, 2), attention=(4,), heads=2, classes=10
)
SIGMAS = 5.0
"""Standard errors allowed: one false alarm in two million."""


def moments_of(values: Any, init: str, scale: float) -> list[float]:
    """By how many standard errors the first four moments miss those of the law."""
    x = values.ravel().astype(np.float64) / scale
    law = {
        "uniform": {1: 0.0, 2: 1 / 3, 3: 0.0, 4: 1 / 5, 6: 1 / 7, 8: 1 / 9},
        "normal": {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0, 6: 15.0, 8: 105.0},
    }[init]
    return [
        (np.mean(x**k) - law[k]) / math.sqrt((law[2 * k] - law[k] ** 2) / x.size)
        for k in (1, 2, 3, 4)
    ]


def test_every_weight_has_the_law_that_it_says() -> None:
    drawn = initial(CONFIG, 3)
    assert list(drawn) == list(parameters(CONFIG))
    kinds = set()
    for name, p in parameters(CONFIG).items():
        values = drawn[name]
        kinds.add(p.init)
        assert values.dtype == np.float32
        assert values.shape == p.shape
        if p.init in ("zeros", "ones"):
            assert (values == (p.init == "ones")).all()
            continue
        assert np.abs(moments_of(values, p.init, p.scale)).max() < SIGMAS, name
        if p.init == "uniform":
            assert np.abs(values).max() <= p.scale
            assert np.abs(values).max() > p.scale * (1 - 20 / values.size)
        if values.size > 5000:
            assert np.abs(moments_of(values, p.init, 1.1 * p.scale)).max() > SIGMAS
    assert kinds == {"uniform", "normal", "zeros", "ones"}


def test_no_two_weights_share_their_numbers() -> None:
    drawn = initial(CONFIG, 3)
    table = parameters(CONFIG)
    unit = [
        drawn[name].ravel().astype(np.float64) / np.std(drawn[name])
        for name, p in table.items()
        if p.init in ("uniform", "normal")
    ]
    assert len(unit) > 15
    for a, b in itertools.combinations(unit, 2):
        n = min(a.size, b.size)
        assert abs(np.mean(a[:n] * b[:n])) < SIGMAS / math.sqrt(n)
    for a in unit:  # nor does one repeat itself
        assert abs(np.mean(a[1:] * a[:-1])) < SIGMAS / math.sqrt(a.size - 1)


def test_a_seed_is_one_network_and_another_is_another() -> None:
    one, again, other = initial(CONFIG, 3), initial(CONFIG, 3), initial(CONFIG, 4)
    for name, p in parameters(CONFIG).items():
        np.testing.assert_array_equal(one[name], again[name])
        if p.init in ("uniform", "normal"):
            a, b = (w[name].ravel().astype(np.float64) / p.scale for w in (one, other))
            assert abs(np.mean(a * b)) < SIGMAS / math.sqrt(a.size)


def test_every_backend_starts_from_them() -> None:
    wanted = initial(CONFIG, 3)
    there = {name: p.detach().numpy() for name, p in TorchUNet(CONFIG, 3).named_parameters()}
    here = UNet(CONFIG, Arrays(np), np.float32)
    here.initialise(3)
    ours = here.weights.read(here.weights.value)
    assert there.keys() == ours.keys() == wanted.keys()
    for name, weight in wanted.items():
        np.testing.assert_array_equal(there[name], weight)
        np.testing.assert_array_equal(ours[name], weight)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        initial(CONFIG, seed)


DROPPING = UNetConfig(
    image_size=16, channels=1, width=16, multipliers=(1, 2), groups=4, dropout=0.3,
    resample="residual", attention=(), middle_attention=False,
)  # fmt: skip


def masks(config: UNetConfig, seed: int, side: int = 16, batch: int = 4) -> dict[int, Any]:
    shape = (batch, config.channels, side, side)
    return kept(config, shape, lambda s, k: noise.portable(seed)(np.empty(s, np.float32), k))


def test_the_share_that_is_kept_is_1_minus_p() -> None:
    for p in (0.05, 0.3, 0.9):
        config = UNetConfig(**{**vars(DROPPING), "dropout": p})
        made = masks(config, 7)
        assert list(made) == [k for k, b in enumerate(layout(config)) if isinstance(b, Residual)]
        for mask in made.values():
            assert mask.dtype == bool
            error = math.sqrt(p * (1 - p) / mask.size)
            assert abs(mask.mean() - (1 - p)) < SIGMAS * error
            assert abs(mask.mean() - (0.9 - p)) > SIGMAS * error


def test_blocks_steps_and_samples_drop_apart() -> None:
    made, other = masks(DROPPING, 7), masks(DROPPING, 8)
    centred = {k: m.astype(np.float64) - 0.7 for k, m in made.items()}
    for k, mask in centred.items():
        pairs = [(mask, other[k] - 0.7), (mask[:-1], mask[1:]), (mask[..., 1:], mask[..., :-1])]
        pairs += [(mask, m) for j, m in centred.items() if j > k and m.shape == mask.shape]
        for a, b in pairs:
            assert abs(np.mean(a * b)) < SIGMAS * 0.3 * 0.7 / math.sqrt(a.size)


@pytest.mark.parametrize("side", [16, 24])
def test_masks_have_the_shapes_of_the_states(side: int) -> None:
    """A network that is run with them finds each where its block is, on images of any size."""
    made = masks(DROPPING, 7, side)
    network = UNet(DROPPING, Arrays(np), np.float32)
    network.weights.value[...] = 0.1 * np.random.default_rng(0).standard_normal(
        network.weights.value.size
    )
    x = np.random.default_rng(1).standard_normal((4, 1, side, side)).astype(np.float32)
    last = {k: np.moveaxis(m, 1, -1) for k, m in made.items()}
    y, _ = network.run(x, np.full(4, 3), kept=last)
    assert not np.allclose(y, network(x, np.full(4, 3)))
    sides = {mask.shape[2] for mask in made.values()}
    assert sides == {side // 2, side}


def test_masks_are_the_same_in_every_library() -> None:
    def tensors(shape: tuple[int, ...], k: int) -> Any:
        return noise.portable(7)(torch.empty(shape), k)

    there = kept(DROPPING, (4, 1, 16, 16), tensors)
    here = masks(DROPPING, 7)
    assert there.keys() == here.keys()
    for k, mask in here.items():
        np.testing.assert_array_equal(there[k].numpy(), mask)
    threshold = NormalDist().inv_cdf(0.3)
    first = noise.portable(7)(np.empty(here[0].shape, np.float32), 0)
    np.testing.assert_array_equal(here[0], first >= threshold)


def test_nothing_is_dropped_without_dropout() -> None:
    def never(shape: tuple[int, ...], k: int) -> Any:
        raise AssertionError

    assert kept(CONFIG, (2, 3, 8, 8), never) == {}
