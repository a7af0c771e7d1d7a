"""Output files: none is overwritten unasked, none is left half-written, all are tried early."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def require_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """ValueError where `path` ends in none of `suffixes`."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} must end in {' or '.join(suffixes)}")


def require_apart(option: str, path: Path, inputs: Iterable[Path | None]) -> None:
    """ValueError where the output `path` of `option` is one of `inputs`, or a file in one."""
    for given in inputs:
        if given is None or not (given.exists() and path.exists()):
            continue
        if given.samefile(path) or (path.is_file() and given.resolve() in path.resolve().parents):
            raise ValueError(f"{option} must be another file than those that are read, got {path}")


def reserve(path: Path, force: bool) -> None:
    """Make sure that a file can be written at `path`, before there is something to write.

    Raises OSError that names `path` where it is a folder, or a file already and `force` is not
    given, and where its folder cannot be made or takes no files.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; a file is to be written there")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists already; --force overwrites it")
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def reserve_folder(path: Path, force: bool) -> None:
    """Make sure that files can be written into the folder `path`, which need not exist.

    Raises OSError that names `path` where it is a file, or holds something already and `force` is
    not given, and where it cannot be made or takes no files.
    """
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; a folder is to be written there")
    if path.is_dir() and not force and any(path.iterdir()):
        raise FileExistsError(
            f"{path} holds files already; --force overwrites those of the same names"
        )
    with _naming(path):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """An empty folder inside `folder`, whose files move up into it when the block ends well.

    Files of the same names are replaced, others stay.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".draft-") as name:
        draft = Path(name)
        yield draft
        for file in sorted(f for f in draft.rglob("*") if f.is_file()):
            target = folder / file.relative_to(draft)
            target.parent.mkdir(exist_ok=True)
            os.replace(file, target)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of the file system inside the block name `path`, not what is made on the way."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path} cannot be written: {reason}") from error
