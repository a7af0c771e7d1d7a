"""Where images come from: each reader gives a count, the images in a fixed order, and their labels.

A reader names every image (a file, a row of a file) so that what is wrong with it can be said.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import optional
from .decode import Stored

Labels = npt.NDArray[np.int64]
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMN = "label"
ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set before decoding: `items` yields (name, image) `count` times."""

    count: int
    items: Iterable[tuple[str, Stored]]
    labels: Labels | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table hold the images and the labels; "" finds the usual names."""

    image: str = ""
    label: str = ""

    def image_in(self, name: str, present: Sequence[str]) -> str:
        wanted = (self.image,) if self.image else IMAGE_COLUMNS
        found = [column for column in wanted if column in present]
        if not found:
            raise ValueError(
                f"{name}: no column {' or '.join(map(repr, wanted))} for the images; its columns "
                f"are {', '.join(present)} (image_column names the one to use)"
            )
        return found[0]

    def label_in(self, name: str, present: Sequence[str]) -> str | None:
        if self.label and self.label not in present:
            raise ValueError(
                f"{name}: no column {self.label!r} for the labels; its columns "
                f"are {', '.join(present)}"
            )
        label = self.label or LABEL_COLUMN
        return label if label in present else None


def folder(path: Path, labels: bool) -> Source:
    """The image files of a folder, by path; with `labels`, its subfolders are the classes."""
    files = sorted(
        f
        for f in path.rglob("*")
        if f.suffix.lower() in SUFFIXES
        and f.is_file()
        and not any(part.startswith(".") for part in f.relative_to(path).parts)
    )
    if not files:
        raise ValueError(f"{path}: no images in this folder (looked for {', '.join(SUFFIXES)})")
    items = ((str(f), f) for f in files)
    owners = [f.relative_to(path).parts[0] if f.parent != path else "" for f in files]
    if not labels or not any(owners):
        return Source(count=len(files), items=items)
    if "" in owners:
        raise ValueError(
            f"{files[owners.index('')]}: lies beside the class folders "
            f"{', '.join(sorted(set(owners) - {''}))}; move it into one, or ask for no labels"
        )
    return Source(count=len(files), items=items, **classified(str(path), owners))


def parquet(files: Sequence[Path], columns: Columns, labels: bool) -> Source:
    """The rows of parquet files with an image column: encoded bytes, or {bytes, path}."""
    reader = optional("pyarrow.parquet", "data")
    tables = []
    for file in files:
        try:
            tables.append(reader.ParquetFile(file))
        except (OSError, ValueError) as error:
            raise ValueError(f"{file}: not a readable parquet file ({error})") from error
    count = sum(table.metadata.num_rows for table in tables)
    if not count:
        raise ValueError(f"{files[0]}: no rows")
    images, values = [], []
    known: tuple[str, ...] = ()
    for file, table in zip(files, tables, strict=True):
        names = table.schema_arrow.names
        images.append(columns.image_in(str(file), names))
        label = columns.label_in(str(file), names) if labels else None
        if label is not None:
            values += table.read(columns=[label]).column(0).to_pylist()
            known = known or _names_in(table.schema_arrow.metadata, label)
    if values and len(values) != count:
        raise ValueError(f"{files[0]}: some of the parquet files have labels, others have none")

    def items() -> Iterator[tuple[str, Stored]]:
        for file, table, column in zip(files, tables, images, strict=True):
            row = 0
            for batch in table.iter_batches(batch_size=ROWS, columns=[column]):
                for value in batch.column(0).to_pylist():
                    yield _cell(f"{file}, row {row}", value, file.parent)
                    row += 1

    return Source(count=count, items=items(), **classified(str(files[0]), values, known))


def hugging_face(name: str, subset: str, columns: Columns, labels: bool) -> Source:
    """A data set of the `datasets` library: NAME or NAME:SPLIT, where NAME may be a folder.

    A folder that `save_to_disk` wrote is opened as such. SPLIT is "train" unless given, and may be
    a slice ("train[:10%]") of anything but such a folder.
    """
    if not name:
        raise ValueError("hf: must be followed by a data set, as in hf:NAME or hf:NAME:SPLIT")
    name, split = _name_and_split(name)
    library = optional("datasets", "datasets")
    try:
        if saved_to_disk(Path(name)):
            rows = _split_of(library.load_from_disk(name), split)
        else:
            rows = library.load_dataset(name, subset or None, split=split)
    # The library raises errors of many kinds for a name, a split or a network that is not there.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"Hugging Face data set {name!r}, split {split!r}, could not be loaded: {reason}"
        ) from error
    if not len(rows):
        raise ValueError(f"{name}: no rows")
    column = columns.image_in(name, rows.column_names)
    label = columns.label_in(name, rows.column_names) if labels else None
    if isinstance(rows.features[column], library.Image):
        rows = rows.cast_column(column, library.Image(decode=False))
    values = [] if label is None else rows[label][:]
    known = tuple(getattr(rows.features[label], "names", None) or ()) if label else ()

    def items() -> Iterator[tuple[str, Stored]]:
        for row, value in enumerate(rows.select_columns([column])):
            yield _cell(f"{name}, row {row}", value[column], Path())

    return Source(count=len(rows), items=items(), **classified(name, values, known))


def saved_to_disk(path: Path) -> bool:
    """Whether `path` is a folder that `datasets` wrote with `save_to_disk`."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def _name_and_split(name: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.+?):(\w+(?:\[[^\]]*\])?)", name)
    return (match[1], match[2]) if match else (name, "train")


