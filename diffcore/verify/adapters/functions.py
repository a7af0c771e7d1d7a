"""Plain functions and tables, given by name in a `Target`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..._arrays import is_array, to_host
from ...predictions import Prediction
from ...schedules import DiscreteSchedule, Schedule, from_alpha_bar, from_betas
from ..claims import Claim
from ..libraries import Library
from ..subject import Loss, Subject, Table
from ..table_rounding import SINGLE
from ..target import Target
from .functions_called import Calls
from .functions_stepped import Steps


def matches(target: Any) -> bool:
    """Whether the target is a `Target`."""
    return isinstance(target, Target)


def subject(
    target: Target, *, library: Library, claim: Claim | None = None, order: int | None = None
) -> Subject:
    """The functions with times as here; their samplers, where there is a `step` and a schedule."""
    tables = {name: _table(target, name, library) for name in target.given}
    schedule = _schedule(target, tables)
    coarse = [tables[name].epsilon for name in ("beta", "alpha_bar") if name in tables]
    if not coarse and library.name in ("torch", "jax"):
        coarse = [SINGLE]  # What these libraries make a table of, unless they are told.
    epsilon = target.epsilon or max([library.epsilon, *coarse])
    calls = Calls(target, library, schedule)
    made = Subject(
        name=target.name,
        kind="plain functions",
        make=library.make,
        dtypes=library.dtypes,
        ranks=target.ranks,
        epsilon=epsilon,
        schedule=schedule,
        tables=tables,
        q_sample=calls.q_sample if target.q_sample else None,
        q_mean_variance=calls.q_mean_variance if target.q_mean_variance else None,
        q_posterior=calls.q_posterior if target.q_posterior else None,
        q_transition=calls.q_transition if target.q_transition else None,
        guide=target.guide,
        zero_terminal_snr=target.zero_terminal_snr,
        losses=_losses(target, calls),
    )
    if target.step is None or schedule is None:
        return made
    levels = _levels(tables, schedule)
    own = epsilon if "alpha_bar" in tables else epsilon * _products(levels)
    steps = Steps(target, replace(library, epsilon=own), levels, claim, order)
    return replace(
        made, samplers=steps.samplers(), with_steps=steps.of if steps.takes("next") else None
    )


def _table(target: Target, name: str, library: Library) -> Table:
    given = target.given[name]
    if callable(given):
        T = target.T or max((len(v) for v in target.given.values() if not callable(v)), default=0)
        if not T:
            raise ValueError(f"T must be given where {name} is a function and no table tells it")
        wide = "int64" if "float64" in library.dtypes else "int32"
        given = given(library.make(np.arange(T), wide))
    values = to_host(given) if is_array(given) else np.asarray(given, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} must have one axis, got shape {values.shape}")
    return Table(
        values.astype(np.float64),
        target.first,
        float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else library.epsilon,
    )


def _schedule(target: Target, tables: dict[str, Table]) -> Schedule | None:
    """What is claimed, else what the betas say, else alpha_bar; None where they make none."""
    if target.schedule is not None:
        return target.schedule
    makers: dict[str, Callable[[Any], DiscreteSchedule]] = {
        "beta": from_betas,
        "alpha_bar": from_alpha_bar,
    }
    for name, make in makers.items():
        if name in tables:
            try:
                return make(tables[name].values[1 - tables[name].first :])
            except ValueError:
                continue  # The check of the levels says what is wrong with them.
    return None


def _levels(tables: dict[str, Table], schedule: Schedule) -> Schedule:
    """The levels that the steps have: those of the table, whose rounding is not the steps'."""
    if "alpha_bar" in tables and isinstance(schedule, DiscreteSchedule):
        try:
            return from_alpha_bar(tables["alpha_bar"].values[1 - tables["alpha_bar"].first :])
        except ValueError:
            pass
    return schedule


def _products(schedule: Schedule) -> float:
    """How much more than one rounding a running product of the betas has, about."""
    return float(schedule.T**0.5) if isinstance(schedule, DiscreteSchedule) else 1.0


def _losses(target: Target, calls: Calls) -> dict[str, Loss]:
    if target.loss is None:
        return {}
    assert isinstance(target.predicts, Prediction)
    return {"simple": Loss(of=calls.loss, predicts=target.predicts, weight=target.weight)}
