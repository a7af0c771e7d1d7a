"""What published schedulers claim to be, by the name of their class and their options.

The planner claimed is the exact one of the declared order, started and ended as the options say.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...claims import Claim
from ...claims import claim as planner
from .levels import track
from .running import Setup
from .singlestep import groups, singlesteps

VARIANCES = {
    "fixed_small": "small",
    "fixed_small_log": "small",
    "fixed_large": "large",
    "fixed_large_log": "large",
}


def of(setup: Setup) -> Claim | None:
    """The claim of a set scheduler; None for a class, or options of it, that claim no planner."""
    name = setup.recipe.kind.__name__.removesuffix("Scheduler")
    return CLASSES[name](setup) if name in CLASSES else None


def order(setup: Setup) -> int | None:
    """The order that the options declare, if they do."""
    found = setup.recipe.value("solver_order")
    return found if isinstance(found, int) and not _stochastic(setup) else None


def _stochastic(setup: Setup) -> bool:
    return str(setup.recipe.value("algorithm_type", "")).startswith("sde")


def _ddim(setup: Setup) -> Claim | None:
    return planner("ddim", eta=float(setup.arguments.get("eta", 0.0)))


def _ddpm(setup: Setup) -> Claim | None:
    kind = setup.recipe.value("variance_type", "fixed_small")
    if kind == "learned_range":
        # The network says 0, from -1 for the small variance to 1 for the large.
        return replace(planner("ddpm", variance="learned"), fraction=0.5)
    return planner("ddpm", variance=VARIANCES[kind]) if kind in VARIANCES else None


def _pndm(setup: Setup) -> Claim | None:
    return planner("plms", start="lower" if setup.recipe.value("skip_prk_steps") else "singlestep")


def _churned(name: str) -> Callable[[Setup], Claim | None]:
    def made(setup: Setup) -> Claim | None:
        keys = ("s_churn", "s_tmin", "s_tmax", "s_noise")
        return planner(name, **{k: v for k, v in setup.arguments.items() if k in keys})

    return made


def _plain(name: str) -> Callable[[Setup], Claim | None]:
    return lambda setup: planner(name)


def _lms(setup: Setup) -> Claim | None:
    return planner("lms", order=int(setup.arguments.get("order", 4)), start="lower")


def _flow_euler(setup: Setup) -> Claim | None:
    if setup.recipe.value("stochastic_sampling"):
        return None
    # Euler's steps in t and in sigma / alpha are the same on the flow; churn is of the latter.
    return _churned("euler")(setup) if setup.arguments.get("s_churn") else planner("flow_euler")


def _flow_heun(setup: Setup) -> Claim | None:
    return None if setup.arguments.get("s_churn") else planner("flow_heun")


def _multistep(setup: Setup) -> Claim | None:
    """DPM-Solver: short runs, or a flag, end with lower orders."""
    value = setup.recipe.value
    # Without a choice of algorithms there is the stochastic one alone.
    kind, order = value("algorithm_type", "sde-dpmsolver++"), int(value("solver_order"))
    short = setup.steps < 15 and bool(value("lower_order_final"))
    if value("euler_at_final") and not short:
        if order > 2:
            return None
        short = True
    if order > 2 and value("solver_type") == "heun":
        return None  # Exact lines before published parabolas, which have no name.
    if kind == "sde-dpmsolver++":
        return planner("dpm_solver_pp_sde", order=order, lower_order_end=short)
    names = {"dpmsolver++": "dpm_solver_pp", "dpmsolver": "dpm_solver"}
    if kind not in names:
        return None
    return planner(
        names[kind], order=order, variant="multistep", start="lower", lower_order_end=short
    )


def _singlestep(setup: Setup) -> Claim | None:
    value = setup.recipe.value
    if value("algorithm_type") != "dpmsolver++":
        return None
    made = planner("dpm_solver_pp", order=int(value("solver_order")))
    return replace(made, made=partial(singlesteps, calls=partial(groups, setup)))


def _deis(setup: Setup) -> Claim | None:
    value = setup.recipe.value
    short = setup.steps < 15 and bool(value("lower_order_final"))
    return planner("deis", order=int(value("solver_order")), start="lower", lower_order_end=short)


def _unipc(setup: Setup) -> Claim | None:
    value = setup.recipe.value
    if not value("predict_x0") or value("solver_p") is not None:
        return None
    off = list(value("disable_corrector", []))
    if off and len(set(off)) < setup.steps:
        return None
    return planner(
        "unipc",
        order=int(value("solver_order")),
        solver=value("solver_type"),
        corrector=not off,
        start="lower",
        lower_order_end=bool(value("lower_order_final")),
    )


def _sa_solver(setup: Setup) -> Claim | None:
    value = setup.recipe.value
    if value("algorithm_type") != "data_prediction":
        return None
    return planner(
        "sa_solver",
        predictor=int(value("predictor_order")),
        corrector=int(value("corrector_order")),
        tau=_tau(setup),
        start="lower",
        lower_order_end=bool(value("lower_order_final")),
    )


def _tau(setup: Setup) -> Callable[[float], float]:
    """The strength of noise, told by timesteps, as a function of our times: at the nearest call."""
    scheduler = setup.made()
    of_timestep: Any = getattr(scheduler, "tau_func", None) or setup.recipe.value("tau_func")
    levels = track(scheduler)
    logs = np.log(np.maximum(levels.used, 1e-12))
    strengths = [float(of_timestep(t)) for t in scheduler.timesteps]
    return lambda t: strengths[int(np.argmin(np.abs(logs - np.log(max(t, 1e-12)))))]


CLASSES: Mapping[str, Callable[[Setup], Claim | None]] = {
    "DDIM": _ddim,
    "DDIMParallel": _ddim,
    "CogVideoXDDIM": _ddim,
    "DDPM": _ddpm,
    "DDPMParallel": _ddpm,
    "UnCLIP": _ddpm,
    "PNDM": _pndm,
    "EulerDiscrete": _churned("euler"),
    "EDMEuler": _churned("euler"),
    "HeunDiscrete": _churned("heun"),
    "KDPM2Discrete": _churned("dpm2"),
    "EulerAncestralDiscrete": _plain("euler_ancestral"),
    "KDPM2AncestralDiscrete": _plain("dpm2_ancestral"),
    "LMSDiscrete": _lms,
    "FlowMatchEulerDiscrete": _flow_euler,
    "FlowMatchHeunDiscrete": _flow_heun,
    "DPMSolverMultistep": _multistep,
    "EDMDPMSolverMultistep": _multistep,
    "CosineDPMSolverMultistep": _multistep,
    "DPMSolverSinglestep": _singlestep,
    "DEISMultistep": _deis,
    "UniPCMultistep": _unipc,
    "SASolver": _sa_solver,
}
"""What each class claims, without the ending Scheduler."""
