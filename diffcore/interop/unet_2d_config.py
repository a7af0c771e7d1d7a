"""`UNet2DModel`'s configuration and `UNetConfig`, each from the other.

| UNet2DModel | UNetConfig |
| --- | --- |
| sample_size, in_channels | image_size, channels, condition_channels |
| out_channels | channels, learned_variance |
| block_out_channels, layers_per_block | width, multipliers, blocks |
| down_block_types, up_block_types | attention, resample |
| downsample_type, upsample_type | resample, where a level has attention |
| attention_head_dim, add_attention | head_width, middle_attention |
| norm_num_groups, norm_eps, attn_norm_num_groups | groups, norm_eps |
| flip_sin_to_cos, freq_shift | embedding_order, frequency_shift |
| downsample_padding, resnet_time_scale_shift | downsample_padding, scale_shift |
| dropout, num_class_embeds | dropout, classes |

Everything else must have the value in `unet_2d_options.FIXED`; a key left out has diffusers'
default.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..unet import UNetConfig
from .families import unsupported
from .unet_2d_options import DEFAULTS, FIXED, KINDS, RESAMPLE, WIDTH

CLASS = "UNet2DModel"


def unet_config(
    source: Mapping[str, Any],
    *,
    image_size: int | None = None,
    condition_channels: int | None = None,
    null_class: bool = False,
) -> UNetConfig:
    """The `UNetConfig` of the network that a `UNet2DModel`'s configuration describes.

    image_size: the side of the images where `sample_size` does not say it. condition_channels: how
    many of the last `in_channels` are a conditioning image; by default what `in_channels` has more
    than `out_channels`. null_class: whether the last class label means "no label".

    Raises ValueError that names the option and its value where `UNetConfig` has none like it.
    """
    if source.get("_class_name", CLASS) != CLASS:
        raise unsupported(source, "_class_name", repr(CLASS))
    for key, values in FIXED.items():
        if key in source and source[key] not in values:
            raise unsupported(source, key, ", ".join(map(repr, values)))
    if unknown := [
        k for k in source if not k.startswith("_") and k not in {*DEFAULTS, *FIXED, WIDTH}
    ]:
        raise unsupported(source, unknown[0])
    config = {**DEFAULTS, **source}
    widths = tuple(config["block_out_channels"])
    if source.get(WIDTH) not in (None, 4 * widths[0]):
        raise unsupported(source, WIDTH, f"{4 * widths[0]}, four times the first level's channels")
    side = _side(config, image_size)
    attends, resample = _levels(config, len(widths))
    channels, condition, learned = _channels(config, condition_channels)
    classes = config["num_class_embeds"] or 0
    shift = config["resnet_time_scale_shift"]
    if shift not in ("default", "scale_shift"):
        raise unsupported(config, "resnet_time_scale_shift", "'default', 'scale_shift'")
    _require_middle_norm(config)
    if config["downsample_padding"] not in (0, 1):
        raise unsupported(config, "downsample_padding", "0, 1")
    heads = config["attention_head_dim"]
    return UNetConfig(
        image_size=side,
        channels=channels,
        condition_channels=condition,
        learned_variance=learned,
        classes=classes - (null_class and classes > 0),
        null_class=null_class,
        width=widths[0],
        multipliers=tuple(w // widths[0] if w % widths[0] == 0 else w / widths[0] for w in widths),
        blocks=config["layers_per_block"],
        attention=tuple(side >> k for k, attended in enumerate(attends) if attended),
        middle_attention=config["add_attention"],
        head_width=heads if any(attends) or config["add_attention"] else None,
        groups=config["norm_num_groups"],
        norm_eps=config["norm_eps"],
        dropout=config["dropout"],
        scale_shift=shift == "scale_shift",
        resample=resample,
        downsample_padding="symmetric" if config["downsample_padding"] else "asymmetric",
        embedding_order="cos-sin" if config["flip_sin_to_cos"] else "sin-cos",
        frequency_shift=config["freq_shift"],
    )


def unet_2d_config(config: UNetConfig) -> dict[str, Any]:
    """The configuration of the `UNet2DModel` that is the network of `config`.

    Raises ValueError that names the field which `UNet2DModel` has no option for.
    """
    if config.multipliers[0] != 1:
        raise _field(
            config, "multipliers", "the first must be 1: it sets the sinusoid's length too"
        )
    if config.max_period != 10_000.0:
        raise _field(config, "max_period", "it must be 10000")
    head_widths = {w // config.heads_at(w) for w in _attended(config)}
    if len(head_widths) > 1 and config.heads > 1:
        raise _field(config, "heads", "heads must be of one width at every level, as by head_width")
    kind = {"convolution": "conv", "residual": "resnet"}[config.resample]
    plain = {"convolution": "{}Block2D", "residual": "Resnet{}sampleBlock2D"}[config.resample]

    def blocks(way: str) -> list[str]:
        return [
            ("Attn{}Block2D" if s in config.attention else plain).format(way) for s in config.sides
        ]

    return {
        "_class_name": CLASS,
        "act_fn": "silu",
        "add_attention": config.middle_attention,
        "attention_head_dim": None
        if config.heads == 1 and not config.head_width
        else (head_widths or {8}).pop(),
        # Left out, the middle attention of a scale-shift network has no norm.
        "attn_norm_num_groups": config.groups,
        "block_out_channels": list(config.widths),
        "center_input_sample": False,
        "class_embed_type": None,
        "down_block_types": blocks("Down"),
        "downsample_padding": int(config.downsample_padding == "symmetric"),
        "downsample_type": kind,
        "dropout": config.dropout,
        "flip_sin_to_cos": config.embedding_order == "cos-sin",
        "freq_shift": config.frequency_shift,
        "in_channels": config.in_channels,
        "layers_per_block": config.blocks,
        "mid_block_scale_factor": 1,
        "norm_eps": config.norm_eps,
        "norm_num_groups": config.groups,
        "num_class_embeds": config.label_rows or None,
        "out_channels": config.out_channels,
        "resnet_time_scale_shift": "scale_shift" if config.scale_shift else "default",
        "sample_size": config.image_size,
        "time_embedding_type": "positional",
        "up_block_types": blocks("Up")[::-1],
        "upsample_type": kind,
    }


def _side(config: Mapping[str, Any], given: int | None) -> int:
    size = given if given is not None else config["sample_size"]
    if isinstance(size, list | tuple) and len(set(size)) == 1:
        size = size[0]
    if not isinstance(size, int):
        raise ValueError(
            f"sample_size = {size!r} is not supported; supported: a number, or give image_size"
        )
    return size


def _levels(config: Mapping[str, Any], levels: int) -> tuple[tuple[bool, ...], Any]:
    """Which levels have attention, from the finest, and how the network resamples."""
    attends, resamples = [], set()
    for way in ("down", "up"):
        key = f"{way}_block_types"
        types = [str(kind).removeprefix("UNetRes") for kind in config[key]]
        if len(types) != levels or not all(kind in KINDS for kind in types):
            raise unsupported(
                config, key, f"{levels} of {', '.join(k for k in KINDS if way in k.lower())}"
            )
        sampling = config[f"{way}sample_type"]
        if sampling not in RESAMPLE:
            raise unsupported(config, f"{way}sample_type", ", ".join(map(repr, RESAMPLE)))
        resamples |= {KINDS[kind][0] or RESAMPLE[sampling] for kind in types[:-1]}
        attends.append(tuple(KINDS[kind][1] for kind in types))
    if attends[0] != attends[1][::-1]:
        raise unsupported(config, "up_block_types", "attention at the levels of down_block_types")
    if len(resamples) > 1:
        raise unsupported(
            config,
            "down_block_types",
            "one way to resample, there and in up_block_types, downsample_type and upsample_type",
        )
    return attends[0], resamples.pop() if resamples else "convolution"


def _channels(config: Mapping[str, Any], condition: int | None) -> tuple[int, int, bool]:
    """(channels of x_t, channels of the conditioning image, whether the variance is learned)."""
    entering, leaving = config["in_channels"], config["out_channels"]
    if condition is None:
        condition = max(entering - leaving, 0)
    channels = entering - condition
    if leaving not in (channels, 2 * channels) or channels < 1:
        raise unsupported(config, "out_channels", f"{channels}, {2 * channels}")
    return channels, condition, leaving == 2 * channels


def _require_middle_norm(config: Mapping[str, Any]) -> None:
    groups, own = config["norm_num_groups"], config["attn_norm_num_groups"]
    lacking = own is None and config["resnet_time_scale_shift"] != "default"
    if config["add_attention"] and (lacking or own not in (None, groups)):
        raise unsupported(
            config, "attn_norm_num_groups", f"{groups}, as norm_num_groups: the middle attention"
        )


def _attended(config: UNetConfig) -> Iterator[int]:
    """The channels wherever there is attention."""
    for width, side in zip(config.widths, config.sides, strict=True):
        if side in config.attention:
            yield width
    if config.middle_attention:
        yield config.widths[-1]


def _field(config: UNetConfig, name: str, why: str) -> ValueError:
    return ValueError(f"{name} = {getattr(config, name)!r} has no place in a UNet2DModel: {why}")
