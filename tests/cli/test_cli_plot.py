"""`diffcore plot`: pictures of schedules and of the forward process."""

import numpy as np
import pytest
from commands import assert_one_line, good, pixels, run
from PIL import Image

from diffcore.cli import _figures


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_schedules_are_drawn(capsys, tmp_path, suffix):
    path = tmp_path / "new" / f"schedules{suffix}"
    assert good(capsys, "plot", "schedules", "cosine:T=20", "--out", path) == f"{path}\n"
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert path.read_bytes().startswith(start[suffix])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_every_schedule_by_name(capsys, tmp_path):
    from diffcore.cli._schedules import NAMES

    good(
        capsys, "plot", "schedules", *NAMES, "cosine+shift:factor=2", "linear+zero_terminal_snr",
        "--out", tmp_path / "all.png",
    )  # fmt: skip


def test_another_schedule_is_another_picture(capsys, tmp_path):
    for name in ("linear", "cosine"):
        good(capsys, "plot", "schedules", name, "--out", tmp_path / f"{name}.png")
    one, other = (pixels(tmp_path / f"{name}.png") for name in ("linear", "cosine"))
    assert one.shape == other.shape
    assert not np.array_equal(one, other)


def test_forward_of_the_digits_and_of_a_file(capsys, tmp_path):
    file = tmp_path / "image.png"
    Image.new("RGB", (6, 4), "orange").save(file)
    for image in ("digits", file):
        out = tmp_path / "forward.png"
        good(
            capsys, "plot", "forward", image, "--schedule", "cosine:T=10", "flow",
            "--columns", 3, "--out", out, "--force",
        )  # fmt: skip
        assert pixels(out).shape[1] > 100


def test_the_seed_is_the_noise(capsys, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / f"{name}.png"
        good(capsys, "plot", "forward", "--columns", 2, "--seed", seed, "--out", out)
    a, b, c = ((tmp_path / f"{n}.png").read_bytes() for n in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["schedules", "parabolic"], "parabolic"),
        (["schedules", "linear:T"], "key=value"),
        (["schedules", "linear:T=ten"], "T must be a number"),
        (["schedules", "linear:T=0"], "linear:T=0"),
        (["schedules", "linear:beta=1"], "'linear' takes T, beta_start, beta_end, got 'beta'"),
        (
            ["schedules", "linear+zero_terminal_snr:x=1"],
            "takes schedule, got 'x'",
        ),
        (["schedules", "cosine+shift"], "'shift' needs factor"),
        (["schedules", "linear+shift:schedule=1"], "'shift' has no parameter 'schedule'"),
        (["schedules", "linear:kind=1"], "'linear' has no parameter 'kind'"),
        (["schedules", "cosine+twist"], "twist"),
        (["schedules", "--out", "picture.bmp"], "picture.bmp"),
        (["forward", "nowhere.png"], "nowhere.png"),
        (["forward", "text.png"], "text.png"),
        (["forward", "--schedule", "parabolic"], "parabolic"),
    ],
)
def test_errors_name_what_is_wrong(capsys, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    assert_one_line(run(capsys, "plot", *words), named)
    assert [p.name for p in tmp_path.iterdir()] == ["text.png"]


def test_a_picture_is_replaced_only_when_asked(capsys, tmp_path):
    path = tmp_path / "schedules.png"
    path.write_text("precious")
    assert_one_line(run(capsys, "plot", "schedules", "--out", path), str(path), "--force")
    assert path.read_text() == "precious"
    good(capsys, "plot", "schedules", "linear", "--out", path, "--force")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_image_is_not_drawn_over(capsys, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    before = path.read_bytes()
    result = run(capsys, "plot", "forward", path, "--out", path, "--force")
    assert_one_line(result, "--out must be another file", str(path))
    assert path.read_bytes() == before


def test_a_picture_that_fails_leaves_the_old_one(capsys, tmp_path, monkeypatch):
    def failing(*args):
        raise ValueError("no ink")

    path = tmp_path / "schedules.png"
    path.write_text("precious")
    monkeypatch.setattr(_figures, "schedules", failing)
    assert_one_line(run(capsys, "plot", "schedules", "--out", path, "--force"), "no ink")
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("out", ["folder.png", "file/picture.png", "/proc/picture.png"])
def test_where_nothing_can_be_written(capsys, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    result = run(capsys, "plot", "schedules", "linear", "--out", out, "--force")
    assert_one_line(result, out)
