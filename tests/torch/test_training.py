"""Training in PyTorch: what one update does, and what a run leaves behind."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from diffcore_torch import ema, loading, training
from diffcore_torch.noise import DeviceNoise
from diffcore_torch.stepper import TorchStepper

from diffcore import checkpoint, plan
from diffcore.noise import permutation, portable
from diffcore.predictions import EPS, VELOCITY, Edm
from diffcore.samplers import ddim, ddpm
from diffcore.schedules import cosine, edm, flow, linear, respace, ve
from diffcore.times import trailing
from diffcore.training import metrics, network_time
from diffcore.training.draws import Draws, held_out_batches, times_at
from diffcore.training.images import Images
from diffcore.training.run_folder import RunFolder
from diffcore.training.state import Diverged

EPS32 = float(torch.finfo(torch.float32).eps)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny.write_images(tmp_path / "images.npz")


@pytest.fixture
def images(source: Path) -> Images:
    return tiny.recipe(source).data.load()[0]


def run(recipe, path, **options):
    with RunFolder.create(path) as folder:
        return training.fit(recipe, folder, device="cpu", progress=False, **options)


def draws(recipe, images) -> Draws:
    return Draws(
        images=images,
        schedule=recipe.make_schedule(),
        seed=recipe.seed,
        batch=recipe.training.batch,
    )


def test_every_image_comes_once_an_epoch_in_the_order_of_the_seed(images: Images) -> None:
    recipe = tiny.recipe("", training={"batch": 8})
    marked = Images(x=np.arange(54, dtype=np.float32).reshape(54, 1, 1, 1))
    sequence = np.concatenate(
        [draws(recipe, marked).at(k).x_0.ravel() for k in range(27)]  # 216 images: four epochs
    )
    epochs = sequence.reshape(4, 54)
    for e, epoch in enumerate(epochs):
        assert (epoch == permutation(recipe.seed, e, 54)).all()
    assert not (epochs[0] == epochs[1]).all()
    # A batch is the same whether or not those before it were drawn.
    assert (draws(recipe, marked).at(20).x_0.ravel() == sequence[160:168]).all()


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
    plain = draws(recipe, images).at(3)
    changed = replace(draws(recipe, images), label_dropout=0.25, null_label=3, flips=True).at(3)
    dropped = changed.labels == 3
    assert abs(dropped.mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)
    assert (changed.labels[~dropped] == plain.labels[~dropped]).all()
    mirrored = (changed.x_0 != plain.x_0).any(axis=(1, 2, 3))
    assert abs(mirrored.mean() - 0.5) < 4 * math.sqrt(0.25 / 2000)
    assert (changed.x_0[mirrored] == plain.x_0[mirrored][..., ::-1]).all()
    assert abs(np.mean(mirrored[dropped]) - 0.5) < 4 * math.sqrt(0.25 / 500)
    with pytest.raises(ValueError, match="label_dropout must be 0"):
        replace(draws(recipe, images), label_dropout=0.25)


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


def gradients(stepper: TorchStepper, batch) -> torch.Tensor:
    """The first update's gradient, from Adam's first moment, (1 - beta_1) g."""
    stepper.step(batch, 0.0, 0.0)
    moments = [v for k, v in stepper.state().items() if k.startswith("adam.first.")]
    return torch.cat([torch.from_numpy(m).ravel() for m in moments]).double() / (1.0 - 0.9)


def test_accumulated_gradients_are_those_of_the_whole_batch(images: Images) -> None:
    def gradient(accumulate: int, batch: int = 8) -> torch.Tensor:
        recipe = tiny.recipe("", training={"accumulate": accumulate, "batch": batch, "clip": 0.0})
        return gradients(tiny.stepper(recipe, images), draws(recipe, images).at(0))

    whole = gradient(1)
    bound = 64 * EPS32 * whole.norm()
    assert (gradient(4) - whole).norm() <= bound
    assert (gradient(8) - whole).norm() <= bound
    # A sum in place of a mean, or a part left out, would be far outside.
    assert (4 * gradient(4) - whole).norm() > 1000 * bound
    assert (gradient(1, batch=6) - whole).norm() > 1000 * bound


def test_the_loss_and_the_gradient_are_those_of_plain_autograd(images: Images) -> None:
    recipe = tiny.recipe("", training={"clip": 0.0})
    stepper, batch = tiny.stepper(recipe, images), draws(recipe, images).at(0)
    network = tiny.stepper(recipe, images).network.double()
    table = recipe.make_schedule()
    x_0, t = torch.from_numpy(batch.x_0).double(), torch.from_numpy(batch.t)
    eps = portable(recipe.seed)(torch.zeros(batch.x_0.shape), 0).double()
    alpha, sigma = (torch.tensor(v)[t][:, None, None, None] for v in (table.alpha, table.sigma))
    output = network(alpha * x_0 + sigma * eps, t.double(), torch.from_numpy(batch.labels))
    loss = ((output - eps) ** 2).mean()
    loss.backward()
    expected = torch.cat([p.grad.ravel() for p in network.parameters()])
    loss_now, norm = stepper.numbers([stepper.step(batch, 0.0, 0.0)])[0]
    assert loss_now == pytest.approx(loss.item(), rel=64 * EPS32)
    assert norm == pytest.approx(expected.norm().item(), rel=256 * EPS32)
    got = gradients(tiny.stepper(recipe, images), batch)
    assert (got - expected).norm() <= 256 * EPS32 * expected.norm()


def test_clipping_scales_the_gradient_to_the_norm(images: Images) -> None:
    def gradient(clip: float) -> torch.Tensor:
        recipe = tiny.recipe("", training={"clip": clip})
        return gradients(tiny.stepper(recipe, images), draws(recipe, images).at(0))

    free = gradient(0.0)
    assert free.norm() > 0.1
    clipped = gradient(0.1)
    assert clipped.norm().item() == pytest.approx(0.1, rel=1e-5)
    assert (clipped / clipped.norm() - free / free.norm()).norm() < 64 * EPS32
    assert torch.equal(gradient(1e6), free)


def test_dropout_is_drawn_from_the_step_alone(images: Images) -> None:
    recipe = tiny.recipe("", unet={"dropout": 0.5})
    batch = draws(recipe, images).at(0)

    def loss(disturb: int) -> float:
        stepper = tiny.stepper(recipe, images)
        torch.manual_seed(disturb)
        # The untrained output layer is 0, and hides dropout until it has learnt.
        return float(
            stepper.numbers([stepper.step(batch, 0.01, 0.0), stepper.step(batch, 0.0, 0.0)])[1, 0]
        )

    assert loss(1) == loss(2)


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
    run(recipe, tmp_path / "run")
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
    outcome = run(recipe, tmp_path / "run")
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
    run(tiny.recipe(source), tmp_path / "run")
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
    run(tiny.recipe(source, evaluation=evaluation), tmp_path / "run")
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
    run(tiny.recipe(source, training={"steps": 10}), good)
    monkeypatch.setattr(TorchStepper, "step", breaking)
    with pytest.raises(Diverged, match=r"the loss is nan .* at update 13; .* update 10\."):
        run(tiny.recipe(source), tmp_path / "run")
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
        run(tiny.recipe(source), tmp_path / "run")
    assert checkpoint.read_metadata(tmp_path / "run" / "state.safetensors")["step"] == 10


def test_compile_takes_the_network_whole(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch, "compile", lambda f, **options: asked.append(options) or f)
    tiny.stepper(tiny.recipe(""), images)
    assert asked == []
    tiny.stepper(tiny.recipe("", training={"compile": True}), images)
    assert asked == [{"fullgraph": True}]


def test_bfloat16_rounds_the_network_and_nothing_else(images: Images) -> None:
    def loss(precision: str) -> tuple[float, TorchStepper]:
        recipe = tiny.recipe("", training={"precision": precision})
        stepper = tiny.stepper(recipe, images)
        with torch.no_grad():
            stepper.network.output.weight.normal_(0.0, 0.1, generator=torch.manual_seed(0))
        update = stepper.step(draws(recipe, images).at(0), 0.0, 0.0)
        return float(stepper.numbers([update])[0, 0]), stepper

    exact, _ = loss("float32")
    rounded, stepper = loss("bfloat16")
    assert loss("auto")[0] == exact
    assert rounded != exact
    assert abs(rounded - exact) < 0.02 * exact
    assert all(p.dtype == torch.float32 for p in stepper.network.parameters())
    assert rounded != float(torch.tensor(rounded).bfloat16())


def test_the_average_and_the_weights_are_what_is_loaded(source: Path, tmp_path: Path) -> None:
    run(tiny.recipe(source, training={"steps": 5}), tmp_path / "run")
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
    run(tiny.recipe(source, training={"steps": 5}), tmp_path / "run")
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


def test_an_average_that_never_moves_is_seen(images: Images, monkeypatch) -> None:
    def moved(recipe) -> bool:
        stepper = tiny.stepper(recipe, images)
        start = stepper.weights("ema")["output.bias"].copy()
        for k in range(3):
            stepper.step(draws(recipe, images).at(k), 1e-3, 0.5)
        return bool((stepper.weights("ema")["output.bias"] != start).any())

    assert moved(tiny.recipe(""))
    monkeypatch.setattr(ema, "update", lambda *arguments: None)
    assert not moved(tiny.recipe(""))


def test_metrics_are_json_lines_with_the_wall_clock_told_apart(
    source: Path, tmp_path: Path
) -> None:
    from diffcore.training.loop import WALL_CLOCK

    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        run(tiny.recipe(source), path)
    rows = [
        [
            {k: v for k, v in json.loads(line).items() if k not in WALL_CLOCK}
            for line in (path / "metrics.jsonl").read_text().splitlines()
        ]
        for path in (first, second)
    ]
    assert rows[0] == rows[1]


def test_grids_are_drawn_by_the_sampler_of_the_recipe(source: Path) -> None:
    from diffcore.training.grids import sampling_plan

    recipe = tiny.recipe(source, evaluation={"steps": 4, "eta": 0.5})
    schedule = recipe.make_schedule()
    times = trailing(schedule, 4)
    assert sampling_plan(recipe.evaluation, schedule, False) == ddim(schedule, times, 0.5)
    ancestral = replace(recipe.evaluation, sampler="ddpm")
    assert sampling_plan(ancestral, schedule, True) == ddpm(schedule, times, "learned")
