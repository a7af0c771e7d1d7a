"""What every backend's stepper takes a batch and a state apart into."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

RAW, EMA = "weights.", "ema."
FIRST, SECOND = "adam.first.", "adam.second."
"""How the names of a state begin, in every backend, that one may go on from another's: of the
weights, their average and AdamW's two moments."""


class Inputs(NamedTuple):
    """A batch as a backend's arrays, on its device; the batch's axis first."""

    x_0: Any
    t: Any
    eps: Any
    labels: Any
    condition: Any

    def rows(self, which: slice) -> "Inputs":
        """Those samples of the batch."""
        return Inputs(*(None if array is None else array[which] for array in self))


def slices(n: int, parts: int) -> Iterator[slice]:
    """`parts` slices of n rows, of sizes that differ by at most one."""
    edges = [n * i // parts for i in range(parts + 1)]
    return (slice(a, b) for a, b in pairwise(edges))
