"""Hold a target against the reference: recognise it, adapt it, run every check."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from . import libraries
from .adapters import ADAPTERS, function
from .checks import CHECKS, Check, running
from .claims import Claim, claim
from .outcome import Outcome, Result, summarise
from .report import Report
from .subject import Subject


def check(
    target: Any,
    *,
    claims: Claim | str | None = None,
    order: int | None = None,
    library: str | None = None,
    epsilon: float | None = None,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Hold `target` against the reference.

    target: a step scheduler, a GaussianDiffusion or DenoiseDiffusion object, a sampler function or
    class, or a `Target` of plain functions; recognised by its shape. claims: the sampler it claims
    to be, a name of `diffcore.samplers` or a `Claim`; order: the order it claims. library: of its
    arrays, by default found from the target. epsilon: of its arithmetic, where that is coarser
    than its arrays. seed: of what the checks draw. options: go to the adapter of its kind.

    A sampler's steps must be the same for every state: adaptive samplers are refused. Raises
    TypeError for these and for a target of no known kind, ValueError for an option that is wrong.
    """
    if isinstance(claims, str):
        claims = claim(claims)
    for adapter in ADAPTERS:
        if adapter.matches(target):
            subject = adapter.subject(
                target,
                library=libraries.of(library or libraries.guess(target), epsilon),
                claim=claims,
                order=order,
                **options,
            )
            return examine(replace(subject, seed=seed))
    if function.adaptive(target):
        raise TypeError(
            f"target must be a sampler whose steps are the same for every state; {target.__name__} "
            "picks its noise levels as it goes, and adaptive samplers are not verified"
        )
    kinds = "; ".join(f"{adapter.kind} ({adapter.shape})" for adapter in ADAPTERS)
    name = getattr(target, "__name__", type(target).__name__)
    raise TypeError(f"target must be one of: {kinds}. {name} has the shape of none")


def examine(subject: Subject, checks: Iterable[Check] = CHECKS) -> Report:
    """Every check of a subject.

    What a sampler raises is a finding of the check `runs`, and the other checks leave that sampler
    out. What the subject raises in a check is a failure of that check.
    """
    working = tuple(s for s in subject.samplers if running.attempt(subject, s).holds)
    sound = replace(subject, samplers=working)
    return Report(
        target=subject.name,
        kind=subject.kind,
        results=tuple(_result(check, subject, sound) for check in checks),
    )


def _result(check: Check, subject: Subject, sound: Subject) -> Result:
    outcomes: list[Outcome] = []
    try:
        for outcome in check.run(subject if check.name == "runs" else sound):
            outcomes.append(outcome)
    except Exception as error:
        words = f"raises {type(error).__name__}: {error}".strip().splitlines()[0]
        outcomes.append(Outcome(error=1.0, bound=0.0, where=check.name, cause=words))
    result = summarise(check.name, check.identity, outcomes)
    if outcomes or not check.needs:
        return result
    return replace(result, note=f"needs {check.needs}")
