"""What the name of a sampler promises: `sample_dpmpp_2m`, `HeunSampler` and the like.

A name is read without case, underscores, and the words "sample" and "sampler"; what is left is one
that the field has agreed on, or the name of a planner here.
"""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ... import samplers
from ...schedules import edm
from .. import claims
from ..claims import Claim

Fixed = Mapping[str, Any]

_FIXED: Mapping[str, tuple[str, Fixed]] = {
    "lms": ("lms", {"start": "lower"}),
    "zab": ("lms", {"start": "lower"}),
    "zeab": ("deis", {"start": "lower", "variable": "log_rho"}),
    "xeab": ("dpm_solver_pp", {"start": "lower"}),
    "dpmpp2m": ("dpm_solver_pp", {"start": "lower", "order": 2}),
    "dpmpp3m": ("dpm_solver_pp", {"start": "lower", "order": 3}),
    "dpmpp2s": ("dpm_solver_pp", {"variant": "singlestep", "order": 2}),
    "dpmpp3s": ("dpm_solver_pp", {"variant": "singlestep", "order": 3}),
}
"""The planner that a word names and the parameters that it fixes."""

_STOCHASTIC: Mapping[str, tuple[Claim | None, Claim]] = {
    "dpmpp2msde": (
        claims.claim("dpm_solver_pp_sde", order=2),
        claims.claim("dpm_solver_pp", order=2, start="lower"),
    ),
    "dpmpp3msde": (
        claims.claim("dpm_solver_pp_sde", order=3),
        claims.claim("dpm_solver_pp", order=3, start="lower"),
    ),
    "dpmpp2sancestral": (None, claims.claim("dpm_solver_pp", order=2, variant="singlestep")),
    "ito": (None, claims.claim("euler")),
    "dpmppsde": (None, claims.claim("dpm_solver_pp", order=2, variant="singlestep")),
}
"""What is claimed at eta = 1 with noise of scale 1, and at eta = 0."""


def word(name: str) -> str:
    """What is left of a name that says which sampler it is."""
    return name.lower().replace("_", "").replace("sampler", "").replace("sample", "")


def claimed(name: str, options: Mapping[str, Any]) -> Claim | None:
    """The planner that a sampler of that name with these options claims to be; None if unknown."""
    said = word(name)
    if said in _STOCHASTIC:
        return _stochastic(said, options)
    planners: Mapping[str, tuple[str, Fixed]] = {word(p): (p, {}) for p in samplers.PLANNERS}
    found = _FIXED.get(said) or planners.get(said)
    if found is None:
        return None
    planner, fixed = found
    default = _parameters(planner)
    own = {
        k: v for k, v in options.items() if k in default.keys() - fixed.keys() and default[k] != v
    }
    return _possible(Claim(name=planner, parameters={**fixed, **own}))


def varied(claim: Claim | None, options: Mapping[str, Any]) -> Claim | None:
    """The claim with these options in place of its own; None where it has no such parameter."""
    if claim is None or not options.keys() <= _parameters(claim.name).keys():
        return None
    return _possible(replace(claim, parameters={**claim.parameters, **options}))


def _stochastic(said: str, options: Mapping[str, Any]) -> Claim | None:
    noisy, still = _STOCHASTIC[said]
    eta = options.get("eta", 1.0)
    if eta == 0.0 and options.get("r", 0.5) == 0.5:
        return still
    return noisy if eta == 1.0 and options.get("s_noise", 1.0) == 1.0 else None


def _parameters(planner: str) -> Mapping[str, Any]:
    """The planner's parameters and their defaults."""
    found = inspect.signature(samplers.PLANNERS[planner]).parameters
    return {k: p.default for k, p in found.items() if k not in ("schedule", "times")}


def _possible(claim: Claim) -> Claim | None:
    """The claim unless the planner refuses its parameters, as an order that it has not."""
    try:
        claim.planner(edm(), (2.0, 1.0))
    except (TypeError, ValueError):
        return None
    return claim
