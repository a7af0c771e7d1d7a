"""The UNet of improved-diffusion and guided-diffusion and ours, each from the other.

    down.3, middle.1, up.7     input_blocks.4.0, middle_block.2, output_blocks.6.0 (by the skips)
    qkv                        per head its q, k and v (ours: every head's q, then k, then v)

(Nichol & Dhariwal 2021; Dhariwal & Nichol 2021.) Their networks have 32 groups, an epsilon of 1e-5,
cosines before sines with no frequency shift, and one row of padding on every side. What a state
dict does not show, the number of heads and the side of the images, is the caller's to say.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..unet import Residual, UNetConfig, layout
from .openai_shapes import blocks_and_widths, resampling
from .weights import Layers, Weights, host, ours, theirs

AttentionOrder = Literal["heads", "projections"]
"""How the rows of qkv are ordered: "heads" first everywhere, but for guided-diffusion's
`use_new_attention_order`, which has "projections" first, as ours."""

FIXED: Mapping[str, Any] = {
    "groups": 32,
    "norm_eps": 1e-5,
    "embedding_order": "cos-sin",
    "frequency_shift": 0,
    "max_period": 10_000.0,
    "downsample_padding": "symmetric",
    "middle_attention": True,
}
RESIDUAL = {
    "norm_1": "in_layers.0",
    "conv_1": "in_layers.2",
    "embedding": "emb_layers.1",
    "norm_2": "out_layers.0",
    "conv_2": "out_layers.3",
    "shortcut": "skip_connection",
}
ATTENTION = {"norm": "norm", "qkv": "qkv", "out": "proj_out"}


def from_openai_unet(
    state: Mapping[str, Any],
    *,
    image_size: int,
    heads: int | None = None,
    head_width: int | None = None,
    dropout: float = 0.0,
    condition_channels: int | None = None,
    null_class: bool = False,
    attention_order: AttentionOrder = "heads",
) -> tuple[UNetConfig, Weights]:
    """(config, weights) of improved-diffusion's `UNetModel`, or guided-diffusion's.

    state: its state dict, arrays of any library. image_size: the side of its images. heads or
    head_width: the number of attention heads (`num_heads`) or the channels of each
    (`num_head_channels`), the same up as down. condition_channels: how many of the input's channels
    are a conditioning image, behind x_t, as in the super-resolution models; by default what the
    input has more than the output. null_class: whether the last label means "no label".

    weights: NumPy float32 arrays by the names of `diffcore.unet.parameters`. The network is the
    same function of the state and of the time that it is told, which is the step 0 .. T - 1 there
    (times 1000 / T with `rescale_timesteps`): see `shifted_times`.

    Raises TypeError for a state that is no mapping, and ValueError that names the tensor that is
    missing, of another shape, or left over, and what else `UNetConfig` lacks.
    """
    _require_order(attention_order)
    if (heads is None) == (head_width is None):
        raise ValueError(f"heads or head_width must be given, got {heads} and {head_width}")
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a state dict, got {type(state).__name__}")
    state = {name: host(name, tensor) for name, tensor in state.items()}
    blocks, widths, attends = blocks_and_widths(state)
    width = state["time_embed.0.weight"].shape[1]
    entering, leaving = state["input_blocks.0.0.weight"].shape[1], len(state["out.2.weight"])
    condition = max(entering - leaving, 0) if condition_channels is None else condition_channels
    channels = entering - condition
    if leaving not in (channels, 2 * channels):
        raise ValueError(
            f"condition_channels must leave {leaving} or half as many of the input's {entering} "
            f"channels, got {condition}"
        )
    classes = len(state.get("label_emb.weight", ()))
    embedding = state["input_blocks.1.0.emb_layers.1.weight"]
    config = UNetConfig(
        image_size=image_size,
        channels=channels,
        condition_channels=condition,
        learned_variance=leaving == 2 * channels,
        classes=classes - (null_class and classes > 0),
        null_class=null_class,
        width=width,
        multipliers=tuple(w // width if w % width == 0 else w / width for w in widths),
        blocks=blocks,
        attention=tuple(image_size >> k for k, attended in enumerate(attends) if attended),
        heads=1 if heads is None else heads,
        head_width=head_width,
        dropout=dropout,
        scale_shift=len(embedding) == 2 * widths[0],
        resample=resampling(state),
        **FIXED,
    )
    made = ours(config, state, layers(config))
    for name, count in _projections(config):
        made[name] = _reordered(made[name], count, attention_order, to_ours=True)
    return config, made


def to_openai_unet(
    config: UNetConfig, weights: Mapping[str, Any], *, attention_order: AttentionOrder = "heads"
) -> Weights:
    """The state dict of improved-diffusion's `UNetModel` for the network of `config`.

    Networks with `resample="residual"` or a first multiplier other than 1 are guided-diffusion's.
    NumPy float32 arrays. Raises ValueError that names the field of `config` that theirs have no
    option for, or the weight that does not fit.
    """
    _require_order(attention_order)
    for name, value in FIXED.items():
        if getattr(config, name) != value:
            raise ValueError(f"{name} must be {value!r} there, got {getattr(config, name)!r}")
    state = theirs(config, weights, layers(config))
    for (name, count), its in zip(_projections(config), _theirs(config, "qkv"), strict=True):
        kind = name.rpartition(".")[2]
        state[f"{its}.{kind}"] = _reordered(
            state[f"{its}.{kind}"], count, attention_order, to_ours=False
        )
    for its in (*_theirs(config, "qkv"), *_theirs(config, "out")):
        if state[f"{its}.weight"].ndim == 2:  # Theirs are convolutions over a sequence.
            state[f"{its}.weight"] = state[f"{its}.weight"][:, :, None]
    return state


def layers(config: UNetConfig) -> Layers:
    """Their layer that is each layer of ours."""
    made = {
        "time_1": "time_embed.0",
        "time_2": "time_embed.2",
        "labels": "label_emb",
        "input": "input_blocks.0.0",
        "norm": "out.0",
        "output": "out.2",
    }
    for name, block, attention in _places(config):
        made |= {f"{name}.{part}": f"{block}.{its}" for part, its in RESIDUAL.items()}
        made |= {f"{name}.attention.{part}": f"{attention}.{i}" for part, i in ATTENTION.items()}
        made[f"{name}.conv"] = f"{block}.{'op' if name.startswith('down') else 'conv'}"
    return {name: (its,) for name, its in made.items()}


def _places(config: UNetConfig) -> Iterator[tuple[str, str, str]]:
    """(our block, their residual block or resampling, their attention)."""
    blocks = layout(config)
    for i, down in enumerate(blocks.down):
        yield down.name, f"input_blocks.{i + 1}.0", f"input_blocks.{i + 1}.1"
    first, second = blocks.middle
    yield first.name, "middle_block.0", "middle_block.1"
    yield second.name, "middle_block.2", ""
    index, last = -1, 0
    for up in blocks.up:
        if up.resample:
            yield up.name, f"output_blocks.{index}.{last + 1}", ""
        else:
            index, last = index + 1, 1 if isinstance(up, Residual) and up.heads else 0
            yield up.name, f"output_blocks.{index}.0", f"output_blocks.{index}.1"


def _attentive(config: UNetConfig) -> list[Residual]:
    return [b for b in layout(config) if isinstance(b, Residual) and b.heads]


def _projections(config: UNetConfig) -> list[tuple[str, int]]:
    """(weight or bias of qkv, number of heads), wherever there is attention."""
    return [
        (f"{block.name}.attention.qkv.{kind}", block.heads)
        for block in _attentive(config)
        for kind in ("weight", "bias")
    ]


def _theirs(config: UNetConfig, part: str) -> list[str]:
    """Their layer of that part of attention, once for its weight and once for its bias."""
    names = layers(config)
    return [names[f"{b.name}.attention.{part}"][0] for b in _attentive(config) for _ in range(2)]


def _reordered(
    rows: npt.NDArray[np.float32], heads: int, order: AttentionOrder, *, to_ours: bool
) -> npt.NDArray[np.float32]:
    """The rows of qkv between (projection, head, channel), which is ours, and their order."""
    if order == "projections":
        return rows
    split = (heads, 3) if to_ours else (3, heads)
    parts = rows.reshape(*split, -1, *rows.shape[1:])
    return np.ascontiguousarray(parts.swapaxes(0, 1)).reshape(rows.shape)


def _require_order(order: str) -> None:
    if order not in ("heads", "projections"):
        raise ValueError(f"attention_order must be 'heads' or 'projections', got {order!r}")
