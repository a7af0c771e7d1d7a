"""The demo: what it writes and says, and a floor under the digits that its recipe draws.

The recipe is trained in a shortened form and its samples judged as the demo judges them. What has
learnt nothing, or not the digits, must fall through the floor.
"""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffcore import checkpoint, verify
from diffcore.cli import _demo_pictures, _sampling, demo, main
from diffcore.cli._beside import GAP
from diffcore.training import evaluation, metrics, recipe
from diffcore.training.evaluation import Scores
from diffcore_reference import loading as reference
from diffcore_reference.kernels.arrays import Arrays

STEPS = 400
SAMPLES = 200
QUICK = (
    "unet.width=8",
    "unet.groups=4",
    "unet.blocks=1",
    "training.steps=6",
    "training.batch=8",
    "evaluation.log_every=2",
    "evaluation.loss_every=3",
    "evaluation.loss_images=16",
    "evaluation.samples_every=3",
    "evaluation.samples=10",
    "evaluation.steps=2",
)


@pytest.fixture(autouse=True)
def by_definition(monkeypatch):
    """The reference backend as without Numba, whose compiler no test here waits for."""
    monkeypatch.setattr(reference, "chosen_kernels", lambda device: Arrays(np))


class Demo:
    """A finished demo: its folder, what it printed, and the judge of its samples."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder = folder
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            self.status = main(["demo", "--out", str(folder), "--set", *overrides])
        self.printed = out.getvalue()


@pytest.fixture(scope="module")
def data():
    """The digits to train on, and those held out."""
    return recipe.load("digits").data.load()


@pytest.fixture(scope="module")
def judge(data):
    return evaluation.appoint(*data)


def failures(scores: Scores, noise: Scores) -> list[str]:
    """What is not as it is of digits; empty for images that the demo may show."""
    floor = {
        "confident": scores.confident > 0.65,
        "classes": scores.classes == 10,
        "imbalance": scores.imbalance < 0.1,
        "pixels": scores.frechet_pixels < 0.06 * noise.frechet_pixels,
        "margins": scores.frechet_margins < 0.05 * noise.frechet_margins,
        "copies": scores.copies < 0.1,
    }
    return [name for name, good in floor.items() if not good]


def drawn(path: Path, n: int) -> _sampling.Drawn:
    from diffcore_torch.loading import load

    trained = load(path, device="cpu")
    plan = _sampling.planned(trained.schedule)
    return _sampling.draw(trained, plan, n, labels=range(10), batch=n, progress=False)


@pytest.fixture(scope="module")
def noise(judge, data):
    rng = np.random.default_rng(0)
    return judge(rng.standard_normal((SAMPLES, *data[0].shape)))


def test_the_demo_draws_digits_and_shows_them(tmp_path, judge, noise):
    # One test for all that needs a trained network: parallel workers would each train their own.
    shortened = Demo(
        tmp_path / "demo",
        f"training.steps={STEPS}",
        f"evaluation.samples_every={STEPS // 2}",
        "evaluation.samples=10",
    )
    assert shortened.status == 0, shortened.printed
    samples = drawn(shortened.folder, SAMPLES)
    assert failures(judge(samples.images), noise) == []
    assert_they_are_those_asked_for(samples, judge)
    assert_the_loss_falls(shortened.folder)
    assert_all_is_said(shortened)
    assert_all_is_drawn(shortened, samples)
    assert_both_backends_draw_them(shortened, samples)


def assert_they_are_those_asked_for(samples, judge):
    def share(labels):
        counts = (judge(samples.images[labels == k]).counts[k] for k in range(10))
        return sum(counts) / SAMPLES

    assert share(samples.labels) > 0.9
    # By chance, one in ten.
    assert share(np.random.default_rng(0).permutation(samples.labels)) < 0.25


def assert_the_loss_falls(folder):
    columns = metrics.read(folder / "metrics.jsonl")
    for name in ("loss", "held_out_loss"):
        assert columns[name].value[-1] < 0.5 * columns[name].value[0]


def assert_all_is_said(shortened):
    assert re.search(r"^loss +█[▁-█]+ +\d", shortened.printed, re.MULTILINE)
    for row in ("samples", "real images", "noise"):
        assert re.search(rf"^{row} +\d+ +[\d.]+%", shortened.printed, re.MULTILINE)
    for identity in verify.IDENTITIES:
        assert f"\n{identity.name} " in shortened.printed
    assert "numpy    torch  array_api_strict" in shortened.printed
    assert f"Pictures in {shortened.folder}" in shortened.printed


def assert_all_is_drawn(shortened, samples):
    names = ["samples.png", "trajectory.png", "filmstrip.png", "early.png", "loss.png"]
    for name in names:
        assert f"  {name}" in shortened.printed
        with Image.open(shortened.folder / name) as picture:
            assert picture.width > 300
            assert getattr(picture, "n_frames", 1) > (40 if name == "trajectory.png" else 0)
    rows = _sampling.arranged(samples.images[:120], samples.labels[:120])
    with Image.open(shortened.folder / "samples.png") as picture:
        assert np.abs(np.asarray(picture, float) - rows).max() <= 1.0


def assert_both_backends_draw_them(shortened, samples):
    said = re.search(
        r"^torch and reference: 50 samples of one seed, largest difference of a pixel ([\d.e-]+) "
        r"in \[-1, 1\], ([01]) of 255 levels$",
        shortened.printed,
        re.MULTILINE,
    )
    assert 0.0 < float(said[1]) < 1e-4
    assert "  backends.png    the same samples by torch and by reference" in shortened.printed
    n = demo.BOTH
    rows = _sampling.arranged(samples.images[:n], samples.labels[:n])
    for half in halves(shortened.folder / "backends.png", rows.shape):
        assert np.abs(half - rows).max() <= 2.0


def halves(path: Path, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The two grids of that shape that lie side by side in a picture."""
    height, width = shape[:2]
    with Image.open(path) as picture:
        shown = np.asarray(picture.convert("L"), float)
    assert shown.shape[1] == 2 * width + 3 * GAP
    top = shown.shape[0] - height - GAP
    return [shown[top : top + height, x : x + width] for x in (GAP, 2 * GAP + width)]


