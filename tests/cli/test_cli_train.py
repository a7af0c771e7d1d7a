"""`diffcore train`: the wiring from words to runs, and what happens to runs that are there."""

import json
import signal
import time

import numpy as np
import pytest
from commands import TINY_RUN, assert_one_line, good, run, start

from diffcore import checkpoint
from diffcore.training import recipe

TINY = ("--no-progress", "--set", *TINY_RUN)


def losses(folder):
    """The training losses of a run, by step."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def test_the_recipes_are_listed(capsys):
    lines = good(capsys, "train", "--list").splitlines()
    assert [line.split()[0] for line in lines] == list(recipe.names())
    digits = next(line for line in lines if line.startswith("digits"))
    made = recipe.load("digits")
    assert f"{made.training.steps:,} steps of {made.training.batch}" in digits


def test_a_run_by_name_lies_in_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(capsys, "train", "--recipe", "digits", "--steps", 4, *TINY)
    assert result.status == 0, result.err
    assert result.out.startswith("runs/digits: 4 steps in ")
    assert "held-out loss" in result.out
    stored = checkpoint.load("runs/digits/checkpoint.safetensors")
    assert stored.step == 4
    assert stored.unet.width == 8
    assert sorted(losses(tmp_path / "runs" / "digits")) == [2, 4]


def test_the_short_options_win_over_set(capsys, tmp_path):
    out = tmp_path / "run"
    good(
        capsys, "train", "--recipe", "digits", *TINY, "seed=1", "training.steps=9",
        "--seed", 5, "--steps", 2, "--out", out,
    )  # fmt: skip
    made = recipe.load(out / "recipe.toml")
    assert (made.seed, made.training.steps, made.training.batch) == (5, 2, 8)


def test_other_data(capsys, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a b '\"= images.npz"
    np.savez(path, images=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8))
    out = tmp_path / "run"
    good(capsys, "train", "--recipe", "digits", "--data", path, "--steps", 1, *TINY, "--out", out)
    assert recipe.load(out / "recipe.toml").data.source == str(path)
    assert checkpoint.load(out / "checkpoint.safetensors").unet.classes == 0


def test_a_recipe_from_a_file(capsys, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(recipe.load("digits", [*TINY_RUN, "training.steps=1", "name=mine"]).to_toml())
    good(capsys, "train", "--recipe", file, "--no-progress", "--out", tmp_path / "run")
    assert checkpoint.load(tmp_path / "run" / "checkpoint.safetensors").step == 1


def test_resuming_gives_the_uninterrupted_run(capsys, tmp_path):
    words = ("train", "--recipe", "digits", *TINY, "training.decay=constant")
    good(capsys, *words, "training.steps=8", "--out", tmp_path / "whole")
    good(capsys, *words, "training.steps=4", "--out", tmp_path / "parts")
    before = losses(tmp_path / "parts")
    good(capsys, "train", "--resume", tmp_path / "parts", "--steps", 8, "--no-progress")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "parts")) > len(before)
    one, two = (
        checkpoint.load(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts")
    )
    assert all(np.array_equal(one.weights[k], two.weights[k]) for k in one.weights)


def test_a_run_that_is_there_is_never_lost(capsys, tmp_path):
    out = tmp_path / "run"
    words = ("train", "--recipe", "digits", "--steps", 1, *TINY, "--out", out)
    good(capsys, *words)
    first = (out / "state.safetensors").read_bytes()
    assert_one_line(run(capsys, *words), str(out), "--resume", "--overwrite")
    assert (out / "state.safetensors").read_bytes() == first
    for n in (1, 2):
        result = run(capsys, *words[:-2], "--overwrite", "--seed", n, "--out", out)
        assert result.status == 0
        assert f"the run that was in {out} is now in {out}.{n}" in result.err
    assert (tmp_path / "run.1" / "state.safetensors").read_bytes() == first
    assert (tmp_path / "run.2" / "state.safetensors").read_bytes() != first


def test_a_folder_that_is_no_run_is_never_moved(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    result = run(capsys, "train", "--recipe", "digits", *TINY, "--overwrite", "--out", tmp_path)
    assert_one_line(result, str(tmp_path), "recipe.toml")
    assert (tmp_path / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on(capsys, tmp_path, number):
    out = tmp_path / "run"
    words = ("train", "--recipe", "digits", "--steps", 100_000, *TINY, "--out", out)
    with start(*words, interruptible=True) as process:
        deadline = time.monotonic() + 120
        while not (out / "metrics.jsonl").exists() or len(losses(out)) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        printed, complaint = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert printed == ""
    assert complaint.count("\n") == 1
    assert f"diffcore train --resume {out}" in complaint
    step = checkpoint.load(out / "checkpoint.safetensors").step
    assert f"stopped after step {step} of 100000" in complaint
    good(capsys, "train", "--resume", out, "--steps", step + 2, "--no-progress")
    assert checkpoint.load(out / "checkpoint.safetensors").step == step + 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--recipe", "nothing"], ["nothing", "digits"]),
        (["--recipe", "nowhere.toml"], ["nowhere.toml"]),
        (["--recipe", "broken.toml"], ["broken.toml"]),
        (["--recipe", "digits", "--set", "training.learning=1"], ["training.learning"]),
        (["--recipe", "digits", "--set", "training.step=1"], ["training.steps"]),
        (["--recipe", "digits", "--set", "training.steps=many"], ["training.steps", "many"]),
        (["--recipe", "digits", "--set", "training.lr"], ["training.lr", "KEY=VALUE"]),
        (["--recipe", "digits", "--set", "unet.width=7"], ["unet.width"]),
        (["--recipe", "digits", "--set", "schedule.kind=square"], ["schedule.kind", "square"]),
        (["--recipe", "digits", "--data", "nowhere"], ["nowhere"]),
        (["--recipe", "digits", "--data", "empty"], ["empty"]),
        (["--recipe", "digits", "--device", "toaster"], ["device", "toaster"]),
        (["--recipe", "digits", "--out", "broken.toml"], ["broken.toml", "--out"]),
        (["--recipe", "digits", "--out", "/proc/run"], ["/proc/run"]),
        (["--recipe", "mnist-32"], ["data.source"]),
        (["--resume", "nowhere"], ["nowhere"]),
        (["--resume", "empty"], ["empty", "recipe.toml"]),
        (["--resume", "empty", "--out", "other"], ["--out", "--resume"]),
        (["--resume", "empty", "--data", "digits"], ["--data", "--resume"]),
        (["--resume", "empty", "--seed", "0"], ["--seed", "--resume"]),
        (["--resume", "empty", "--overwrite"], ["--overwrite", "--resume"]),
    ],
)
def test_errors_name_what_is_wrong(capsys, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.toml").write_text("[training")
    (tmp_path / "empty").mkdir()
    assert_one_line(run(capsys, "train", *words), *named)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_resuming_with_another_recipe_is_refused(capsys, tmp_path):
    out = tmp_path / "run"
    good(capsys, "train", "--recipe", "digits", "--steps", 2, *TINY, "--out", out)
    result = run(capsys, "train", "--resume", out, "--set", "training.lr=0.5")
    assert_one_line(result, "training.lr")
    assert_one_line(run(capsys, "train", "--resume", out, "--steps", 1), "training.steps")


def test_an_overwritten_run_is_moved_back_where_the_new_one_comes_to_nothing(capsys, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "recipe.toml").write_text("seed = 0\n")
    words = ["train", "--recipe", "mnist-32", "--data", str(tmp_path / "nowhere.parquet")]
    result = run(capsys, *words, "--out", str(out), "--overwrite")
    assert_one_line(result, "nowhere.parquet: no such file or folder")
    assert (out / "recipe.toml").read_text() == "seed = 0\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
