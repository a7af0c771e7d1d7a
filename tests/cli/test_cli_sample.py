"""`diffcore sample`: what a seed decides, what options mean, and files of every kind."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import ANIMALS, assert_one_line, good, pixels, run, write_checkpoint
from PIL import Image, ImageSequence

from diffcore import checkpoint, plan, samplers, schedules
from diffcore.cli import _planners, _sampling
from diffcore.noise import portable
from diffcore.times import karras, leading, linspace, trailing
from diffcore_torch.loading import load

EPS = float(np.finfo(np.float32).eps)
TOLERANCE = 2**10 * EPS
"""20 steps of a network of random weights, whose rounding depends on the size of a batch."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A network without classes."""
    return write_checkpoint(tmp_path_factory.mktemp("plain") / "plain.safetensors")


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    """A network of three classes."""
    folder = tmp_path_factory.mktemp("animals")
    return write_checkpoint(folder / "animals.safetensors", classes=ANIMALS)


@pytest.fixture
def drawn(capsys, tmp_path):
    """A function: the images that options give, through an .npz."""

    def draw(*words):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        good(capsys, "sample", *words, "--out", out)
        with np.load(out, allow_pickle=False) as arrays:
            return arrays["images"]

    return draw


def by_hand(path, n, *, sampler=None, labels=None, seed=0, threshold=_sampling.THRESHOLDS["clip"]):
    """n samples by the library's functions, whole in PyTorch."""
    import torch

    trained = load(path, device="cpu")
    schedule = trained.schedule
    stages = sampler or samplers.ddim(schedule, trailing(schedule, 20))
    x = torch.zeros(n, 1, 4, 4)
    noise = portable(seed)
    x = plan.prior(schedule, stages.stages[0].time, noise(x, 0))
    return plan.sample(trained.denoise(labels, threshold=threshold), stages, x, noise).numpy()


def close(a, b):
    return a.shape == b.shape and bool(np.abs(a - b).max() <= TOLERANCE)


def test_the_command_draws_what_the_library_draws(drawn, plain):
    assert close(drawn(plain, "-n", 5), by_hand(plain, 5))
    assert close(drawn(plain, "-n", 5, "--seed", 9), by_hand(plain, 5, seed=9))
    assert not close(drawn(plain, "-n", 5, "--seed", 9), by_hand(plain, 5))


def test_an_image_depends_on_the_seed_and_its_number_alone(drawn, plain, animals):
    for source in (plain, animals):
        for noisy in ([], ["--eta", "0.7"], ["--sampler", "ddpm"]):
            many = drawn(source, "-n", 7, "--batch", 7, *noisy)
            assert close(drawn(source, "-n", 7, "--batch", 2, *noisy), many)
            assert close(drawn(source, "-n", 3, *noisy), many[:3])
            assert not close(drawn(source, "-n", 7, "--seed", 1, *noisy), many)


def test_the_same_command_writes_the_same_bytes(capsys, tmp_path, animals):
    for name in "ab":
        words = ("-n", 6, "--eta", 1, "--out", tmp_path / f"{name}.png")
        good(capsys, "sample", animals, *words, "--trajectory", tmp_path / f"{name}.gif")
        good(capsys, "sample", animals, "-n", 6, "--out", tmp_path / f"{name}.npz")
    for suffix in ("png", "gif", "npz"):
        a, b = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
        assert a == b


def test_eta_1_on_every_time_is_ddpm(drawn, plain):
    ddpm = drawn(plain, "-n", 4, "--sampler", "ddpm")
    assert close(drawn(plain, "-n", 4, "--eta", 1), ddpm)
    assert not close(drawn(plain, "-n", 4, "--eta", 0.5), ddpm)


