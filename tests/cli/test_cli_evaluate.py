"""`diffcore evaluate`: figures that the library gives, read from what the command prints."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import TINY_RUN, assert_one_line, good, run, write_checkpoint

from diffcore import checkpoint, likelihood, noise, schedules, tasks
from diffcore.cli import _fidelity, _likelihoods, _sampling
from diffcore.gaussians import discretised_log_likelihood
from diffcore.training import features
from diffcore.training.data import load_images
from diffcore.training.fidelity import fidelity
from diffcore_torch.divergence import pullback
from diffcore_torch.loading import load

CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A checkpoint of a network for grey images of 4 x 4."""
    return write_checkpoint(tmp_path_factory.mktemp("network") / "plain.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """An .npz of random bytes, in two classes."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    bytes_of = np.random.default_rng(0).integers(0, 256, (24, 4, 4), dtype=np.uint8)
    np.savez(path, images=bytes_of, labels=np.arange(24) % 2)
    return path


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """A run of the digits, of four steps."""
    from diffcore.cli import main

    path = tmp_path_factory.mktemp("run") / "run"
    words = ["train", "--recipe", "digits", "--steps", "4", "--no-progress", "--out", str(path)]
    assert main([*words, *CPU, "--set", *TINY_RUN]) == 0
    return path


def figures(capsys, tmp_path, *words):
    """What the command writes as JSON, and prints."""
    path = tmp_path / "figures.json"
    text = good(capsys, "evaluate", *words, "--out", path, "--force", *CPU)
    return json.loads(path.read_text()), text


def test_nll_is_what_the_library_gives(capsys, tmp_path, network, images):
    found, text = figures(
        capsys, tmp_path, "nll", network, "--data", images, "-n", 24, "--steps", 8, "--probes", 0
    )
    trained = load(network, device="cpu")
    x_0 = load_images(images, channels=1).all().astype(np.float64)

    def denoise(x_t, t):
        return trained.denoise()(torch.from_numpy(x_t.astype(np.float32)), t).numpy().astype(float)

    bound = likelihood.variational_bound(trained.schedule, denoise, x_0, noise.portable(0))
    np.testing.assert_allclose(found["bound"]["images"], bound.total, rtol=1e-4)
    np.testing.assert_allclose(found["bound"]["terms"], bound.terms.mean(axis=1), rtol=1e-4)
    assert found["bound"]["times"] == list(range(20, -1, -1))
    total = sum(found["bound"]["terms"]) + found["bound"]["prior"]
    assert total == pytest.approx(np.mean(found["bound"]["images"]), rel=1e-10)
    exact = likelihood.exact_divergence(pullback(trained))

    def divergence(x, t):
        pair = exact(torch.from_numpy(x.astype(np.float32)), t)
        return [array.numpy().astype(float) for array in pair]

    plan = _likelihoods._flow_plan(trained.schedule, 8)
    alpha = trained.schedule(1).alpha
    place = noise.uniform(0, 0, x_0.size).reshape(x_0.shape)
    state = alpha * (x_0 + (place - 0.5) * 2 / 255)
    flow = likelihood.flow_log_likelihood(trained.schedule, divergence, plan, state)
    bits = -(flow.log_density / 16 + math.log(alpha) + math.log(2 / 255)) / math.log(2)
    np.testing.assert_allclose(found["flow"]["images"], bits, rtol=1e-4)
    rows = {line[:20].strip(): line[20:].split() for line in text.splitlines()}
    assert float(rows["variational bound"][0]) == pytest.approx(np.mean(bound.total), abs=1e-3)
    assert float(rows["probability flow"][0]) == pytest.approx(np.mean(bits), abs=1e-3)
    error = np.std(bits, ddof=1) / math.sqrt(24)
    assert float(rows["probability flow"][1]) == pytest.approx(error, abs=1e-3)
    assert "24 images, 1 x 4 x 4, 256 levels; seed 0" in text


def test_nll_does_not_depend_on_the_batch_but_on_the_seed(capsys, tmp_path, network, images):
    words = ("nll", network, "--data", images, "-n", 7, "--steps", 4, "--bound-steps", 5)
    whole, _ = figures(capsys, tmp_path, *words)
    parts, _ = figures(capsys, tmp_path, *words, "--batch", 3)
    other, _ = figures(capsys, tmp_path, *words, "--seed", 1)
    for method in ("bound", "flow"):
        np.testing.assert_allclose(parts[method]["images"], whole[method]["images"], rtol=1e-3)
        assert not np.allclose(other[method]["images"], whole[method]["images"], rtol=1e-3)
    assert len(whole["bound"]["terms"]) == 5


def test_nll_of_the_methods_alone_and_with_another_variance(capsys, tmp_path, network, images):
    words = ("nll", network, "--data", images, "-n", 4, "--steps", 2)
    bound, text = figures(capsys, tmp_path, *words, "--method", "bound")
    assert "flow" not in bound
    assert "probability" not in text
    large, _ = figures(capsys, tmp_path, *words, "--method", "bound", "--variance", "large")
    assert large["bound"]["images"] != bound["bound"]["images"]
    flow, text = figures(capsys, tmp_path, *words, "--method", "flow", "--probes", 2)
    assert "bound" not in flow
    assert "2 probes" in text


def test_a_learned_variance_is_taken_and_another_on_request(capsys, tmp_path, images):
    network = write_checkpoint(tmp_path / "learned.safetensors", learned_variance=True)
    words = ("nll", network, "--data", images, "-n", 4, "--method", "bound")
    found = {
        variance: figures(capsys, tmp_path, *words, *option)[0]["bound"]["images"]
        for variance, option in (
            ("default", ()),
            ("learned", ("--variance", "learned")),
            ("small", ("--variance", "small")),
        )
    }
    assert found["default"] == found["learned"] != found["small"]


def test_labels_of_the_data_are_the_networks(capsys, tmp_path, images):
    network = write_checkpoint(tmp_path / "two.safetensors", classes=("0", "1"))
    words = ("nll", network, "--data", images, "-n", 6, "--steps", 2, "--bound-steps", 3)
    found, _ = figures(capsys, tmp_path, *words)
    swapped = tmp_path / "swapped.npz"
    with np.load(images) as arrays:
        np.savez(swapped, images=arrays["images"], labels=1 - arrays["labels"])
    other, _ = figures(capsys, tmp_path, *words, "--data", swapped)
    assert not np.allclose(found["bound"]["images"], other["bound"]["images"], rtol=1e-3)
    strangers = write_checkpoint(tmp_path / "three.safetensors", classes=("a", "b"))
    result = run(capsys, "evaluate", "nll", strangers, "--data", images, "-n", 4)
    assert_one_line(result, "--data must have the network's classes, a, b, got 0, 1")


def test_nll_of_a_run_judges_the_images_it_was_not_trained_on(capsys, tmp_path, tiny_run):
    found, text = figures(
        capsys, tmp_path, "nll", tiny_run, "-n", 4, "--steps", 2, "--bound-steps", 2
    )
    assert "17 levels" in text
    assert found["bin_width"] == 2 / 16
    assert np.isfinite(found["flow"]["images"]).all()


def shown_two(path, **fields):
    """A network for 4 x 4 images of what 2 x 2 pixels show of them."""
    write_checkpoint(path, condition_channels=1, **fields)
    content = checkpoint.load(path)
    training = {**content.training, "condition_size": 2}
    checkpoint.save(path, replace(content, training=training))
    return path


def test_nll_with_a_condition_gives_each_image_its_own(capsys, tmp_path, images):
    network = shown_two(tmp_path / "shown.safetensors")
    words = ("nll", network, "--data", images, "-n", 24, "--steps", 4, "--probes", 0)
    found, text = figures(capsys, tmp_path, *words, "--batch", 5)
    assert "each given its own condition, as in training" in text
    trained = load(network, device="cpu")
    x_0 = load_images(images, channels=1).all().astype(np.float64)
    plan = _likelihoods._flow_plan(trained.schedule, 4)
    alpha = trained.schedule(1).alpha
    state = alpha * (x_0 + (noise.uniform(0, 0, x_0.size).reshape(x_0.shape) - 0.5) * 2 / 255)

    def given(condition):
        def denoise(x_t, t):
            x_t = torch.from_numpy(x_t.astype(np.float32))
            return trained.denoise(condition=condition)(x_t, t).numpy().astype(float)

        exact = likelihood.exact_divergence(pullback(trained, None, condition))

        def divergence(x, t):
            pair = exact(torch.from_numpy(x.astype(np.float32)), t)
            return [array.numpy().astype(float) for array in pair]

        bound = likelihood.variational_bound(trained.schedule, denoise, x_0, noise.portable(0))
        flow = likelihood.flow_log_likelihood(trained.schedule, divergence, plan, state)
        bits = -(flow.log_density / 16 + math.log(alpha) + math.log(2 / 255)) / math.log(2)
        return bound.total, bits

    own = tasks.low_resolution(x_0, 2)
    for got, wanted, wrong in zip(
        (found["bound"]["images"], found["flow"]["images"]),
        given(own),
        given(own[::-1].copy()),
        strict=True,
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-4)
        assert not np.allclose(got, wrong, rtol=1e-3)


def test_nll_with_a_condition_that_the_checkpoint_does_not_tell(capsys, tmp_path, images):
    network = write_checkpoint(tmp_path / "shown.safetensors", condition_channels=1)
    for words in (("nll", network, "--data", images), ("fd", network, "--reference", images)):
        assert_one_line(run(capsys, "evaluate", *words, "-n", 4, *CPU), "condition_size")


@pytest.mark.parametrize("name", ["flow", "edm", "ve", "cosine_continuous"])
def test_flow_plans_of_continuous_schedules_go_from_next_to_data_to_the_end(name):
    schedule = getattr(schedules, name)()
    plan = _likelihoods._flow_plan(schedule, 10)
    first, last = plan.stages[0].time, plan.stages[-1].time_next
    assert plan.order == 4
    assert plan.evaluations == 40
    assert last == schedule.curve.t_max
    level = schedule(first)
    assert level.sigma / level.alpha == pytest.approx(0.01 if name == "ve" else 0.002)
    if name == "ve":
        with pytest.raises(ValueError, match="--method must be flow for the schedule 've'"):
            _likelihoods._bound_times(schedule, None)
    else:
        times = _likelihoods._bound_times(schedule, 6)
        assert (len(times), times[0], times[-1]) == (7, last, 0.0)


def test_flow_plans_of_discrete_schedules_visit_whole_times():
    for schedule in (schedules.cosine(30), schedules.zero_terminal_snr(schedules.linear(1000))):
        plan = _likelihoods._flow_plan(schedule, 12)
        visited = sorted({stage.time for stage in plan.stages} | {plan.stages[-1].time_next})
        assert (visited[0], visited[-1]) == (1, schedule.T)
        assert all(isinstance(t, int) for t in visited)
        assert len(visited) <= 14


# Fréchet distance, KID, precision and recall.


def test_fd_of_samples_is_what_the_library_gives(capsys, tmp_path, images):
    reference = tmp_path / "reference.npz"
    bytes_of = np.random.default_rng(1).integers(0, 200, (30, 4, 4), dtype=np.uint8)
    np.savez(reference, images=bytes_of, labels=np.arange(30) % 3)
    found, text = figures(capsys, tmp_path, "fd", images, "--reference", reference)
    x, y = (features.features(load_images(p, channels=1).all()) for p in (images, reference))
    wanted = fidelity(x, y)
    row = found["rows"]["samples"]
    assert (row["n"], row["reference"], row["precision"]) == (24, 30, wanted.precision)
    assert row["frechet"] == pytest.approx(wanted.frechet, rel=1e-10)
    assert row["kid"]["value"] == pytest.approx(wanted.kid.value, rel=1e-10)
    assert found["rows"]["real images"]["n"] == 15
    assert "features: pixels, 16 numbers an image; seed 0" in text
    fewer, _ = figures(
        capsys, tmp_path, "fd", images, "--reference", reference, "-n", 10, "--reference-n", 20
    )
    assert (fewer["rows"]["samples"]["n"], fewer["rows"]["samples"]["reference"]) == (10, 20)
    margins, text = figures(
        capsys, tmp_path, "fd", images, "--reference", reference, "--features", "classifier"
    )
    assert margins["rows"]["samples"]["frechet"] != row["frechet"]
    assert "classifier, 3 numbers" in text


@pytest.mark.parametrize("learned", [False, True], ids=["ddim", "ddpm"])
def test_fd_draws_from_a_network_what_sample_draws(capsys, tmp_path, images, learned):
    """The learned variance too, where the network has learnt one."""
    network = write_checkpoint(tmp_path / "net.safetensors", learned_variance=learned)
    words = ("-n", 9, "--steps", 3, "--seed", 5, "--sampler", "ddpm" if learned else "ddim")
    out = tmp_path / "drawn.npz"
    good(capsys, "sample", network, *words, "--out", out, *CPU)
    drawn, _ = figures(capsys, tmp_path, "fd", network, "--reference", images, *words)
    stored, _ = figures(capsys, tmp_path, "fd", out, "--reference", images, "--seed", 5)
    rows = drawn["rows"]["samples"], stored["rows"]["samples"]
    assert rows[0]["frechet"] == pytest.approx(rows[1]["frechet"], rel=1e-4)
    assert rows[0]["kid"]["value"] == pytest.approx(rows[1]["kid"]["value"], rel=1e-3)


def test_fd_of_a_run_has_its_training_images_for_reference(capsys, tmp_path, tiny_run):
    found, _ = figures(
        capsys, tmp_path, "fd", tiny_run, "-n", 12, "--steps", 2, "--reference-n", 60
    )
    assert found["rows"]["samples"]["reference"] == 60
    assert found["rows"]["samples"]["frechet"] > 1.0


def test_fd_with_a_condition_draws_what_sample_draws_of_the_references(capsys, tmp_path, images):
    """Each with its image's condition and class, in turn where more are drawn than there are."""
    from PIL import Image

    network = shown_two(tmp_path / "shown.safetensors", classes=("0", "1"))
    (tmp_path / "shown").mkdir()
    with np.load(images) as arrays:
        for i, image in enumerate(arrays["images"]):
            Image.fromarray(image).save(tmp_path / "shown" / f"{i:02}.png")
    words = ("-n", 30, "--steps", 3, "--seed", 5)
    stored = {}
    for name, classes in (("right", "01"), ("wrong", "10")):
        out = tmp_path / f"{name}.npz"
        given = ("--condition", tmp_path / "shown", "--class", *(classes * 12))
        good(capsys, "sample", network, *words, *given, "--out", out, *CPU)
        measured, _ = figures(capsys, tmp_path, "fd", out, "--reference", images, "--seed", 5)
        stored[name] = measured["rows"]["samples"]["frechet"]
    drawn, text = figures(capsys, tmp_path, "fd", network, "--reference", images, *words)
    assert "conditions: those of 24 of the reference, in turn" in text
    assert drawn["rows"]["samples"]["frechet"] == pytest.approx(stored["right"], rel=1e-4)
    assert stored["wrong"] != pytest.approx(stored["right"], rel=1e-3)
    strangers = shown_two(tmp_path / "strangers.safetensors", classes=("a", "b"))
    result = run(capsys, "evaluate", "fd", strangers, "--reference", images, "-n", 4, *CPU)
    assert_one_line(result, "--reference must have the network's classes, a, b, got 0, 1")


def test_a_run_with_a_condition_is_judged_by_what_it_was_not_trained_on(capsys, tmp_path):
    words = ["train", "--recipe", "digits-sr", "--steps", 4, "--no-progress"]
    path = tmp_path / "run"
    good(capsys, *words, "--out", path, *CPU, "--set", *TINY_RUN)
    bound, _ = figures(
        capsys, tmp_path, "nll", path, "-n", 4, "--bound-steps", 2, "--method", "bound"
    )
    assert np.isfinite(bound["bound"]["images"]).all()
    words = ("fd", path, "-n", 12, "--steps", 2, "--reference-n", 60)
    _, text = figures(capsys, tmp_path, *words)
    assert "conditions: those of 12 of the run's held-out images, in turn" in text


def test_fd_says_nothing_of_real_images_where_they_are_too_few(capsys, tmp_path, images):
    few = tmp_path / "few.npz"
    with np.load(images) as arrays:
        np.savez(few, images=arrays["images"][:6])
    found, text = figures(capsys, tmp_path, "fd", images, "--reference", few)
    assert set(found["rows"]) == {"samples"}
    assert "real images" not in text


def test_fd_of_a_folder_of_samples(capsys, tmp_path, network, images):
    folder = tmp_path / "samples"
    good(capsys, "sample", network, "-n", 8, "--steps", 2, "--out", f"{folder}/", *CPU)
    found, _ = figures(capsys, tmp_path, "fd", folder, "--reference", images, "--channels", 1)
    assert found["rows"]["samples"]["n"] == 8


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nll", "nowhere"], "nowhere"),
        (["nll", "{network}"], "--data must be given"),
        (["nll", "{network}", "--data", "{images}", "-n", 99], "-n must be at most 24"),
        (["nll", "{network}", "--data", "{images}", "-n", 4, "--bound-steps", 21], "--bound-steps"),
        (["nll", "{network}", "--data", "{images}", "--variance", "learned"], "--variance"),
        (["nll", "{network}", "--data", "digits"], "digits"),
        (["nll", "{network}", "--data", "{images}", "--out", "figures.txt"], "figures.txt"),
        (["fd", "{images}"], "--reference must be given"),
        (["fd", "{network}"], "--reference must be given"),
        (["fd", "nowhere.npz", "--reference", "{images}"], "nowhere.npz"),
        (["fd", "{images}", "--reference", "digits"], "digits"),
        (["fd", "{images}", "--reference", "{images}", "-n", 99], "-n must be at most 24"),
        (["fd", "{images}", "--reference", "{images}", "--features", "colours"], "'colours'"),
        (["fd", "{network}", "--reference", "{images}", "--channels", 3], "--channels"),
        (["fd", "{network}", "--reference", "{images}", "--steps", 999], "--steps"),
        (
            ["fd", "{network}", "--reference", "{images}", "--sampler", "ddpm:variance=learned"],
            "--sampler ddpm:variance=learned needs a network that has learnt one",
        ),
    ],
)
def test_errors_name_what_is_wrong(capsys, tmp_path, monkeypatch, network, images, words, named):
    monkeypatch.chdir(tmp_path)
    given = [str(word).format(network=network, images=images) for word in words]
    assert_one_line(run(capsys, "evaluate", *given, *CPU), named)
    assert list(tmp_path.iterdir()) == []


