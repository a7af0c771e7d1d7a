"""`--backend`: what one backend does by a command, the other does; and neither needs the other."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import ANIMALS, TINY_RUN, assert_one_line, good, python, run, write_checkpoint
from PIL import Image

from diffcore import checkpoint, predictions, samplers, schedules
from diffcore.cli import _backends
from diffcore_reference import loading, training
from diffcore_reference.kernels.arrays import Arrays

EPS = float(np.finfo(np.float32).eps)
BOUND = 2**12 * EPS
"""A few steps of networks of random weights, each layer of which rounds in an order of its own."""
TINY = ("--no-progress", "--set", *TINY_RUN, "training.decay=constant")
DEEP = {"attention": (4,), "middle_attention": True, "heads": 2}


@pytest.fixture(autouse=True)
def by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels by their definitions: no test waits for a compiler."""
    for module in (loading, training):
        monkeypatch.setattr(module, "chosen_kernels", lambda device: Arrays(np))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks, pictures and images."""
    folder = tmp_path_factory.mktemp("files")
    write_checkpoint(folder / "plain.safetensors")
    write_checkpoint(folder / "animals.safetensors", classes=ANIMALS, **DEEP)
    write_checkpoint(folder / "learned.safetensors", learned_variance=True, scale_shift=True)
    write_checkpoint(folder / "shown.safetensors", condition_channels=1)
    plain = checkpoint.load(folder / "plain.safetensors")
    flow = replace(plain, schedule=schedules.flow(), predicts=predictions.VELOCITY)
    checkpoint.save(folder / "flow.safetensors", flow)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(folder / name)
    half = np.repeat([[0, 0, 255, 255]], 4, axis=0).astype(np.uint8)
    Image.fromarray(half).save(folder / "mask.png")
    images = rng.integers(0, 256, (24, 4, 4), dtype=np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.arange(24) % 2)
    return folder


def drawn(capsys: Any, tmp_path: Path, backend: str, *words: Any) -> Any:
    """The images of a command."""
    out = tmp_path / f"{backend}.npz"
    good(capsys, "sample", *words, "--backend", backend, "--out", out, "--force")
    with np.load(out, allow_pickle=False) as arrays:
        return arrays["images"]


def draw_alike(capsys: Any, tmp_path: Path, network: Path, *words: Any) -> None:
    ours, theirs = (
        drawn(capsys, tmp_path, name, network, "-n", 4, *words) for name in ("reference", "torch")
    )
    assert ours.dtype == theirs.dtype == np.float32
    size = max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=BOUND * size)
    other = drawn(capsys, tmp_path, "reference", network, "-n", 4, *words, "--seed", 1)
    assert np.abs(other - theirs).max() > BOUND * size


@pytest.mark.parametrize("sampler", sorted(samplers.PLANNERS))
def test_every_sampler_draws_the_same(
    capsys: Any, tmp_path: Path, files: Path, sampler: str
) -> None:
    network = "flow" if sampler in ("flow_euler", "flow_heun", "runge_kutta") else "animals"
    words = ("--sampler", sampler, *([] if sampler == "ddpm" else ["--steps", 6]))
    draw_alike(capsys, tmp_path, files / f"{network}.safetensors", *words)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("plain", ["--eta", 0.7, "--threshold", "dynamic"]),
        ("plain", ["--threshold", "none", "--batch", 3, "--weights", "raw"]),
        ("plain", ["--init", "a.png", "--strength", 0.5]),
        ("plain", ["--init", "a.png", "--inpaint", "mask.png", "--resamples", 2]),
        ("animals", ["--class", "owl", "none", "--steps", 5]),
        ("animals", ["--guidance", 3]),
        (
            "animals",
            ["--guidance", 3, "--guidance-rescale", 0.7, "--guidance-interval", 0.1, 9],
        ),
        ("learned", ["--sampler", "ddpm"]),
        ("learned", ["--sampler", "ddpm", "--variance", "large"]),
        ("shown", ["--condition", "a.png"]),
    ],
)
def test_every_option_gives_the_same(
    capsys: Any, tmp_path: Path, files: Path, network: str, words: list[Any]
) -> None:
    placed = [files / word if str(word).endswith(".png") else word for word in words]
    draw_alike(capsys, tmp_path, files / f"{network}.safetensors", *placed)


def test_inversion_is_the_same(capsys: Any, tmp_path: Path, files: Path) -> None:
    ends = []
    for backend in ("reference", "torch"):
        out = tmp_path / f"{backend}.npz"
        network, pictures = files / "animals.safetensors", (files / "a.png", files / "b.png")
        good(
            capsys, "invert", network, *pictures, "--class", "cat", "--steps", 8,
            "--iterations", 1, "--out", out, "--backend", backend,
        )  # fmt: skip
        with np.load(out, allow_pickle=False) as arrays:
            ends.append({name: arrays[name] for name in arrays.files})
    ours, theirs = ends
    assert ours.keys() == theirs.keys() == {"latent", "round_trip", "times"}
    for name, wanted in theirs.items():
        np.testing.assert_allclose(ours[name], wanted, rtol=0, atol=BOUND)


def judged(capsys: Any, tmp_path: Path, backend: str, *words: Any) -> Any:
    """The figures of a command."""
    out = tmp_path / "figures.json"
    good(capsys, "evaluate", *words, "--backend", backend, "--out", out, "--force")
    return json.loads(out.read_text())


@pytest.mark.parametrize("network", ["plain", "animals", "learned"])
@pytest.mark.parametrize("probes", [0, 2])
def test_likelihoods_are_the_same(
    capsys: Any, tmp_path: Path, files: Path, network: str, probes: int
) -> None:
    words = ["nll", files / f"{network}.safetensors", "--data", files / "images.npz"]
    if network == "animals":
        with np.load(files / "images.npz") as arrays:
            pictures = tmp_path / "pictures"
            for i, image in enumerate(arrays["images"]):
                where = pictures / ANIMALS[i % 3]
                where.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(where / f"{i}.png")
        words[-1] = pictures
    words += ["-n", 6, "--steps", 4, "--probes", probes]
    ours, theirs = (judged(capsys, tmp_path, name, *words) for name in ("reference", "torch"))
    for kind in ("bound", "flow"):
        np.testing.assert_allclose(ours[kind]["images"], theirs[kind]["images"], rtol=1e-4)
    np.testing.assert_allclose(ours["bound"]["terms"], theirs["bound"]["terms"], rtol=1e-4)
    other = judged(capsys, tmp_path, "reference", *words, "--seed", 1)
    for kind in ("bound", "flow"):
        assert not np.allclose(other[kind]["images"], theirs[kind]["images"], rtol=1e-4)


def test_fidelity_is_the_same(capsys: Any, tmp_path: Path, files: Path) -> None:
    words = ["fd", files / "plain.safetensors", "--reference", files / "images.npz"]
    words += ["-n", 30, "--steps", 4]
    ours, theirs = (judged(capsys, tmp_path, name, *words) for name in ("reference", "torch"))
    for row, wanted in theirs["rows"].items():
        for name, value in wanted.items():
            assert ours["rows"][row][name] == pytest.approx(value, rel=1e-3, abs=1e-6)


def losses(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_one_recipe_trains_by_either_and_goes_on_by_the_other(capsys: Any, tmp_path: Path) -> None:
    start = ("train", "--recipe", "digits", *TINY)
    for name in ("torch", "reference"):
        other = {"torch": "reference", "reference": "torch"}[name]
        whole, shared = tmp_path / name, tmp_path / f"{name}, {other}"
        good(capsys, *start, "training.steps=8", "--backend", name, "--out", whole)
        good(capsys, *start, "training.steps=4", "--backend", name, "--out", shared)
        words = ("--steps", 8, "--no-progress", "--backend", other)
        good(capsys, "train", "--resume", shared, *words)
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == 4
    wanted = losses(tmp_path / "torch")
    assert len(wanted) == 4
    for folder in folders:
        assert (folder / "recipe.toml").read_text() == (folders[0] / "recipe.toml").read_text()
        np.testing.assert_allclose(losses(folder), wanted, rtol=1e-4)
        assert checkpoint.load(folder / "checkpoint.safetensors").step == 8
    assert not np.allclose(wanted[0], wanted[1:], rtol=1e-4)


def test_what_the_reference_has_not_is_refused_in_a_line(
    capsys: Any, tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "--recipe", "digits", "--backend", "reference", "--out", tmp_path / "run")
    for asked in ("training.precision=bfloat16", "training.compile=true"):
        result = run(capsys, *words, *TINY, asked)
        assert_one_line(result, *asked.split("="), "reference")
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    sample = ("sample", files / "plain.safetensors", "--backend", "reference")
    for device in ("mps", "cuda:1", "toaster"):
        result = run(capsys, *sample, "--device", device)
        assert_one_line(result, "device must be 'auto', 'cpu' or 'cuda'", device)
    assert_one_line(run(capsys, *sample[:-1], "abacus"), "abacus", "reference")


WITHOUT = """
import sys
from importlib.machinery import PathFinder

