"""Hold diffusion code against the reference, and the reference against itself.

`check(target)` examines others' code and returns a `Report`; `table` and `measure` check the
identities of this package's own arithmetic on any array library.
"""

from .checking import check, examine
from .claims import Claim, claim
from .identities import IDENTITIES, Identity, Row, example, format_table, measure, table
from .outcome import Outcome, Point, Result, Verdict
from .report import Report
from .target import Target

__all__ = [
    "IDENTITIES",
    "Claim",
    "Identity",
    "Outcome",
    "Point",
    "Report",
    "Result",
    "Row",
    "Target",
    "Verdict",
    "check",
    "claim",
    "examine",
    "example",
    "format_table",
    "measure",
    "table",
]
