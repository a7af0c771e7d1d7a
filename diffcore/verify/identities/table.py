"""A table of the identities: one row for each identity and array library."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..._arrays import epsilon
from .registry import IDENTITIES


@dataclass(frozen=True, kw_only=True)
class Row:
    """The largest error of an identity on a library, and the bound it is held to."""

    identity: str
    statement: str
    library: str
    error: float
    bound: float
    epsilons: float
    """The bound in units of the dtype's epsilon."""

    @property
    def holds(self) -> bool:
        """Whether the error is within the bound; NaN is not."""
        return self.error <= self.bound


def table(libraries: Sequence[str] = ("numpy",)) -> list[Row]:
    """Check every identity on every library, in float64 (JAX: its default dtype).

    libraries: names of modules: numpy, torch, jax, dask, array_api_strict, cupy. Raises ValueError
    for any other, ImportError for one that is not installed.
    """
    return [row for library in libraries for row in measure(example(library), library)]


def measure(like: Any, name: str) -> list[Row]:
    """Check every identity in the library, dtype and device of the floating array `like`.

    name: what the rows call it.
    """
    return [
        Row(
            identity=identity.name,
            statement=identity.statement,
            library=name,
            error=identity.error(like),
            bound=identity.bound * epsilon(like),
            epsilons=identity.bound,
        )
        for identity in IDENTITIES
    ]


def format_table(rows: Sequence[Row]) -> str:
    """The rows as text: identities down, libraries across, the bound last, failures marked."""
    libraries = list(dict.fromkeys(row.library for row in rows))
    lines = [("identity", "", *libraries, "bound")]
    for name in dict.fromkeys(row.identity for row in rows):
        of = {row.library: row for row in rows if row.identity == name}
        cells = (_cell(of[library]) if library in of else "" for library in libraries)
        first = next(iter(of.values()))
        lines.append((name, first.statement, *cells, f"{first.epsilons:g} eps"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [_line(line, widths) for line in lines]
    text.insert(1, "-" * len(text[0]))
    failed = sum(not row.holds for row in rows)
    text.append(
        f"{len(rows) - failed} of {len(rows)} hold" + (f", {failed} FAIL" if failed else "")
    )
    return "\n".join(text)


def example(library: str) -> Any:
    """A float64 array of the library of that name (JAX: of its default dtype)."""
    makers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "numpy": ("numpy", lambda xp: xp.zeros(1)),
        "torch": ("torch", lambda xp: xp.zeros(1, dtype=xp.float64)),
        "jax": ("jax.numpy", lambda xp: xp.zeros(1)),
        "dask": ("dask.array", lambda xp: xp.zeros(1)),
        "array_api_strict": ("array_api_strict", lambda xp: xp.zeros(1)),
        "cupy": ("cupy", lambda xp: xp.zeros(1)),
    }
    if library not in makers:
        raise ValueError(f"library must be one of {', '.join(makers)}; got {library!r}")
    module, make = makers[library]
    return make(importlib.import_module(module))


def _cell(row: Row) -> str:
    return f"{row.error:.1e}" + ("" if row.holds else " FAILS")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*left, *right]).rstrip()
