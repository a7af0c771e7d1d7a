"""A recipe: everything that decides a training run, as a TOML file of one table a section.

    seed = 0
    [data]      source = "digits" ...
    [training]  steps = 2500 ...

What a file leaves out takes the default given here. A run keeps its recipe with every value written
out, so that later defaults do not change it.
"""

import difflib
import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .. import predictions, schedules
from .._optional import optional
from ..losses import CONSTANT, Weighting, weighting_from_config
from ..predictions import Prediction
from ..schedules import ContinuousSchedule, DiscreteSchedule
from ..unet import UNetConfig
from .images import Images
from .sections import Data, Evaluation, Loss, Training
from .settings import built, override, parse, require, unknown

__all__ = ["Data", "Evaluation", "Loss", "Recipe", "Training", "keys", "load", "names"]

PER_DATA = ("image_size", "channels", "classes", "condition_channels", "learned_variance")
"""Fields of UNetConfig that follow from the data and the objective, and are no keys of a recipe."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run. Raises ValueError that names the key, as `training.lr`, of a bad value."""

    name: str = "recipe"
    """What the run is called."""
    seed: int = 0
    """Decides all that is random: 0 .. 2^62."""
    data: Data = field(default_factory=Data)
    """The images."""
    unet: dict[str, Any] = field(default_factory=dict)
    """Fields of `UNetConfig`, but for those that follow from the rest of the recipe."""
    schedule: dict[str, Any] = field(default_factory=lambda: {"kind": "linear"})
    """`kind`, a function of `diffcore.schedules`, and its parameters."""
    predicts: str | dict[str, Any] = "eps"
    """What the network's output is: a name of `diffcore.predictions`, or a table with its kind."""
    loss: Loss = field(default_factory=Loss)
    """What is minimised."""
    training: Training = field(default_factory=Training)
    """How."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    """What is measured, shown and saved on the way."""

    def __post_init__(self) -> None:
        require(0 <= self.seed <= 2**62, "seed", "be in 0..2^62", self.seed)
        single = Path(self.name).name == self.name and self.name not in ("", ".", "..")
        require(single, "name", "be one that a folder can have", self.name)
        unet = self._unet(self.data.size, self.data.channels, 0).to_dict()
        object.__setattr__(self, "unet", {k: v for k, v in unet.items() if k not in PER_DATA})
        object.__setattr__(self, "schedule", _plain(self.make_schedule().config))
        _check_together(self)

    def unet_config(self, images: Images) -> UNetConfig:
        """The network for those images: their size and channels, and their classes if asked for."""
        channels, height, _ = images.shape
        labels = self.data.labels and images.labels is not None
        return self._unet(height, channels, len(images.classes) if labels else 0)

    def make_schedule(self) -> DiscreteSchedule | ContinuousSchedule:
        """The noise schedule."""
        return _schedule(self.schedule)

    def make_prediction(self) -> Prediction:
        """What the network predicts."""
        try:
            return predictions.from_config(self.predicts)
        except (TypeError, ValueError) as error:
            raise ValueError(f"predicts: {error}") from error

    def make_weighting(self) -> Weighting:
        """The weighting of the squared error, one of `diffcore.losses`."""
        try:
            return weighting_from_config(self.loss.weighting)
        except (TypeError, ValueError) as error:
            raise ValueError(f"loss.weighting: {error}") from error

    def to_toml(self) -> str:
        """The recipe as a file, every value written out; `load` reads it back as an equal one."""
        text: str = optional("tomli_w", "train").dumps(_plain(asdict(self)))
        return text

    def _unet(self, size: int, channels: int, classes: int) -> UNetConfig:
        if taken := [key for key in self.unet if key in PER_DATA]:
            raise ValueError(
                f"unet.{taken[0]} cannot be set: it follows from the data and loss.objective"
            )
        known = {f"unet.{f.name}" for f in fields(UNetConfig) if f.name not in PER_DATA}
        for key in self.unet:
            if f"unet.{key}" not in known:
                raise unknown(f"unet.{key}", sorted(known))
        try:
            return UNetConfig(
                **self.unet,
                image_size=size,
                channels=channels,
                classes=classes,
                condition_channels=channels if self.data.condition_size else 0,
                learned_variance=self.loss.objective == "hybrid",
            )
        except (TypeError, ValueError) as error:
            name, _, rest = str(error).partition(" ")
            where = {"image_size": "data.size", "channels": "data.channels"}
            raise ValueError(f"{where.get(name, f'unet.{name}')} {rest}") from error


def names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    return tuple(sorted(f.name[:-5] for f in _files().iterdir() if f.name.endswith(".toml")))


def load(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of the package of that name, or in that .toml file, with overrides.

    `overrides`: "KEY=VALUE" each, as "unet.width=48", the value in TOML; a word without quotes is a
    string. Raises ValueError in one line for an unknown recipe, key or value.
    """
    path = Path(name_or_path)
    if str(name_or_path) in names():
        text = (_files() / f"{name_or_path}.toml").read_text(encoding="utf-8")
    elif path.suffix == ".toml":
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not TOML: {error}") from error
    else:
        near = difflib.get_close_matches(str(name_or_path), names(), n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"recipe must be one of {', '.join(names())} or a .toml file, got "
            f"'{name_or_path}'{meant}"
        )
    recipe = from_table({"name": path.stem, **parse(text, str(name_or_path))})
    return from_table(override(asdict(recipe), overrides)) if overrides else recipe


