"""A `Target`'s `step`, which takes what its arguments' names say.

x_t, x, xt, z_t, sample, img      the state
t, time, timestep, i              its time
s, t_prev, t_next, prev_t         the time to step to; without it that is t - 1
model, network, denoiser, net     a function of (x, t) with the network's output
output, model_output, eps, ...    the network's output itself
noise, z                          a standard normal array
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..._arrays import Host
from ...predictions import Prediction
from ...schedules import ContinuousSchedule, DiscreteSchedule, Schedule
from ..claims import Claim
from ..libraries import Library
from ..subject import Answer, Run, Sampler
from ..target import Target
from .functions_called import NEXT, TIME, Calls, takes_number
from .indexed import WHOLE, WINDOW
from .network import Network
from .randomness import at_step, sources

ROLES = {
    "state": ("x_t", "x", "xt", "z_t", "sample", "img"),
    "time": TIME,
    "next": NEXT,
    "network": ("model", "network", "denoiser", "denoise", "net"),
    "output": (
        *("output", "model_output", "prediction", "pred", "noise_pred", "pred_noise"),
        *("eps", "eps_hat", "eps_theta", "x_0", "x0", "v"),
    ),
    "noise": ("noise", "z"),
}
"""What an argument of `step` is, by its name."""


class Steps:
    """The target's `step`, walked down grids of times."""

    def __init__(
        self,
        target: Target,
        library: Library,
        schedule: Schedule,
        claim: Claim | None,
        order: int | None,
    ) -> None:
        self._target, self._library, self._schedule = target, library, schedule
        self._claim, self._order = claim, order
        self._calls = Calls(target, library, schedule)
        assert target.step is not None
        self._step = target.step
        self._roles = roles(target.step)

    def takes(self, role: str) -> bool:
        """Whether `step` has an argument for that."""
        return role in self._roles.values()

    def samplers(self) -> tuple[Sampler, ...]:
        """One for each number of steps; or a walk down every time, in windows of a long process."""
        if self.takes("next"):
            return tuple(self.of(n) for n in self._target.steps)
        schedule = self._schedule
        if not isinstance(schedule, DiscreteSchedule):
            raise ValueError("step must take the next time, s, on a continuous schedule")
        T = schedule.T
        tops = (T,) if T <= WHOLE else (T, (T + WINDOW) // 2, WINDOW)
        length = T if T <= WHOLE else WINDOW
        return tuple(
            self._sampler(f"{t} to {t - length}", range(t, t - length - 1, -1)) for t in tops
        )

    def of(self, n: int) -> Sampler:
        """The sampler of n steps, evenly over all times."""
        schedule = self._schedule
        if isinstance(schedule, ContinuousSchedule):
            times = np.linspace(float(schedule.curve.t_max), 0.0, n + 1).tolist()
        else:
            assert isinstance(schedule, DiscreteSchedule)
            times = sorted({round(t) for t in np.linspace(0.0, schedule.T, n + 1)}, reverse=True)
        return self._sampler(f"{n} step{'s' * (n > 1)}", times)

    def _sampler(self, label: str, grid: Sequence[float]) -> Sampler:
        predicts = self._target.predicts
        assert isinstance(predicts, Prediction)

        def launch(answer: Answer, x: Any, seed: int) -> Run:
            raw = _raw(self._schedule, predicts, answer)
            network = Network(raw, self._library, self._calls.time)
            self._library.seed(seed)
            drawn = sources(self._step, self._library, x, seed)
            for k, (t, s) in enumerate(pairwise(grid)):
                x = self._one(network, x, t, s, at_step(drawn, k))
            return network.run(x)

        return Sampler(
            label=label,
            schedule=self._schedule,
            grid=tuple(float(t) for t in grid),
            launch=launch,
            epsilon=self._library.epsilon,
            claim=self._claim,
            predicts=predicts,
            order=self._order,
        )

    def _one(self, network: Network, x: Any, t: float, s: float, drawn: Mapping[str, Any]) -> Any:
        def told(time: float) -> Any:
            if takes_number(self._step, self._target):
                return self._calls.number(time)
            return self._calls.index([time] * x.shape[0], x)

        offers: dict[str, Callable[[], Any]] = {
            "state": lambda: x,
            "time": lambda: told(t),
            "next": lambda: told(s),
            "network": lambda: network,
            "output": lambda: network(x, self._calls.index([t] * x.shape[0], x)),
            "noise": lambda: self._library.normal(x),
        }
        given = {name: offers[role]() for name, role in self._roles.items()}
        out = self._step(**given, **drawn)
        out = getattr(out, "prev_sample", out)
        return out[0] if isinstance(out, tuple | list) else out


def roles(step: Any) -> dict[str, str]:
    """What each argument of `step` is. Raises ValueError for one of no known name."""
    known = {name: role for role, names in ROLES.items() for name in names}
    found: dict[str, str] = {}
    for name, parameter in inspect.signature(step).parameters.items():
        if name in known:
            found[name] = known[name]
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        elif parameter.default is parameter.empty and name not in ("rng", "key", "generator"):
            raise ValueError(f"step must have arguments of {', '.join(sorted(known))}; got {name}")
    missing = {"state", "time"} - set(found.values())
    if missing or not {"network", "output"} & set(found.values()):
        raise ValueError(
            "step must take a state, a time, and the network or its output, "
            f"by the names {', '.join(sorted(known))}; got {', '.join(found) or 'none'}"
        )
    return found


def _raw(schedule: Schedule, predicts: Prediction, answer: Answer) -> Answer:
    """What a network puts out for the x_0 of `answer`, at the nearest time that there is."""

    def raw(x_t: Host, t: float, k: int) -> Host:
        x_0 = answer(x_t, t, k)
        at: float = t
        if isinstance(schedule, DiscreteSchedule):
            at = min(max(round(t), 1), schedule.T)
        alpha, sigma = schedule(at)
        eps = (x_t - alpha * x_0) / sigma if sigma else np.zeros_like(x_t)
        return predicts.target(schedule, np.array(x_0), at, eps)

    return raw
