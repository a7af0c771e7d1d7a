"""improved-diffusion's and guided-diffusion's UNet, from and to their state dicts."""

from dataclasses import replace

import numpy as np
import pytest
from diffusers_objects import scatter

from diffcore import interop
from diffcore.unet import UNetConfig, parameters

torch = pytest.importorskip("torch")
from openai_network import OpenAIUNet  # noqa: E402

VARIANTS = {
    "improved-diffusion's": {},
    "scale and shift": {"scale_shift": True},
    "several blocks and levels": {
        "blocks": 2,
        "multipliers": (1, 2, 3),
        "attention": (2, 4),
        "heads": 4,
    },
    "attention in the middle alone": {"attention": ()},
    "learned variance": {"leaving": 6},
    "labels": {"classes": 7},
    "super-resolution": {"entering": 6},
    "guided-diffusion's": {"resblock_updown": True, "scale_shift": True, "head_width": 16},
    "the same without attention": {"resblock_updown": True, "attention": ()},
    "its new order": {"order": "projections"},
    "a wide first level": {"multipliers": (2, 2), "attention": (1,), "head_width": 32},
}


def published(**options):
    made = OpenAIUNet(**options).eval()
    scatter(torch, made)
    # Their norms are called by number.
    with torch.no_grad():
        for name, p in made.named_parameters():
            if p.ndim == 1 and name.endswith("weight"):
                p.add_(1.0)
    return made


def read(theirs, **options):
    """(config, weights) here."""
    width = options.get("head_width")
    heads = None if width else options.get("heads", 2)
    return interop.from_openai_unet(
        theirs.state_dict(),
        image_size=16,
        heads=heads,
        head_width=width,
        attention_order=options.get("order", "heads"),
    )


def outputs(theirs, config, weights):
    from diffcore_torch import UNet

    net = UNet(config).eval()
    net.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in weights.items()})
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((3, config.in_channels, 16, 16), generator=generator)
    t = torch.tensor([0.0, 17.0, 999.0])
    labels = torch.tensor([0, 3, config.label_rows - 1]) if config.classes else None
    with torch.no_grad():
        wanted = theirs(x, t, labels)
        got = net(
            x[:, : config.channels],
            t,
            labels,
            x[:, config.channels :] if config.condition_channels else None,
        )
    return got.numpy(), wanted.numpy()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_state_dict_of_theirs_is_the_same_network_here(name):
    theirs = published(**VARIANTS[name])
    config, weights = read(theirs, **VARIANTS[name])
    assert list(weights) == list(parameters(config))
    got, wanted = outputs(theirs, config, weights)
    assert np.max(np.abs(got - wanted)) < 1e-5 * np.max(np.abs(wanted))


@pytest.mark.parametrize("name", VARIANTS)
def test_and_back(name):
    order = VARIANTS[name].get("order", "heads")
    theirs = published(**VARIANTS[name])
    config, weights = read(theirs, **VARIANTS[name])
    state = interop.to_openai_unet(config, weights, attention_order=order)
    wanted = theirs.state_dict()
    assert set(state) == set(wanted)
    for key, array in state.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted[key].numpy(), err_msg=key)


def test_a_network_that_started_here():
    from diffcore_torch import UNet

    config = UNetConfig(
        image_size=16,
        width=32,
        multipliers=(1, 2),
        blocks=1,
        attention=(8,),
        heads=2,
        norm_eps=1e-5,
        embedding_order="cos-sin",
        frequency_shift=0,
        downsample_padding="symmetric",
        classes=4,
    )
    net = UNet(config, seed=1)
    scatter(torch, net, seed=5)
    weights = {name: p.detach().numpy() for name, p in net.named_parameters()}
    theirs = OpenAIUNet(classes=config.label_rows).eval()
    state = interop.to_openai_unet(config, weights)
    theirs.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()})
    got, wanted = outputs(theirs, config, weights)
    assert np.max(np.abs(got - wanted)) < 1e-5 * np.max(np.abs(wanted))
    again, _ = interop.from_openai_unet(state, image_size=16, heads=2, null_class=True)
    assert again == config


@pytest.mark.parametrize("wrong", ["heads", "order", "embedding order", "epsilon", "padding"])
def test_a_wrong_reading_would_be_seen(wrong):
    theirs = published()
    if wrong == "heads":
        config, weights = interop.from_openai_unet(theirs.state_dict(), image_size=16, heads=4)
    elif wrong == "order":
        config, weights = read(theirs, order="projections")
    else:
        config, weights = read(theirs)
        changes = {
            "embedding order": {"embedding_order": "sin-cos"},
            "epsilon": {"norm_eps": 1e-2},
            "padding": {"downsample_padding": "asymmetric"},
        }
        config = replace(config, **changes[wrong])
    got, wanted = outputs(theirs, config, weights)
    assert np.max(np.abs(got - wanted)) > 1e-3 * np.max(np.abs(wanted))


def test_what_does_not_fit_is_named():
    theirs = published()
    state = dict(theirs.state_dict())
    with pytest.raises(ValueError, match="heads or head_width must be given, got None and None"):
        interop.from_openai_unet(state, image_size=16)
    with pytest.raises(ValueError, match="attention_order must be 'heads' or"):
        interop.from_openai_unet(state, image_size=16, heads=1, attention_order="legacy")
    with pytest.raises(TypeError, match="state must be a state dict, got list"):
        interop.from_openai_unet([], image_size=8, heads=1)
    with pytest.raises(ValueError, match=r"tensor 'input_blocks.x.weight' is not one of such"):
        interop.from_openai_unet(
            {**state, "input_blocks.x.weight": np.ones(1)}, image_size=8, heads=1
        )
    with pytest.raises(ValueError, match=r"'time_embed.0.weight' is missing: not a state dict"):
        interop.from_openai_unet({}, image_size=16, heads=1)
    short = {k: v for k, v in state.items() if k != "middle_block.1.qkv.bias"}
    with pytest.raises(ValueError, match=r"'middle_block.1.qkv.bias' is missing"):
        interop.from_openai_unet(short, image_size=16, heads=1)
    with pytest.raises(ValueError, match="'more' is not one of the network's"):
        interop.from_openai_unet({**state, "more": state["out.0.bias"]}, image_size=16, heads=1)
    pooled = {k: v for k, v in state.items() if not k.startswith("input_blocks.2.")}
    with pytest.raises(ValueError, match=r"input_blocks.2 has no weights: conv_resample = False"):
        interop.from_openai_unet(pooled, image_size=16, heads=1)
    with pytest.raises(ValueError, match="condition_channels must leave 3 or half"):
        interop.from_openai_unet(state, image_size=16, heads=1, condition_channels=1)
    fewer = {k: v for k, v in state.items() if not k.startswith("output_blocks.3.")}
    with pytest.raises(ValueError, match="4 input blocks and 3 output blocks"):
        interop.from_openai_unet(fewer, image_size=16, heads=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("groups", 16),
        ("norm_eps", 1e-6),
        ("embedding_order", "sin-cos"),
        ("frequency_shift", 1),
        ("max_period", 100.0),
        ("downsample_padding", "asymmetric"),
        ("middle_attention", False),
    ],
)
def test_a_field_that_they_have_not_is_named(name, value):
    config, weights = read(published())
    with pytest.raises(ValueError, match=f"{name} must be"):
        interop.to_openai_unet(replace(config, **{name: value}), weights)
