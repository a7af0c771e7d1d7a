"""The runs of a sampler function: on which noise levels, with which options, claiming what."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...schedules import edm
from ...times import karras
from ..claims import Claim, claim
from . import names

SIGMAS = (10.0, 0.02)
"""The largest and the least noise level of every run."""

UNEVEN = (0.0, 0.1, 0.35, 0.4, 0.8, 1.0)
"""Shares of the way down in log sigma: a grid that no formula for even steps survives."""

SAFE: tuple[Mapping[str, Any], ...] = (
    {"eta": 0.0},
    {"eta": 0.5},
    {"s_churn": 1.0},
    {"s_churn": 1.0, "s_tmin": 0.1, "s_tmax": 5.0},
    {"solver_type": "midpoint"},
    {"solver_type": "heun"},
    {"r": 0.25},
)
"""Options under which any sampler keeps its states at the levels that it tells."""

CLAIMED: tuple[Mapping[str, Any], ...] = (
    {"eta": 2.0},
    {"s_churn": 1.0, "s_noise": 1.1},
    {"eta": 1.0, "s_noise": 1.1},
    {"order": 1},
    {"order": 2},
    {"order": 3},
    {"order": 4},
)
"""Options of which only a claim says what to expect."""

_NEUTRAL = ("solver_type",)
"""Options that choose between formulas that one claim allows."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One run. sigmas: the levels that it visits. options: further arguments.

    ends: the arguments of a function that makes its levels itself. variant: whether options are
    tried that nobody gave, which it may refuse by ValueError.
    """

    label: str
    sigmas: tuple[float, ...]
    options: Mapping[str, Any]
    claim: Claim | None
    ends: tuple[Any, ...] = ()
    variant: bool = False


def configurations(
    target: Callable[..., Any],
    given: Claim | None,
    steps: Sequence[int],
    options: Mapping[str, Any],
) -> Iterator[Configuration]:
    """Every run of the target; `given` is the claim where its name does not say it."""
    parameters = inspect.signature(target).parameters
    if "sigmas" not in parameters:
        for n in (*steps, 3, 6):
            yield _by_ends(target, given, n, options)
        return
    for label, sigmas in _grids(steps):
        yield _configuration(target, given, label, sigmas, options, {})
    defaults = _defaults(target)
    for variant in (*SAFE, *CLAIMED):
        if not variant.keys() <= defaults.keys() or variant.keys() & options.keys():
            continue
        if not _changes(variant, defaults):
            continue
        label = ", ".join(["5 steps", *(f"{key}={value}" for key, value in variant.items())])
        run = _configuration(target, given, label, _karras(5), options, variant)
        if run.claim is not None or variant in SAFE:
            yield run


def refined(
    target: Callable[..., Any], given: Claim | None, n: int, options: Mapping[str, Any]
) -> Configuration:
    """n steps that end above 0, for there the last step would be as long however large n is."""
    return _configuration(target, given, _count(n), _karras(n + 1)[:-1], options, {})


def _configuration(
    target: Callable[..., Any],
    given: Claim | None,
    label: str,
    sigmas: tuple[float, ...],
    options: Mapping[str, Any],
    variant: Mapping[str, Any],
) -> Configuration:
    own = {**options, **variant}
    if given is None:
        promised = names.claimed(target.__name__, {**_defaults(target), **own})
    else:
        promised = names.varied(given, {k: v for k, v in variant.items() if k not in _NEUTRAL})
    return Configuration(
        label=label, sigmas=sigmas, options=own, claim=promised, variant=bool(variant)
    )


def _by_ends(
    target: Callable[..., Any], given: Claim | None, n: int, options: Mapping[str, Any]
) -> Configuration:
    """A run told sigma_min, sigma_max and n, which is a number of steps; or of calls."""
    promised, steps, label = given, n, _count(n)
    if given is None and names.word(target.__name__) == "dpmfast":
        promised, steps = _fast({**_defaults(target), **options}, n), n // 3 + 1
        label = label.replace("step", "call")
    high, low = SIGMAS
    even = tuple(high * (low / high) ** (k / steps) for k in range(steps + 1))
    return Configuration(
        label=label,
        # Where nothing is known of its levels, they are its ends alone.
        sigmas=even if promised is not None else SIGMAS,
        options=options,
        claim=promised,
        ends=(low, high, n),
    )


def _fast(options: Mapping[str, Any], n: int) -> Claim | None:
    """DPM-Solver-fast with n calls: steps of order 3, then 2 and 1, or what is left (app. D.3)."""
    if options.get("eta", 0.0) != 0.0 or (n > 3 and n % 3):
        return None
    rest = {"order": 3, "lower_order_end": True} if n % 3 == 0 else {"order": n}
    return claim("dpm_solver", **rest)


def _grids(steps: Sequence[int]) -> Iterator[tuple[str, tuple[float, ...]]]:
    for n in steps:
        yield _count(n), _karras(n)
    high, low = SIGMAS
    yield "5 steps, exponential", (*(high * (low / high) ** (k / 4) for k in range(5)), 0.0)
    yield "5 steps, uneven", (*(high * (low / high) ** f for f in UNEVEN[:-1]), 0.0)
    yield "5 steps that end above 0", tuple(high * (low / high) ** f for f in UNEVEN)
    yield "1 step that ends above 0", SIGMAS


def _karras(n: int) -> tuple[float, ...]:
    high, low = SIGMAS
    return tuple(karras(edm(2.0 * high), n, sigma_max=high, sigma_min=low))


def _changes(variant: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
    """Whether it is another run; a solver's type must be one of the two that have these names."""
    if "solver_type" in variant and defaults["solver_type"] not in ("midpoint", "heun"):
        return False
    return any(defaults[key] != value for key, value in variant.items())


def _defaults(target: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(target).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _count(n: int) -> str:
    return f"{n} step" + "s" * (n > 1)