def test_figures_are_replaced_only_when_asked(capsys, tmp_path, network, images):
    path = tmp_path / "figures.json"
    path.write_text("precious")
    words = ("evaluate", "fd", images, "--reference", images, "--out", path)
    assert_one_line(run(capsys, *words), str(path), "--force")
    assert path.read_text() == "precious"
    good(capsys, *words, "--force")
    assert json.loads(path.read_text())["rows"]["samples"]["precision"] == 1.0


def test_samples_that_are_not_finite_are_no_samples(capsys, monkeypatch, network, images):
    drawn = _sampling.Drawn(images=np.full((9, 1, 4, 4), np.nan, np.float32), labels=None)
    monkeypatch.setattr(_fidelity._sampling, "draw", lambda *args, **options: drawn)
    result = run(capsys, "evaluate", "fd", network, "--reference", images, *CPU)
    assert_one_line(result, "9 of 9 images that were drawn are not finite")


def test_the_levels_of_the_bound_are_those_of_the_images():
    """17 levels in [-1, 1]: each bin's probability, all of them summing to 1."""
    levels = np.linspace(-1.0, 1.0, 17)
    each = discretised_log_likelihood(levels, 0.3, 0.1, bin_width=2 / 16)
    assert np.sum(np.exp(each)) == pytest.approx(1.0, rel=1e-12)
