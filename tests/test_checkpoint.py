"""Checkpoints: what was saved comes back, what is broken is named, and no old file is ever lost."""

import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from diffcore import _tensors, checkpoint, predictions, schedules, unet
from diffcore.checkpoint import Checkpoint

UNET = unet.UNetConfig(
    image_size=4, channels=1, width=4, multipliers=(1, 2), attention=(2,), groups=2, classes=3
)


def weights(seed: int = 0, dtype: type = np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    table = unet.parameters(UNET)
    return {name: rng.standard_normal(p.shape).astype(dtype) for name, p in table.items()}


def example(**changes: Any) -> Checkpoint:
    values = Checkpoint(
        unet=UNET,
        schedule=schedules.linear(T=20),
        predicts=predictions.V,
        weights=weights(),
        ema=weights(1),
        step=1234,
        training={"recipe": "digits", "classes": ["0", "1", "zwölf"], "loss": 0.1},
    )
    return replace(values, **changes)


def stored(**changes: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and metadata of `example`'s file, with some changed; None takes one out."""
    groups = {"weights.": weights(), "ema.": weights(1)}
    tensors = {prefix + name: x for prefix, group in groups.items() for name, x in group.items()}
    content = {
        "unet": UNET.to_dict(),
        "schedule": {"kind": "linear", "T": 20},
        "predicts": "v",
        "step": 1,
        "training": {},
    }
    for key, value in changes.items():
        table: dict[str, Any] = content if key in content else tensors
        if value is None:
            del table[key]
        else:
            table[key] = value
    return tensors, content


def equal(x: np.ndarray, y: np.ndarray) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


def same(x: Any, y: Any) -> bool:
    return x.keys() == y.keys() and all(equal(x[name], y[name]) for name in x)


def raw(path: Path, header: Any, data: bytes = b"") -> Path:
    """A safetensors file by hand: the header's length in 8 bytes, the header, the data."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("with_ema", [True, False])
def test_a_checkpoint_comes_back(tmp_path: Path, dtype: type, with_ema: bool) -> None:
    saved = example(weights=weights(2, dtype), ema=weights(3, dtype) if with_ema else None)
    checkpoint.save(tmp_path / "new" / "a.safetensors", saved)
    loaded = checkpoint.load(str(tmp_path / "new" / "a.safetensors"))
    assert loaded.unet == saved.unet
    assert loaded.schedule == saved.schedule
    assert loaded.predicts == saved.predicts
    assert loaded.step == 1234
    assert loaded.training == saved.training
    assert same(loaded.weights, saved.weights)
    assert list(loaded.weights) == list(unet.parameters(UNET))
    if saved.ema is None:
        assert loaded.ema is None
    else:
        assert loaded.ema is not None
        assert same(loaded.ema, saved.ema)
        assert not same(loaded.ema, saved.weights)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.cosine(T=300, min_beta=1e-4, max_beta=0.9999),
        schedules.from_betas([0.1, 0.2, 0.3]),
        schedules.respace(schedules.linear(T=20), [5, 10, 20]),
        schedules.shift(schedules.flow(), 3.0),
        schedules.edm(),
    ],
    ids=lambda s: s.config["kind"],
)
@pytest.mark.parametrize("predicts", [predictions.EPS, predictions.Edm(0.7)], ids=lambda p: p.name)
def test_schedules_and_predictions_come_back(tmp_path: Path, schedule: Any, predicts: Any) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, example(schedule=schedule, predicts=predicts))
    loaded = checkpoint.load(path)
    assert loaded.schedule == schedule
    assert loaded.predicts == predicts


def test_describe_reads_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, example())
    described = checkpoint.describe(path)
    assert described["parameters"] == sum(x.size for x in weights().values())
    assert described["dtypes"] == ["F32"]
    assert described["ema"] is True
    assert described["step"] == 1234
    assert described["format"] == 1
    assert described["bytes"] == path.stat().st_size
    assert unet.UNetConfig.from_dict(described["unet"]) == UNET
    assert checkpoint.read_metadata(path)["training"]["classes"][2] == "zwölf"
    json.dumps(described)


def test_arrays_are_aligned(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"a": np.ones(3, bool), "b": np.ones(5, np.float16), "c": np.ones(2), "d": np.ones(1)}
    for k in range(8):
        checkpoint.write(path, tensors, {"k": "x" * k})
        whole = path.read_bytes()
        start = 8 + int.from_bytes(whole[:8], "little")
        entries = json.loads(whole[8:start])
        del entries["__metadata__"]
        for name, entry in entries.items():
            assert (start + entry["data_offsets"][0]) % tensors[name].itemsize == 0


def test_every_dtype_and_layout_comes_back(tmp_path: Path) -> None:
    ramp = np.arange(-6, 6)
    widths = [f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)]
    widths.remove("float8")
    tensors = {name: ramp.astype(name).reshape(3, 4) for name in ["bool", *widths]}
    tensors |= {
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": ramp.reshape(3, 4).T,
        "strided": ramp[::-2],
        "special": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
    }
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, tensors | {"big": ramp.astype(">f4")}, {"k": [1, 2.5, None, True, "ü"]})
    loaded, metadata = checkpoint.read(path)
    assert equal(loaded.pop("big"), ramp.astype(np.float32))
    assert same(loaded, tensors)
    assert metadata == {"k": [1, 2.5, None, True, "ü"]}
    for x in loaded.values():
        x[...] = 0


def test_bfloat16_comes_as_float32(tmp_path: Path) -> None:
    bits = np.arange(1 << 16).astype(np.uint16)
    expected = bits.view(ml_dtypes.bfloat16).astype(np.float32)
    entry = {"dtype": "BF16", "shape": [2, 1 << 15], "data_offsets": [0, bits.nbytes]}
    metadata = {"diffcore": json.dumps({"format": 1, "content": {}})}
    path = raw(tmp_path / "a", {"__metadata__": metadata, "x": entry}, bits.tobytes())
    (x,) = checkpoint.read(path)[0].values()
    assert x.dtype == np.float32
    assert x.shape == (2, 1 << 15)
    np.testing.assert_array_equal(x.ravel(), expected)
    assert not np.array_equal(bits.view(np.float16).astype(np.float32), expected, equal_nan=True)


def test_a_bfloat16_checkpoint_loads(tmp_path: Path) -> None:
    tensors, content = stored()
    halves = {name: x.astype(ml_dtypes.bfloat16) for name, x in tensors.items()}
    header: dict[str, Any] = {
        "__metadata__": {"diffcore": json.dumps({"format": 1, "content": content})}
    }
    offset = 0
    for name, x in halves.items():
        end = offset + x.nbytes
        header[name] = {"dtype": "BF16", "shape": x.shape, "data_offsets": [offset, end]}
        offset = end
    path = raw(tmp_path / "a", header, b"".join(x.tobytes() for x in halves.values()))
    assert checkpoint.describe(path)["dtypes"] == ["BF16"]
    loaded = checkpoint.load(path).weights
    assert all(equal(x, halves[f"weights.{n}"].astype(np.float32)) for n, x in loaded.items())


def test_another_reader_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    (tmp_path / "plain").touch()
    checkpoint.save(path, example())
    loaded = safetensors.numpy.load_file(path)
    assert same({n.removeprefix("ema."): x for n, x in loaded.items() if n[0] == "e"}, weights(1))
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


NAME = "weights.middle.1.conv_1.weight"


def test_the_names_in_these_tests_exist() -> None:
    assert NAME.removeprefix("weights.") in unet.parameters(UNET)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({NAME: None}, f"tensor '{NAME}' is missing"),
        ({"ema.input.bias": None}, "tensor 'ema.input.bias' is missing"),
        ({"weights.extra": np.ones(2, np.float32)}, "tensor 'weights.extra' is not one of"),
        ({"other": np.ones(2, np.float32)}, "tensor 'other' is not one of"),
        ({NAME: np.ones(2, np.float32)}, rf"'{NAME}' must have shape \(8, 8, 3, 3\), has \(2,\)"),
        ({"weights.input.bias": np.ones(4, np.int32)}, "'weights.input.bias' must be floating"),
        ({"unet": UNET.to_dict() | {"width": 8}}, "must have shape"),
        ({"unet": UNET.to_dict() | {"depth": 8}}, "no field 'depth'"),
        ({"unet": 3}, "damaged metadata"),
        ({"schedule": {"kind": "line"}}, "schedule kind must be one of"),
        ({"predicts": "noise"}, "prediction must be one of"),
        ({"step": "many"}, "damaged metadata"),
        ({"training": 3}, "damaged metadata"),
        ({"unet": None}, "not a checkpoint: its metadata have no 'unet'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, *stored(**changes))
    for reader in (checkpoint.load, checkpoint.describe):
        with pytest.raises(ValueError, match=message) as error:
            reader(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


def test_the_unchanged_file_fits(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "a", *stored())
    assert checkpoint.load(tmp_path / "a").step == 1


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"input.bias": None}, ValueError, "'weights.input.bias' is missing"),
        ({"input.bias": np.zeros(5, np.float32)}, ValueError, "'weights.input.bias' must have"),
        ({"more": np.zeros(5, np.float32)}, ValueError, "'weights.more' is not one of"),
        ({"input.bias": np.zeros(4, int)}, ValueError, "'weights.input.bias' must be floating"),
        ({"input.bias": np.zeros(4, "U3")}, TypeError, "'weights.input.bias' must be bool"),
        ({"input.bias": np.zeros(4, object)}, TypeError, "'weights.input.bias' must be bool"),
    ],
)
def test_wrong_weights_are_not_saved(
    tmp_path: Path, change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, example())
    old = path.read_bytes()
    wrong = {n: x for n, x in (weights() | change).items() if x is not None}
    with pytest.raises(kind, match=message):
        checkpoint.save(path, example(weights=wrong))
    assert path.read_bytes() == old


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, {"x": np.arange(9.0), "y": np.ones(3, np.float16)}, {"k": 1})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        for reader in (checkpoint.read, checkpoint.read_metadata):
            with pytest.raises(ValueError, match="not a safetensors file, or cut short") as error:
                reader(path)
            assert str(error.value).startswith(f"{path}: ")
    path.write_bytes(whole + b"x")
    with pytest.raises(ValueError, match="not a safetensors file"):
        checkpoint.read(path)
    path.write_bytes(whole)
    assert checkpoint.read(path)[1] == {"k": 1}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not one of diffcore's"),
        ({}, "not one of diffcore's"),
        ({"format": "pt"}, "not one of diffcore's"),
        ({"diffcore": "nonsense"}, "damaged metadata"),
        ({"diffcore": "[1]"}, "damaged metadata"),
        ({"diffcore": "{}"}, "damaged metadata"),
        ({"diffcore": '{"format": 1}'}, "damaged metadata"),
        ({"diffcore": '{"format": 1, "content": []}'}, "damaged metadata"),
        ({"diffcore": '{"format": true, "content": {}}'}, "damaged metadata"),
        ({"diffcore": '{"format": 0, "content": {}}'}, "damaged metadata"),
        (
            {"diffcore": '{"format": 2, "content": {}}'},
            "written in format 2, and this diffcore reads formats up to 1",
        ),
    ],
)
def test_foreign_damaged_and_newer_files_are_refused(
    tmp_path: Path, metadata: dict[str, str] | None, message: str
) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"x": np.ones(2)}, path, metadata)
    for reader in (checkpoint.read, checkpoint.read_metadata, checkpoint.load, checkpoint.describe):
        with pytest.raises(ValueError, match=message) as error:
            reader(path)
        assert str(error.value).startswith(f"{path}: ")


def test_a_dtype_without_a_numpy_equal_is_named(tmp_path: Path) -> None:
    entry = {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}
    metadata = {"diffcore": json.dumps({"format": 1, "content": {}})}
    path = raw(tmp_path / "a", {"__metadata__": metadata, "x": entry}, b"ab")
    with pytest.raises(ValueError, match="tensor 'x' is F8_E4M3"):
        checkpoint.read(path)


def test_no_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for reader in (checkpoint.read, checkpoint.read_metadata, checkpoint.load, checkpoint.describe):
        with pytest.raises(FileNotFoundError) as error:
            reader(tmp_path / "none")
        assert error.value.filename == str(tmp_path / "none")
        with pytest.raises(IsADirectoryError):
            reader(tmp_path)


class Trap:
    """Unpickling it makes the folder that it names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path, sprung = tmp_path / "a.safetensors", tmp_path / "sprung"
    path.write_bytes(pickle.dumps({"state_dict": Trap(sprung)}))
    for reader in (checkpoint.read, checkpoint.read_metadata, checkpoint.load, checkpoint.describe):
        with pytest.raises(ValueError, match="not a safetensors file"):
            reader(path)
    assert not sprung.exists()
    pickle.loads(path.read_bytes())
    assert sprung.exists(), "the trap must be one"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, np.float32(1), Path()])