def test_options_choose_the_plan(drawn, plain):
    cosine = schedules.cosine(20)
    for rule, times in (("linspace", linspace), ("leading", leading), ("trailing", trailing)):
        given = drawn(plain, "-n", 3, "--steps", 6, "--grid", rule)
        assert close(given, by_hand(plain, 3, sampler=samplers.ddim(cosine, times(cosine, 6))))
    large = samplers.ddpm(cosine, variance="large")
    given = drawn(plain, "-n", 3, "--sampler", "ddpm", "--variance", "large")
    assert close(given, by_hand(plain, 3, sampler=large))
    assert not close(given, by_hand(plain, 3, sampler=samplers.ddpm(cosine)))


def test_thresholds(drawn, plain):
    seen = {}
    for name, threshold in _sampling.THRESHOLDS.items():
        seen[name] = drawn(plain, "-n", 4, "--threshold", name)
        assert close(seen[name], by_hand(plain, 4, threshold=threshold))
    assert np.abs(seen["clip"]).max() <= 1.0 + EPS
    assert not close(seen["clip"], seen["none"])
    assert not close(seen["clip"], seen["dynamic"])


def test_raw_weights_are_not_the_average(drawn, plain):
    assert not close(drawn(plain, "-n", 4, "--weights", "raw"), drawn(plain, "-n", 4))


def test_learned_variance_is_used_where_there_is_one(drawn, tmp_path_factory):
    path = tmp_path_factory.mktemp("learned") / "net.safetensors"
    write_checkpoint(path, learned_variance=True)
    learned = drawn(path, "-n", 4, "--sampler", "ddpm")
    assert close(learned, drawn(path, "-n", 4, "--sampler", "ddpm", "--variance", "learned"))
    assert not close(learned, drawn(path, "-n", 4, "--sampler", "ddpm", "--variance", "small"))
    assert close(drawn(path, "-n", 4, "--batch", 3), drawn(path, "-n", 4))


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        ([], [0, 1, 2, 0, 1]),
        (["--class", "dog"], [1] * 5),
        (["--class", "2"], [2] * 5),
        (["--class", "owl", "0"], [2, 0, 2, 0, 2]),
        (["--class", "none"], [3] * 5),
    ],
)
def test_classes(drawn, capsys, tmp_path, animals, words, labels):
    out = tmp_path / "labels.npz"
    good(capsys, "sample", animals, "-n", 5, *words, "--out", out)
    with np.load(out) as arrays:
        assert arrays["labels"].tolist() == labels
        assert arrays["classes"].tolist() == list(ANIMALS)
        assert arrays["images"].dtype == np.float32
        assert close(arrays["images"], by_hand(animals, 5, labels=labels))
        assert not close(arrays["images"], by_hand(animals, 5, labels=[0, 0, 0, 1, 2]))


def test_a_network_without_a_null_class(capsys, tmp_path):
    path = write_checkpoint(tmp_path / "net.safetensors", classes=ANIMALS, null_class=False)
    good(capsys, "sample", path, "-n", 4, "--out", tmp_path / "a.png")
    result = run(capsys, "sample", path, "--class", "none", "--out", tmp_path / "b.png")
    assert_one_line(result, "--class", "cat, dog, owl", "'none'")


def test_a_grid_has_a_row_for_each_class(capsys, tmp_path, drawn, animals):
    good(capsys, "sample", animals, "-n", 12, "--out", tmp_path / "grid.png")
    images = drawn(animals, "-n", 12)
    picture = pixels(tmp_path / "grid.png").astype(float)
    from diffcore.training.pictures import grid

    rows = np.concatenate([images[k::3] for k in range(3)])
    assert np.abs(picture - grid(rows, columns=4)).max() <= 1
    assert np.abs(picture - grid(images, columns=4)).max() > 1


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        (None, 8),
        ([0] * 64, 8),
        ([k % 4 for k in range(64)], 16),
        ([k % 3 for k in range(64)], 8),
        ([k % 2 for k in range(128)], 12),
    ],
)
def test_the_layout_of_a_grid(labels, columns):
    n = 64 if labels is None else len(labels)
    images = np.zeros((n, 1, 4, 4), np.float32)
    picture = _sampling.arranged(images, None if labels is None else np.array(labels))
    one = _sampling.arranged(images[:1], None)
    gap = 2 * one.shape[1] - _sampling.arranged(images[:2], None).shape[1]
    assert picture.shape[1] == columns * (one.shape[1] - gap) + gap


