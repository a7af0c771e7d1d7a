"""The sections of a recipe: data, loss, training, evaluation.

Each is a table of the file. A value out of its range raises ValueError that names its key, as
`training.lr`.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from .. import samplers
from ..plan import Plan
from ..schedules import ContinuousSchedule, DiscreteSchedule
from ..times import trailing
from .images import Images
from .settings import require


@dataclass(frozen=True, kw_only=True)
class Data:
    """[data]: the images, as `training.data.load_train_and_held_out` takes them."""

    source: str = ""
    """"digits", a folder, a .parquet or .npz file, or hf:NAME; empty where the user must say."""
    size: int = 32
    """Side of the images in pixels."""
    channels: int = 3
    """1 for grey, 3 for RGB."""
    fit: Literal["exact", "resize", "pad"] = "exact"
    """How an image of another size is made to fit."""
    held_out: float | int = 0.1
    """Share, or number, of the images kept out of training to measure the loss on."""
    held_out_source: str = ""
    """A source of its own for those images, in place of `held_out`."""
    labels: bool = True
    """Whether the network learns the images' labels, where there are any."""
    flips: bool = False
    """Whether half of the images are mirrored, left to right."""
    condition_size: int = 0
    """Side that the network is shown each image at, beside x_t, to learn super-resolution (SR3); 0
    for no condition."""
    image_column: str = ""
    """The column of a table that holds the images; empty to find it."""
    label_column: str = ""
    """The column of a table that holds the labels; empty to find it."""
    subset: str = ""
    """The configuration of a Hugging Face data set."""

    def __post_init__(self) -> None:
        share = isinstance(self.held_out, float)
        _check(
            self,
            "data",
            size=(self.size >= 1, "be positive"),
            channels=(self.channels in (1, 3), "be 1 or 3"),
            condition_size=(
                self.condition_size == 0
                or (0 < self.condition_size < self.size and self.size % self.condition_size == 0),
                f"be 0 or a side that divides data.size = {self.size} and is below it",
            ),
            held_out=(
                0.0 < self.held_out < 1.0 if share else self.held_out >= 1,
                "be a share in (0, 1) or a number of images",
            ),
        )

    def load(self) -> tuple[Images, Images]:
        """(training images, held-out images); ValueError that names what cannot be used."""
        from .data import load_train_and_held_out

        if not self.source:
            raise ValueError(
                "data.source is empty: this recipe needs to be told where its images are "
                "(--data PATH, or --set data.source=PATH)"
            )
        options = asdict(self)
        options = {k: v for k, v in options.items() if k not in ("flips", "condition_size")}
        return load_train_and_held_out(options.pop("source"), **options)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """[loss]: what is minimised, by `diffcore.losses`."""

    objective: Literal["simple", "mu", "hybrid"] = "simple"
    """The weighted squared error, the posterior mean's KL, or the former plus a learned variance's
    bound."""
    weighting: str | dict[str, Any] = "constant"
    """The weight of a time's squared error: a name, or a table of kind and parameters."""
    variance: Literal["small", "large"] = "small"
    """The fixed posterior variance of objective "mu": the posterior's, or beta_t."""
    vlb_weight: float = 0.001
    """The weight of the bound in objective "hybrid"."""

    def __post_init__(self) -> None:
        _check(self, "loss", vlb_weight=(self.vlb_weight > 0.0, "be positive"))


@dataclass(frozen=True, kw_only=True)
class Training:
    """[training]: the optimizer, AdamW, and what goes with it."""

    steps: int = 100_000
    """Number of updates."""
    batch: int = 128
    """Images per update."""
    accumulate: int = 1
    """Number of equal parts of a batch whose gradients are added up, to save memory."""
    lr: float = 2e-4
    """Learning rate after the warm-up."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates of the gradient's first and second moments."""
    weight_decay: float = 0.0
    """AdamW's weight decay."""
    warmup: int = 0
    """Number of updates over which the learning rate rises linearly."""
    decay: Literal["constant", "cosine"] = "constant"
    """What the learning rate does after the warm-up; "cosine" falls to 0 at the last update."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 to leave gradients as they are."""
    ema: float = 0.999
    """Decay of the moving average of the weights."""
    label_dropout: float = 0.1
    """Probability that an image's label is withheld, for classifier-free guidance."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the network's arithmetic; "auto" is bfloat16 on CUDA, else float32."""
    compile: bool = False
    """Whether the backend compiles the network."""

    def __post_init__(self) -> None:
        _check(
            self,
            "training",
            steps=(self.steps >= 1, "be positive"),
            batch=(self.batch >= 1, "be positive"),
            accumulate=(
                self.accumulate >= 1 and self.batch % self.accumulate == 0,
                f"divide training.batch = {self.batch}",
            ),
            lr=(self.lr > 0.0, "be positive"),
            betas=(all(0.0 <= b < 1.0 for b in self.betas), "be in [0, 1)"),
            weight_decay=(self.weight_decay >= 0.0, "be at least 0"),
            warmup=(self.warmup >= 0, "be at least 0"),
            clip=(self.clip >= 0.0, "be at least 0"),
            ema=(0.0 <= self.ema < 1.0, "be in [0, 1)"),
            label_dropout=(0.0 <= self.label_dropout <= 1.0, "be in [0, 1]"),
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """[evaluation]: what a run measures, shows and saves; "every" counts updates, 0 is never."""

    log_every: int = 50
    """How often the training loss is logged."""
    loss_every: int = 1000
    """How often the held-out loss is measured, at fixed times and noise."""
    loss_images: int = 512
    """Number of held-out images at most that it is measured on."""
    samples_every: int = 5000
    """How often a grid of samples is drawn."""
    samples: int = 64
    """Number of samples in it."""
    sampler: str = "ddim"
    """The sampler, by its name in `diffcore.samplers`."""
    steps: int = 50
    """Number of its steps."""
    eta: float = 0.0
    """DDIM's share of fresh noise: 0 for none, 1 for DDPM's."""
    checkpoint_every: int = 5000
    """How often the run is saved; it is at its end in any case."""
    tensorboard: bool = True
    """Whether to log for TensorBoard too, where that is installed."""

    def __post_init__(self) -> None:
        known = tuple(samplers.PLANNERS)
        _check(
            self,
            "evaluation",
            log_every=(self.log_every >= 1, "be positive"),
            loss_every=(self.loss_every >= 0, "be at least 0"),
            loss_images=(self.loss_images >= 1, "be positive"),
            samples_every=(self.samples_every >= 0, "be at least 0"),
            samples=(self.samples >= 1, "be positive"),
            sampler=(self.sampler in known, f"be one of {', '.join(known)}"),
            steps=(self.steps >= 1, "be positive"),
            eta=(self.eta >= 0.0, "be at least 0"),
            checkpoint_every=(self.checkpoint_every >= 0, "be at least 0"),
        )

    def plan(self, schedule: DiscreteSchedule | ContinuousSchedule, learned_variance: bool) -> Plan:
        """The sampler's plan over `steps` times. Raises where it does not go with the schedule."""
        parameters: dict[str, Any] = {}
        if self.sampler == "ddim":
            parameters["eta"] = self.eta
        elif self.sampler == "ddpm":
            parameters["variance"] = "learned" if learned_variance else "small"
        return samplers.PLANNERS[self.sampler](
            schedule, trailing(schedule, self.steps), **parameters
        )


def _check(section: Any, name: str, **rules: tuple[bool, str]) -> None:
    for key, (good, wanted) in rules.items():
        require(good, f"{name}.{key}", wanted, getattr(section, key))
