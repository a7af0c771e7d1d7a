"""A class around a denoiser, with `step(x_t, t, s)` and `__call__(x_T)`, as in azula.

`denoiser(x_t, t).mean` is E[x_0 | x_t], and `denoiser.schedule(t)` is (alpha_t, sigma_t), of which
nothing is asked but that alpha / sigma rises towards data. The denoiser is replaced by one with the
same schedule that answers what the checks want.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

from ...predictions import X_0
from ..claims import Claim
from ..libraries import Library
from ..subject import Answer, Run, Sampler, Subject
from . import names
from .network import Network, eager
from .step_class_made import Made, Making, has, parameters
from .step_class_schedules import SCHEDULES, NativeSchedule

VARIANTS: tuple[Mapping[str, Any], ...] = (
    {"eta": 0.0},
    {"eta": 0.5},
    {"eta": 1.0},
    {"order": 1},
    {"order": 2},
    {"order": 3},
)
"""Options that a class is made with beside those given, where it takes them."""

_SAID = ("eta", "order", "s_churn", "s_tmin", "s_tmax", "s_noise")
"""Options that a claim by name may depend on."""

STATE = "state"
"""The group of runs that must be one to the last bit."""

_Drive = Callable[[Made, Network, Any], Any]
"""Take an instance from its first time to its last, around a network."""


def matches(target: Any) -> bool:
    """Whether the target is a class around a denoiser, or an instance of one, that steps."""
    made = target if inspect.isclass(target) else type(target)
    around = "denoiser" in parameters(made) if made is target else hasattr(target, "denoiser")
    return around and (has(made, "step") or has(made, "__call__"))


def subject(
    target: Any,
    *,
    library: Library,
    claim: Claim | None = None,
    order: int | None = None,
    steps: Sequence[int] = (1, 2, 5, 10),
    schedule: NativeSchedule | None = None,
    **options: Any,
) -> Subject:
    """The class, made with `options`, or copies of the instance, at so many steps.

    claim: by default what its name says. order: by default its own option of that name. schedule:
    of the denoiser, from a native time to native (alpha, sigma); by default that of the denoiser
    that it has, or for a class each of `SCHEDULES`. Times are float64 where it can be told a dtype.
    """
    source = options.pop("denoiser", getattr(target, "denoiser", None))
    own = schedule or getattr(source, "schedule", None)
    making = Making(
        target=target,
        library=library,
        source=source,
        options=options,
        schedule=own or next(iter(SCHEDULES.values())),
    )

    def sampler(
        made: Making, n: int, label: str = "", drive: _Drive | None = None, **variant: Any
    ) -> Sampler:
        says = names.varied(claim, variant) if claim is not None else _said(made)
        found = _sampler(made, n, label, says, order, drive or usual)
        plain = n == 5 and made is making and not variant
        return replace(found, group=STATE) if plain else found

    usual = _called if has(making.kind, "__call__") else _stepped
    samplers = [sampler(making, n) for n in steps]
    samplers.append(sampler(making, 5, ", run twice", partial(_twice, usual)))
    if usual is _called and _steps(making):
        samplers.append(sampler(making, 5, ", by step", _stepped))
    if own is None:
        for name, native in SCHEDULES.items():
            if native is not making.schedule:
                samplers.append(sampler(replace(making, schedule=native), 5, f", {name}"))
    for variant in VARIANTS:
        if _applies(making, variant):
            changed = replace(making, options={**options, **variant})
            words = ", ".join(f"{key}={value}" for key, value in variant.items())
            samplers.append(sampler(changed, 5, f", {words}", **variant))
    return Subject(
        name=making.kind.__name__,
        kind="sampler class",
        make=library.make,
        dtypes=library.dtypes,
        epsilon=library.epsilon,
        samplers=tuple(samplers),
        with_steps=lambda n: sampler(making, n),
    )


def _sampler(
    making: Making, n: int, label: str, claim: Claim | None, order: int | None, drive: _Drive
) -> Sampler:
    found = making(n)

    def launch(answer: Answer, x: Any, seed: int) -> Run:
        made = making(n)  # A new one, so that nothing is left over from the last run.
        network = Network(answer, making.library, made.time)
        making.library.seed(seed)
        with eager(making.library):
            return network.run(drive(made, network, x))

    count = len(found.grid) - 1
    return Sampler(
        label=f"{count} step{'s' * (count > 1)}{label}",
        schedule=found.schedule,
        grid=found.grid,
        launch=launch,
        epsilon=found.epsilon * _growth(found),
        claim=claim,
        predicts=X_0,
        order=making.option("order") if order is None else order,
    )


def _growth(made: Made) -> float:
    """The largest alpha_s / alpha_t of a step, by which rounding grows where it is x / alpha's."""
    alphas = [float(made.schedule(t).alpha) for t in made.grid]
    return max([1.0, *(s / t for t, s in pairwise(alphas) if t > 0.0)])


def _called(made: Made, network: Network, x: Any) -> Any:
    made.denoiser.network = network
    return made.instance(x)


def _stepped(made: Made, network: Network, x: Any) -> Any:
    made.denoiser.network = network
    for t, s in pairwise(made.times):
        x = made.instance.step(x, t, s)
    return x


def _twice(drive: _Drive, made: Made, network: Network, x: Any) -> Any:
    """The second of two runs of one instance, in which nothing of the first must be left."""
    drive(made, Network(lambda x_t, t, k: 0.5 * x_t, network.library), x)
    return drive(made, network, x)


def _said(making: Making) -> Claim | None:
    told = {name: making.option(name) for name in _SAID}
    return names.claimed(
        making.kind.__name__, {name: value for name, value in told.items() if value is not None}
    )


def _steps(making: Making) -> bool:
    """Whether its `step` is there to be called: a multistep method's may not be."""
    if not has(making.kind, "step"):
        return False
    made = making(1)
    made.denoiser.network = Network(lambda x_t, t, k: x_t, making.library)
    try:
        _stepped(made, made.denoiser.network, making.library.make([[1.0]], "float32"))
    except NotImplementedError:
        return False
    except Exception:
        return True  # It is for the check to tell.
    return True


def _applies(making: Making, variant: Mapping[str, Any]) -> bool:
    """Whether a class can be made so, and is not already; it may refuse by ValueError."""
    takes = parameters(making.kind)
    fresh = making.target is making.kind and all(
        name in takes and name not in making.options and takes[name] != value
        for name, value in variant.items()
    )
    try:
        return fresh and bool(replace(making, options={**making.options, **variant})(1))
    except ValueError:
        return False
