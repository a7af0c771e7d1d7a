"""Run folders: one writer at a time, nothing overwritten, files whole or not there."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from diffcore import _files
from diffcore.training.run_folder import LOCK, RunFolder


def new_run(path: Path, recipe: str = "name = 'a'\n") -> RunFolder:
    run = RunFolder.create(path)
    run.write_text(run.recipe, recipe)
    return run


def another_process(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """A Python process with RunFolder imported, to talk to by lines."""
    begin = "import sys, time\nfrom diffcore.training.run_folder import RunFolder\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


HOLD = """
run = RunFolder.create(sys.argv[1])
run.write_text(run.recipe, "name = 'theirs'")
print("holding", flush=True)
sys.stdin.readline()
"""


def test_create_makes_the_folder_and_names_its_files(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "deep" / "run") as run:
        run.write_text(run.recipe, "x = 1\n")
        assert run.recipe.read_text() == "x = 1\n"
        names = [run.recipe, run.metrics, run.checkpoint, run.state, run.samples, run.tensorboard]
        assert {path.parent for path in names} == {tmp_path / "deep" / "run"}
        assert len(set(names)) == 6
        grids = [run.sample_grid(step) for step in (0, 999, 1000, 2_000_000)]
        assert [path.name for path in grids] == sorted(path.name for path in grids)
    assert run.lock is not None
    assert run.lock.closed


def test_create_takes_an_empty_folder_and_one_a_killed_writer_had_only_begun(
    tmp_path: Path,
) -> None:
    (tmp_path / LOCK).touch()
    draft = tmp_path / f".recipe.toml.123{_files.DRAFT}"
    draft.write_text("na")
    with RunFolder.create(tmp_path):
        assert not draft.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_are_no_run_are_never_touched(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"already holds files|no run \(no recipe.toml\)"):
        RunFolder.create(tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir() if path.name != LOCK] == ["thesis.tex"]
    file = tmp_path / "thesis.tex"
    with pytest.raises(FileExistsError, match="is a file"):
        RunFolder.create(file, overwrite=overwrite)
    assert file.read_text() == "years of work"


def test_a_run_is_not_overwritten_silently_but_moved_aside_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "run"
    new_run(path, "first").close()
    with pytest.raises(FileExistsError, match=r"--resume.*--overwrite"):
        RunFolder.create(path)
    assert (path / "recipe.toml").read_text() == "first"
    for text in ("second", "third"):
        with RunFolder.create(path, overwrite=True) as run:
            run.write_text(run.recipe, text)
    kept = {p.name: (p / "recipe.toml").read_text() for p in tmp_path.iterdir()}
    assert kept == {"run": "third", "run.1": "first", "run.2": "second"}


def test_the_working_directory_itself_can_be_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_run(tmp_path / "run", "first").close()
    monkeypatch.chdir(tmp_path)
    with RunFolder.create("run/", overwrite=True) as run:
        assert list(run.path.iterdir()) == [run.path / LOCK]
    assert (tmp_path / "run.1" / "recipe.toml").read_text() == "first"


def test_one_writer_at_a_time_in_one_process(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    for attempt in (
        lambda: RunFolder.resume(run.path),
        lambda: RunFolder.create(run.path, overwrite=True),
    ):
        with pytest.raises(FileExistsError, match=f"being written by process {os.getpid()} on "):
            attempt()
    assert RunFolder.read(run.path).lock is None  # reading is free
    run.close()
    with RunFolder.resume(run.path) as again:
        assert again.recipe.read_text() == "name = 'a'\n"


def test_two_processes_cannot_create_one_folder_at_once(tmp_path: Path) -> None:
    empty = RunFolder.create(tmp_path / "run")  # no file yet but the lock
    with pytest.raises(FileExistsError, match="is being written by"):
        RunFolder.create(empty.path)
    with pytest.raises(FileNotFoundError, match=r"no recipe.toml in it"):
        RunFolder.resume(empty.path)
    empty.close()


def test_another_process_holds_the_lock_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    for ending in ("exit", "kill"):
        path = tmp_path / ending
        with another_process(HOLD, path) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "holding\n"
            with pytest.raises(FileExistsError, match=f"being written by process {other.pid} on "):
                RunFolder.resume(path)
            with pytest.raises(FileExistsError, match=f"process {other.pid} on "):
                RunFolder.create(path, overwrite=True)
            assert RunFolder.read(path).recipe.read_text() == "name = 'theirs'"
            if ending == "kill":
                other.send_signal(signal.SIGKILL)
            else:
                other.communicate("\n")
            other.wait(10)
        with RunFolder.resume(path) as run:
            run.write_text(run.recipe, "name = 'mine'")
        assert not (tmp_path / f"{ending}.1").exists()


def test_a_lock_of_a_folder_that_was_moved_away_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffcore.training import run_folder

    new_run(tmp_path / "run").close()
    lock = run_folder._lock

    def moved_in_between(file: object) -> None:
        lock(file)  # type: ignore[arg-type]
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / LOCK).touch()

    monkeypatch.setattr(run_folder, "_lock", moved_in_between)
    with pytest.raises(FileExistsError, match="is being written by"):
        RunFolder.resume(tmp_path / "run")


def test_reading_or_resuming_what_is_no_run(tmp_path: Path) -> None:
    for open_run in (RunFolder.read, RunFolder.resume):
        with pytest.raises(FileNotFoundError, match="nowhere is not a run: no such folder"):
            open_run(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match=r"is not a run: no recipe.toml in it"):
            open_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_a_writer_writes(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    reader = RunFolder.read(run.path)
    with pytest.raises(RuntimeError, match="not open to be written"):
        reader.write_text(reader.recipe, "no")
    run.close()
    with pytest.raises(RuntimeError, match="not open to be written"):
        run.write_text(run.recipe, "no")
    assert run.recipe.read_text() == "name = 'a'\n"


def test_resume_clears_what_a_killed_writer_left_half_written(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    run.samples.mkdir()
    drafts = [
        run.path / f".state.safetensors.77{_files.DRAFT}",
        run.samples / f".step-00000100.png.77{_files.DRAFT}",
    ]
    for draft in drafts:
        draft.write_bytes(b"half")
    run.sample_grid(50).write_bytes(b"whole")
    run.close()
    RunFolder.read(run.path)
    assert all(draft.exists() for draft in drafts)
    RunFolder.resume(run.path).close()
    assert not any(draft.exists() for draft in drafts)
    assert run.sample_grid(50).read_bytes() == b"whole"


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path / "run")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space"):
            run.write_text(run.recipe, "name = 'b'\n")
    assert run.recipe.read_text() == "name = 'a'\n"
    assert sorted(path.name for path in run.path.iterdir()) == [LOCK, "recipe.toml"]
    run.close()


WRITE = """
run = RunFolder.create(sys.argv[1])
run.write_text(run.recipe, "0" * 500_000)
print("writing", flush=True)
for i in range(1, 10**9):
    text = str(i % 10) * 500_000
    {line}