def test_a_folder_of_pngs(capsys, tmp_path, drawn, plain, animals):
    from diffcore.training.pictures import to_uint8

    images = to_uint8(drawn(animals, "-n", 4))
    good(capsys, "sample", animals, "-n", 4, "--out", f"{tmp_path}/zoo/")
    files = sorted(p.relative_to(tmp_path / "zoo") for p in (tmp_path / "zoo").rglob("*.png"))
    assert [str(f) for f in files] == [
        "cat/00000.png", "cat/00003.png", "dog/00001.png", "owl/00002.png",
    ]  # fmt: skip
    for file in files:
        stored = pixels(tmp_path / "zoo" / file).astype(int)
        assert np.abs(stored - images[int(file.stem), 0]).max() <= 1
    good(capsys, "sample", plain, "-n", 2, "--out", tmp_path / "flat")
    assert sorted(p.name for p in (tmp_path / "flat").iterdir()) == ["00000.png", "00001.png"]


def test_a_folder_can_be_trained_on(capsys, tmp_path, animals):
    from diffcore.training.data import load_images

    good(capsys, "sample", animals, "-n", 4, "--out", tmp_path / "zoo")
    images = load_images(tmp_path / "zoo", channels=1)
    assert images.classes == ANIMALS
    assert images.labels.tolist() == [0, 0, 1, 2]


def test_class_names_become_harmless_folders(capsys, tmp_path):
    path = write_checkpoint(tmp_path / "n.safetensors", classes=("../up", "a/b", ".hidden", ""))
    good(capsys, "sample", path, "-n", 4, "--out", tmp_path / "in" / "side")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "n.safetensors"]
    found = {str(p.relative_to(tmp_path / "in")) for p in (tmp_path / "in").rglob("*.png")}
    assert found == {
        "side/_up/00000.png", "side/a_b/00001.png", "side/hidden/00002.png", "side/_/00003.png",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".png", ".apng", ".gif", ".webp"])
def test_the_trajectory_goes_from_noise_to_the_images(capsys, tmp_path, animals, suffix):
    out, film = tmp_path / "samples.png", tmp_path / f"film{suffix}"
    printed = good(capsys, "sample", animals, "-n", 6, "--out", out, "--trajectory", film)
    assert printed == f"{out}\n{film}\n"
    with warnings.catch_warnings(), Image.open(film) as picture:
        frames = [np.asarray(f.convert("L"), float) for f in ImageSequence.Iterator(picture)]
    if suffix in (".png", ".apng"):
        shown_without_animation, *frames = frames
        assert np.array_equal(shown_without_animation, frames[-1])
    assert len(frames) == 21
    last = pixels(out).astype(float)
    palette = 8.0 if suffix == ".gif" else 1.0
    assert np.abs(frames[-1] - last).max() <= palette
    assert np.abs(frames[0] - last).mean() > 20.0
    away = [np.abs(frame - last).mean() for frame in frames]
    assert away[0] > away[12] > away[-1]


def test_a_long_way_is_shown_in_sixty_frames():
    for stages in (1, 2, 59, 60, 61, 1000):
        moments = _sampling._moments(stages)
        assert max(moments) == stages - 1
        assert len(moments) == min(stages, 59)
        assert min(moments) >= 0


def test_default_steps():
    assert _sampling.planned(schedules.linear(1000)).evaluations == 50
    assert _sampling.planned(schedules.linear(20)).evaluations == 20
    assert _sampling.planned(schedules.linear(20), sampler="ddpm").evaluations == 20
    assert _sampling.planned(schedules.flow()).evaluations == 50
    assert _sampling.planned(schedules.flow(), sampler="ddpm").evaluations == 1000


