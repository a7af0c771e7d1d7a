"""The blocks of the UNet in the order they run, so that no backend derives them again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .config import UNetConfig


@dataclass(frozen=True, kw_only=True)
class Residual:
    """A residual block, followed by self-attention if `heads` is not 0."""

    name: str
    """Prefix of its parameters' names, such as "down.3"."""
    in_channels: int
    """Channels of the state that enters."""
    skip_channels: int = 0
    """Channels of the skip concatenated behind the state; 0 if the block takes none."""
    out_channels: int
    side: int
    """Side of the state that enters, at the configured image size."""
    resample: Literal["down", "up"] | None = None
    heads: int = 0


@dataclass(frozen=True, kw_only=True)
class Resample:
    """A convolution that halves or doubles the side."""

    name: str
    """Prefix of its parameters' names, such as "down.2"."""
    channels: int
    side: int
    """Side of the state that enters, at the configured image size."""
    resample: Literal["down", "up"]


Block: TypeAlias = Residual | Resample


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The whole network between the input convolution and the output's normalisation.

    The input convolution's output is a skip, and so is that of every `down` block. Each `up` block
    with `skip_channels` takes the latest skip not yet taken; none is left at the end.
    """

    down: tuple[Block, ...]
    middle: tuple[Residual, Residual]
    up: tuple[Block, ...]

    def __iter__(self) -> Iterator[Block]:
        """Every block, in the order they run."""
        yield from (*self.down, *self.middle, *self.up)


def layout(config: UNetConfig) -> Layout:
    """The blocks of the network that `config` describes."""
    levels = [
        (width, side, config.heads_at(width) if side in config.attention else 0)
        for width, side in zip(config.widths, config.sides, strict=True)
    ]
    down: list[Block] = []
    up: list[Block] = []
    state = config.widths[0]
    skips = [state]
    for level, (width, side, heads) in enumerate(levels):
        for _ in range(config.blocks):
            name = f"down.{len(down)}"
            down.append(
                Residual(name=name, in_channels=state, out_channels=width, side=side, heads=heads)
            )
            state = width
            skips.append(state)
        if level < len(levels) - 1:
            down.append(_between(config, f"down.{len(down)}", state, side, "down"))
            skips.append(state)

    width, side, _ = levels[-1]
    heads = config.heads_at(width) if config.middle_attention else 0
    first = Residual(name="middle.0", in_channels=width, out_channels=width, side=side, heads=heads)
    second = Residual(name="middle.1", in_channels=width, out_channels=width, side=side)

    for level, (width, side, heads) in reversed(list(enumerate(levels))):
        for _ in range(config.blocks + 1):
            up.append(
                Residual(
                    name=f"up.{len(up)}",
                    in_channels=state,
                    skip_channels=skips.pop(),
                    out_channels=width,
                    side=side,
                    heads=heads,
                )
            )
            state = width
        if level > 0:
            up.append(_between(config, f"up.{len(up)}", state, side, "up"))
    return Layout(down=tuple(down), middle=(first, second), up=tuple(up))


def _between(
    config: UNetConfig, name: str, channels: int, side: int, way: Literal["down", "up"]
) -> Block:
    if config.resample == "convolution":
        return Resample(name=name, channels=channels, side=side, resample=way)
    return Residual(name=name, in_channels=channels, out_channels=channels, side=side, resample=way)