def _split_of(saved: Any, split: str) -> Any:
    """The split of what `save_to_disk` wrote, a dictionary of them or one alone."""
    if isinstance(saved, dict):
        if split not in saved:
            raise ValueError(f"it was saved as {', '.join(saved)}, which are read whole")
        return saved[split]
    if split not in ("train", str(saved.split)):
        raise ValueError("it was saved as one, without splits, which is read whole")
    return saved


def _names_in(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """The class names that the `datasets` library leaves in a parquet file's metadata."""
    described = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    return tuple(features.get(label, {}).get("names", ()))


def _cell(name: str, value: Any, home: Path) -> tuple[str, Stored]:
    """The image in one cell of a table: bytes, or a struct of bytes and path."""
    if isinstance(value, dict) and {"bytes", "path"} & value.keys():
        path = value.get("path")
        name = f"{name} ({path})" if path else name
        value = value.get("bytes") or (home / path if path else None)
    if not isinstance(value, bytes | Path):
        raise ValueError(
            f"{name}: an image must be encoded bytes or a struct of bytes and path, "
            f"got {type(value).__name__}"
        )
    return name, value


def classified(name: str, values: Sequence[Any], known: tuple[str, ...] = ()) -> dict[str, Any]:
    """The labels and class names that a column of ints or strings stands for."""
    if not values:
        return {}
    kinds = {type(value) for value in values}
    if kinds == {str}:
        classes = tuple(sorted(set(values)))
        number = {label: i for i, label in enumerate(classes)}
        return {"labels": np.array([number[v] for v in values], np.int64), "classes": classes}
    if kinds != {int}:
        raise ValueError(
            f"{name}: labels must be all ints or all strings, "
            f"got {', '.join(sorted(kind.__name__ for kind in kinds))}"
        )
    labels = np.array(values, np.int64)
    if labels.min() < 0 or (known and labels.max() >= len(known)):
        worst = int(labels.min()) if labels.min() < 0 else int(labels.max())
        raise ValueError(
            f"{name}: labels must count the classes from 0, got {worst}; ask for no labels "
            "to leave them out"
        )
    return {
        "labels": labels,
        "classes": known or tuple(str(i) for i in range(int(labels.max()) + 1)),
    }
