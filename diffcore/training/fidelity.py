"""Two sets of features compared: Fréchet distance, KID, precision and recall, with their numbers.

Each is blind to something: the Fréchet distance to all but mean and covariance, and biased by the
number of samples (see `frechet`); KID unbiased, with a standard error; precision does not miss what
samples leave out, recall does not see bad ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import frechet
from .manifolds import precision_recall
from .mmd import Double, Estimate, polynomial, squared_mmd

HEADS = ("", "n", "reference", "Fréchet", "KID", "precision", "recall")


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Figures of one set of features against another."""

    n: int
    """Samples."""
    reference: int
    """Features that they are held against."""
    frechet: float
    """Squared Fréchet distance."""
    kid: Estimate
    """MMD^2 with KID's kernel."""
    precision: float
    recall: float


def fidelity(samples: npt.ArrayLike, reference: npt.ArrayLike, k: int = 3) -> Fidelity:
    """The figures of features (m, d) against those of a reference (n, d), both of more than k."""
    x, y = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    kid = squared_mmd(polynomial, x, y)
    shares = precision_recall(x, y, k)
    return Fidelity(
        n=len(x),
        reference=len(y),
        frechet=frechet.distance(frechet.fitted(x), frechet.fitted(y)),
        kid=kid,
        precision=shares.precision,
        recall=shares.recall,
    )


def halves(reference: Double, n: int, seed: int = 0) -> tuple[Double, Double]:
    """The reference in two parts that share nothing, the first of n points, or half where less."""
    order = np.random.default_rng(seed).permutation(len(reference))
    count = min(n, len(reference) // 2)
    return reference[order[:count]], reference[order[count:]]


def format_fidelity(rows: Mapping[str, Fidelity]) -> str:
    """The figures as a text table, a set a line."""
    lines = [HEADS]
    for name, row in rows.items():
        lines.append(
            (
                name,
                str(row.n),
                str(row.reference),
                f"{row.frechet:.5g}",
                f"{row.kid.value:.3g} ± {row.kid.error:.1g}",
                f"{row.precision:.3f}",
                f"{row.recall:.3f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    return "\n".join([table[0], "-" * len(table[0]), *table[1:]])
