"""The UNet as data: configuration, layout, parameter table."""

import json
import math
import re
import tomllib
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffcore.unet import Resample, Residual, UNetConfig, count, layout, parameters

DIGITS = UNetConfig(
    image_size=8, channels=1, width=32, multipliers=(1, 2), attention=(4,), groups=8, classes=10
)


@st.composite
def configs(draw: st.DrawFn) -> UNetConfig:
    """Any small network."""
    levels = draw(st.integers(1, 3))
    side = 2 ** (levels - 1) * draw(st.sampled_from([1, 3, 4]))
    sides = [side >> level for level in range(levels)]
    heads = draw(st.sampled_from([{"heads": 1}, {"heads": 2}, {"head_width": 4}]))
    return UNetConfig(
        image_size=side,
        channels=draw(st.integers(1, 3)),
        condition_channels=draw(st.integers(0, 2)),
        learned_variance=draw(st.booleans()),
        classes=draw(st.sampled_from([0, 1, 10])),
        null_class=draw(st.booleans()),
        width=draw(st.sampled_from([8, 16])),
        multipliers=tuple(draw(st.sampled_from([1, 2, 1.5])) for _ in range(levels)),
        blocks=draw(st.integers(1, 3)),
        attention=tuple(draw(st.sets(st.sampled_from(sides)))),
        middle_attention=draw(st.booleans()),
        groups=draw(st.sampled_from([1, 4])),
        dropout=draw(st.sampled_from([0.0, 0.25])),
        scale_shift=draw(st.booleans()),
        resample=draw(st.sampled_from(["convolution", "residual"])),
        downsample_padding=draw(st.sampled_from(["asymmetric", "symmetric"])),
        embedding_order=draw(st.sampled_from(["sin-cos", "cos-sin"])),
        frequency_shift=draw(st.integers(0, 1)),
        **heads,
    )


def toml(values: dict[str, Any]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())


def test_defaults_are_the_published_cifar_10_network() -> None:
    assert count(UNetConfig()) == 35_746_307


def test_count_of_a_network_by_hand() -> None:
    """One level, one block, no attention: every layer written out."""
    config = UNetConfig(
        image_size=4,
        channels=1,
        width=2,
        multipliers=(1,),
        blocks=1,
        attention=(),
        middle_attention=False,
        groups=1,
        frequency_shift=0,
    )
    time = (2 * 8 + 8) + (8 * 8 + 8)
    convolution, norm, embedding = 2 * 2 * 9 + 2, 2 + 2, 8 * 2 + 2
    plain = norm + convolution + embedding + norm + convolution
    with_skip = (4 + 4) + (4 * 2 * 9 + 2) + embedding + norm + convolution + (4 * 2 + 2)
    rim = (1 * 2 * 9 + 2) + norm + (2 * 1 * 9 + 1)
    assert count(config) == time + rim + 3 * plain + 2 * with_skip
    # Attention in the middle: a norm, three projections and one more.
    attention = norm + 3 * (2 * 2 + 2) + (2 * 2 + 2)
    assert count(replace(config, middle_attention=True)) == count(config) + attention


@given(configs())
def test_the_configuration_survives_json_and_toml(config: UNetConfig) -> None:
    assert UNetConfig.from_dict(config.to_dict()) == config
    assert UNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert UNetConfig.from_dict(tomllib.loads(toml(config.to_dict()))) == config
    assert hash(UNetConfig.from_dict(config.to_dict())) == hash(config)


