"""What there is to choose about the UNet of DDPM."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A UNet. The defaults are the network of DDPM for CIFAR-10 (35.7 M parameters).

    Lists become tuples. A value of another type raises TypeError, one out of range ValueError,
    each with the name of the field.
    """

    image_size: int = 32
    """Side of the images. The network takes any sides that 2^(levels - 1) divides."""
    channels: int = 3
    """Channels of x_t, and of the output unless `learned_variance` doubles them."""
    condition_channels: int = 0
    """Channels of a conditioning image, concatenated behind x_t (SR3, inpainting)."""
    learned_variance: bool = False
    """Whether the output's second half is the variance fraction of Improved DDPM."""
    classes: int = 0
    """Number of class labels, 0 .. classes - 1; 0 for a network without labels."""
    null_class: bool = True
    """Whether label `classes` stands for "no label" (classifier-free guidance)."""
    width: int = 128
    """Length of the sinusoid, and channels of a level whose multiplier is 1."""
    multipliers: tuple[float, ...] = (1, 2, 2, 2)
    """Channels of each level, from the finest, in units of `width`."""
    blocks: int = 2
    """Residual blocks per level on the way down; one more on the way up."""
    attention: tuple[int, ...] = (16,)
    """Sides of the levels whose residual blocks are each followed by self-attention."""
    middle_attention: bool = True
    """Whether there is self-attention between the two middle blocks."""
    heads: int = 1
    """Attention heads, at every level."""
    head_width: int | None = None
    """Channels per head; sets the number of heads in place of `heads`."""
    groups: int = 32
    """Groups of every GroupNorm."""
    norm_eps: float = 1e-6
    """What GroupNorm adds to the variance."""
    dropout: float = 0.0
    """Probability in training that a value before conv_2 is dropped."""
    scale_shift: bool = False
    """Whether the embedding scales and shifts norm_2's output, or else adds to its input."""
    resample: Literal["convolution", "residual"] = "convolution"
    """Between levels: a convolution, or a residual block that resamples (BigGAN)."""
    downsample_padding: Literal["asymmetric", "symmetric"] = "asymmetric"
    """Padding of the strided convolution."""
    embedding_order: Literal["sin-cos", "cos-sin"] = "sin-cos"
    """Which half of the sinusoid comes first."""
    frequency_shift: int = 1
    """1 if the lowest frequency is exactly 1 / `max_period`, 0 if it stops one short."""
    max_period: float = 10_000.0
    """Longest period of the sinusoid, divided by 2 pi."""

    def __post_init__(self) -> None:
        for name in ("multipliers", "attention"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_types(self)
        _check_values(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, from the finest."""
        return tuple(round(self.width * m) for m in self.multipliers)

    @property
    def sides(self) -> tuple[int, ...]:
        """Side of the state at each level, from the finest."""
        return tuple(self.image_size >> level for level in range(len(self.multipliers)))

    @property
    def stride(self) -> int:
        """What must divide the sides of an image: 2^(levels - 1)."""
        return 1 << (len(self.multipliers) - 1)

    @property
    def in_channels(self) -> int:
        """Channels of the input convolution's input."""
        return self.channels + self.condition_channels

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return 2 * self.channels if self.learned_variance else self.channels

    @property
    def embedding_width(self) -> int:
        """Length of the time and label embedding."""
        return 4 * self.width

    @property
    def label_rows(self) -> int:
        """Rows of the label table: the classes, then the null class; 0 without labels."""
        return self.classes + self.null_class if self.classes else 0

    def heads_at(self, channels: int) -> int:
        """Attention heads of a state with so many channels."""
        return channels // self.head_width if self.head_width else self.heads

    def to_dict(self) -> dict[str, Any]:
        """Every field but those that are None, tuples as lists: what JSON and TOML can hold."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in values.items() if v is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "UNetConfig":
        """The inverse of `to_dict`. Fields left out take their defaults, unknown ones raise."""
        known = [field.name for field in fields(cls)]
        if unknown := [key for key in values if key not in known]:
            raise ValueError(
                f"UNetConfig has no field {', '.join(map(repr, unknown))}; "
                f"its fields are {', '.join(known)}"
            )
        return cls(**values)


_LEAST = {
    "image_size": 1,
    "channels": 1,
    "condition_channels": 0,
    "classes": 0,
    "width": 2,
    "blocks": 1,
    "heads": 1,
    "head_width": 1,
    "groups": 1,
    "frequency_shift": 0,
}
_CHOICES = {
    "resample": ("convolution", "residual"),
    "downsample_padding": ("asymmetric", "symmetric"),
    "embedding_order": ("sin-cos", "cos-sin"),
}


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _check_types(config: UNetConfig) -> None:
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        if name == "multipliers":
            good = isinstance(value, tuple) and all(map(_is_number, value))
            wanted = "a list of numbers"
        elif name == "attention":
            good = isinstance(value, tuple) and all(map(_is_integer, value))
            wanted = "a list of integers"
        elif name in _LEAST:
            good = _is_integer(value) or (name == "head_width" and value is None)
            wanted = "an integer"
        elif name in _CHOICES:
            good, wanted = isinstance(value, str), "a string"
        elif isinstance(field.default, bool):
            good, wanted = isinstance(value, bool), "true or false"
        else:
            good, wanted = _is_number(value), "a finite number"
        if not good:
            raise TypeError(f"{name} must be {wanted}, got {value!r}")


def _check_values(config: UNetConfig) -> None:
    def require(good: bool, name: str, wanted: str) -> None:
        if not good:
            raise ValueError(f"{name} must {wanted}, got {getattr(config, name)!r}")

    for name, least in _LEAST.items():
        value = getattr(config, name)
        require(value is None or value >= least, name, f"be at least {least}")
    for name, choices in _CHOICES.items():
        require(getattr(config, name) in choices, name, f"be one of {', '.join(choices)}")
    require(config.norm_eps > 0.0, "norm_eps", "be positive")
    require(0.0 <= config.dropout < 1.0, "dropout", "be at least 0 and less than 1")
    require(config.max_period > 1.0, "max_period", "be greater than 1")
    require(config.width % 2 == 0, "width", "be even")
    half = config.width // 2
    require(config.frequency_shift < half, "frequency_shift", f"be less than width / 2 = {half}")
    require(len(config.multipliers) > 0, "multipliers", "hold one number per level")
    exact = (config.width * m for m in config.multipliers)
    require(
        all(w >= 1 and w == round(w) for w in exact),
        "multipliers",
        f"each give a whole, positive number of channels times width = {config.width}",
    )
    require(
        config.image_size % config.stride == 0,
        "image_size",
        f"be divisible by {config.stride} for {len(config.multipliers)} levels",
    )
    require(
        set(config.attention) <= set(config.sides),
        "attention",
        f"hold sides of the levels, which are {', '.join(map(str, config.sides))}",
    )
    require(
        config.head_width is None or config.heads == 1,
        "heads",
        "be left out where head_width is given",
    )
    for level, (width, side) in enumerate(zip(config.widths, config.sides, strict=True)):
        channels = f"divide the {width} channels of level {level}"
        require(width % config.groups == 0, "groups", channels)
        last = level == len(config.widths) - 1
        if side in config.attention or (last and config.middle_attention):
            name = "heads" if config.head_width is None else "head_width"
            require(width % getattr(config, name) == 0, name, channels)
