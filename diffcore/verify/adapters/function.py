"""A sampler function f(model, x, sigmas, ...), where the model returns the denoised x_0.

States are x_0 + sigma eps, and sigmas descend, as in EDM and k-diffusion. Or it is
f(model, x, sigma_min, sigma_max, n, ...), which picks its noise levels itself.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...predictions import X_0
from ...schedules import edm
from ..claims import Claim
from ..libraries import Library
from ..subject import Answer, Option, Run, Sampler, Subject
from . import function_options
from .function_runs import SIGMAS, Configuration, configurations, refined
from .network import Network, eager
from .randomness import sources

FLOAT32 = float(np.finfo(np.float32).eps)

_ENDS = ["x", "sigma_min", "sigma_max", "n"]


def matches(target: Any) -> bool:
    """Whether the target is a function of model, x and sigmas; or their ends and a number n."""
    found = _takes(target)
    return found[:2] == ["x", "sigmas"] or found[:4] == _ENDS


def adaptive(target: Any) -> bool:
    """Whether it is told the ends of its noise levels alone, and picks those between as it goes."""
    found = _takes(target)
    return found[:3] == _ENDS[:3] and not matches(target)


def _takes(target: Any) -> list[str]:
    """The names of a function's arguments after the first."""
    try:
        return list(inspect.signature(target).parameters)[1:] if inspect.isroutine(target) else []
    except ValueError:  # A built-in without a signature.
        return []


def subject(
    target: Callable[..., Any],
    *,
    library: Library,
    claim: Claim | None = None,
    order: int | None = None,
    steps: Sequence[int] = (1, 2, 5, 10),
    **options: Any,
) -> Subject:
    """The function on grids of so many steps, with `options` as further arguments.

    claim: by default what its name says. It is run with other values of the options that its
    signature has and that are not given, too.
    """
    parameters = inspect.signature(target).parameters
    own = "sigmas" not in parameters
    if own and library.name == "torch":
        # It has nothing but numbers to make its levels of, in the default dtype.
        library = replace(library, epsilon=max(library.epsilon, FLOAT32))

    def sampler(run: Configuration) -> Sampler:
        return Sampler(
            label=run.label,
            schedule=edm(2.0 * SIGMAS[0]),
            grid=run.sigmas,
            launch=_launch(target, library, run, own),
            epsilon=library.epsilon,
            claim=run.claim,
            predicts=X_0,
            order=order,
        )

    runs = list(configurations(target, claim, steps, options))
    made = [(run, sampler(run)) for run in runs]
    samplers = tuple(s for run, s in made if not (run.variant and _refused(s, library)))
    return Subject(
        name=getattr(target, "__name__", str(target)),
        kind="sampler function",
        make=library.make,
        dtypes=library.dtypes,
        epsilon=library.epsilon,
        samplers=samplers,
        with_steps=None if own else lambda n: sampler(refined(target, claim, n, options)),
        options=tuple(
            Option(label, attempt)
            for label, attempt in function_options.attempts(target, library, options)
        ),
    )


def _refused(sampler: Sampler, library: Library) -> bool:
    """Whether it says by ValueError that it does not take these options."""
    try:
        sampler.launch(lambda x_t, t, k: x_t, library.make(np.zeros((1, 1)), library.dtypes[-1]), 0)
    except ValueError:
        return True
    except Exception:
        return False  # That is for the checks to tell.
    return False


def _launch(
    target: Callable[..., Any], library: Library, run: Configuration, own: bool
) -> Callable[[Answer, Any, int], Run]:
    def launch(answer: Answer, x: Any, seed: int) -> Run:
        network = Network(answer, library)

        def model(x_t: Any, sigma: Any, **_: Any) -> Any:
            return network(x_t, sigma)

        library.seed(seed)
        levels = run.ends if own else (library.like(np.asarray(run.sigmas), x),)
        given = {**sources(target, library, x, seed), **run.options}
        with eager(library):
            return network.run(target(model, x, *levels, **given))

    return launch
