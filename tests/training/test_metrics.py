"""The log of a run: round trips, a partial last line, cuts on resuming, TensorBoard beside."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffcore.training import metrics
from diffcore.training.metrics import MetricsLog, TensorBoard, read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "metrics.jsonl"


def written(path: Path, *rows: tuple[int, dict[str, float]]) -> bytes:
    log = MetricsLog(path)
    for step, values in rows:
        log.log(step, values)
    log.close()
    return path.read_bytes()


def test_every_float_comes_back_bit_for_bit(path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**64, 500, dtype=np.uint64).view(np.float64)
    values[:5] = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3]
    log = MetricsLog(path)
    for step, value in enumerate(values):
        log.log(step, {"loss": value})
    log.close()
    column = read(path)["loss"]
    assert column.step.dtype == np.int64
    assert column.value.dtype == np.float64
    assert np.array_equal(column.step, np.arange(500))
    same = column.value.view(np.uint64) == values.view(np.uint64)
    assert np.all(same | (np.isnan(values) & np.isnan(column.value)))
    # Six digits, as printing gives, would not have done.
    assert any(float(f"{value:g}") != value for value in values[:5])


def test_infinities_and_nan_are_json_all_the_same(path: Path) -> None:
    text = written(path, (1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0}))

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    assert json.loads(text, parse_constant=refuse)["a"] == "nan"
    columns = read(path)
    assert [columns[k].value[0] for k in "bcd"] == [math.inf, -math.inf, 1.0]
    assert math.isnan(columns["a"].value[0])
    with pytest.raises(AssertionError, match="NaN is no JSON"):
        json.loads(json.dumps({"a": math.nan}), parse_constant=refuse)


def test_quantities_have_their_own_steps_and_numbers_of_any_library(path: Path) -> None:
    import torch

    written(
        path,
        (100, {"loss": torch.tensor(0.5), "images": 2**60 + 1}),
        (np.int64(150), {"held_out_loss": np.float32(0.25)}),  # type: ignore[dict-item, list-item]
        (200, {"loss": np.array(0.125)}),  # type: ignore[dict-item]
    )
    columns = read(path)
    assert list(columns) == ["loss", "images", "held_out_loss"]
    assert columns["loss"].step.tolist() == [100, 200]
    assert columns["loss"].value.tolist() == [0.5, 0.125]
    assert columns["held_out_loss"].step.tolist() == [150]
    assert json.loads(path.read_text().splitlines()[0])["images"] == 2**60 + 1


@pytest.mark.parametrize("bad", [[1.0, 2.0], None, "fast", np.ones(3)])
def test_what_is_no_number_is_refused_by_name(path: Path, bad: object) -> None:
    log = MetricsLog(path)
    with pytest.raises(TypeError, match="lr must be a number"):
        log.log(1, {"loss": 1.0, "lr": bad})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="must not hold 'step'"):
        log.log(1, {"step": 1.0})
    log.close()
    assert path.read_bytes() == b""


def test_a_line_is_in_the_file_when_log_returns(path: Path) -> None:
    log = MetricsLog(path)
    for step in range(3):
        log.log(step, {"loss": 1.0})
        assert path.read_bytes().count(b"\n") == step + 1
    log.close()
    log.close()  # twice is once


def test_a_log_is_not_written_over(path: Path) -> None:
    before = written(path, (1, {"loss": 1.0}))
    with pytest.raises(FileExistsError, match="exists already"):
        MetricsLog(path)
    assert path.read_bytes() == before


def test_an_empty_log_and_none_at_all_have_no_quantities(path: Path) -> None:
    assert read(path) == {}
    written(path)
    assert read(path) == {}
    log = MetricsLog(path)  # an empty one may be begun again
    log.log(1, {"loss": 2.0})
    log.close()
    assert read(path)["loss"].value.tolist() == [2.0]


def test_a_partial_last_line_is_left_out(path: Path) -> None:
    whole = written(path, (1, {"loss": 1.0}), (2, {"loss": 0.5}))
    first = whole.split(b"\n")[0] + b"\n"
    for cut in range(len(first), len(whole)):
        path.write_bytes(whole[:cut])
        assert read(path)["loss"].step.tolist() == [1]
    path.write_bytes(whole)
    assert read(path)["loss"].step.tolist() == [1, 2]


def test_resuming_equals_never_having_stopped(path: Path) -> None:
    rows = [(step, {"loss": 1.0 / step, "bad": math.nan}) for step in range(1, 11)]
    whole = written(path, *rows)
    for stopped in (0, 4, 10):
        path.write_bytes(whole + b'{"step": 11, "lo')  # killed beyond its last saved state
        log = MetricsLog(path, resume_at=stopped)
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:stopped])
        for step, values in rows[stopped:]:
            log.log(step, values)
        log.close()
        assert path.read_bytes() == whole
    # Going on without the cut would have held steps twice.
    with path.open("ab") as file:
        file.write(whole.splitlines(keepends=True)[4])
    assert read(path)["loss"].step.tolist() != list(range(1, 11))


def test_resuming_without_a_log_begins_one(path: Path) -> None:
    log = MetricsLog(path, resume_at=5)
    log.log(6, {"loss": 1.0})
    log.close()
    assert read(path)["loss"].step.tolist() == [6]


@pytest.mark.parametrize(
    "line",
    ["{", "[1, 2]", "3", '{"loss": 1.0}', '{"step": 1.5}', '{"step": 1, "a": "x"}', "", "\x00\x00"],
)
def test_a_broken_line_is_named_and_the_log_kept(path: Path, line: str) -> None:
    before = written(path, (1, {"loss": 1.0})) + line.encode() + b'\n{"step": 3, "loss": 1.0}\n'
    path.write_bytes(before)
    for use in (lambda: read(path), lambda: MetricsLog(path, resume_at=3)):
        with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: cannot be read"):
            use()
    assert path.read_bytes() == before


def test_a_killed_writer_leaves_a_log_that_reads_and_goes_on(path: Path) -> None:
    code = """
