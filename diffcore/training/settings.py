"""Tables of settings, as TOML has them, turned into dataclasses; errors name the key.

A key is written as on the command line: `training.lr` is the key `lr` of the table `training`.
"""

import copy
import difflib
import math
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

D = TypeVar("D")


def parse(text: str, name: str) -> dict[str, Any]:
    """The table in a TOML text; ValueError that starts with `name` where it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{name}: not TOML: {error}") from error


def override(table: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """A copy of `table` with assignments such as "training.lr=1e-4" made.

    A value is read as TOML; what is no TOML, or stands where a string stood, is a string as it is.
    Another `kind` of a table drops the parameters of the old one, and "schedule=cosine" is short
    for "schedule.kind=cosine".
    """
    result = copy.deepcopy(dict(table))
    pairs = [_split(assignment) for assignment in assignments]
    pairs = [
        ([*path, "kind"] if _is_kind(result, path, text) else path, text) for path, text in pairs
    ]
    for path, text in sorted(pairs, key=lambda pair: pair[0][-1] != "kind"):
        place = result
        for depth, part in enumerate(path[:-1], 1):
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                key, leaf = ".".join(path[:depth]), path[depth]
                raise ValueError(f"{key} is {place!r}, which has no {leaf!r} to set")
        leaf = path[-1]
        value = _value(text, isinstance(place.get(leaf), str))
        if leaf == "kind" and value != place.get("kind"):
            place.clear()
        place[leaf] = value
    return result


def built(cls: type[D], table: Mapping[str, Any], keys: Iterable[str], prefix: str = "") -> D:
    """The dataclass `cls` of the values in `table`; what is left out takes its default.

    Raises ValueError for a key that `cls` does not have, listing the nearest of `keys`, and for a
    value of another type.
    """
    hints = get_type_hints(cls)
    known = {field.name: hints[field.name] for field in fields(cls)}  # type: ignore[arg-type]
    values = {}
    for name, value in table.items():
        key = prefix + name
        if name not in known:
            raise unknown(key, keys)
        if is_dataclass(known[name]):
            if not isinstance(value, Mapping):
                raise ValueError(f"{key} must be a table, got {value!r}")
            values[name] = built(known[name], value, keys, f"{key}.")
        else:
            values[name] = _typed(key, value, known[name])
    return cls(**values)


def unknown(key: str, keys: Iterable[str]) -> ValueError:
    """The error for a key that does not exist, with those that may have been meant."""
    keys = list(keys)
    table, _, leaf = key.rpartition(".")
    tables = list(dict.fromkeys(k.rpartition(".")[0] for k in keys if "." in k))
    near = [
        k for k in [*keys, *tables] if difflib.SequenceMatcher(None, leaf, _leaf(k)).ratio() >= 0.7
    ]
    near = list(dict.fromkeys(near)) or difflib.get_close_matches(key, keys, cutoff=0.8)
    if near:
        # Those of the same table first.
        near.sort(key=lambda k: k.rpartition(".")[0] != table)
        return ValueError(f"unknown key {key}; did you mean {' or '.join(near[:3])}?")
    siblings = [_leaf(k) for k in keys if table and k.rpartition(".")[0] == table]
    there = siblings or list(dict.fromkeys(k.partition(".")[0] for k in keys))
    return ValueError(f"unknown key {key}; {table or 'a recipe'} has {', '.join(there)}")


def require(good: bool, key: str, wanted: str, value: Any) -> None:
    """ValueError "KEY must WANTED, got VALUE" unless `good`."""
    if not good:
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        raise ValueError(f"{key} must {wanted}, got {shown}")


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _split(assignment: str) -> tuple[list[str], str]:
    key, equals, text = assignment.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise ValueError(
            f"an override must read KEY=VALUE, as training.lr=1e-4; got {assignment!r}"
        )
    return path, text.strip()


def _is_kind(table: Mapping[str, Any], path: list[str], text: str) -> bool:
    """Whether a word is assigned where a table with a kind stands."""
    place: Any = table
    for part in path:
        place = place.get(part) if isinstance(place, dict) else None
    return isinstance(place, dict) and "kind" in place and isinstance(_value(text, False), str)


def _value(text: str, was_string: bool) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = table["value"]
    if len(table) > 1 or (was_string and not isinstance(value, str | dict)):
        return text
    return value


def _typed(key: str, value: Any, hint: Any) -> Any:
    """`value` as `hint` has it: a whole number where a float is due becomes one, a list a tuple."""
    if hint is float and type(value) is int:
        return float(value)
    if get_origin(hint) is tuple and isinstance(value, list):
        value = tuple(float(v) if type(v) is int else v for v in value)
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise ValueError(f"{key} must be one of {', '.join(get_args(hint))}; got {value!r}")
    if not _fits(value, hint):
        raise ValueError(f"{key} must be {_words(hint)}, got {value!r}")
    return value


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin is tuple:
        return (
            isinstance(value, tuple)
            and len(value) == len(get_args(hint))
            and all(map(_fits, value, get_args(hint)))
        )
    if hint is float:
        return type(value) is float and math.isfinite(value)
    return type(value) is (origin or hint)


def _words(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(option) for option in get_args(hint))
    if origin is tuple:
        return f"a list of {len(get_args(hint))} numbers"
    words = {bool: "true or false", int: "a whole number", float: "a finite number"}
    return (words | {str: "a string", dict: "a table"})[origin or hint]