ABSENT = {absent!r}

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in ABSENT
        return None if absent else super().find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]

from diffcore.cli import main

for command in {commands!r}:
    status = main(command)
    assert status == 0, command
assert not [name for name in sys.modules if name.partition(".")[0] in ABSENT]
"""


def test_the_whole_command_line_without_pytorch_or_numba(tmp_path: Path, files: Path) -> None:
    """Each command in one process that can import neither, as where they are not installed."""
    own = ["--backend", "reference"]
    out = str(tmp_path / "run")
    train = ["train", "--recipe", "digits", *TINY]
    shown = ["--steps", "3", *own]
    commands = [
        [*train, "training.steps=2", "--out", out, *own],
        ["train", "--resume", out, "--steps", "4", "--no-progress", *own],
        ["sample", out, "-n", "4", "--out", str(tmp_path / "a.png"), "--guidance", "2", *shown],
        ["invert", out, str(files / "a.png"), "--out", str(tmp_path / "b.npz"), *shown],
        ["evaluate", "nll", out, "-n", "3", "--bound-steps", "3", *shown],
        ["evaluate", "fd", out, "-n", "12", "--features", "classifier", *shown],
        ["info", out],
        ["info"],
    ]
    absent = ("torch", "numba", "diffcore_torch")
    done = python(WITHOUT.format(absent=absent, commands=commands), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "run: 4 steps in" in done.stdout
    assert 'needs torch, diffcore_torch: pip install "diffcore[torch]"' in done.stdout
    assert 'ready, slower without numba: pip install "diffcore[reference]"' in done.stdout
    failing = [["sample", out, "--out", str(tmp_path / "c.png")]]
    done = python(WITHOUT.format(absent=absent, commands=failing), cwd=tmp_path)
    assert "backend 'torch' needs torch, " in done.stderr
    assert 'pip install "diffcore[torch]"; --backend reference is ready' in done.stderr


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {_backends.ready(name) for name in _backends.BACKENDS} == {"ready"}
    real = importlib.util.find_spec
    absent = {"tqdm", "numba", "scipy"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in absent else real(n))
    for name in _backends.BACKENDS:
        assert _backends.missing(name) == ["tqdm"]
        assert _backends.ready(name) == f'needs tqdm: pip install "diffcore[{name}]"'
        for part in (_backends.training, _backends.loading, _backends.divergence):
            with pytest.raises(ImportError) as raised:
                part(name)
            assert str(raised.value) == f"backend {name!r} {_backends.ready(name)}"
    absent -= {"tqdm"}
    assert _backends.ready("torch") == "ready"
    assert _backends.slower_without("reference") == ["numba", "scipy"]
    assert "slower without numba, scipy" in _backends.ready("reference")