def test_what_is_there_stays_unless_forced(capsys, tmp_path, plain):
    for name in ("s.png", "s.npz", "t.png", "folder"):
        path = tmp_path / name
        precious = path / "00000.png" if name == "folder" else path
        precious.parent.mkdir(exist_ok=True)
        precious.write_text("precious")
        option = "--trajectory" if name == "t.png" else "--out"
        words = ("-n", 2, "--out", tmp_path / f"{name}.new.png", option, path)
        assert_one_line(run(capsys, "sample", plain, *words), str(path), "--force")
        assert precious.read_text() == "precious"
        good(capsys, "sample", plain, *words, "--force")
        assert precious.read_bytes() != b"precious"
    beside = tmp_path / "folder" / "notes.txt"
    beside.write_text("precious")
    good(capsys, "sample", plain, "-n", 1, "--out", tmp_path / "folder", "--force")
    assert beside.read_text() == "precious"
    assert not list(tmp_path.rglob(".*"))


def test_what_is_read_is_never_written(capsys, tmp_path, plain):
    shown = write_checkpoint(tmp_path / "shown.safetensors", condition_channels=1)
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "a.png", folder / "b.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    picture, again, one = tmp_path / "a.png", tmp_path / "again.png", folder / "b.png"
    again.symlink_to(picture)
    init = (plain, "--init", picture, "--strength", "0.5")
    other = ("--out", tmp_path / "new.png")
    for words, option in (
        ((*init, "--out", picture), "--out"),
        ((*init, "--out", again), "--out"),
        ((*init, *other, "--trajectory", picture), "--trajectory"),
        ((plain, "--init", one, "--inpaint", picture, "--out", picture), "--out"),
        ((shown, "--condition", picture, "--out", picture), "--out"),
        ((shown, "--condition", folder, "--out", one), "--out"),
        ((shown, "--condition", folder, "--out", folder), "--out"),
    ):
        before = picture.read_bytes(), one.read_bytes()
        assert_one_line(run(capsys, "sample", *words, "--force"), f"{option} must be another file")
        assert (picture.read_bytes(), one.read_bytes()) == before
    good(capsys, "sample", shown, "--condition", folder, "--out", folder / "new.png")