def test_backends_side_by_side_and_how_far_apart(tmp_path):
    rng = np.random.default_rng(0)
    first = rng.uniform(-0.9, 0.9, (20, 1, 8, 8)).astype(np.float32)
    second = first.copy()
    second[7, 0, 3, 3] += 0.05
    labels = np.arange(20) % 10
    pictures = {
        name: _sampling.Drawn(images=images, labels=labels)
        for name, images in (("one", first), ("other", second))
    }
    said = _demo_pictures.backends(tmp_path / "both.png", pictures)
    assert said.startswith("one and other: 20 samples of one seed")
    assert "largest difference of a pixel 5.0e-02 in [-1, 1]" in said
    assert re.search(r" [67] of 255 levels$", said)
    rows = [_sampling.arranged(images, labels) for images in (first, second)]
    shown = halves(tmp_path / "both.png", rows[0].shape)
    for grid, wanted in zip(shown, rows, strict=True):
        assert np.abs(grid - wanted).max() <= 2.0
    assert np.abs(shown[0] - shown[1]).max() > 4.0


def test_with_one_backend_the_demo_says_what_the_other_needs(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "torch" else real(n))
    pictures = {}
    assert demo._both(tmp_path, pictures) == (
        'drawn by reference alone: the backend torch needs torch: pip install "diffcore[torch]"'
    )
    assert pictures == {}
    assert not list(tmp_path.iterdir())


def test_real_digits_pass(judge, noise, data):
    assert failures(judge(data[1].all()), noise) == []


def test_a_network_that_has_learnt_nothing_fails(tmp_path, judge, noise, data):
    from diffcore_torch import UNet

    made = recipe.load("digits")
    unet = made.unet_config(data[0])
    blank = checkpoint.Checkpoint(
        unet=unet,
        schedule=made.make_schedule(),
        predicts=made.make_prediction(),
        weights={k: p.detach().numpy() for k, p in UNet(unet).named_parameters()},
    )
    checkpoint.save(tmp_path / "blank.safetensors", blank)
    failed = failures(judge(drawn(tmp_path / "blank.safetensors", 100).images), noise)
    assert {"confident", "classes", "pixels", "margins"} <= set(failed)


@pytest.mark.parametrize("kind", ["fitted Gaussian", "blurred images", "mean image", "noise"])
def test_forged_images_fail(kind, judge, noise, data):
    forged = evaluation.forgeries(data[0].all(), SAMPLES)[kind]
    assert failures(judge(forged), noise) != []


def test_copies_and_a_missing_digit_fail(judge, noise, data):
    images = data[0]
    copies = images.all()[:SAMPLES]
    assert failures(judge(copies), noise) == ["copies"]
    without_sevens = images.all()[images.labels != 7][:SAMPLES]
    assert "classes" in failures(judge(without_sevens), noise)


def test_a_demo_that_is_there_is_moved_aside(tmp_path, capsys, monkeypatch):
    first = Demo(tmp_path / "demo", *QUICK)
    assert first.status == 0
    kept = {p.name: p.read_bytes() for p in first.folder.iterdir() if p.is_file()}
    # An identity that fails, the second time, shows in the exit status.
    monkeypatch.setattr(demo, "report_identities", lambda libraries: False)
    assert main(["demo", "--out", str(first.folder), "--set", *QUICK, "seed=1"]) == 1
    printed = capsys.readouterr()
    assert f"is now in {first.folder}.1" in printed.err
    moved = tmp_path / "demo.1"
    assert {p.name: p.read_bytes() for p in moved.iterdir() if p.is_file()} == kept
    assert (first.folder / "samples.png").read_bytes() != kept["samples.png"]


def test_sparklines():
    assert demo.sparkline([8.0, 4.0, 2.0, 1.0]) == "█▆▃▁"
    assert demo.sparkline([1.0]) == "▁"
    assert len(demo.sparkline(np.linspace(1.0, 2.0, 1000).tolist())) == demo.WIDTH
