"""A sampler's weights beside the exact ones, for a report to show.

Each row is an observed state, x_k = w_0 x_T + sum_j w_j m_j + sum_j w_j z_j, each column one of
what it is made of. Of a large table the part about the first wrong weight is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Host

ROWS, COLUMNS = 12, 9
"""How much of a table is kept."""


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Part of a table of weights.

    found, exact: a tuple for each row; exact is empty where the exact sampler has other calls or
    noises, and the two cannot be laid side by side. bounds: of each row. size: the whole table's
    rows and columns.
    """

    label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    found: tuple[tuple[float, ...], ...]
    exact: tuple[tuple[float, ...], ...]
    bounds: tuple[float, ...]
    size: tuple[int, int]

    def wrong(self, row: int, column: int) -> bool:
        """Whether a weight is off by more than its row's bound."""
        if not self.exact:
            return False
        return not abs(self.found[row][column] - self.exact[row][column]) <= self.bounds[row]

    @property
    def first_wrong(self) -> tuple[int, int] | None:
        """Row and column of the largest error in the first row that has a wrong weight."""
        for row, (found, exact) in enumerate(zip(self.found, self.exact, strict=False)):
            if any(self.wrong(row, column) for column in range(len(found))):
                return row, int(np.argmax(np.abs(np.subtract(found, exact))))
        return None

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "Coefficients":
        """What JSON has of one, its lists as tuples."""
        nested = ("found", "exact")
        fields = {name: tuple(data[name]) for name in ("rows", "columns", "bounds", "size")}
        fields |= {name: tuple(map(tuple, data[name])) for name in nested}
        return cls(label=data["label"], **fields)


def beside(
    label: str, found: Host, exact: Host | None, bounds: Sequence[float], outputs: int
) -> Coefficients:
    """The part to show of weights, shape (observations, 1 + outputs + noises).

    exact: of the same shape, or None. bounds: of each row, the start's too.
    """
    rows, columns = found.shape
    row, column = rows // 2, 0
    if exact is not None:
        error = np.abs(found - exact)
        wrong = np.flatnonzero(np.any(~(error <= np.array(bounds)[:, None]), axis=1))
        if len(wrong):
            row = int(wrong[0])
            column = int(np.argmax(error[row]))
    down, right = _window(row, rows, ROWS), _window(column, columns, COLUMNS)
    names = ["x_T", *(f"x_0 of call {k}" for k in range(outputs))]
    names += [f"noise {k}" for k in range(columns - len(names))]
    picked = np.ix_(list(down), list(right))
    return Coefficients(
        label=label,
        rows=tuple("end" if k == rows - 1 else f"x at call {k}" for k in down),
        columns=tuple(names[j] for j in right),
        found=_tuples(found[picked]),
        exact=() if exact is None else _tuples(exact[picked]),
        bounds=tuple(float(bounds[k]) for k in down),
        size=(rows, columns),
    )


def _window(at: int, length: int, most: int) -> range:
    first = max(0, min(at - most // 2, length - most))
    return range(first, min(length, first + most))


def _tuples(values: Host) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(v) for v in row) for row in values)
