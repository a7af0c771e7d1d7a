"""Packages that only some uses need, imported where they are used."""

import importlib
from typing import Any


def optional(module: str, extra: str) -> Any:
    """The module of that name; ImportError that names the extra to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{module} is needed for this: pip install "diffcore[{extra}]" ({error})'
        ) from error
