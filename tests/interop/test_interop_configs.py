"""Any network that both sides have a word for goes there and back unchanged."""

from dataclasses import replace

import numpy as np
import pytest
from diffusers_objects import diffusers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from diffcore import interop
from diffcore.unet import UNetConfig, layout, parameters

torch = pytest.importorskip("torch")


@st.composite
def configs(draw, groups=4):
    """Networks with a first multiplier of 1; heads by their width, which UNet2DModel counts by."""
    levels = draw(st.integers(1, 3))
    side = 8 << draw(st.integers(0, 1))
    multipliers = (1, *draw(st.lists(st.sampled_from([1, 2, 3]), min_size=levels - 1,
                                     max_size=levels - 1)))  # fmt: skip
    sides = [side >> k for k in range(levels)]
    learned = draw(st.booleans())
    classes = draw(st.sampled_from([0, 3]))
    return UNetConfig(
        image_size=side,
        channels=draw(st.integers(1, 3)),
        condition_channels=0 if learned else draw(st.integers(0, 2)),
        learned_variance=learned,
        classes=classes,
        null_class=draw(st.booleans()) if classes else False,
        width=groups * 2,
        multipliers=multipliers,
        blocks=draw(st.integers(1, 2)),
        attention=tuple(s for s in sides if draw(st.booleans())),
        middle_attention=draw(st.booleans()),
        head_width=draw(st.sampled_from([None, groups])),
        groups=groups,
        norm_eps=draw(st.sampled_from([1e-6, 1e-5])),
        dropout=draw(st.sampled_from([0.0, 0.1])),
        scale_shift=draw(st.booleans()),
        resample=draw(st.sampled_from(["convolution", "residual"]))
        if levels > 1
        else "convolution",
        downsample_padding=draw(st.sampled_from(["asymmetric", "symmetric"])),
        embedding_order=draw(st.sampled_from(["sin-cos", "cos-sin"])),
        frequency_shift=draw(st.integers(0, 1)),
    )


def numbered(config):
    """Weights that are all different, so that no two can be exchanged unseen."""
    made, start = {}, 0
    for name, p in parameters(config).items():
        size = int(np.prod(p.shape))
        made[name] = (np.arange(start, start + size, dtype=np.float32) / 2**20).reshape(p.shape)
        start += size
    return made


@given(config=configs())
def test_a_configuration_goes_there_and_back(config):
    attended = config.attention or config.middle_attention
    assume(attended or config.head_width is None)  # Without attention it says nothing.
    again = interop.unet_config(
        interop.unet_2d_config(config),
        condition_channels=config.condition_channels,
        null_class=config.null_class,
    )
    assert again == config


@settings(max_examples=15)
@given(config=configs())
def test_weights_are_those_of_their_network_and_come_back(config):
    weights = numbered(config)
    state = interop.to_unet_2d(config, weights)
    described = {k: v for k, v in interop.unet_2d_config(config).items() if k[0] != "_"}
    with torch.device("meta"):
        theirs = diffusers.UNet2DModel(**described).state_dict()
    assert {name: x.shape for name, x in state.items()} == {
        name: tuple(x.shape) for name, x in theirs.items()
    }
    again = interop.from_unet_2d(config, state)
    assert list(again) == list(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


@settings(max_examples=15)
@given(config=configs(groups=32), order=st.sampled_from(["heads", "projections"]))
def test_openais_shapes_show_the_network(config, order):
    config = replace(
        config,
        norm_eps=1e-5,
        embedding_order="cos-sin",
        frequency_shift=0,
        downsample_padding="symmetric",
        middle_attention=True,
        dropout=0.0,
    )
    weights = numbered(config)
    state = interop.to_openai_unet(config, weights, attention_order=order)
    again, same = interop.from_openai_unet(
        state,
        image_size=config.image_size,
        heads=None if config.head_width else 1,
        head_width=config.head_width,
        condition_channels=config.condition_channels,
        null_class=config.null_class,
        attention_order=order,
    )
    assert again == config
    for name, array in weights.items():
        np.testing.assert_array_equal(same[name], array, err_msg=name)
    several = [b for b in layout(config) if getattr(b, "heads", 0) > 1]
    other = interop.to_openai_unet(
        config, weights, attention_order="heads" if order == "projections" else "projections"
    )
    differ = any(not np.array_equal(state[name], other[name]) for name in state)
    assert differ == bool(several)