import sys
from pathlib import Path
from diffcore.training.metrics import MetricsLog
log = MetricsLog(Path(sys.argv[1]))
print("logging", flush=True)
for step in range(1, 10**9):
    log.log(step, {"loss": 1.0 / step, "rate": float(step)})
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "logging\n"
        while path.stat().st_size < 200_000:
            assert other.poll() is None
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    column = read(path)["rate"]
    assert len(column.step) > 1000
    assert np.array_equal(column.step, np.arange(1, len(column.step) + 1))
    assert np.array_equal(column.value, column.step.astype(float))
    log = MetricsLog(path, resume_at=1000)
    log.log(1001, {"rate": 0.0})
    log.close()
    assert read(path)["rate"].step.tolist() == list(range(1, 1002))


# TensorBoard, read back by its own reader.


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_reads_what_was_logged_and_forgets_past_a_resume(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "tb")
    for step in range(1, 6):
        board.log(step, {"loss": 1.0 / step, "train/lr": 0.5})
    board.close()
    found = scalars(tmp_path / "tb")
    assert set(found) == {"loss", "train/lr"}
    assert found["loss"] == [(s, float(np.float32(1.0 / s))) for s in range(1, 6)]
    resumed = TensorBoard(tmp_path / "tb", resume_at=3)
    resumed.log(4, {"loss": 7.0})
    resumed.close()
    assert [step for step, _ in scalars(tmp_path / "tb")["loss"]] == [1, 2, 3, 4]
    assert scalars(tmp_path / "tb")["loss"][-1] == (4, 7.0)


def test_tensorboard_holds_pictures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from diffcore.training.pictures import encode_png

    png = encode_png(np.arange(12, dtype=np.uint8).reshape(3, 4))
    board = TensorBoard(tmp_path)
    board.picture(7, "samples", png, 3, 4)
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (image,) = events.Images("samples")
    assert (image.step, image.height, image.width) == (7, 3, 4)
    assert image.encoded_image_string == png


def test_missing_tensorboard_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(ImportError, match=r'pip install "diffcore\[tensorboard\]"'):
        TensorBoard(tmp_path)


def test_both_are_writers(tmp_path: Path) -> None:
    writers: list[metrics.Writer] = [
        MetricsLog(tmp_path / "m.jsonl"),
        TensorBoard(tmp_path / "tb"),
    ]
    for writer in writers:
        writer.log(1, {"loss": 0.5})
        writer.close()
    assert read(tmp_path / "m.jsonl")["loss"].value.tolist() == [0.5]
    assert scalars(tmp_path / "tb") == {"loss": [(1, 0.5)]}