"""


def is_whole(text: str) -> bool:
    return len(text) == 500_000 and len(set(text)) == 1


def test_a_reader_never_sees_half_a_file_of_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "run"
    seen = set()
    with another_process(WRITE.format(line="run.write_text(run.recipe, text)"), path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        end = time.monotonic() + 60.0
        while len(seen) < 5 and time.monotonic() < end:
            text = RunFolder.read(path).recipe.read_text()
            assert is_whole(text)
            seen.add(text[0])
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    assert len(seen) == 5  # it was writing all the while
    with RunFolder.resume(path) as run:
        assert is_whole(run.recipe.read_text())
        assert sorted(p.name for p in path.iterdir()) == [LOCK, "recipe.toml"]


def test_the_reader_finds_out_a_writer_that_is_not_atomic(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with another_process(WRITE.format(line="run.recipe.write_text(text)"), path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        reads = (RunFolder.read(path).recipe.read_text() for _ in range(10_000))
        assert not all(map(is_whole, reads))
        other.send_signal(signal.SIGKILL)
        other.wait(10)


def test_a_run_that_came_to_nothing_leaves_no_folder(tmp_path):
    with RunFolder.create(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()
    with RunFolder.create(tmp_path / "kept") as run:
        run.write_text(run.recipe, "seed = 0\n")
    assert (tmp_path / "kept" / "recipe.toml").exists()
    with RunFolder.resume(tmp_path / "kept"):
        pass
    assert (tmp_path / "kept" / "recipe.toml").exists()
