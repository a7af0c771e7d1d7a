"""The published schedulers and networks that interop is held against."""

import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")


def scheduler(name: str, arguments: dict[str, Any]) -> Any:
    """A scheduler of that class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(diffusers, name)(**arguments)
