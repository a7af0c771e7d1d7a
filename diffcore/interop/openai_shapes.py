"""What the names and shapes of a state dict of improved-diffusion's UNet show of the network.

Blocks are numbered: input_blocks.N.M, output_blocks.N.M, with M = 0 a residual block (or, going
down, a convolution `op`), then attention, then, going up, the way to the next level.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy.typing as npt

State = Mapping[str, npt.NDArray[Any]]


def blocks_and_widths(state: State) -> tuple[int, list[int], list[bool]]:
    """(residual blocks per level, channels of each level, whether it has attention).

    Raises ValueError where the names are not those of such a network.
    """
    for name in ("time_embed.0.weight", "input_blocks.0.0.weight", "out.2.weight"):
        if name not in state:
            raise ValueError(f"tensor {name!r} is missing: not a state dict of such a UNet")
    down, up = _numbers(state, "input_blocks"), _numbers(state, "output_blocks")
    levels = 1 + sum(_goes_up(state, n) for n in range(up))
    blocks, left = divmod(down - levels, levels)
    if left or blocks < 1 or up != levels * (blocks + 1):
        raise ValueError(
            f"{down} input blocks and {up} output blocks are not those of {levels} levels"
        )
    starts = [1 + level * (blocks + 1) for level in range(levels)]
    for start in starts:
        if f"input_blocks.{start}.0.out_layers.3.weight" not in state:
            raise ValueError(f"tensor 'input_blocks.{start}.0.out_layers.3.weight' is missing")
    widths = [len(state[f"input_blocks.{start}.0.out_layers.3.weight"]) for start in starts]
    return blocks, widths, [f"input_blocks.{start}.1.norm.weight" in state for start in starts]


def resampling(state: State) -> Literal["convolution", "residual"]:
    """Whether residual blocks resample (guided-diffusion's `resblock_updown`)."""
    up = _numbers(state, "output_blocks")
    between = any(
        f"output_blocks.{n}.{m}.in_layers.0.weight" in state for n in range(up) for m in (1, 2)
    )
    return "residual" if between else "convolution"


def _numbers(state: State, group: str) -> int:
    """How many blocks the group has. Pooling without weights leaves a gap in their numbers."""
    numbers = set()
    for name in state:
        if name.startswith(f"{group}."):
            number = name.split(".")[1]
            if not number.isdecimal():
                raise ValueError(f"tensor {name!r} is not one of such a UNet's")
            numbers.add(int(number))
    if numbers != set(range(len(numbers))):
        gap = min(set(range(len(numbers))) - numbers)
        raise ValueError(
            f"{group}.{gap} has no weights: conv_resample = False, pooling in place of "
            "convolutions, is not supported"
        )
    return len(numbers)


def _goes_up(state: State, n: int) -> bool:
    return any(
        f"output_blocks.{n}.{m}.{weight}" in state
        for m in (1, 2)
        for weight in ("conv.weight", "in_layers.0.weight")
    )
