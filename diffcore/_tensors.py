"""Named arrays and JSON metadata in one file of the safetensors format.

The metadata are one JSON text, under the key "diffcore" of safetensors' own:
{"format": 1, "content": {...}}. A file is written whole or not at all, and nothing in it is ever
executed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ._files import replacing
from ._optional import optional

FORMAT = 1
"""The format that is written. A reader takes this one and every earlier one."""
KEY = "diffcore"

Tensors: TypeAlias = dict[str, npt.NDArray[Any]]
Stored: TypeAlias = dict[str, tuple[str, tuple[int, ...]]]
"""What a file's header says of each array: its dtype, by safetensors' name, and its shape."""

_DTYPES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}


def write(
    path: str | Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write arrays and JSON metadata to `path`, all or nothing; it survives a power cut.

    Arrays are bool, integer, or float16, float32, float64. Raises TypeError that names the array of
    another dtype, or says what JSON cannot hold; ValueError for a number in the metadata that is
    not finite; OSError where the disk refuses. An old file at `path` then stays as it was.
    """
    path = Path(path)
    # The widest dtypes first, and a header of whole words, so that each array is aligned.
    items = sorted(tensors.items(), key=lambda item: -np.asarray(item[1]).itemsize)
    arrays = {name: np.asarray(x) for name, x in items}
    head: dict[str, Any] = {"__metadata__": {KEY: _encoded(path, metadata)}}
    end = 0
    for name, x in arrays.items():
        start, end = end, end + x.nbytes
        shape = list(x.shape)
        head[name] = {"dtype": dtype_code(name, x), "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    # Not by safetensors: it copies all arrays, or leaves temporary files of its own when killed.
    with replacing(path) as draft:
        try:
            with draft.open("wb") as file:
                file.write(len(text).to_bytes(8, "little") + text)
                for x in arrays.values():
                    file.write(x.astype(x.dtype.newbyteorder("<"), order="C", copy=False).data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


def read(path: str | Path) -> tuple[Tensors, dict[str, Any]]:
    """(arrays, metadata) of a file that `write` wrote; bfloat16 arrays come as float32.

    Raises ValueError that names the file where it is cut short, of another kind, or of a format
    newer than this reader; FileNotFoundError where there is none.
    """
    path = Path(path)
    data = path.read_bytes()
    tensors = _arrays(path, data)
    # The format: the length of the header in 8 bytes, then the header, which is JSON.
    length = int.from_bytes(data[:8], "little")
    head = _checked(path, json.loads(data[8 : 8 + length]).get("__metadata__", {}))
    return tensors, head["content"]


def read_arrays(path: str | Path) -> Tensors:
    """The arrays of any file of the safetensors format; bfloat16 ones come as float32.

    Raises ValueError that names the file where it is cut short, FileNotFoundError where there is
    none.
    """
    path = Path(path)
    return _arrays(path, path.read_bytes())


def dtype_code(name: str, x: npt.NDArray[Any]) -> str:
    """safetensors' name of x's dtype; TypeError that names the array where there is none."""
    for stored, dtype in _DTYPES.items():
        if x.dtype.newbyteorder("=") == dtype:
            return stored
    raise TypeError(
        f"tensor {name!r} must be bool, integer, float16, float32 or float64, got {x.dtype}"
    )


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a file that `write` wrote, without its arrays; raises as `read` does."""
    content: dict[str, Any] = header(Path(path))[0]["content"]
    return content


def header(path: Path) -> tuple[dict[str, Any], Stored]:
    """({"format": version, "content": metadata}, arrays) by the head of a file alone."""
    safetensors = optional("safetensors", "checkpoint")
    with path.open("rb"):  # raises the error that names the file
        pass
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            stored = {k: (s.get_dtype(), tuple(s.get_shape())) for k, s in slices.items()}
    except (safetensors.SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    return _checked(path, metadata), stored


def _checked(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if KEY not in metadata:
        raise ValueError(
            f"{path}: a safetensors file, but not one of diffcore's (no metadata {KEY!r})"
        )
    try:
        head: dict[str, Any] = json.loads(metadata[KEY])
        version, content = head["format"], head["content"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged metadata {KEY!r} ({error!r})") from error
    if type(version) is not int or version < 1 or not isinstance(content, dict):
        raise ValueError(f"{path}: damaged metadata {KEY!r} (format {version!r})")
    if version > FORMAT:
        raise ValueError(
            f"{path}: written in format {version}, and this diffcore reads formats up to {FORMAT}; "
            "a newer one reads it"
        )
    return head


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: not a safetensors file, or cut short ({error})")


def _arrays(path: Path, data: bytes) -> Tensors:
    safetensors = optional("safetensors", "checkpoint")
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise _unreadable(path, error) from error
    return {name: _array(path, name, **entry) for name, entry in entries}


def _array(
    path: Path, name: str, dtype: str, shape: list[int], data: bytearray
) -> npt.NDArray[Any]:
    if dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if dtype not in _DTYPES:
        raise ValueError(f"{path}: tensor {name!r} is {dtype}, which NumPy has no dtype for")
    little = np.dtype(_DTYPES[dtype]).newbyteorder("<")
    return np.frombuffer(data, little).reshape(shape).astype(_DTYPES[dtype], copy=False)


def _encoded(path: str | Path, metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps({"format": FORMAT, "content": dict(metadata)}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: metadata must be what JSON can hold ({error})") from error
