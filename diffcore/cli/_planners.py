"""Samplers and grids by name and parameters on the command line: NAME[:key=value,...]."""

import argparse
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from .. import times
from ..plan import Plan
from ..samplers import PLANNERS

SYNTAX = f"NAME[:key=value,...], as in dpm_solver_pp:order=3, NAME one of {', '.join(PLANNERS)}"

GRIDS = (
    "linspace",
    "trailing",
    "leading",
    "quadratic",
    "karras",
    "exponential",
    "uniform_log_snr",
    "beta",
)
"""Functions of `diffcore.times` that take a schedule and a number of steps."""

GRID_SYNTAX = f"NAME[:key=value,...], as in karras:sigma_max=80, NAME one of {', '.join(GRIDS)}"


def sampler(text: str) -> tuple[str, dict[str, Any]]:
    """An argument's type: the planner's name and parameters."""
    return _read(text, PLANNERS)


def grid(text: str) -> tuple[str, dict[str, Any]]:
    """An argument's type: the grid's name and parameters."""
    return _read(text, {name: getattr(times, name) for name in GRIDS})


def _read(text: str, functions: Mapping[str, Callable[..., Any]]) -> tuple[str, dict[str, Any]]:
    """A function's name, and what it takes after its first two parameters."""
    name, _, rest = text.partition(":")
    if name not in functions:
        names = ", ".join(functions)
        raise argparse.ArgumentTypeError(f"must be one of {names}, got {name!r}")
    known = list(inspect.signature(functions[name]).parameters)[2:]
    parameters: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or key not in known:
            takes = ", ".join(f"{k}=..." for k in known) or "no parameters"
            raise argparse.ArgumentTypeError(f"{name} takes {takes}; got {pair!r}")
        try:
            parameters[key] = json.loads(value)
        except ValueError:
            parameters[key] = value  # a word without quotes
    return name, parameters


def made(schedule: Any, grid: Any, name: str, parameters: Mapping[str, Any]) -> Plan:
    """The plan; ValueError that names --sampler where the planner refuses."""
    try:
        return PLANNERS[name](schedule, grid, **parameters)
    except (TypeError, ValueError) as error:
        raise ValueError(f"--sampler {name}: {error}") from error


def visited(schedule: Any, steps: int, name: str, parameters: Mapping[str, Any]) -> times.Times:
    """The grid's times, down to data; ValueError that names --grid where it refuses."""
    try:
        grid: times.Times = getattr(times, name)(schedule, steps, **parameters)
    except (TypeError, ValueError) as error:
        raise ValueError(f"--grid {name}: {error}") from error
    # uniform_log_snr stops above data, and an image is what a step to data gives.
    return grid if grid[-1] == 0 else (*grid[:-1], 0)
