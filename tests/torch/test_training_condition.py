"""Training with a condition beside x_t: super-resolution of the digits, 4 x 4 to 8 x 8."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from diffcore import checkpoint, plan, samplers, tasks, times
from diffcore.noise import portable
from diffcore.training import recipe as recipes
from diffcore.training import state
from diffcore.training.draws import Draws, held_out_batches
from diffcore.training.recipe import Recipe
from diffcore.training.run_folder import RunFolder
from diffcore_torch.loading import Trained, load

pytest.importorskip("sklearn")

SMALL = (
    "unet.width=16",
    "unet.groups=4",
    "unet.blocks=1",
    "unet.attention=[]",
    "unet.middle_attention=false",
    "training.steps=150",
    "training.batch=32",
    "training.warmup=10",
    "training.lr=4e-3",
    "training.ema=0.95",
    "evaluation.log_every=50",
    "evaluation.loss_every=150",
    "evaluation.loss_images=180",
    "evaluation.samples_every=150",
    "evaluation.samples=8",
    "evaluation.steps=5",
    "evaluation.checkpoint_every=0",
    "evaluation.tensorboard=false",
)


def made(*overrides: str) -> Recipe:
    return recipes.load("digits-sr", [*SMALL, *overrides])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of super-resolution."""
    path = tmp_path_factory.mktemp("condition") / "run"
    tiny.run(made(), path)
    return path


@pytest.fixture(scope="module")
def trained(run: Path) -> Trained:
    return load(run, device="cpu")


def held_out_loss(path: Path) -> float:
    rows = [json.loads(line) for line in RunFolder.read(path).metrics.read_text().splitlines()]
    return float([row["held_out_loss"] for row in rows if "held_out_loss" in row][-1])


def test_a_condition_lowers_the_loss(run: Path, tmp_path: Path) -> None:
    """And it is the image's own that does: those of other images raise it again."""
    tiny.run(made("data.condition_size=0"), tmp_path / "plain")
    assert held_out_loss(run) < 0.8 * held_out_loss(tmp_path / "plain")


def test_another_images_condition_does_not_help(run: Path) -> None:
    chosen = made()
    images, held_out = chosen.data.load()
    stepper = tiny.stepper(chosen, images)
    saved = state.load(RunFolder.read(run), chosen, images.digest())
    assert saved is not None
    stepper.load_state(saved.stepper, saved.step)
    own, others = [], []
    for batch in held_out_batches(held_out, chosen.make_schedule(), 180, 4):
        assert batch.condition is not None
        own.append(stepper.losses(batch, "ema"))
        swapped = replace(batch, condition=batch.condition[::-1].copy())
        others.append(stepper.losses(swapped, "ema"))
    assert np.concatenate(own).mean() < 0.7 * np.concatenate(others).mean()


def test_samples_look_like_their_conditions(trained: Trained) -> None:
    _, held_out = made().data.load()
    images = torch.from_numpy(held_out.batch(range(24)))
    condition = tasks.low_resolution(images, 4)
    steps = samplers.ddim(trained.schedule, times.trailing(trained.schedule, 10))
    noise = portable(0)
    x = plan.prior(trained.schedule, steps.stages[0].time, noise(images, 0))
    samples = plan.sample(trained.denoise(condition=condition), steps, x)
    seen = tasks.low_resolution(samples, 4)
    error = (seen - condition).square().mean()
    assert error < 0.3 * (seen - condition.flip(0)).square().mean()


def test_what_the_checkpoint_says_of_the_condition(run: Path, tmp_path: Path) -> None:
    content = checkpoint.describe(RunFolder.read(run).checkpoint)
    assert content["unet"]["condition_channels"] == 1
    assert content["training"]["condition_size"] == 4
    assert content["format"] == 1
    source = tiny.write_images(tmp_path / "plain.npz")
    tiny.run(tiny.recipe(source, training={"steps": 1}), tmp_path / "plain")
    content = checkpoint.describe(RunFolder.read(tmp_path / "plain").checkpoint)
    assert content["unet"]["condition_channels"] == 0
    assert "condition_size" not in content["training"]


def test_batches_carry_what_their_images_show_at_low_resolution() -> None:
    images, held_out = made("data.flips=true").data.load()
    schedule = made().make_schedule()
    draws = Draws(images=images, schedule=schedule, seed=0, batch=16, flips=True, condition_size=4)
    batches = [draws.at(3), next(held_out_batches(held_out, schedule, 16, 4))]
    for batch in batches:
        wanted = tasks.low_resolution(batch.x_0, 4)
        assert batch.condition is not None
        np.testing.assert_array_equal(batch.condition, wanted)
        assert batch.condition.shape == batch.x_0.shape
        assert batch.condition.dtype == np.float32
    assert Draws(images=images, schedule=schedule, seed=0, batch=4).at(0).condition is None


