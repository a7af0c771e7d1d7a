"""Checks of the arithmetic: the identities of diffusion, on any array library."""

from .identities import IDENTITIES, Identity
from .table import Row, example, format_table, measure, table

__all__ = ["IDENTITIES", "Identity", "Row", "example", "format_table", "measure", "table"]
