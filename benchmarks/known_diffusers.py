"""What is known of diffusers' schedulers: for each finding its classes, its place, and its words.

`where`: words of the configuration, all of which must be in its label; "a|b" is either.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import reproduced_by_sigmas as by_sigmas
import reproduced_diffusers as reproduced

MULTISTEP = ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler")
SIGMAS = (*MULTISTEP, "DPMSolverSinglestepScheduler", "SASolverScheduler")
KDPM2 = ("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")
DDIMS = ("DDIMScheduler", "DDIMParallelScheduler", "CogVideoXDDIMScheduler")
CLASSES = (
    *DDIMS,
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "UnCLIPScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    *KDPM2,
    "LMSDiscreteScheduler",
    *SIGMAS,
    "EDMEulerScheduler",
    "EDMDPMSolverMultistepScheduler",
    "CosineDPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "FlowMapEulerDiscreteScheduler",
    "LTXEulerAncestralRFScheduler",
    "LCMScheduler",
    "TCDScheduler",
)
NOT_VERIFIED = (
    "BlockRefinementScheduler",
    "CMStochasticIterativeScheduler",
    "CogVideoXDPMScheduler",
    "DDIMInverseScheduler",
    "DDPMWuerstchenScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DiscreteDDIMScheduler",
    "EntropyBoundScheduler",
    "IPNDMScheduler",
    "MiniMaxH3Scheduler",
    "RFD4ProteinaScheduler",
    "RePaintScheduler",
)
"""Refused, in words that the table repeats."""

OF_ANOTHER_KIND = {
    "AmusedScheduler": "steps tokens, which have no Gaussian noise",
    "HeliosDMDScheduler": "goes through states of several sizes, a stage at a time",
    "HeliosScheduler": "goes through states of several sizes, a stage at a time",
    "PiflowScheduler": "takes several x_0 from one call of its network",
    "SCMScheduler": "a consistency model's, of one or two calls",
    "ScoreSdeVeScheduler": "has `step_pred` and `step_correct`, of no kind that is verified",
    "VQDiffusionScheduler": "steps tokens, which have no Gaussian noise",
}
STEPPED = ("calls", "spacing", "mean", "variance", "plan", "exactness", "linear", "draws", "runs")
LOST = (*STEPPED, "few steps", "order", "invariance", "options", "q_sample")


class Known(NamedTuple):
    """A finding. reproduce: given the class; run when the table is made."""

    classes: tuple[str, ...]
    checks: tuple[str, ...]
    where: str
    kind: str
    words: str
    reproduce: Callable[[str], str]

    @property
    def words_of_place(self) -> tuple[str, ...]:
        """The words that must be in the label of a configuration."""
        return tuple(self.where.split(" & ")) if self.where else ()


def attempt(steps: int, said: tuple[int, int] = (1, 1), **config: Any) -> Callable[[str], str]:
    """The outcome of a run of the class."""
    return lambda name: reproduced.attempt(name, steps, said, **config)


def fixed(make: Callable[[], str]) -> Callable[[str], str]:
    """The same for every class."""
    return lambda name: make()


def told(**config: Any) -> Callable[[str], str]:
    """What the network of the class is told."""
    return lambda name: by_sigmas.told(name, **config)


def differ(**config: Any) -> Callable[[str], str]:
    """How many levels differ."""
    return lambda name: by_sigmas.levels_that_differ(name, **config)


ROUNDED = (
    "the noise levels are spread anew, and the timesteps that belong to them rounded: the network "
    "is told the level of another state"
)
NEXT = (
    "steps to t - 1000 // n whatever the next timestep is: with the spacing linspace, and with "
    "trailing where n does not divide 1000, the state is not at the level of the next call"
)
WASTED = "the last level is the one before it again: the last call changes nothing"
