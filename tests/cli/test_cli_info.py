"""`diffcore info` and `diffcore identities`."""

import importlib
import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from commands import ANIMALS, TINY_RUN, assert_one_line, good, run, write_checkpoint

from diffcore import __version__, verify
from diffcore.unet import parameters


def test_versions_libraries_and_devices(capsys):
    out = good(capsys, "info")
    assert f"diffcore {__version__}" in out
    for name in ("numpy", "torch", "array_api_strict", "matplotlib"):
        assert f"\n  {name} " in out
    assert np.__version__ in out
    assert "cpu (" in out


def test_what_is_missing_says_how_to_get_it(capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else real(name)
    )
    out = good(capsys, "info")
    assert out.count('pip install "diffcore[torch]"') == 2  # the library and the backend


def test_a_library_that_cannot_be_imported_is_reported(capsys, monkeypatch):
    real = importlib.import_module

    def broken(name, *args):
        if name == "dask":
            raise RuntimeError("a symbol\nis missing")
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", broken)
    assert "cannot be used: a symbol is missing" in good(capsys, "info")


def test_a_checkpoint(capsys, tmp_path):
    path = write_checkpoint(tmp_path / "net.safetensors", classes=ANIMALS)
    out = " ".join(good(capsys, "info", path).split())
    from diffcore import checkpoint

    count = sum(int(np.prod(p.shape)) for p in parameters(checkpoint.load(path).unet).values())
    for text in (
        "step 1,234",
        "images 4 x 4, grey",
        f"parameters {count:,}, F32",
        "raw and moving average",
        "cosine, T = 20",
        "predicts v",
        "classes 3: cat, dog, owl",
        "width 8",
        "recipe tiny",
    ):
        assert text in out


def test_a_run(capsys, tmp_path):
    run_folder = tmp_path / "run"
    good(
        capsys, "train", "--recipe", "digits", "--steps", 4, "--no-progress",
        "--set", *TINY_RUN, "--out", run_folder,
    )  # fmt: skip
    out = " ".join(good(capsys, "info", run_folder).split())
    for text in (f"run {run_folder}", "step 4", "8 x 8, grey", "held_out_loss", "recipe digits"):
        assert text in out
    (run_folder / "checkpoint.safetensors").unlink()
    assert "no checkpoint yet" in good(capsys, "info", run_folder)


def test_errors_name_the_file(capsys, tmp_path):
    path = write_checkpoint(tmp_path / "net.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    (tmp_path / "text").write_text("no checkpoint")
    (tmp_path / "empty").mkdir()
    for name in ("missing", "text", "empty", "net.safetensors"):
        assert_one_line(run(capsys, "info", tmp_path / name), str(tmp_path / name))


def test_the_table_of_identities(capsys):
    out = good(capsys, "identities", "--library", "numpy", "array_api_strict")
    for identity in verify.IDENTITIES:
        assert f"\n{identity.name} " in out
    assert "numpy  array_api_strict" in out


def test_an_identity_that_fails_is_status_1(capsys, monkeypatch):
    rows = verify.table(["numpy"])
    broken = [replace(rows[0], error=1.0), *rows[1:]]
    monkeypatch.setattr(verify, "table", lambda libraries: broken)
    result = run(capsys, "identities", "--library", "numpy")
    assert result.status == 1
    assert "FAIL" in result.out


@pytest.mark.parametrize("name", ["abacus", "numpy.random"])
def test_an_unknown_library(capsys, name):
    assert_one_line(run(capsys, "identities", "--library", name), name, "numpy")
