"""One run of a plan whose network is called by somebody else, a step for each call.

    step p:  stages k_p .. k_{p+1} - 1,   k_p the stage of call number p

A step takes the denoised x_0 of its first stage, and goes on to where the next call is due. States
and outputs are kept as long as some stage may read them.
"""

from collections.abc import Callable
from typing import Any

from .._arrays import linear_combination, namespace
from ..plan import Denoised, LogRange, Plan, Stage

Draw = Callable[[Any], Any]
"""draw(like) -> standard normal noise like it."""


def calls(plan: Plan) -> list[int]:
    """The stages that call the denoiser.

    Raises ValueError where the plan is a stack, or does something before its first call.
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan must be a Plan, got {type(plan).__name__}")
    if plan.batch is not None:
        raise ValueError(f"plan must not be a stack, got one of {plan.batch} plans")
    found = [k for k, stage in enumerate(plan.stages) if stage.calls]
    if not found or found[0] != 0:
        raise ValueError(
            f"plan must call the denoiser in its first stage, {plan.name!r} does not: "
            "whoever calls the network has nothing to run before it"
        )
    return found


def starts(plan: Plan) -> list[int]:
    """The calls from which the rest of the plan can be run without what was before."""
    call, found = len(calls(plan)) - 1, []
    oldest_state, oldest_output = len(plan.stages), len(plan.stages)
    for k, stage in reversed(list(enumerate(plan.stages))):
        oldest_state = min([oldest_state, *(k - i for i, c in enumerate(stage.x) if c)])
        oldest_output = min([oldest_output, *(call - j for j, c in enumerate(stage.m) if c)])
        if stage.calls:
            if oldest_state >= k and oldest_output >= call:
                found.append(call)
            call -= 1
    return found[::-1]


class PlanRun:
    """A run of `plan` from call number `start` on."""

    def __init__(self, plan: Plan, start: int) -> None:
        self._plan, self._calls = plan, calls(plan)
        self._states: list[Any] = []
        self._outputs: list[Any] = []
        self._kept = (
            max(1, *(len(stage.x) for stage in plan.stages)),
            max(1, *(len(stage.m) for stage in plan.stages)),
        )
        self.position = start

    @property
    def stage(self) -> Stage | None:
        """The stage whose call is due; None at the end."""
        ended = self.position == len(self._calls)
        return None if ended else self._plan.stages[self._calls[self.position]]

    def step(self, x: Any, denoised: Any, draw: Draw) -> tuple[Any, Any]:
        """(state at the next call or at the end, x_0) from the state x and its denoised x_0."""
        x_0, fraction = denoised if isinstance(denoised, Denoised) else (denoised, None)
        self._states[:1] = [x]  # A pipeline may have changed what it was given.
        self._outputs.insert(0, x_0)
        first = self._calls[self.position]
        self.position += 1
        ended = self.position == len(self._calls)
        last = len(self._plan.stages) if ended else self._calls[self.position]
        for stage in self._plan.stages[first:last]:
            self._states.insert(0, self._next(stage, fraction, draw))
        del self._states[self._kept[0] :], self._outputs[self._kept[1] :]
        return self._states[0], x_0

    def _next(self, stage: Stage, fraction: Any, draw: Draw) -> Any:
        x = self._states[0]
        both = ((stage.x, self._states), (stage.m, self._outputs))
        pairs = [
            (c, a) for cs, arrays in both for c, a in zip(cs, arrays, strict=False) if c != 0.0
        ]
        if stage.draws:
            pairs.append((_noise_scale(stage.z, fraction), draw(x)))
        weights, arrays = zip(*(pairs or [(0.0, x)]), strict=True)
        return linear_combination(weights, arrays)


def _noise_scale(z: Any, fraction: Any) -> Any:
    if not isinstance(z, LogRange):
        return z
    if fraction is None:
        raise ValueError("learned_variance must be True for this plan, which learns its variance")
    return namespace(fraction).exp(0.5 * z.low + (0.5 * (z.high - z.low)) * fraction)
