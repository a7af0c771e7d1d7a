"""A run that is stopped or killed anywhere goes on as though nothing had happened, to the bit."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import killable
import numpy as np
import pytest
import tiny
import torch

from diffcore import checkpoint
from diffcore.training import state
from diffcore.training.loop import WALL_CLOCK
from diffcore_torch.stepper import TorchStepper


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that are killed: sums go on to the bit with the same threads alone.

    Numba's OpenMP gives its own number of threads to PyTorch's in the same process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_images(tmp_path_factory.mktemp("data") / "images.npz")


def left_by(path: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Every array of the state and the checkpoint, and the metrics but for the wall clock's."""
    arrays = {}
    for name in ("state", "checkpoint"):
        tensors, content = checkpoint.read(path / f"{name}.safetensors")
        arrays |= {f"{name} {key}": x.tobytes() for key, x in tensors.items()}
        arrays[f"{name} step"] = str(content["step"]).encode()
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return arrays, [{k: v for k, v in row.items() if k not in WALL_CLOCK} for row in rows]


def same(first: Path, second: Path) -> bool:
    return not differing(first, second)


def differing(first: Path, second: Path) -> list[str]:
    """The arrays that differ and the steps whose metrics do."""
    (arrays, rows), (others, lines) = left_by(first), left_by(second)
    names = [name for name in arrays | others if arrays.get(name) != others.get(name)]
    pairs = zip_longest(rows, lines, fillvalue={})
    return names + [f"metrics {(a or b)['step']}" for a, b in pairs if a != b]


