"""The seam between training and a backend: what the loop asks for, and the task it hands over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..plan import Denoise
from ..predictions import Prediction
from ..unet import UNetConfig
from .draws import Batch, Schedule
from .recipe import Recipe

Weights: TypeAlias = Literal["ema", "raw"]
State: TypeAlias = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be learnt: a recipe, and what its words stand for."""

    recipe: Recipe
    unet: UNetConfig
    schedule: Schedule
    predicts: Prediction

    @classmethod
    def of(cls, recipe: Recipe, unet: UNetConfig) -> "Task":
        """What a recipe asks of the network of that configuration."""
        return cls(
            recipe=recipe,
            unet=unet,
            schedule=recipe.make_schedule(),
            predicts=recipe.make_prediction(),
        )


class Update(NamedTuple):
    """What an update tells: its loss and the norm of its gradient before clipping.

    Scalars of the backend, on its device; `Stepper.numbers` reads many of them at once.
    """

    loss: Any
    gradient_norm: Any


class Stepper(Protocol):
    """A network, its average and its optimizer, in one array library on one device.

    The loop calls it from one thread. It draws nothing that is not a function of the batch, and
    starts from weights that are a function of the recipe's seed.
    """

    def step(self, batch: Batch, rate: float, ema_decay: float) -> Update:
        """One update with that learning rate; the average then moves with that decay."""
        ...

    def losses(self, batch: Batch, weights: Weights) -> npt.NDArray[np.float64]:
        """The loss of each sample, shape (batch,), without dropout and without learning."""
        ...

    def numbers(self, updates: list[Update]) -> npt.NDArray[np.float64]:
        """The updates on the host, shape (len(updates), 2): the loop's one wait for the device."""
        ...

    def denoise(
        self,
        weights: Weights,
        labels: npt.NDArray[np.int64] | None,
        condition: npt.NDArray[np.float32] | None = None,
    ) -> Denoise:
        """The network as a denoiser of the backend's float32 arrays, for samples so conditioned."""
        ...

    def array(self, host: npt.NDArray[np.float32]) -> Any:
        """A host array as the backend's."""
        ...

    def host(self, array: Any) -> npt.NDArray[np.float32]:
        """The backend's array on the host."""
        ...

    def weights(self, which: Weights) -> dict[str, npt.NDArray[Any]]:
        """The network's parameters by their names in `diffcore.unet.parameters`."""
        ...

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that a stepper needs to go on where this one is, to the bit."""
        ...

    def load_state(self, state: State, step: int) -> None:
        """Go on from the state of a stepper that had made `step` updates."""
        ...
