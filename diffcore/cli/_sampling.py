"""Images from a trained network: which plan, which classes, and the loop with its progress bar.

The state is a host array and the noise `diffcore.noise.portable`: image i starts from row i of the
seed's noise, whatever n, the batch, the device or the backend, and comes out the same but for the
rounding of the network's arithmetic. The network alone works in batches.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import noise
from .._optional import optional
from ..denoisers import Clip, DynamicThreshold, Threshold
from ..plan import Denoise, Denoised, Plan, iterate
from ..schedules import ContinuousSchedule, DiscreteSchedule
from ..tasks import last_part, repaint
from ..training.pictures import Picture, grid
from ._batches import batches, evaluated
from ._planners import made, visited
from ._tasks import JUMP, Given

Schedule = DiscreteSchedule | ContinuousSchedule
Float = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

STEPS = 50
CONTINUOUS_STEPS = 1000
"""Steps of ancestral sampling on a continuous schedule, which has no T."""
THRESHOLDS: dict[str, Threshold | None] = {
    "clip": Clip(),
    "dynamic": DynamicThreshold(),
    "none": None,
}
NONE = "none"
"""The word for the null class."""
FRAMES, FILMED = 60, 64
"""Moments and images at most in an animation of the way from noise."""

NOTHING = Given()

ROW = 32
"""Images of a class at most in a row of a picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Samples."""

    images: Float
    """(n, C, H, W), data in [-1, 1]."""
    labels: Labels | None
    """(n,), or None for a network without classes."""
    frames: list[Float] = field(default_factory=list)
    """The first images at moments from noise to data, scaled to their size as data."""


def planned(
    schedule: Schedule,
    *,
    sampler: str = "ddim",
    parameters: Mapping[str, Any] | None = None,
    steps: int | None = None,
    eta: float = 0.0,
    variance: str = "small",
    rule: str = "trailing",
    rule_parameters: Mapping[str, Any] | None = None,
    strength: float = 1.0,
    resamples: int = 1,
    jump: int | None = None,
) -> Plan:
    """The plan that the options describe; ValueError names the option that cannot be.

    sampler, parameters: a name of `samplers.PLANNERS` and its own parameters; rule,
    rule_parameters: of the functions of `times` likewise. strength: see `tasks.last_part`;
    resamples and jump: see `tasks.repaint`.
    """
    discrete = isinstance(schedule, DiscreteSchedule)
    if steps is None and sampler == "ddpm":
        steps = schedule.T if isinstance(schedule, DiscreteSchedule) else CONTINUOUS_STEPS
    elif steps is None:
        steps = min(STEPS, schedule.T) if isinstance(schedule, DiscreteSchedule) else STEPS
    if isinstance(schedule, DiscreteSchedule) and steps > schedule.T:
        raise ValueError(
            f"--steps must be at most {schedule.T}, the steps of the network's schedule, "
            f"got {steps}"
        )
    if rule == "leading" and not discrete:
        raise ValueError("--grid leading needs a discrete schedule; the network's is continuous")
    if sampler != "ddim" and eta:
        raise ValueError(f"--eta belongs to --sampler ddim, got {eta:g} with {sampler}")
    usual: dict[str, dict[str, Any]] = {"ddim": {"eta": eta}, "ddpm": {"variance": variance}}
    if sampler == "ddim" and eta and "eta" in (parameters or {}):
        raise ValueError(f"--eta {eta:g} and --sampler ddim:eta=... say the same thing twice")
    own = {**usual.get(sampler, {}), **(parameters or {})}
    way = last_part(visited(schedule, steps, rule, rule_parameters or {}), strength)
    longest = len(way) - 2
    if jump is not None and resamples > 1 and jump > longest:
        raise ValueError(f"--jump must be at most {longest}, with {longest + 1} steps, got {jump}")
    jump = min(jump or JUMP, longest)
    if resamples == 1 or jump < 1:
        return made(schedule, way, sampler, own)

    def planner(schedule: Schedule, times: Sequence[float]) -> Plan:
        return made(schedule, times, sampler, own)

    return repaint(schedule, planner, way, jump=jump, resamples=resamples)


def class_names(trained: Any) -> list[str]:
    """The names of the network's classes, by number; their numbers where it was given none."""
    names = [str(name) for name in trained.training.get("classes", ())]
    count = trained.unet.classes
    return names if len(names) == count else [str(k) for k in range(count)]


