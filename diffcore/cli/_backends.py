"""The backends that can train and sample, loaded when a command runs."""

import argparse
import importlib.util
from typing import Any

from .._optional import optional

BACKENDS = {"torch": "diffcore_torch", "reference": "diffcore_reference"}
"""Backends by name, which is the extra to install too: their packages."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare --device and --backend."""
    command.add_argument(
        "--device",
        default="auto",
        help="where to compute: auto, cpu, cuda, cuda:1, mps (default: auto, a GPU where there is "
        "one)",
    )
    command.add_argument(
        "--backend",
        choices=sorted(BACKENDS),
        default="torch",
        help="torch, or reference: the same by hand, without PyTorch (default: torch)",
    )


def ready(name: str) -> bool:
    """Whether the backend of that name and what it needs are installed."""
    needed = {"torch": "torch"}.get(name, "numpy")
    return all(importlib.util.find_spec(module) for module in (needed, BACKENDS[name]))


def training(name: str) -> Any:
    """The backend's module with `fit`; ImportError says which extra to install."""
    return optional(f"{BACKENDS[name]}.training", name)


def loading(name: str) -> Any:
    """The backend's module with `load`; ImportError says which extra to install."""
    return optional(f"{BACKENDS[name]}.loading", name)


def divergence(name: str) -> Any:
    """The backend's module with `pullback`; ImportError says which extra to install."""
    return optional(f"{BACKENDS[name]}.divergence", name)
