"""A run in PyTorch: what it leaves behind, and that it keeps what is good."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from diffcore import checkpoint, plan
from diffcore.noise import portable
from diffcore.samplers import ddim, ddpm, dpm_solver_pp
from diffcore.times import trailing
from diffcore.training import metrics
from diffcore.training.state import Diverged
from diffcore_torch import loading
from diffcore_torch.stepper import TorchStepper

EPS32 = float(torch.finfo(torch.float32).eps)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny.write_images(tmp_path / "images.npz")


@pytest.mark.parametrize(
    ("loss", "predicts"),
    [
        ({"objective": "mu"}, "eps"),
        ({"objective": "mu", "variance": "large"}, "mean"),
        ({"objective": "hybrid"}, "eps"),
        ({"weighting": {"kind": "min_snr", "gamma": 5.0}}, "v"),
    ],
)
def test_every_objective_falls_and_its_checkpoint_samples(
    source: Path, tmp_path: Path, loss: dict, predicts: str
) -> None:
    recipe = tiny.recipe(
        source,
        loss=loss,
        predicts=predicts,
        training={"lr": 3e-3, "steps": 60, "warmup": 0},
        evaluation={"samples_every": 60, "loss_every": 60, "sampler": "ddpm"},
    )
    tiny.run(recipe, tmp_path / "run")
    held_out = metrics.read(tmp_path / "run" / "metrics.jsonl")["held_out_loss"].value
    assert held_out[-1] < 0.9 * held_out[0]
    trained = loading.load(tmp_path / "run", device="cpu")
    assert trained.unet.learned_variance == (loss.get("objective") == "hybrid")
    variance = "learned" if trained.unet.learned_variance else "small"
    noise, like = portable(0), torch.zeros(5, 1, 4, 4)
    x = plan.sample(trained.denoise(1), ddpm(trained.schedule, None, variance), like, noise)
    assert torch.isfinite(x).all()
    assert x.abs().max() <= 1.0  # the last stage is x_0 itself, clipped


def test_a_run_leaves_metrics_pictures_and_a_checkpoint(source: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(
        source, evaluation={"samples_every": 10, "tensorboard": True}, data={"flips": True}
    )
    outcome = tiny.run(recipe, tmp_path / "run")
    assert (outcome.step, outcome.steps, outcome.stopped) == (20, 20, None)
    columns = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert columns["loss"].step.tolist() == [4, 8, 12, 16, 20]
    assert columns["held_out_loss"].step.tolist() == [0, 6, 12, 18, 20]
    assert columns["learning_rate"].value[0] == pytest.approx(1e-3)
    assert (columns["images_per_second"].value > 0).all()
    assert outcome.metrics["loss"] == columns["loss"].value[-1]
    names = sorted(file.name for file in (tmp_path / "run" / "samples").iterdir())
    # The average has not caught up with the weights, which are shown beside it.
    assert names == [f"step-000000{n}{raw}.png" for n in (10, 20) for raw in ("-raw", "")]
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    description = checkpoint.describe(tmp_path / "run" / "checkpoint.safetensors")
    assert description["step"] == 20
    assert description["training"]["classes"] == ["0", "1", "2"]
    assert not list((tmp_path / "run").rglob("*.draft"))


def test_the_loss_in_the_log_is_the_mean_over_the_interval(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    numbers = TorchStepper.numbers

    def listening(self, updates):
        values = numbers(self, updates)
        losses.extend(values[:, 0])
        return values

    monkeypatch.setattr(TorchStepper, "numbers", listening)
    tiny.run(tiny.recipe(source), tmp_path / "run")
    logged = metrics.read(tmp_path / "run" / "metrics.jsonl")["loss"].value
    assert len(losses) == 20
    assert logged == pytest.approx(np.reshape(losses, (5, 4)).mean(axis=1), rel=1e-14)


def test_the_host_waits_once_an_interval(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    numbers = TorchStepper.numbers
    monkeypatch.setattr(
        TorchStepper, "numbers", lambda self, u: (u and reads.append(len(u))) or numbers(self, u)
    )
    evaluation = {"loss_every": 0, "checkpoint_every": 0, "log_every": 10}
    tiny.run(tiny.recipe(source, evaluation=evaluation), tmp_path / "run")
    assert reads == [10, 10]


def test_a_loss_that_is_not_finite_stops_with_the_good_state_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TorchStepper.step

    def breaking(self, batch, rate, decay):
        if batch.step == 12:
            batch = replace(batch, x_0=batch.x_0 * np.nan)
        return step(self, batch, rate, decay)

    good = tmp_path / "good"
    tiny.run(tiny.recipe(source, training={"steps": 10}), good)
    monkeypatch.setattr(TorchStepper, "step", breaking)
    with pytest.raises(Diverged, match=r"the loss is nan .* at update 13; .* update 10\."):
        tiny.run(tiny.recipe(source), tmp_path / "run")
    tensors, content = checkpoint.read(tmp_path / "run" / "state.safetensors")
    assert content["step"] == 10
    assert all(np.isfinite(x).all() for x in tensors.values())
    kept = checkpoint.load(tmp_path / "run" / "checkpoint.safetensors")
    assert kept.step == 10
    for name, array in checkpoint.load(good / "checkpoint.safetensors").weights.items():
        assert (kept.weights[name] == array).all()


def test_weights_that_are_not_finite_are_never_saved(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TorchStepper.step

    def breaking(self, batch, rate, decay):
        update = step(self, batch, rate, decay)
        if batch.step == 14:  # the last before a save, so that no loss has seen it
            with torch.no_grad():
                next(self.network.parameters()).fill_(math.inf)
        return update

    monkeypatch.setattr(TorchStepper, "step", breaking)
    with pytest.raises(Diverged, match=r"not finite after update 15; .* last good state"):
        tiny.run(tiny.recipe(source), tmp_path / "run")
    assert checkpoint.read_metadata(tmp_path / "run" / "state.safetensors")["step"] == 10


def test_metrics_are_json_lines_with_the_wall_clock_told_apart(
    source: Path, tmp_path: Path
) -> None:
    from diffcore.training.loop import WALL_CLOCK

    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        tiny.run(tiny.recipe(source), path)
    rows = [
        [
            {k: v for k, v in json.loads(line).items() if k not in WALL_CLOCK}
            for line in (path / "metrics.jsonl").read_text().splitlines()
        ]
        for path in (first, second)
    ]
    assert rows[0] == rows[1]


def test_grids_are_drawn_by_the_sampler_of_the_recipe(source: Path) -> None:
    recipe = tiny.recipe(source, evaluation={"steps": 4, "eta": 0.5})
    schedule = recipe.make_schedule()
    times = trailing(schedule, 4)
    assert recipe.evaluation.plan(schedule, False) == ddim(schedule, times, 0.5)
    ancestral = replace(recipe.evaluation, sampler="ddpm")
    assert ancestral.plan(schedule, True) == ddpm(schedule, times, "learned")
    other = replace(recipe.evaluation, sampler="dpm_solver_pp")
    assert other.plan(schedule, False) == dpm_solver_pp(schedule, times)