def chosen_labels(wanted: Sequence[str], names: Sequence[str], unet: Any) -> list[int]:
    """The labels to cycle through: those `wanted`, names or numbers, by default every class.

    Empty for a network without classes. Raises ValueError that names --class.
    """
    if not unet.classes:
        if wanted:
            raise ValueError("--class must be left out: the network was trained without classes")
        return []
    if not wanted:
        return list(range(unet.classes))
    return [_label(word, names, unet) for word in wanted]


def _label(word: str, names: Sequence[str], unet: Any) -> int:
    if word in names:
        return names.index(word)
    if word == NONE and unet.null_class:
        return int(unet.classes)
    if word.isascii() and word.isdigit() and int(word) < unet.classes:
        return int(word)
    shown = [*names[:12], *(["..."] if len(names) > 12 else [])]
    raise ValueError(
        f"--class must be one of {', '.join(shown)}, a number from 0 to {unet.classes - 1}"
        f"{', or none' if unet.null_class else ''}; got {word!r}"
    )


def draw(
    trained: Any,
    plan: Plan,
    n: int,
    *,
    seed: int = 0,
    labels: Sequence[int] = (),
    batch: int = 64,
    threshold: Threshold | None = THRESHOLDS["clip"],
    film: int = 0,
    given: Given = NOTHING,
    progress: bool = True,
) -> Drawn:
    """n images by `plan`, classes taken in turn from `labels`; the way to the first `film`."""
    unet = trained.unet
    each = np.array([labels[i % len(labels)] for i in range(n)]) if labels else None
    source = noise.portable(seed)
    x: Float = np.zeros((n, unet.channels, unet.image_size, unet.image_size), np.float32)
    x = given.start(trained.schedule, plan, source(x, 0))
    seen = _moments(len(plan.stages)) if film else set()
    frames = [_as_data(trained.schedule, plan.stages[0].time, x[:film])] if film else []
    bar = optional("tqdm", "train").tqdm(
        total=plan.evaluations * -(-n // batch),
        desc=f"sampling {n}",
        unit="batch",
        disable=None if progress else True,
        leave=False,
    )
    with bar:
        denoise = _in_batches(trained, each, given, threshold, batch, n, bar)
        denoise = given.held(denoise, trained.schedule, plan, source)
        for done in iterate(denoise, plan, x, source):
            x = done.x
            if done.index in seen:
                frames.append(_as_data(trained.schedule, done.stage.time_next, x[:film]))
    return Drawn(images=x, labels=each, frames=frames)


def filmed(n: int, labels: Sequence[int]) -> int:
    """How many of n images to show the way of: a whole number of turns through `labels`."""
    few, turn = min(n, FILMED), max(len(labels), 1)
    return few - few % turn if turn <= few else few


def arranged(images: npt.NDArray[Any], labels: Labels | None) -> Picture:
    """Images as one picture: a row for each class where all have as many, `ROW` at most.

    Else, and for one class, the squarest grid.
    """
    if labels is None:
        return grid(images)
    kinds, counts = np.unique(labels, return_counts=True)
    if len(kinds) == 1 or len(set(counts)) > 1 or counts[0] > ROW:
        return grid(images)
    return grid(images[np.argsort(labels, kind="stable")], columns=int(counts[0]))


def _in_batches(
    trained: Any,
    labels: Labels | None,
    given: Given,
    threshold: Threshold | None,
    batch: int,
    n: int,
    bar: Any,
) -> Denoise:
    """The network's denoiser for host arrays of n images, `batch` of them at a time."""

    def of(part: slice) -> Denoise:
        own = None if labels is None else labels[part]
        condition = given.condition
        if condition is not None:
            turn = np.arange(part.start, part.stop) % len(condition)
            condition = condition[turn]
        if given.guide is not None:
            return given.guide.denoiser(trained, own, condition, threshold)
        return trained.denoise(own, condition=condition, threshold=threshold)  # type: ignore[no-any-return]

    denoisers = [(part, of(part)) for part in batches(n, batch)]

    def denoise(x: Float, t: float, /) -> Any:
        joined = evaluated(trained, denoisers, x, t, bar)
        return Denoised(*joined) if len(joined) == 2 else joined[0]

    return denoise


def _moments(stages: int) -> set[int]:
    """The stages after which to look: FRAMES at most with the start, the last among them."""
    return {round(i) - 1 for i in np.linspace(0, stages, min(stages + 1, FRAMES))[1:]}


def _as_data(schedule: Schedule, time: float, x: Float) -> Float:
    """x_t / sqrt(alpha^2 + sigma^2): of one size from noise to data, whatever the schedule."""
    alpha, sigma = schedule(time)
    return np.asarray(x / math.hypot(alpha, sigma), np.float32)