@given(configs())
def test_channels_sides_and_skips_meet(config: UNetConfig) -> None:
    """Walk the layout as a backend does: each block takes what the one before it gives."""
    blocks = layout(config)
    state, side = config.widths[0], config.image_size
    skips = [(state, side)]

    def step(block: Residual | Resample) -> tuple[int, int]:
        assert block.side == side
        assert (block.in_channels if isinstance(block, Residual) else block.channels) == state
        out = block.out_channels if isinstance(block, Residual) else block.channels
        if block.resample == "down":
            assert side % 2 == 0
        return out, {"down": side // 2, "up": 2 * side, None: side}[block.resample]

    for block in blocks.down:
        state, side = step(block)
        skips.append((state, side))
    assert (state, side) == (config.widths[-1], config.sides[-1])
    for block in blocks.middle:
        state, side = step(block)
    for block in blocks.up:
        if isinstance(block, Residual) and block.skip_channels:
            assert skips.pop() == (block.skip_channels, side)
        state, side = step(block)
    assert not skips
    assert (state, side) == (config.widths[0], config.image_size)
    names = [block.name for block in blocks]
    assert len(set(names)) == len(names)


@given(configs())
def test_attention_is_where_it_was_asked_for(config: UNetConfig) -> None:
    blocks = layout(config)
    for block in (*blocks.down, *blocks.up):
        if isinstance(block, Residual):
            wanted = block.side in config.attention and block.resample is None
            assert bool(block.heads) == wanted
            if block.heads and config.head_width:
                assert block.heads * config.head_width == block.out_channels
    assert bool(blocks.middle[0].heads) == config.middle_attention
    assert blocks.middle[1].heads == 0


@given(configs())
def test_parameters_start_as_they_say(config: UNetConfig) -> None:
    table = parameters(config)
    assert sum(math.prod(p.shape) for p in table.values()) == count(config)
    last = ("conv_2.weight", "attention.out.weight")
    for name, p in table.items():
        assert p.name == name
        if len(p.shape) == 1:
            norm = "norm" in name.split(".")[-2]
            assert p.init == ("ones" if norm and name.endswith("weight") else "zeros")
        elif name == "labels.weight":
            assert (p.init, p.scale) == ("normal", 1.0)
            assert p.shape[0] == config.classes + config.null_class
        elif name == "output.weight" or name.endswith(last):
            assert p.init == "zeros"
        else:
            # Variance of U[-a, a) is a^2 / 3, and DDPM's is 1 over the mean of the fans.
            out, entering, *kernel = p.shape
            out = out // 3 if name.endswith("qkv.weight") else out
            fan = math.prod(kernel) * (out + entering) / 2
            assert p.init == "uniform"
            assert p.scale**2 / 3 == pytest.approx(1 / fan, rel=1e-14)


def test_what_each_option_adds() -> None:
    """Each option changes the parameters it should, and no others."""
    plain = parameters(DIGITS)

    def changed(**options: Any) -> set[str]:
        table = parameters(replace(DIGITS, **options))
        return {n for n in {**plain, **table} if plain.get(n) != table.get(n)}

    embeddings = {n for n in plain if ".embedding." in n}
    assert changed(scale_shift=True) == embeddings
    assert changed(learned_variance=True) == {"output.weight", "output.bias"}
    assert changed(condition_channels=1) == {"input.weight"}
    assert changed(null_class=False) == {"labels.weight"}
    assert changed(classes=0) == {"labels.weight"}
    assert changed(attention=()) == {
        n for n in plain if ".attention." in n and not n.startswith("middle")
    }
    assert changed(middle_attention=False) == {n for n in plain if n.startswith("middle.0.att")}
    assert all(n.startswith(("down.2.", "up.3.")) for n in changed(resample="residual"))
    for free in (
        {"dropout": 0.5},
        {"heads": 4},
        {"head_width": 8},
        {"groups": 4},
        {"norm_eps": 1e-5},
        {"downsample_padding": "symmetric"},
        {"embedding_order": "cos-sin"},
        {"frequency_shift": 0},
        {"max_period": 100.0},
    ):
        assert changed(**free) == set()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"image_size": 30}, "image_size must be divisible by 8 for 4 levels, got 30"),
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"condition_channels": -1}, "condition_channels must be at least 0, got -1"),
        ({"classes": -1}, "classes must be at least 0"),
        ({"width": 127}, "width must be even, got 127"),
        ({"width": 2, "groups": 1}, "frequency_shift must be less than width / 2 = 1, got 1"),
        ({"multipliers": ()}, "multipliers must hold one number per level, got ()"),
        ({"multipliers": (1, 1.001, 1, 1)}, "multipliers must each give a whole"),
        ({"multipliers": (1, 0, 1, 1)}, "multipliers must each give a whole, positive number"),
        ({"blocks": 0}, "blocks must be at least 1, got 0"),
        ({"attention": (5,)}, "attention must hold sides of the levels, which are 32, 16, 8, 4"),
        ({"heads": 3}, "heads must divide the 256 channels of level 1, got 3"),
        ({"head_width": 96}, "head_width must divide the 256 channels of level 1, got 96"),
        ({"heads": 2, "head_width": 64}, "heads must be left out where head_width is given"),
        ({"groups": 24}, "groups must divide the 128 channels of level 0, got 24"),
        ({"norm_eps": 0.0}, "norm_eps must be positive"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, got 1.0"),
        ({"resample": "pool"}, "resample must be one of convolution, residual, got 'pool'"),
        ({"downsample_padding": "same"}, "downsample_padding must be one of asymmetric, symmetric"),
        ({"embedding_order": "cos"}, "embedding_order must be one of sin-cos, cos-sin"),
        ({"max_period": 1}, "max_period must be greater than 1"),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        UNetConfig(**values)


@pytest.mark.parametrize("field", [field.name for field in fields(UNetConfig)])
def test_values_of_another_type_are_named(field: str) -> None:
    for wrong in ({}, [None], float("nan"), b"1"):
        with pytest.raises(TypeError, match=rf"^{field} must be "):
            UNetConfig(**{field: wrong})  # type: ignore[arg-type]


def test_a_bool_is_not_a_number_nor_a_number_a_bool() -> None:
    with pytest.raises(TypeError, match=r"^blocks must be an integer, got True"):
        UNetConfig(blocks=True)
    with pytest.raises(TypeError, match=r"^scale_shift must be true or false, got 1"):
        UNetConfig(scale_shift=1)  # type: ignore[arg-type]


def test_unknown_fields_are_named_beside_the_known() -> None:
    with pytest.raises(ValueError, match=r"no field 'witdh'; its fields are .*\bwidth\b.*\bheads"):
        UNetConfig.from_dict({"witdh": 64})
