"""What the comparisons with published code share: a line of their table, and how a peer is run."""

import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

# The tests' side by side runs: one place for how a peer is run.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "samplers"))
warnings.simplefilter("ignore")

X = np.linspace(-2.0, 2.0, 9)[:, None]
"""States to start from."""


class Finding(NamedTuple):
    """A line of the table. theirs, ours: what was measured of each."""

    code: str
    deviation: str
    measure: str
    theirs: str
    ours: str


def number(value: float) -> str:
    """Two digits."""
    return f"{value:.1e}" if value and not 1e-3 <= abs(value) < 1e3 else f"{value:.2g}"
