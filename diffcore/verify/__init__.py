"""Checks of the arithmetic: the identities of diffusion, on any array library."""

from .identities import IDENTITIES, Identity
from .table import Row, format_table, table

__all__ = ["IDENTITIES", "Identity", "Row", "format_table", "table"]
