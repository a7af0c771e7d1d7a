"""The backends that can train and sample, loaded when a command runs."""

import argparse
import importlib.util
from collections.abc import Iterable
from typing import Any

from .._optional import optional

BACKENDS = {"torch": "diffcore_torch", "reference": "diffcore_reference"}
"""Backends by name, which is the extra to install too: their packages."""
SHARED = ("safetensors", "tomli_w", "tqdm")
NEEDED = {"torch": ("torch", *SHARED), "reference": SHARED}
"""What each cannot work without."""
FASTER = {"torch": (), "reference": ("numba", "scipy", "threadpoolctl")}
"""What each is slower without."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare --device and --backend."""
    command.add_argument(
        "--device",
        default="auto",
        help="where to compute: auto, cpu, cuda, and with torch cuda:1 or mps (default: auto, a "
        "GPU where there is one)",
    )
    command.add_argument(
        "--backend",
        choices=sorted(BACKENDS),
        default="torch",
        help="torch, or reference: the same by hand, without PyTorch (default: torch)",
    )


def missing(name: str) -> list[str]:
    """The packages that the backend of that name cannot work without and that are not here."""
    return _absent((*NEEDED[name], BACKENDS[name]))


def slower_without(name: str) -> list[str]:
    """The packages that would make it faster and that are not here."""
    return _absent(FASTER[name])


def ready(name: str) -> str:
    """Whether it can be used, in words: "ready", or what is missing and how to get it."""
    lacking, slower = missing(name), slower_without(name)
    if not lacking and not slower:
        return "ready"
    install = f'pip install "diffcore[{name}]"'
    if lacking:
        return f"needs {', '.join(lacking)}: {install}"
    return f"ready, slower without {', '.join(slower)}: {install}"


def _absent(modules: Iterable[str]) -> list[str]:
    return [module for module in modules if importlib.util.find_spec(module) is None]


def training(name: str) -> Any:
    """The backend's module with `fit`; ImportError says what is missing and how to get it."""
    return _part(name, "training")


def loading(name: str) -> Any:
    """The backend's module with `load`; ImportError likewise."""
    return _part(name, "loading")


def divergence(name: str) -> Any:
    """The backend's module with `pullback`; ImportError likewise."""
    return _part(name, "divergence")


def _part(name: str, part: str) -> Any:
    if missing(name):
        others = [other for other in BACKENDS if other != name and not missing(other)]
        instead = "".join(f"; --backend {other} is ready" for other in others)
        raise ImportError(f"backend {name!r} {ready(name)}{instead}")
    return optional(f"{BACKENDS[name]}.{part}", name)
