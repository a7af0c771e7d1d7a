"""What training draws: the order of the data, times, labels, flips and noise."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from diffcore.noise import permutation, portable
from diffcore.predictions import EPS, VELOCITY
from diffcore.schedules import cosine, edm, flow, linear, shift, ve
from diffcore.training.draws import held_out_batches, times_at
from diffcore.training.images import Images
from diffcore.training.network_time import time_scale
from diffcore_torch.noise import DeviceNoise

EPS32 = float(torch.finfo(torch.float32).eps)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return tiny.recipe(tiny.write_images(tmp_path / "images.npz")).data.load()[0]


def test_every_image_comes_once_an_epoch_in_the_order_of_the_seed(images: Images) -> None:
    recipe = tiny.recipe("", training={"batch": 8})
    marked = Images(x=np.arange(54, dtype=np.float32).reshape(54, 1, 1, 1))
    sequence = np.concatenate(
        [tiny.draws(recipe, marked).at(k).x_0.ravel() for k in range(27)]  # 216 images: four epochs
    )
    epochs = sequence.reshape(4, 54)
    for e, epoch in enumerate(epochs):
        assert (epoch == permutation(recipe.seed, e, 54)).all()
    assert not (epochs[0] == epochs[1]).all()
    # A batch is the same whether or not those before it were drawn.
    assert (tiny.draws(recipe, marked).at(20).x_0.ravel() == sequence[160:168]).all()


def test_times_are_as_the_schedule_counts_them() -> None:
    u = np.linspace(0.0, 1.0, 100_000, endpoint=False)
    t = times_at(linear(10), u)
    assert t.dtype == np.int64
    assert (np.bincount(t)[1:] == 10_000).all()
    assert t.min() == 1
    for schedule, last in ((flow(), 1.0), (ve(), 1.0)):
        t = times_at(schedule, u)
        assert 0.0 < t.min() < 2e-5 * last
        assert last * (1 - 2e-5) < t.max() < last
        assert np.isfinite(schedule.log_snr_at(t)).all()
    log_sigma = np.log(times_at(edm(), (u + 0.5e-5)[::10]))
    assert abs(log_sigma.mean() + 1.2) < 1e-3
    assert abs(log_sigma.std() - 1.2) < 1e-3


def test_labels_are_dropped_and_images_mirrored_at_their_rates(images: Images) -> None:
    recipe = tiny.recipe("", training={"batch": 2000})
    plain = tiny.draws(recipe, images).at(3)
    changed = replace(tiny.draws(recipe, images), label_dropout=0.25, null_label=3, flips=True).at(
        3
    )
    dropped = changed.labels == 3
    assert abs(dropped.mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)
    assert (changed.labels[~dropped] == plain.labels[~dropped]).all()
    mirrored = (changed.x_0 != plain.x_0).any(axis=(1, 2, 3))
    assert abs(mirrored.mean() - 0.5) < 4 * math.sqrt(0.25 / 2000)
    assert (changed.x_0[mirrored] == plain.x_0[mirrored][..., ::-1]).all()
    assert abs(np.mean(mirrored[dropped]) - 0.5) < 4 * math.sqrt(0.25 / 500)
    with pytest.raises(ValueError, match="label_dropout must be 0"):
        replace(tiny.draws(recipe, images), label_dropout=0.25)


def test_held_out_batches_are_always_the_same_and_spread_over_time(images: Images) -> None:
    first, second = (list(held_out_batches(images, cosine(20), 40)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert (a.x_0 == b.x_0).all()
        assert (a.t == b.t).all()
        assert (a.seed, a.step) == (b.seed, b.step)
    counts = np.bincount(np.concatenate([b.t for b in first]), minlength=21)
    assert sum(len(b) for b in first) == 40
    assert set(counts[1:]) <= {1, 2, 3}  # 2 each, but for the golden ratio's roughness


@pytest.mark.parametrize("shape", [(3, 1, 5, 5), (2, 3, 8, 8)])
def test_the_noise_of_the_device_is_the_portable_noise(shape: tuple[int, ...]) -> None:
    noise, like = DeviceNoise(torch.device("cpu")), torch.zeros(shape)
    for seed in (0, 2**31 + 5, 2**62 + 3):
        assert torch.equal(noise.drawn_there(seed, like, 7), portable(seed)(like, 7))
    assert not torch.equal(noise.drawn_there(0, like, 7), portable(0)(like, 8))


def test_a_shifted_edm_schedule_draws_and_tells_its_times_as_edm_does() -> None:
    u = np.linspace(0.05, 0.95, 7)
    plain, shifted = edm(), shift(edm(), 2.0)
    np.testing.assert_array_equal(times_at(shifted, u), times_at(plain, u))
    assert np.median(times_at(shifted, u)) == pytest.approx(math.exp(-1.2))
    assert time_scale(edm(1.0), EPS) == 1.0
    assert time_scale(shift(flow(), 2.0), VELOCITY) == 1000.0