def test_metadata_that_json_cannot_hold_are_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, {}, {"k": 1})
    with pytest.raises((TypeError, ValueError), match="metadata must be what JSON can hold"):
        checkpoint.write(path, {"x": np.ones(3)}, {"k": value})
    assert checkpoint.read(path) == ({}, {"k": 1})


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, {"x": np.ones(3)}, {"k": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            checkpoint.write(path, {"x": np.ones(1 << 20)}, {"k": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.filename == str(path)
    assert checkpoint.read(path)[1] == {"k": 1}
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_any_failing_step_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, {"x": np.ones(3)}, {"k": 1})

    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    owner = {"open": Path, "fsync": os, "replace": Path}[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.write(path, {"x": np.ones(4)}, {"k": 2})
    assert checkpoint.read(path)[1] == {"k": 1}
    assert os.listdir(tmp_path) == ["a.safetensors"]
    checkpoint.write(path, {"x": np.ones(4)}, {"k": 2})
    assert checkpoint.read(path)[1] == {"k": 2}


WRITER = """
import itertools, sys
import numpy as np
import safetensors.numpy
from pathlib import Path
from diffcore import checkpoint

path, how = Path(sys.argv[1]), sys.argv[2]
for k in itertools.count(1):
    tensors, metadata = {"x": np.full(500_000, float(k))}, {"k": k}
    if how == "atomic":
        checkpoint.write(path, tensors, metadata)
    else:
        text = '{"format": 1, "content": {"k": %d}}' % k
        data = safetensors.numpy.save(tensors, {"diffcore": text})
        with path.open("wb") as file:
            for start in range(0, len(data), 4096):
                file.write(data[start : start + 4096])
                file.flush()
    if k == 1:
        print("ready", flush=True)
"""


def whole_after_a_kill(path: Path, how: str, delay: float) -> bool:
    """Whether the file is whole after its writer was killed while it wrote over and over."""
    command = [sys.executable, "-c", WRITER, str(path), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    try:
        tensors, metadata = checkpoint.read(path)
    except ValueError:
        return False
    return bool((tensors["x"] == metadata["k"]).all()) and len(tensors["x"]) == 500_000


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(6):
        assert whole_after_a_kill(tmp_path / "a.safetensors", "atomic", rng.uniform(0.0, 0.1))
    left = [name for name in os.listdir(tmp_path) if name != "a.safetensors"]
    assert all(name.startswith(".") and name.endswith(".draft") for name in left)


def test_a_writer_that_writes_in_place_is_caught(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "a.safetensors"
    assert not all(whole_after_a_kill(path, "in place", rng.uniform(0.0, 0.1)) for _ in range(12))


def test_reading_needs_numpy_and_safetensors_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, example())
    script = f"""
import sys
for name in ("torch", "jax", "ml_dtypes", "tomli_w"):
    sys.modules[name] = None
from diffcore import checkpoint
assert "safetensors" not in sys.modules
assert checkpoint.load({str(path)!r}).step == checkpoint.describe({str(path)!r})["step"] == 1234
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_missing_safetensors_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, example())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for reader in (checkpoint.read, checkpoint.read_metadata, checkpoint.load, checkpoint.describe):
        with pytest.raises(ImportError, match=r'safetensors.*pip install "diffcore\[checkpoint\]"'):
            reader(path)


def test_formats_are_refused_only_when_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, {}, {"k": 1})
    monkeypatch.setattr(_tensors, "FORMAT", 2)
    assert checkpoint.read_metadata(path) == {"k": 1}
