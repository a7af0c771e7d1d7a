"""The identities of diffusion, checked on any array library."""

from .registry import IDENTITIES, Identity
from .table import Row, example, format_table, measure, table

__all__ = ["IDENTITIES", "Identity", "Row", "example", "format_table", "measure", "table"]
