"""`diffcore info`: what is installed, or what a checkpoint or a run holds."""

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import __version__
from . import _backends


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    info = commands.add_parser(
        "info",
        help="versions, libraries and devices, or a checkpoint's contents",
        description="Without an argument: versions, array libraries, backends and devices. With "
        "one: what the checkpoint or the run holds.",
    )
    info.add_argument("path", nargs="?", type=Path, help="a checkpoint or a run folder")
    info.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was asked for."""
    if args.path is None:
        lines = installation()
    else:
        from . import _contents

        lines = _contents.described(args.path)
    print("\n".join(lines))
    return 0


def installation() -> list[str]:
    """The versions, array libraries, backends and devices of this machine, as lines."""
    python = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    lines = [f"diffcore {__version__}", f"{python}, {_cores()} cores", "", "array libraries"]
    for module, (package, install, devices) in _LIBRARIES.items():
        lines.append(_row(module, *_library(module, package, install, devices)))
    lines += ["", "backends"]
    for name, package in _backends.BACKENDS.items():
        lines.append(_row(name, package, _backends.ready(name)))
    lines += ["", "optional packages"]
    for module, (package, extra) in _OPTIONAL.items():
        version = _version(module, package)
        lines.append(
            _row(module, version or "-", "" if version else _missing(f"diffcore[{extra}]"))
        )
    return lines


def _row(name: str, value: str, note: str = "") -> str:
    return f"  {name:<20}{value:<20}{note}".rstrip()


def _missing(requirement: str) -> str:
    return f'not installed: pip install "{requirement}"'


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(module: str, package: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _library(
    module: str, package: str, install: str, devices: Callable[[Any], str]
) -> tuple[str, str]:
    version = _version(module, package)
    if version is None:
        return "-", _missing(install)
    try:
        return version, devices(importlib.import_module(module))
    # A broken installation raises anything at import; the others are still worth listing.
    except Exception as error:
        return version, f"cannot be used: {' '.join(str(error).split()) or type(error).__name__}"


def _cpu(_: Any) -> str:
    return "cpu"


def _torch_devices(torch: Any) -> str:
    names = [f"cpu ({torch.get_num_threads()} threads)"]
    names += [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        names.append("mps")
    return ", ".join(names)


def _jax_devices(jax: Any) -> str:
    return ", ".join(f"{device.platform}:{device.id}" for device in jax.devices())


def _cupy_devices(cupy: Any) -> str:
    count = cupy.cuda.runtime.getDeviceCount()
    return ", ".join(
        f"cuda:{i} ({cupy.cuda.runtime.getDeviceProperties(i)['name'].decode()})"
        for i in range(count)
    )


_LIBRARIES: dict[str, tuple[str, str, Callable[[Any], str]]] = {
    "numpy": ("numpy", "numpy", _cpu),
    "torch": ("torch", "diffcore[torch]", _torch_devices),
    "cupy": ("cupy-cuda13x", "diffcore[cupy]", _cupy_devices),
    "jax": ("jax", "jax", _jax_devices),
    "dask": ("dask", "dask[array]", _cpu),
    "array_api_strict": ("array-api-strict", "array-api-strict", _cpu),
}
_OPTIONAL = {
    "safetensors": ("safetensors", "torch"),
    "PIL": ("pillow", "data"),
    "pyarrow": ("pyarrow", "data"),
    "sklearn": ("scikit-learn", "data"),
    "matplotlib": ("matplotlib", "plot"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "datasets": ("datasets", "datasets"),
}
