"""Plans of one structure as one plan whose numbers have shape (batch,): each sample has its own.

Times, grids, parameters, whole samplers may differ from sample to sample, as long as the denoiser
is called in the same stages. The loop is the same; a sample comes out as under its own plan.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .._arrays import is_number
from .table import LogRange, Number, Plan, Stage


def stack(plans: Sequence[Plan]) -> Plan:
    """The plan that runs plans[b] on sample b of a batch of len(plans).

    Weights that one plan has and another lacks are 0 in that one. The name is the plans' own where
    they share it; the order the least of theirs. Under the plan the denoiser is given times of
    shape (batch,), and it must be one for all: a schedule with all the times, say, or a network.
    Raises ValueError unless the plans, none of them a stack, have the same number of stages, call
    the denoiser in the same ones, and learn the variance in the same ones; TypeError for what is
    no plan.
    """
    if isinstance(plans, Plan) or not isinstance(plans, Iterable):
        raise TypeError(f"plans must be a sequence of plans, got {type(plans).__name__}")
    plans = tuple(plans)
    if not plans:
        raise ValueError("plans must be one or more, got none")
    for plan in plans:
        if not isinstance(plan, Plan):
            raise TypeError(f"plans must be a sequence of plans, got {plan!r} among them")
        if plan.batch is not None:
            raise ValueError(f"plans must not be stacks, got one of {plan.batch} plans")
        _require_structure(plans[0], plan)
    whole = all(isinstance(t, int) for p in plans for s in p.stages for t in (s.time, s.time_next))
    rows = zip(*(plan.stages for plan in plans), strict=True)
    stages = (_stacked(row, int if whole else float) for row in rows)
    names = dict.fromkeys(plan.name for plan in plans)
    orders = [plan.order for plan in plans if plan.order is not None]
    return Plan(
        name="+".join(names),
        stages=tuple(stages),
        order=min(orders) if len(orders) == len(plans) else None,
        parameters={
            "plans": [
                {"name": p.name, "order": p.order, "parameters": dict(p.parameters)} for p in plans
            ]
        },
    )


def unstack(plan: Plan) -> tuple[Plan, ...]:
    """The plans that `stack` made into one; a plan that is no stack, alone."""
    if plan.batch is None:
        return (plan,)
    made = plan.parameters.get("plans") or [{"name": plan.name}] * plan.batch
    return tuple(
        Plan(stages=tuple(_sample(stage, b) for stage in plan.stages), **about)
        for b, about in enumerate(made)
    )


def _require_structure(first: Plan, plan: Plan) -> None:
    if len(plan.stages) != len(first.stages):
        raise ValueError(
            "plans must have the same number of stages, "
            f"got {len(first.stages)} and {len(plan.stages)}"
        )
    for k, (a, b) in enumerate(zip(first.stages, plan.stages, strict=True)):
        if a.calls != b.calls:
            raise ValueError(
                f"plans must call the denoiser in the same stages, not so in stage {k}"
            )
        if isinstance(a.z, LogRange) != isinstance(b.z, LogRange):
            raise ValueError(f"plans must learn the variance in the same stages, not so in {k}")


def _stacked(stages: Sequence[Stage], time: Callable[[float], float]) -> Stage:
    ranged = isinstance(stages[0].z, LogRange)
    return Stage(
        time=tuple(time(s.time) for s in stages),
        time_next=tuple(time(s.time_next) for s in stages),
        x=_columns([s.x for s in stages]),
        m=_columns([s.m for s in stages]),
        z=LogRange(*zip(*(s.z for s in stages), strict=True))
        if ranged
        else tuple(s.z for s in stages),
        call=stages[0].calls,
    )


def _columns(rows: Sequence[tuple[float, ...]]) -> tuple[Number, ...]:
    """The rows' columns, shorter rows filled up with 0."""
    width = max(map(len, rows))
    filled = ((*row, *[0.0] * (width - len(row))) for row in rows)
    return tuple(zip(*filled, strict=True))


def _sample(stage: Stage, b: int) -> Stage:
    def own(value: Any) -> Any:
        return value if is_number(value) else value[b]

    z = LogRange(*map(own, stage.z)) if isinstance(stage.z, LogRange) else own(stage.z)
    x, m = tuple(map(own, stage.x)), tuple(map(own, stage.m))
    return Stage(own(stage.time), own(stage.time_next), x, m, z, stage.call)
