"""The state of a run: what it takes to go on where it was, to the bit.

One file, written whole: the stepper's arrays, the updates that are not logged yet, and as metadata
the number of updates, the recipe and a hash of the data. Randomness has no state (see `draws`).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import checkpoint
from .recipe import Recipe, from_table
from .run_folder import RunFolder
from .stepper import State, Stepper, Task

PENDING = "pending"
STEPPER = "stepper."
FREE = ("training.steps", "evaluation.")
"""Keys of a recipe that may change while a run goes on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Saved:
    """A run after `step` updates and `seconds` of work."""

    step: int
    seconds: float
    pending: npt.NDArray[np.float64]
    """(updates, 2): loss and gradient norm of each update since the last that was logged."""
    stepper: State


class Diverged(ValueError):
    """Training has left the finite numbers."""


def save(run: RunFolder, recipe: Recipe, digest: str, saved: Saved) -> None:
    """Write the state. Raises `Diverged`, and leaves the old one, where a number is not finite."""
    for name, array in saved.stepper.items():
        if not np.isfinite(array).all():
            raise Diverged(
                f"{name} is not finite after update {saved.step}; {run.state} still holds the last "
                "good state"
            )
    arrays = {STEPPER + name: array for name, array in saved.stepper.items()}
    content = {
        "step": saved.step,
        "seconds": saved.seconds,
        "recipe": _plain(recipe),
        "data": digest,
    }
    checkpoint.write(run.state, {PENDING: saved.pending, **arrays}, content)


def load(run: RunFolder, recipe: Recipe, digest: str) -> Saved | None:
    """The state of a run; None where the run ended before the first one was saved.

    Raises ValueError, which names the keys, where the recipe is another than the run's in more than
    `training.steps` and `evaluation`; and where the data have changed or the run is past the
    recipe's last step.
    """
    if not run.state.exists():
        return None
    arrays, content = checkpoint.read(run.state)
    # Read as a recipe, for the keys that there were none of when it was written.
    if changed := differences(_plain(from_table(content["recipe"])), _plain(recipe)):
        raise ValueError(
            f"{run.path} was begun with another recipe: {'; '.join(changed)}. A resumed run may "
            "change training.steps and evaluation only"
        )
    if content["data"] != digest:
        raise ValueError(
            f"{run.path} was begun with other images; {recipe.data.source} has changed"
        )
    if recipe.training.steps < content["step"]:
        raise ValueError(
            f"training.steps must be at least the {content['step']} updates that {run.path} has "
            f"made, got {recipe.training.steps}"
        )
    return Saved(
        step=content["step"],
        seconds=content["seconds"],
        pending=arrays[PENDING].reshape(-1, 2),
        stepper={
            name.removeprefix(STEPPER): array
            for name, array in arrays.items()
            if name.startswith(STEPPER)
        },
    )


def publish(
    run: RunFolder, task: Task, stepper: Stepper, step: int, classes: tuple[str, ...]
) -> None:
    """Write the checkpoint that samples are drawn from: the network, its average, and no more."""
    recipe = task.recipe
    size = recipe.data.condition_size
    stored = checkpoint.Checkpoint(
        unet=task.unet,
        schedule=task.schedule,
        predicts=task.predicts,
        weights=stepper.weights("raw"),
        ema=stepper.weights("ema"),
        step=step,
        training={
            "recipe": recipe.name,
            "seed": recipe.seed,
            "data": recipe.data.source,
            "classes": list(classes) if task.unet.classes else [],
            **({"condition_size": size} if size else {}),
        },
    )
    checkpoint.save(run.checkpoint, stored)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """ "KEY was OLD, is NEW" for each key that differs and that a run cannot change."""
    before, after = _flat(old), _flat(new)
    missing = "not set"
    return [
        f"{key} was {before.get(key, missing)}, is {after.get(key, missing)}"
        for key in sorted(before.keys() | after.keys())
        if not key.startswith(FREE) and before.get(key, missing) != after.get(key, missing)
    ]


def _plain(recipe: Recipe) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat
