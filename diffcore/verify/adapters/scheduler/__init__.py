"""A step scheduler, as in diffusers: `set_timesteps`, `timesteps`, `step(model_output, t, sample)`.

Recognised by its shape; of any array library. Its timestep i is our time i + 1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...._arrays import Host
from ...claims import Claim
from ...libraries import Library
from ...subject import Answer, Option, Run, Sampler, Subject, Table
from . import claims, values
from .clipped import clipped_ways
from .configurations import PARTS, Way, configurations
from .levels import epsilon, numbers, require_levels, schedule_of
from .running import Setup
from .shape import Recipe, matches, recipe, refused, require_reached
from .trying import attempt
from .visits import visits

__all__ = ["PARTS", "matches", "subject"]


def subject(
    target: Any,
    *,
    library: Library,
    claim: Claim | None = None,
    order: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
    steps: Sequence[int] = (1, 2, 5, 10),
    parts: Sequence[str] = PARTS,
) -> Subject:
    """The scheduler on so many steps, and with its options varied one by one.

    target: an instance, or a class with `kwargs` for its constructor. parts: which of
    `configurations.PARTS` to run. Raises ValueError where the steps cannot be taken from outside,
    or `parts` has another name.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"parts must be of {', '.join(PARTS)}; got {', '.join(sorted(unknown))}")
    require_reached(target)
    whole = recipe(target, kwargs)
    plain = whole.linear()
    made = whole.make()
    require_samples(plain, steps)
    table = numbers(made, "alphas_cumprod")
    rounding = max(library.epsilon, epsilon(made, "alphas_cumprod", "sigmas"))
    library = replace(library, epsilon=rounding)

    def sampler(way: Way) -> Sampler:
        return _sampler(way, library, claim, order)

    def with_steps(n: int) -> Sampler:
        return sampler(Way(f"{n} steps", Setup(recipe=plain, steps=n)))

    ways = tuple(configurations(plain, steps, parts))
    return Subject(
        name=whole.kind.__name__,
        kind="step scheduler",
        make=library.make,
        dtypes=library.dtypes,
        epsilon=rounding,
        schedule=None if table is None else schedule_of(table),
        tables={} if table is None else _tables(made, rounding),
        q_sample=_q_sample(whole, library, table),
        zero_terminal_snr=bool(whole.value("rescale_betas_zero_snr")),
        samplers=tuple(map(sampler, ways)),
        clipped=tuple(clipped_ways(whole, sampler)) if "clipping" in parts else (),
        with_steps=None if hasattr(made, CONSISTENT) else with_steps,
        options=tuple(_options(whole, library)) if "options" in parts else (),
        visits=lambda: visits(ways, library),
    )


CONSISTENT = "get_scalings_for_boundary_condition_discrete"
"""A consistency model's: its steps are of no order, for each one starts from fresh noise."""


def require_samples(plain: Recipe, steps: Sequence[int]) -> None:
    """ValueError for what no number of steps sets, or is no sampler by levels that it holds."""
    for n in (5, *steps):
        made = plain.make()
        try:
            made.set_timesteps(n)
        except Exception as error:
            raised = error  # For some numbers alone it is a finding of the check `runs`.
        else:
            require_levels(made)
            return
    raise ValueError(
        f"target must be set by set_timesteps(n) alone; {type(made).__name__} raises "
        f"{type(raised).__name__}: {raised}"
    ) from raised


def _sampler(way: Way, library: Library, claim: Claim | None, order: int | None) -> Sampler:
    try:
        levels = way.setup.track
        claimed = claim if claim is not None else claims.of(way.setup)
    except Exception as error:
        return _broken(way, error, library)
    return Sampler(
        label=way.label,
        schedule=levels.schedule,
        grid=levels.grid,
        launch=way.setup.launch(library),
        epsilon=max(levels.epsilon, library.epsilon),
        claim=claimed,
        predicts=levels.predicts,
        order=order if order is not None else claims.order(way.setup),
        group=way.group,
    )


def _broken(way: Way, error: Exception, library: Library) -> Sampler:
    """A sampler that raises what came of asking for its levels."""

    def launch(answer: Answer, x: Any, seed: int) -> Run:
        raise error

    schedule = schedule_of(np.array([0.5]))
    return Sampler(
        label=way.label, schedule=schedule, grid=(1, 0), launch=launch, epsilon=library.epsilon
    )


def _tables(scheduler: Any, rounding: float) -> dict[str, Table]:
    names = {"alpha_bar": "alphas_cumprod", "beta": "betas"}
    found = {ours: numbers(scheduler, theirs) for ours, theirs in names.items()}
    return {k: Table(v, 1, rounding) for k, v in found.items() if v is not None}


def _q_sample(
    whole: Recipe, library: Library, table: Host | None
) -> Callable[[Any, Sequence[float], Any], Any] | None:
    """`add_noise` of a fresh scheduler, as training calls it, for states x / alpha too."""
    made = whole.make()
    if table is None or not hasattr(made, "add_noise"):
        return None
    scaled = float(getattr(made, "init_noise_sigma", 1.0)) > 1.001

    def q_sample(x_0: Any, times: Sequence[float], eps: Any) -> Any:
        fresh = whole.make()
        index = [int(t) - 1 for t in times]
        noisy = fresh.add_noise(x_0, eps, library.make(np.array(index), "int64"))
        if not scaled:
            return noisy
        alpha = np.sqrt(table[index]).reshape(-1, *(1,) * (len(x_0.shape) - 1))
        return library.like(alpha, x_0) * noisy

    return q_sample


def _options(whole: Recipe, library: Library) -> Iterator[Option]:
    """Each value of each option once; one that is clearly refused is none."""
    for option, value in values.every(whole):

        def tried(option: str = option, value: Any = value) -> None:
            try:
                attempt(Setup(recipe=whole.but(**{option: value}), steps=4), library)
            except Exception as error:
                if not refused(error, option, value):
                    raise

        yield Option(f"{option}={value}", tried)