def truncated(path: Path, to: Path) -> Path:
    data = path.read_bytes()
    to.write_bytes(data[: len(data) // 2])
    return to


def test_errors_name_what_is_wrong(capsys, tmp_path, monkeypatch, plain, animals):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.safetensors").write_text("no checkpoint")
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    truncated(plain, tmp_path / "cut.safetensors")
    before = sorted(tmp_path.rglob("*"))
    names = "cat, dog, owl"
    for words, named in (
        (["missing.safetensors"], ["missing.safetensors"]),
        (["runs/missing"], ["runs/missing"]),
        (["text.safetensors"], ["text.safetensors"]),
        (["empty.safetensors"], ["empty.safetensors"]),
        (["cut.safetensors"], ["cut.safetensors"]),
        (["empty"], ["empty", "recipe.toml"]),
        (["/dev/null"], ["/dev/null"]),
        ([plain, "--class", "3"], ["--class", "without classes"]),
        ([animals, "--class", "bee"], ["--class", names, "'bee'"]),
        ([animals, "--class", "3"], ["--class", names, "'3'"]),
        ([animals, "--class", "-1"], ["--class", "-1"]),
        ([plain, "--steps", "21"], ["--steps", "20", "21"]),
        ([plain, "--sampler", "ddpm", "--eta", "0.5"], ["--eta", "ddim"]),
        ([plain, "--variance", "large"], ["--variance", "ddpm"]),
        ([plain, "--sampler", "ddpm", "--variance", "learned"], ["--variance learned"]),
        ([plain, "--device", "toaster"], ["device", "toaster"]),
        ([plain, "--seed", str(2**63)], ["seed"]),
        ([plain, "--out", "samples.jpg"], ["--out", "samples.jpg"]),
        ([plain, "--out", "file/samples.png"], ["file/samples.png"]),
        ([plain, "--out", "file/"], ["file"]),
        ([plain, "--out", "/proc/samples.png"], ["/proc/samples.png"]),
        ([plain, "--trajectory", "film.mp4"], ["film.mp4", ".gif"]),
        ([plain, "--out", "x.png", "--trajectory", "x.png"], ["--trajectory", "x.png"]),
        ([plain, "--trajectory", "empty"], ["empty"]),
    ):
        assert_one_line(run(capsys, "sample", *words), *named)
        assert sorted(tmp_path.rglob("*")) == before, words


def test_images_that_are_not_finite_are_reported(capsys, tmp_path):
    path = write_checkpoint(tmp_path / "net.safetensors")
    from diffcore import checkpoint

    stored = checkpoint.load(path)
    stored.ema["output.bias"][:] = np.nan
    checkpoint.save(path, stored)
    result = run(capsys, "sample", path, "-n", 3, "--out", tmp_path / "s.png")
    assert result.status == 0
    assert result.err == "diffcore: warning: 3 of 3 images are not finite\n"


@pytest.mark.parametrize("sampler", ["heun", "dpm_solver_pp:order=3,formula=published", "unipc"])
def test_every_planner_is_a_sampler(capsys, plain, tmp_path, sampler):
    out = tmp_path / "x.npz"
    words = ("sample", plain, "-n", 2, "--steps", 4, "--out", out)
    good(capsys, *words, "--sampler", sampler)
    assert np.isfinite(np.load(out)["images"]).all()
    first = np.load(out)["images"]
    good(capsys, *words, "--force")
    assert not np.array_equal(np.load(out)["images"], first)


@pytest.mark.parametrize("grid", _planners.GRIDS)
def test_every_grid_is_a_function_of_steps(grid):
    made = _sampling.planned(schedules.linear(100), steps=5, rule=grid)
    assert made.evaluations == 5


def test_a_grid_has_parameters(drawn, tmp_path_factory):
    """Without signal at its end a schedule has no largest noise level: it is given."""
    path = write_checkpoint(tmp_path_factory.mktemp("flow") / "net.safetensors")
    flow = schedules.flow()
    checkpoint.save(path, replace(checkpoint.load(path), schedule=flow))
    words = ("-n", 3, "--steps", 4, "--grid")
    given = drawn(path, *words, "karras:sigma_max=20,rho=3")
    wanted = samplers.ddim(flow, karras(flow, 4, sigma_max=20.0, rho=3.0))
    assert close(given, by_hand(path, 3, sampler=wanted))
    assert not close(given, drawn(path, *words, "karras:sigma_max=20"))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("even", "--grid: must be one of linspace, trailing"),
        ("karras:sigma=2", "--grid: karras takes rho=..., sigma_min=..., sigma_max=...; got"),
        ("trailing:rho=2", "--grid: trailing takes no parameters; got"),
        ("exponential", "--grid exponential: sigma_max must be given where the schedule ends"),
        ("karras:sigma_max=-1", "--grid karras: sigma_min must be positive and below a finite"),
    ],
)
def test_a_grid_that_cannot_be_is_named(capsys, tmp_path, grid, message):
    path = write_checkpoint(tmp_path / "net.safetensors")
    checkpoint.save(path, replace(checkpoint.load(path), schedule=schedules.flow()))
    result = run(capsys, "sample", path, "--grid", grid, "--out", tmp_path / "x.png")
    assert_one_line(result, message)
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("ddmi", "--sampler: must be one of ddpm, ddim"),
        ("unipc:ordr=2", "--sampler: unipc takes order=..."),
        ("unipc:order", "--sampler: unipc takes order=..."),
        ("unipc:order=9", "--sampler unipc: order must be"),
        ("ddpm:variance=tiny", "--sampler ddpm: variance must be"),
        ("heun:s_churn=2", "--sampler heun: s_churn must be 0 on a discrete schedule"),
    ],
)
def test_bad_samplers_are_named(capsys, plain, tmp_path, sampler, message):
    result = run(capsys, "sample", plain, "--sampler", sampler, "--out", tmp_path / "x.png")
    assert_one_line(result, message)
    assert not (tmp_path / "x.png").exists()
