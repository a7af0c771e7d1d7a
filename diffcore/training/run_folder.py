"""The folder of one training run: what lies where, who may write, and nothing lost.

One process at a time writes to a run, and holds a lock that the operating system drops when that
process ends, however it ends. Files appear whole or not at all.
"""

import contextlib
import io
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .._files import DRAFT, write_atomically

LOCK = ".lock"
DRAFTS = f".*{DRAFT}"


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A run's folder; made by `create`, `resume` or `read`. A writer closes it when done."""

    path: Path
    lock: io.FileIO | None = None
    """The locked file; None for a reader."""

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> "RunFolder":
        """A new run at `path`, which must not exist or be empty.

        With `overwrite`, a run that is there is moved aside, to the first free of NAME.1, NAME.2,
        ... Raises FileExistsError where something else is there, or the run is being written.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise FileExistsError(f"{path} is a file; a run needs a folder of its own (--out)")
        if _occupied(path):
            if not overwrite:
                raise FileExistsError(
                    f"{path} already holds files; choose another --out, go on with the run there "
                    "with --resume, or have it moved aside with --overwrite"
                )
            _move_aside(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = _locked(path)
        if _occupied(path):  # another process was quicker
            lock.close()
            raise FileExistsError(f"{path} already holds files; choose another --out")
        _remove_drafts(path)
        return cls(path=path, lock=lock)

    @classmethod
    def resume(cls, path: str | Path) -> "RunFolder":
        """The run at `path`, to write on; what a killed writer left half-written is removed.

        Raises FileNotFoundError where there is no run, FileExistsError where one is being written.
        """
        run = cls.read(path)
        lock = _locked(run.path)
        _remove_drafts(run.path)
        return cls(path=run.path, lock=lock)

    @classmethod
    def read(cls, path: str | Path) -> "RunFolder":
        """The run at `path`, to read from only, whoever may be writing it."""
        run = cls(path=Path(path))
        if not run.recipe.is_file():
            what = "no such folder" if not run.path.exists() else f"no {run.recipe.name} in it"
            raise FileNotFoundError(f"{run.path} is not a run: {what}")
        return run

    @property
    def recipe(self) -> Path:
        """The recipe, every value written out."""
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The network that samples are drawn from."""
        return self.path / "checkpoint.safetensors"

    @property
    def state(self) -> Path:
        """What training needs besides to go on where it was."""
        return self.path / "state.safetensors"

    @property
    def samples(self) -> Path:
        """The folder of sample grids."""
        return self.path / "samples"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    def sample_grid(self, step: int) -> Path:
        """The picture of the samples at `step`; its name sorts by step."""
        return self.samples / f"step-{step:08d}.png"

    def write_text(self, path: Path, text: str) -> None:
        """Write a text file of this run, whole or not at all. Raises RuntimeError for a reader."""
        if self.lock is None or self.lock.closed:
            raise RuntimeError(f"{self.path} is not open to be written")
        write_atomically(path, text.encode())

    def close(self) -> None:
        """Let others write. A new run that came to nothing leaves no folder behind."""
        if self.lock is None or self.lock.closed:
            return
        if not _occupied(self.path):
            with contextlib.suppress(OSError):
                (self.path / LOCK).unlink()
                self.path.rmdir()
        self.lock.close()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _occupied(path: Path) -> bool:
    """Whether files are there, other than the lock and what a killed writer had only begun."""
    return path.is_dir() and any(
        entry.name != LOCK and not entry.match(DRAFTS) for entry in path.iterdir()
    )


def _remove_drafts(path: Path) -> None:
    for draft in path.rglob(DRAFTS):
        draft.unlink(missing_ok=True)


def _move_aside(path: Path) -> None:
    if not (path / "recipe.toml").is_file():
        raise FileExistsError(
            f"{path} holds files, but no run (no recipe.toml), and stays as it is; choose another "
            "--out"
        )
    with _locked(path):
        whole = Path(os.path.abspath(path))  # "." has no name to add a number to
        n = 1
        while (aside := whole.with_name(f"{whole.name}.{n}")).exists():
            n += 1
        whole.rename(aside)


def _locked(path: Path) -> io.FileIO:
    """The folder's lock file, held against every other process until it is closed."""
    file = io.FileIO(os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666), "r+")
    try:
        _lock(file)
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(path / LOCK)):
            raise OSError("the folder was moved aside in between")
    except OSError as error:
        file.seek(0)
        holder = file.read(200).decode(errors="replace").strip()
        file.close()
        raise FileExistsError(
            f"{path} is being written by {holder or 'another process'}; wait for it, stop it, or "
            "choose another --out"
        ) from error
    file.truncate(0)
    file.seek(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return file


def _lock(file: io.FileIO) -> None:
    """Take the lock or raise OSError. It goes with the process: a killed writer leaves none."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 20)  # past the text, which others read while the byte is locked
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
