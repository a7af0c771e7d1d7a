"""Where a scheduler's configuration comes from: an object, a mapping, a file or a folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEDULER = "scheduler_config.json"


def configuration(source: Any) -> Mapping[str, Any]:
    """The configuration of a scheduler as a mapping, with its class as saved files name it.

    source: an object with a `config`, a mapping, or the path of a `scheduler_config.json`, of the
    folder that holds it, or of a pipeline's folder. Raises TypeError or ValueError that names
    `source`, FileNotFoundError where there is no such file.
    """
    if isinstance(source, str | Path):
        return _read(Path(source))
    if isinstance(source, Mapping):
        return source
    found = getattr(source, "config", None)
    if not isinstance(found, Mapping):
        raise TypeError(
            "source must be a scheduler with a config, a mapping, or a path, "
            f"got {type(source).__name__}"
        )
    return {**found, "_class_name": type(source).__name__}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; ValueError that names the file where it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: must hold a JSON object, holds {type(found).__name__}")
    return found


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir():
        places = [path / SCHEDULER, path / "scheduler" / SCHEDULER]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise FileNotFoundError(f"{path}: holds no {SCHEDULER}")
        path = found
    return read_json(path)