def keys() -> list[str]:
    """Every key of a recipe, as "training.lr"; those of `schedule` are the default kind's."""
    unet = [f"unet.{f.name}" for f in fields(UNetConfig) if f.name not in PER_DATA]
    return [*_keys(Recipe), *unet, "schedule.kind", *(f"schedule.{p}" for p in _linear)]


_linear = inspect.signature(schedules.linear).parameters


def _keys(cls: Any, prefix: str = "") -> list[str]:
    found = []
    for f in fields(cls):
        nested = f.default_factory if is_dataclass(f.default_factory) else None
        found += _keys(nested, f"{f.name}.") if nested else [prefix + f.name]
    return found


def _files() -> Any:
    return resources.files(__package__) / "recipes"


def from_table(table: dict[str, Any]) -> Recipe:
    """The recipe of a table such as TOML's; what it leaves out takes its default."""
    if isinstance(table.get("schedule"), str):
        table = table | {"schedule": {"kind": table["schedule"]}}
    return built(Recipe, table, keys())


def _schedule(config: dict[str, Any]) -> DiscreteSchedule | ContinuousSchedule:
    kind = config.get("kind")
    require(
        isinstance(kind, str) and kind in schedules.KINDS,
        "schedule.kind",
        f"be one of {', '.join(schedules.KINDS)}",
        kind,
    )
    parameters = inspect.signature(schedules.KINDS[str(kind)]).parameters
    for key, value in config.items():
        if key != "kind" and key not in parameters:
            raise unknown(f"schedule.{key}", [f"schedule.{p}" for p in parameters])
        if key != "kind" and isinstance(parameters[key].default, int | float):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            require(number, f"schedule.{key}", "be a number", value)
    missing = [p for p in parameters if parameters[p].default is inspect.Parameter.empty]
    if lacking := [f"schedule.{p}" for p in missing if p not in config]:
        raise ValueError(f"{', '.join(lacking)} must be given for schedule.kind = {kind!r}")
    try:
        return schedules.from_config(config)
    except (TypeError, ValueError) as error:
        named = str(error).partition(" ")[0] in parameters
        raise ValueError(f"schedule{'.' if named else ': '}{error}") from error


def _plain(value: Any) -> Any:
    """`value` in TOML's own types."""
    if hasattr(value, "items"):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _check_together(recipe: Recipe) -> None:
    training, loss, schedule = recipe.training, recipe.loss, recipe.make_schedule()
    recipe.make_weighting()
    if isinstance(schedule, DiscreteSchedule):
        last: float = schedule.T
        steps = recipe.evaluation.steps
        require(steps <= last, "evaluation.steps", f"be at most schedule.T = {last}", steps)
    else:
        last = schedule.curve.t_max
        simple = f"be 'simple' on the continuous schedule {recipe.schedule['kind']!r}"
        require(loss.objective == "simple", "loss.objective", simple, loss.objective)
    if loss.objective == "mu" and recipe.make_weighting() != CONSTANT:
        raise ValueError(
            f"loss.weighting must be 'constant' with loss.objective = 'mu', which has weights of "
            f"its own, got {loss.weighting!r}"
        )
    try:
        recipe.evaluation.plan(schedule, loss.objective == "hybrid")
    except (TypeError, ValueError) as error:
        sampler = recipe.evaluation.sampler
        raise ValueError(f"evaluation.sampler = {sampler!r} is not for this run: {error}") from None
    _check_prediction(recipe.make_prediction(), schedule, last)
    if recipe.data.labels and not recipe.unet["null_class"]:
        wanted = "be 0 for a network without unet.null_class"
        dropout = training.label_dropout
        require(dropout == 0.0, "training.label_dropout", wanted, dropout)


def _check_prediction(
    predicts: Prediction, schedule: DiscreteSchedule | ContinuousSchedule, last: float
) -> None:
    """ValueError unless x_0 follows from the output at the time that sampling starts from."""
    x = np.zeros((1, 1))
    try:
        predicts.x_0(schedule, x, x, last)
    except ValueError as error:
        raise ValueError(
            f"predicts = {predicts.name!r} does not go with schedule: {error}"
        ) from None