def stopping_at(monkeypatch: pytest.MonkeyPatch, moments: list[int], number: int) -> None:
    """Send the signal in the middle of those updates."""
    step = TorchStepper.step

    def interrupted(self: TorchStepper, batch: Any, *rates: float) -> Any:
        if batch.step in moments:
            moments.remove(batch.step)
            os.kill(os.getpid(), number)
        return step(self, batch, *rates)

    monkeypatch.setattr(TorchStepper, "step", interrupted)


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "whole"
    tiny.run(killable.recipe(source), path)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_between_any_updates_goes_on_to_the_bit(
    number: signal.Signals,
    source: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = killable.recipe(source)
    moments = [0, 7, 9, 21, 22, 39]  # before and at a save, between two lines of the log, the last
    stopping_at(monkeypatch, list(moments), number)
    path = tmp_path / "run"
    for calls, moment in enumerate(moments):
        outcome = tiny.run(recipe, path, resume=calls > 0)
        assert outcome.step == moment + 1
        assert outcome.stopped == (None if moment == 39 else number)
        assert checkpoint.read_metadata(path / "state.safetensors")["step"] == moment + 1
    assert same(path, whole)


def test_the_comparison_sees_one_bit_and_one_line(whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("state.safetensors", "checkpoint.safetensors", "metrics.jsonl"):
        (other / name).write_bytes((whole / name).read_bytes())
    assert same(other, whole)
    lines = (other / "metrics.jsonl").read_text().splitlines(keepends=True)
    (other / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert not same(other, whole)
    (other / "metrics.jsonl").write_text("".join(lines))
    data = bytearray((other / "state.safetensors").read_bytes())
    data[-1] ^= 1
    (other / "state.safetensors").write_bytes(bytes(data))
    assert not same(other, whole)


@pytest.mark.parametrize("lost", ["adam.first.", "ema.", "weights.", "step", "pending"])
def test_each_part_of_the_state_is_needed(
    lost: str, source: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = killable.recipe(source)
    stopping_at(monkeypatch, [21], signal.SIGINT)
    path = tmp_path / "run"
    tiny.run(recipe, path)
    load_state = TorchStepper.load_state

    def forgetful(self: TorchStepper, saved: Any, step: int) -> None:
        old = self.state()
        kept = {k: old[k].copy() if k.startswith(lost) else v for k, v in saved.items()}
        load_state(self, kept, 0 if lost == "step" else step)

    monkeypatch.setattr(TorchStepper, "load_state", forgetful)
    if lost == "pending":
        tensors, content = checkpoint.read(path / "state.safetensors")
        assert tensors[state.PENDING].shape == (2, 2)
        tensors[state.PENDING] = tensors[state.PENDING][:1]
        checkpoint.write(path / "state.safetensors", tensors, content)
    tiny.run(recipe, path, resume=True)
    assert not same(path, whole)


def test_a_run_killed_anywhere_goes_on_to_the_bit(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    path, rng = tmp_path / "run", random.Random(time.time_ns())
    # Recipe, first state, first checkpoint; then what a run that goes on writes first; then any.
    writes = [rng.randint(1, 6), rng.randint(1, 8), rng.randint(5, 16)]
    for write in writes:
        process = killable.started(source, path, kill_at_write=write)
        process.join(60)
        assert process.exitcode in (-signal.SIGKILL, 0), writes
    pauses = []
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        process = killable.started(source, path)
        pauses.append(rng.uniform(0.0, 10 * killable.PAUSE))
        time.sleep(pauses[-1])
        if process.is_alive():
            os.kill(process.pid, number)
        process.join(60)
        # What SIGKILL leaves is for the next process; the other two are obeyed in good order.
        assert process.exitcode in (-signal.SIGKILL if number == signal.SIGKILL else 0, 0)
    outcome = tiny.run(killable.recipe(source), path, resume=True)
    assert outcome.step == 40
    assert not differing(path, whole), (writes, pauses)
    assert not [file for file in path.rglob("*") if file.name.endswith(".draft")]


def test_a_checkpoint_that_a_killed_run_did_not_write_is_written(
    source: Path, tmp_path: Path
) -> None:
    path, recipe = tmp_path / "run", tiny.recipe(source, training={"steps": 10})
    tiny.run(tiny.recipe(source, training={"steps": 5}), path)
    old = (path / "checkpoint.safetensors").read_bytes()
    tiny.run(recipe, path, resume=True)
    new = (path / "checkpoint.safetensors").read_bytes()
    for left in (old, None):
        (path / "checkpoint.safetensors").unlink()
        if left is not None:
            (path / "checkpoint.safetensors").write_bytes(left)
        tiny.run(recipe, path, resume=True)
        assert (path / "checkpoint.safetensors").read_bytes() == new != old


def test_a_finished_run_goes_on_with_more_steps(source: Path, tmp_path: Path) -> None:
    path, straight = tmp_path / "run", tmp_path / "straight"
    tiny.run(tiny.recipe(source, training={"steps": 10}), path)
    before = left_by(path)
    assert tiny.run(tiny.recipe(source, training={"steps": 10}), path, resume=True).step == 10
    assert left_by(path) == before
    longer = tiny.recipe(source, training={"steps": 25})
    assert tiny.run(longer, path, resume=True).step == 25
    tiny.run(longer, straight)
    # The first end logged what the straight run logs later, so that the lines of the log differ.
    arrays, expected = left_by(path)[0], left_by(straight)[0]
    assert arrays == expected
    with pytest.raises(ValueError, match=r"training\.steps must be at least the 25 updates"):
        tiny.run(tiny.recipe(source, training={"steps": 20}), path, resume=True)


def test_another_recipe_is_refused_by_its_keys(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    tiny.run(tiny.recipe(source, training={"steps": 5}), path)
    other = tiny.recipe(source, training={"steps": 5, "lr": 2e-3}, unet={"width": 16})
    with pytest.raises(ValueError, match="another recipe") as caught:
        tiny.run(other, path, resume=True)
    assert "training.lr was 0.001, is 0.002" in str(caught.value)
    assert "unet.width was 8, is 16" in str(caught.value)
    assert "steps was" not in str(caught.value)
    schedule = tiny.recipe(source, training={"steps": 5}, schedule={"kind": "linear", "T": 20})
    with pytest.raises(ValueError, match=r"schedule\.beta_end was not set, is 0\.02"):
        tiny.run(schedule, path, resume=True)
    # How often to log, measure and save may change.
    free = tiny.recipe(source, training={"steps": 8}, evaluation={"log_every": 2})
    assert tiny.run(free, path, resume=True).step == 8


def test_other_images_are_refused(tmp_path: Path) -> None:
    source, path = tiny.write_images(tmp_path / "images.npz"), tmp_path / "run"
    recipe = tiny.recipe(source, training={"steps": 5})
    tiny.run(recipe, path)
    with np.load(source) as archive:
        images, labels = archive["images"], archive["labels"]
    images[3, 2, 1] ^= 1
    np.savez(source, images=images, labels=labels)
    with pytest.raises(ValueError, match=r"other images; .*images\.npz has changed"):
        tiny.run(recipe, path, resume=True)
