"""What a checkpoint or a run holds, as lines of text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import checkpoint
from ..training import metrics
from ..training.run_folder import RunFolder

LISTED = 12
"""Classes to name at most."""


def described(path: Path) -> list[str]:
    """The contents of the checkpoint, or the run's folder, at `path`.

    Raises FileNotFoundError or ValueError that names what is not there or not what it should be.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such run or checkpoint")
    if not path.is_dir():
        return _of_checkpoint(path)
    run = RunFolder.read(path)
    lines = [f"run {path}"]
    if run.checkpoint.exists():
        lines += ["", *_of_checkpoint(run.checkpoint)]
    else:
        lines.append("no checkpoint yet")
    return lines + _of_metrics(run.metrics)


def _of_checkpoint(path: Path) -> list[str]:
    content = checkpoint.describe(path)
    unet, training = content["unet"], content["training"]
    size = content["bytes"] / 1e6
    side, channels = unet["image_size"], unet["channels"]
    lines = [
        f"checkpoint {path}, {size:.1f} MB, format {content['format']}",
        _row("step", f"{content['step']:,}"),
        _row("images", f"{side} x {side}, {'grey' if channels == 1 else f'{channels} channels'}"),
        _row("parameters", f"{content['parameters']:,}, {', '.join(content['dtypes'])}"),
        _row("weights", "raw and moving average (ema)" if content["ema"] else "raw alone"),
        _row("schedule", _in_words(content["schedule"])),
        _row("predicts", _in_words({"kind": content["predicts"]})),
    ]
    if unet["classes"]:
        lines.append(_row("classes", _classes(training.get("classes", ()), unet["classes"])))
    lines += ["", "  unet"]
    lines += [_row(f"  {key}", _value(value)) for key, value in unet.items()]
    rest = {key: value for key, value in training.items() if key != "classes"}
    if rest:
        lines += ["", "  training"]
        for key, value in rest.items():
            lines += _nested(f"  {key}", value)
    return lines


def _of_metrics(path: Path) -> list[str]:
    columns = metrics.read(path)
    if not columns:
        return []
    lines = ["", f"metrics {path}", _row("", "first", "last", "at step")]
    for name, (step, value) in columns.items():
        lines.append(_row(name, f"{value[0]:.4g}", f"{value[-1]:.4g}", f"{step[-1]:,}"))
    return lines


def _row(name: str, *values: str) -> str:
    first, *rest = values
    if not rest:
        return f"  {name:<26}{first}".rstrip()
    return f"  {name:<26}{first:<12}{''.join(f'{value:<12}' for value in rest)}".rstrip()


def _nested(name: str, value: Any, depth: int = 1) -> list[str]:
    """A value of a JSON tree, a line for each of its leaves."""
    if not isinstance(value, Mapping):
        return [_row(name, _value(value))]
    indent = "  " * (depth + 1)
    lines = [_row(name, "")]
    for key, inner in value.items():
        lines += _nested(f"{indent}{key}", inner, depth + 1)
    return lines


def _in_words(config: Mapping[str, Any]) -> str:
    """{"kind": "linear", "T": 1000} as linear, T = 1000; what it is made from in brackets."""
    kind = config["kind"]
    if isinstance(kind, Mapping):
        return _in_words(kind)
    words = [str(kind)]
    for key, value in config.items():
        if isinstance(value, Mapping):
            words.append(f"{key} = ({_in_words(value)})")
        elif key != "kind":
            words.append(f"{key} = {_value(value)}")
    return ", ".join(words)


def _classes(names: Any, count: int) -> str:
    shown = ", ".join(str(name) for name in names[:LISTED])
    return f"{count}: {shown}{', ...' if count > LISTED else ''}" if shown else str(count)


def _value(value: Any) -> str:
    """A number, a word, or a list of them; a long list in short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        if len(value) > LISTED:
            return f"{len(value)} values"
        return ", ".join(map(_value, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
