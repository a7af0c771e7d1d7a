"""The ways in which a scheduler is run: its options, one at a time, and what is done before."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from . import values
from .running import Setup
from .shape import Recipe, parameters, refused

PARTS = (
    "steps",
    "spacing",
    "state",
    "prediction",
    "method",
    "ends",
    "arguments",
    "levels",
    "options",
    "clipping",
)
"""The parts of the list, by name; "options" only tries each once, "clipping" is apart."""


class Way(NamedTuple):
    """A way to run it. group: those of one group must agree in every weight."""

    label: str
    setup: Setup
    group: str = ""


def configurations(recipe: Recipe, steps: Sequence[int], parts: Sequence[str]) -> Iterator[Way]:
    """Every way of the parts asked for that the scheduler does not clearly refuse."""
    for part in (p for p in parts if p in _PARTS):
        for way, words in _PARTS[part](recipe, steps):
            if not refuses(way.setup, words):
                yield way


Found = Iterator[tuple[Way, tuple[Any, ...]]]


def _steps(recipe: Recipe, steps: Sequence[int]) -> Found:
    for n in steps:
        yield Way(f"{n} step" + "s" * (n > 1), Setup(recipe=recipe, steps=n)), ("steps",)


def _spacing(recipe: Recipe, steps: Sequence[int]) -> Found:
    for value in values.of(recipe, "timestep_spacing"):
        for n in (10, 7):
            offset = (
                {"steps_offset": 1} if value == "leading" and "steps_offset" in recipe.takes else {}
            )
            made = recipe.but(timestep_spacing=value, **offset)
            words = ", ".join(f"{k}={v}" for k, v in {"timestep_spacing": value, **offset}.items())
            yield Way(f"{words}, {n} steps", Setup(recipe=made, steps=n)), (value, "spacing")


def _state(recipe: Recipe, steps: Sequence[int]) -> Found:
    plain = Setup(recipe=recipe, steps=5)
    yield Way("fresh, 5 steps", plain, "state"), ()
    for label, setup in (
        ("set to 4 steps before", Setup(recipe=recipe, steps=5, idle=(4,))),
        ("set to 5 steps before", Setup(recipe=recipe, steps=5, idle=(5,))),
        ("run before with 5 steps", Setup(recipe=recipe, steps=5, before=(5,))),
        ("run before with 4 steps", Setup(recipe=recipe, steps=5, before=(4,))),
    ):
        yield Way(f"{label}, 5 steps", setup, "state"), ()
    if hasattr(recipe.make(), "set_begin_index"):
        yield Way("from step 2 of 5", Setup(recipe=recipe, steps=5, begin=_second(plain))), ()


def _second(setup: Setup) -> int:
    """The call that begins step 2."""
    try:
        found = setup.track
        # Where a level is called twice, the first call belongs to the step before.
        return len(found.used) - 1 - found.used[::-1].index(found.grid[2])
    except Exception:
        return 2  # What is raised is a finding of the check `runs`.


def _prediction(recipe: Recipe, steps: Sequence[int]) -> Found:
    for value in values.of(recipe, "prediction_type"):
        if value != "flow_prediction":
            made = Setup(recipe=recipe.but(prediction_type=value), steps=5)
            yield (
                Way(f"prediction_type={value}, 5 steps", made, "predictions"),
                (
                    value,
                    "prediction",
                ),
            )


def _method(recipe: Recipe, steps: Sequence[int]) -> Found:
    """Orders and algorithms, each with each, in a short run and one of 16 steps."""
    for kind in values.of(recipe, "algorithm_type") or (None,):
        for order in values.of(recipe, "solver_order") or (None,):
            for solver in values.of(recipe, "solver_type") or (None,):
                given = {"algorithm_type": kind, "solver_order": order, "solver_type": solver}
                options = {k: v for k, v in given.items() if v is not None}
                if kind in ("dpmsolver", "sde-dpmsolver") and "final_sigmas_type" in recipe.takes:
                    options["final_sigmas_type"] = "sigma_min"
                if options:
                    yield from _ways(recipe, (8, 16), **options)
    for option in ("variance_type", "predictor_order", "corrector_order", "skip_prk_steps"):
        for value in values.others(recipe, option):
            # A network that says the variance itself decides what the marginal is.
            if value != "learned":
                yield from _ways(recipe, (8,), **{option: value})


def _ends(recipe: Recipe, steps: Sequence[int]) -> Found:
    for option in ("final_sigmas_type", "lower_order_final", "euler_at_final"):
        for value in values.others(recipe, option):
            yield from _ways(recipe, (6,), **{option: value})
    if "set_alpha_to_one" in recipe.takes:
        one = {"set_alpha_to_one": not recipe.value("set_alpha_to_one")}
        yield from _ways(recipe, (5,), **one, **_having(recipe, steps_offset=1))
    if "rescale_betas_zero_snr" in recipe.takes:
        wanted = _having(recipe, timestep_spacing="trailing", prediction_type="v_prediction")
        yield from _ways(recipe, (5,), rescale_betas_zero_snr=True, **wanted)


def _arguments(recipe: Recipe, steps: Sequence[int]) -> Found:
    """What `step` takes beside its three arguments."""
    takes = parameters(recipe.kind.step)  # type: ignore[attr-defined]
    known = {"eta": (0.0, 0.5, 1.0), "s_churn": (2.0,), "order": (1, 2, 3)}
    for name, each in known.items():
        if name in takes:
            for value in each:
                setup = Setup(recipe=recipe, steps=5, arguments={name: value})
                yield Way(f"step({name}={value:g}), 5 steps", setup), (name,)


def _levels(recipe: Recipe, steps: Sequence[int]) -> Found:
    for option in recipe.takes:
        if option.startswith("use_") and option.endswith(("_sigmas", "_lambdas")):
            flowing = {"prediction_type": "flow_prediction"} if option == "use_flow_sigmas" else {}
            yield from _ways(recipe, (6,), **{option: True}, **flowing)
    for option in ("timestep_type", "interpolation_type", "sigma_schedule", "beta_schedule"):
        for value in values.others(recipe, option):
            yield from _ways(recipe, (6,), **{option: value})
    for option in ("shift", "flow_shift", "shift_terminal", "stochastic_sampling"):
        for value in values.others(recipe, option):
            if option != "flow_shift":
                yield from _ways(recipe, (6,), **{option: value})


_PARTS = {
    "steps": _steps,
    "spacing": _spacing,
    "state": _state,
    "prediction": _prediction,
    "method": _method,
    "ends": _ends,
    "arguments": _arguments,
    "levels": _levels,
}


def _having(recipe: Recipe, **options: Any) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k in recipe.takes}


def _ways(recipe: Recipe, steps: Sequence[int], **options: Any) -> Found:
    words = ", ".join(f"{k}={v}" for k, v in options.items())
    for n in steps:
        way = Way(f"{words}, {n} steps", Setup(recipe=recipe.but(**options), steps=n))
        yield way, (*options, *options.values())


def refuses(setup: Setup, words: tuple[Any, ...]) -> bool:
    """Whether it says that it does not support this, when it is made, set or run."""
    from .trying import attempt

    try:
        attempt(setup)
    except Exception as error:
        return refused(error, *words)
    return False
