"""Samplers by name and parameters on the command line: NAME[:key=value,...]."""

import argparse
import inspect
import json
from collections.abc import Mapping
from typing import Any

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


def sampler(text: str) -> tuple[str, dict[str, Any]]:
    """An argument's type: the planner's name and parameters."""
    name, _, rest = text.partition(":")
    if name not in PLANNERS:
        names = ", ".join(PLANNERS)
        raise argparse.ArgumentTypeError(f"must be one of {names}, got {name!r}")
    known = list(inspect.signature(PLANNERS[name]).parameters)[2:]
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


def made(schedule: Any, times: Any, name: str, parameters: Mapping[str, Any]) -> Plan:
    """The plan; ValueError that names --sampler where the planner refuses."""
    try:
        return PLANNERS[name](schedule, times, **parameters)
    except (TypeError, ValueError) as error:
        raise ValueError(f"--sampler {name}: {error}") from error