def test_accumulated_parts_get_their_own_conditions() -> None:
    chosen = made()
    images, _ = chosen.data.load()
    batch = Draws(
        images=images, schedule=chosen.make_schedule(), seed=0, batch=8, condition_size=4
    ).at(0)
    losses = []
    for parts in ("1", "4"):
        stepper = tiny.stepper(made("training.batch=8", f"training.accumulate={parts}"), images)
        stepper.step(batch, 1e-3, 0.9)
        losses.append(stepper.losses(batch, "raw"))
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_the_noise_level_itself_may_be_what_the_network_is_told(tmp_path: Path) -> None:
    """SR3's continuous noise level: log(sigma / alpha) on a continuous schedule."""
    chosen = made(
        "schedule=vp_linear", 'predicts={kind="edm"}', "training.steps=3",
        "evaluation.loss_every=3", "evaluation.samples_every=0",
    )  # fmt: skip
    outcome = tiny.run(chosen, tmp_path / "run")
    assert np.isfinite(outcome.metrics["held_out_loss"])
    network = load(tmp_path / "run", device="cpu")
    x = torch.zeros(2, 1, 8, 8)
    told: list[torch.Tensor] = []
    network.network.register_forward_pre_hook(lambda module, args: told.append(args[1]))
    network.denoise(condition=x)(x, 0.25)
    alpha, sigma = network.schedule(0.25)
    assert told[0].numpy() == pytest.approx(np.log(sigma / alpha) / 4.0, rel=1e-6)


def test_a_grid_shows_each_condition_and_its_sample(run: Path) -> None:
    from PIL import Image

    from diffcore.training.pictures import to_uint8

    _, held_out = made().data.load()
    with Image.open(RunFolder.read(run).sample_grid(150)) as picture:
        pixels = np.asarray(picture)
    gap, cell = 4, 64 + 4
    assert pixels.shape == (gap + 2 * cell, gap + 8 * cell)  # 8 pairs in 8 columns
    first = pixels[gap : gap + 64 : 8, gap : gap + 64 : 8]
    condition = to_uint8(tasks.low_resolution(held_out.batch([0]), 4))[0, 0]
    np.testing.assert_array_equal(first, condition)


def test_a_denoiser_asks_for_its_condition(trained: Trained, tmp_path: Path) -> None:
    x = torch.zeros(2, 1, 8, 8)
    with pytest.raises(ValueError, match="condition must be given"):
        trained.denoise()
    with pytest.raises(ValueError, match="condition must have shape"):
        trained.denoise(condition=torch.zeros(2, 3, 8, 8))(x, 10)
    one = trained.denoise(condition=torch.ones(1, 1, 8, 8))(x, 10)
    assert torch.equal(one, trained.denoise(condition=torch.ones(2, 1, 8, 8))(x, 10))
    source = tiny.write_images(tmp_path / "plain.npz")
    tiny.run(tiny.recipe(source, training={"steps": 1}), tmp_path / "plain")
    plain = load(tmp_path / "plain", device="cpu")
    with pytest.raises(ValueError, match="condition must be left out"):
        plain.denoise(condition=x)


def test_a_guided_denoiser_is_the_two_denoisers_mixed(tmp_path: Path) -> None:
    source = tiny.write_images(tmp_path / "images.npz", side=8)
    chosen = tiny.recipe(source, training={"steps": 2}, data={"size": 8, "condition_size": 4})
    tiny.run(chosen, tmp_path / "run")
    network = load(tmp_path / "run", device="cpu")
    x, condition = torch.from_numpy(
        np.random.default_rng(0).standard_normal((2, 3, 1, 8, 8), dtype=np.float32)
    )
    labels = torch.tensor([2, 0, 1])
    options: dict[str, Any] = {"condition": condition, "threshold": None}
    c, u = (network.denoise(k, **options)(x, 10) for k in (labels, 3))
    guided = network.guided(labels, 3.0, **options)(x, 10)
    assert torch.allclose(guided, u + 3.0 * (c - u), atol=1e-4)
    assert torch.allclose(network.guided(labels, 1.0, **options)(x, 10), c, atol=1e-5)
    clipped = network.guided(labels, 3.0, condition=condition)(x, 10)
    assert torch.equal(clipped, guided.clip(-1.0, 1.0))
    one = network.guided(1, 3.0, condition=condition[:1], threshold=None)(x[:1], 10)
    again = network.guided(torch.tensor([1]), 3.0, condition=condition[:1], threshold=None)
    assert torch.equal(one, again(x[:1], 10))
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2, or 3 for none"):
        network.guided(4, 3.0)


def test_a_network_without_a_null_class_cannot_be_guided(trained: Trained) -> None:
    with pytest.raises(ValueError, match="must have classes and a null class to be guided"):
        trained.guided(0, 2.0)


@pytest.mark.parametrize("size", ["3", "8", "16", "-1"])
def test_a_condition_that_does_not_divide_the_image_is_named(size: str) -> None:
    with pytest.raises(ValueError, match=r"data\.condition_size must be 0 or a side that divides"):
        made(f"data.condition_size={size}")


def test_a_run_from_before_there_were_conditions_goes_on(tmp_path: Path) -> None:
    source = tiny.write_images(tmp_path / "images.npz")
    chosen = tiny.recipe(source, training={"steps": 2})
    tiny.run(chosen, tmp_path / "run")
    folder = RunFolder.read(tmp_path / "run")
    arrays, content = checkpoint.read(folder.state)
    content["recipe"]["data"].pop("condition_size")
    checkpoint.write(folder.state, arrays, content)
    tiny.run(tiny.recipe(source, training={"steps": 4}), tmp_path / "run", resume=True)
    assert load(tmp_path / "run", device="cpu").step == 4
    content["recipe"]["data"]["channels"] = 3
    checkpoint.write(folder.state, arrays, content)
    with pytest.raises(ValueError, match=r"data\.channels was 3, is 1"):
        tiny.run(tiny.recipe(source, training={"steps": 4}), tmp_path / "run", resume=True)
