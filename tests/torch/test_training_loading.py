"""A trained network, read back: its weights, its labels, and the time that it is told."""

import math
from pathlib import Path

import pytest
import tiny
import torch

from diffcore import checkpoint
from diffcore.predictions import EPS, VELOCITY, Edm
from diffcore.schedules import cosine, edm, flow, linear, respace
from diffcore.training import network_time
from diffcore_torch import loading

EPS32 = float(torch.finfo(torch.float32).eps)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny.write_images(tmp_path / "images.npz")


def test_the_average_and_the_weights_are_what_is_loaded(source: Path, tmp_path: Path) -> None:
    tiny.run(tiny.recipe(source, training={"steps": 5}), tmp_path / "run")
    stored = checkpoint.load(tmp_path / "run" / "checkpoint.safetensors")
    for weights, arrays in (("ema", stored.ema), ("raw", stored.weights)):
        trained = loading.load(tmp_path / "run", weights=weights, device="cpu")
        for name, p in trained.network.named_parameters():
            assert (p.numpy() == arrays[name]).all()
        assert not trained.network.training
    assert any((stored.ema[k] != stored.weights[k]).any() for k in stored.weights)
    with pytest.raises(ValueError, match="weights must be 'ema' or 'raw', got 'both'"):
        loading.load(tmp_path / "run", weights="both")
    with pytest.raises(FileNotFoundError, match="is not a run"):
        loading.load(source.parent)
    with pytest.raises(ValueError, match="device must be 'auto' or one that works here"):
        loading.load(tmp_path / "run", device="abacus")


def test_labels_reach_the_network_and_wrong_ones_are_refused(source: Path, tmp_path: Path) -> None:
    tiny.run(tiny.recipe(source, training={"steps": 5}), tmp_path / "run")
    trained = loading.load(tmp_path / "run", device="cpu")
    with torch.no_grad():
        trained.network.labels.weight.normal_(0.0, 3.0)
        trained.network.output.weight.normal_(0.0, 1.0)
    x = torch.randn(3, 1, 4, 4)
    each = [trained.denoise(k, threshold=None)(x, 10) for k in range(4)]
    assert torch.equal(trained.denoise(threshold=None)(x, 10), each[3])
    mixed = trained.denoise([2, 0, 3], threshold=None)(x, 10)
    for row, k in enumerate((2, 0, 3)):
        assert (mixed[row] - each[k][row]).abs().max() < 1e-4 * each[k].abs().max()
    assert not torch.allclose(each[0], each[1])
    for wrong in (-1, 4, [0, 1, 7]):
        with pytest.raises(ValueError, match=r"labels must be in 0\.\.2, or 3 for none"):
            trained.denoise(wrong)
    with pytest.raises(ValueError, match="labels must be an integer or one for each sample"):
        trained.denoise([0.5])


@pytest.mark.parametrize(
    ("schedule", "predicts", "told"),
    [
        (cosine(20), EPS, lambda t: t),
        (respace(linear(1000), (10, 500, 1000)), EPS, lambda t: {1: 10, 2: 500, 3: 1000}[t]),
        (flow(), VELOCITY, lambda t: 1000 * t),
        (edm(), EPS, lambda t: t),
        (edm(), Edm(0.5), lambda t: math.log(t) / 4),
        (flow(), Edm(0.5), lambda t: math.log(t / (1 - t)) / 4),
    ],
)
def test_a_network_is_told_the_same_time_in_training_and_sampling(schedule, predicts, told) -> None:
    seen = []

    def network(x, t):
        seen.append((x.clone(), t.clone()))
        return torch.zeros_like(x)

    x_t = torch.randn(3, 1, 2, 2, generator=torch.manual_seed(0))
    discrete = hasattr(schedule, "T")
    denoise = network_time.as_denoiser(
        network, schedule, predicts, threshold=None, learned_variance=False
    )
    tables = schedule.tables(x_t) if discrete else schedule
    for t in (1, 2, 3) if discrete else (0.25, 0.5, 0.875):
        denoise(x_t, t)
        times = torch.full((3,), t, dtype=torch.int64 if discrete else torch.float64)
        x_in, time = network_time.inputs(schedule, predicts, tables, x_t, times)
        x_seen, t_seen = seen.pop()
        assert t_seen.dtype == time.dtype == torch.float32
        assert (x_in - x_seen).abs().max() <= 4 * EPS32 * x_seen.abs().max()
        assert (time - t_seen).abs().max() <= 8 * EPS32 * max(1.0, abs(told(t)))
        assert time[0].item() == pytest.approx(told(t), rel=8 * EPS32, abs=8 * EPS32)
