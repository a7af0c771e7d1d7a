"""`UNet2DModel` from and to a local folder: the same function under both sets of names."""

import json
from dataclasses import replace

import numpy as np
import pytest
from diffusers_objects import SMALL, diffusers, unet_2d

from diffcore import checkpoint, interop, predictions, schedules
from diffcore.interop.unet_2d_options import DEFAULTS, FIXED, WIDTH
from diffcore.unet import UNetConfig, parameters

torch = pytest.importorskip("torch")
safetensors_numpy = pytest.importorskip("safetensors.numpy")
reference = pytest.importorskip("diffcore_reference.loading")

PUBLISHED = {
    "google/ddpm-cifar10-32": {
        "act_fn": "silu",
        "attention_head_dim": None,
        "block_out_channels": [128, 256, 256, 256],
        "center_input_sample": False,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "in_channels": 3,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-6,
        "norm_num_groups": 32,
        "out_channels": 3,
        "sample_size": 32,
        "time_embedding_type": "positional",
        "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    },
    "google/ddpm-celebahq-256": {
        "act_fn": "silu",
        "attention_head_dim": None,
        "block_out_channels": [128, 128, 256, 256, 512, 512],
        "center_input_sample": False,
        "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "in_channels": 3,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-6,
        "norm_num_groups": 32,
        "out_channels": 3,
        "sample_size": 256,
        "time_embedding_type": "positional",
        "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
    },
}

RESNET = {
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
}
VARIANTS = {
    "defaults": {},
    "DDPM's embedding and padding": {
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "downsample_padding": 0,
        "norm_eps": 1e-6,
    },
    "one head": {"attention_head_dim": None},
    "attention everywhere": {
        "down_block_types": ("AttnDownBlock2D",) * 2,
        "up_block_types": ("AttnUpBlock2D",) * 2,
    },
    "no middle attention": {"add_attention": False},
    "no attention": {
        "add_attention": False,
        "down_block_types": ("DownBlock2D",) * 2,
        "up_block_types": ("UpBlock2D",) * 2,
    },
    "residual resampling": RESNET,
    "another type where nothing is resampled": {
        "down_block_types": ("DownBlock2D", "ResnetDownsampleBlock2D"),
        "up_block_types": ("UpBlock2D", "ResnetUpsampleBlock2D"),
    },
    "scale and shift": {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 4},
    "labels": {"num_class_embeds": 5},
    "learned variance": {"out_channels": 6},
    "a conditioning image": {"in_channels": 5},
    "three levels": {
        "block_out_channels": (8, 12, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
    },
    "one level": {
        "block_out_channels": (8,),
        "down_block_types": ("AttnDownBlock2D",),
        "up_block_types": ("AttnUpBlock2D",),
    },
}


def ours(config, weights):
    """Our network in PyTorch with these weights."""
    from diffcore_torch import UNet

    net = UNet(config).eval()
    net.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in weights.items()})
    return net


def outputs(theirs, config, net, shift=0.0):
    """What the two networks make of the same inputs; ours is told times later by `shift`."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((3, config.in_channels, 8, 8), generator=generator)
    t = torch.tensor([0.0, 17.0, 999.0])
    given = {}
    if config.condition_channels:
        given["condition"] = x[:, config.channels :]
    if config.classes:
        given["labels"] = torch.tensor([0, 3, config.label_rows - 1])
    with torch.no_grad():
        wanted = theirs(x, t, class_labels=given.get("labels"), return_dict=False)[0]
        got = net(x[:, : config.channels], t + shift, **given)
    return got.numpy(), wanted.numpy()


def assert_equal(got, wanted):
    assert np.max(np.abs(got - wanted)) < 1e-5 * np.max(np.abs(wanted))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_folder_of_theirs_is_the_same_network_here(name, tmp_path):
    theirs = unet_2d(**VARIANTS[name])
    theirs.save_pretrained(tmp_path)
    config, weights = interop.read_unet_2d(tmp_path)
    assert all(x.dtype == np.float32 for x in weights.values())
    assert list(weights) == list(parameters(config))
    assert_equal(*outputs(theirs, config, ours(config, weights)))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_folder_of_theirs_is_the_same_network_in_the_reference(name, tmp_path):
    theirs = unet_2d(**VARIANTS[name])
    theirs.save_pretrained(tmp_path)
    config, weights = interop.read_unet_2d(tmp_path)
    made = checkpoint.Checkpoint(
        unet=config, schedule=schedules.linear(), predicts=predictions.EPS, weights=weights
    )
    checkpoint.save(tmp_path / "network.safetensors", made)
    network = reference.load(tmp_path / "network.safetensors", device="cpu").network

    def net(x, t, **given):
        said = network(x.numpy(), t.numpy(), **{k: v.numpy() for k, v in given.items()})
        return torch.from_numpy(np.asarray(said))

    assert_equal(*outputs(theirs, config, net))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_folder_of_ours_is_the_same_network_there(name, tmp_path):
    config, weights = interop_weights(unet_2d(**VARIANTS[name]))
    interop.write_unet_2d(tmp_path, config, weights)
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path).eval()
    assert_equal(*outputs(theirs, config, ours(config, weights)))
    again, same = interop.read_unet_2d(
        tmp_path, condition_channels=config.condition_channels, null_class=config.null_class
    )
    assert again == config
    for key, array in weights.items():
        np.testing.assert_array_equal(same[key], array, err_msg=key)


def interop_weights(theirs):
    """(config, weights) of a network of theirs, without a folder."""
    config = interop.unet_config(theirs.config)
    return config, interop.from_unet_2d(config, theirs.state_dict())


OURS = {
    "CIFAR's": UNetConfig(width=32, multipliers=(1, 2), blocks=1, image_size=16, groups=8),
    "heads of one width": UNetConfig(
        width=8, multipliers=(1, 2), image_size=8, attention=(4,), groups=4, blocks=1, heads=2
    ),
    "a null class": UNetConfig(
        width=8, multipliers=(1,), image_size=8, attention=(), groups=4, blocks=1, classes=4
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_networks_that_started_here(name, tmp_path):
    from diffcore_torch import UNet

    config = OURS[name]
    net = UNet(config, seed=3).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(len(p))))
    interop.write_unet_2d(tmp_path, config, net.state_dict())
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path).eval()
    assert_equal(*outputs(theirs, config, net))
    again, weights = interop.read_unet_2d(tmp_path, null_class=config.null_class)
    assert_equal(*outputs(theirs, again, ours(again, weights)))


def test_the_published_configurations_are_known():
    assert interop.unet_config(PUBLISHED["google/ddpm-cifar10-32"]) == replace(
        UNetConfig(), null_class=False
    )
    celeba = interop.unet_config(PUBLISHED["google/ddpm-celebahq-256"])
    assert (celeba.multipliers, celeba.attention) == ((1, 1, 2, 2, 4, 4), (16,))
    theirs = interop.unet_2d_config(UNetConfig())
    for key, value in PUBLISHED["google/ddpm-cifar10-32"].items():
        assert theirs[key] == value, key


def test_defaults_are_theirs():
    import inspect

    theirs = inspect.signature(diffusers.UNet2DModel.__init__).parameters
    for key, default in DEFAULTS.items():
        assert theirs[key].default == default, key
    for key, accepted in FIXED.items():
        assert theirs[key].default in accepted, key
    assert theirs[WIDTH].default is None


def test_names_of_former_releases(tmp_path):
    theirs = unet_2d()
    theirs.save_pretrained(tmp_path)
    config, weights = interop.read_unet_2d(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, x in theirs.state_dict().items():
        for new, old in former.items():
            name = name.replace(f".{new}.", f".{old}.")
        state[name] = x.numpy()
    assert any("query" in name for name in state)
    path.write_bytes(safetensors_numpy.save(state))
    again, same = interop.read_unet_2d(tmp_path)
    assert again == config
    for key, array in weights.items():
        np.testing.assert_array_equal(same[key], array)


@pytest.mark.parametrize("part", ["qkv", "norm_1", "skips", "embedding order", "epsilon"])
def test_a_wrong_mapping_would_be_seen(part):
    theirs = unet_2d()
    config, weights = interop_weights(theirs)
    if part == "qkv":
        key = "middle.0.attention.qkv.weight"
        weights[key] = np.concatenate(np.split(weights[key], 3)[::-1])
    elif part == "norm_1":
        for kind in ("weight", "bias"):
            a, b = (f"down.0.{norm}.{kind}" for norm in ("norm_1", "norm_2"))
            weights[a], weights[b] = weights[b], weights[a]
    elif part == "skips":
        key = "up.1.conv_1.weight"
        weights[key] = weights[key][:, ::-1]
    elif part == "embedding order":
        config = replace(config, embedding_order="sin-cos")
    else:
        config = replace(config, norm_eps=1e-2)
    got, wanted = outputs(theirs, config, ours(config, weights))
    assert np.max(np.abs(got - wanted)) > 1e-4 * np.max(np.abs(wanted))


@pytest.mark.parametrize("by", [-1.0, 1.0, 0.3])
@pytest.mark.parametrize("order", [True, False])
def test_the_time_may_be_counted_otherwise(by, order):
    theirs = unet_2d(flip_sin_to_cos=order, freq_shift=int(order))
    config, weights = interop_weights(theirs)
    later = interop.shifted_times(config, weights, by)
    assert_equal(*outputs(theirs, config, ours(config, later), shift=-by))
    got, wanted = outputs(theirs, config, ours(config, later), shift=by)
    assert np.max(np.abs(got - wanted)) > 1e-3 * np.max(np.abs(wanted))


def test_a_checkpoint_holds_it(tmp_path):
    config, weights = interop_weights(unet_2d())
    made = checkpoint.Checkpoint(
        unet=config,
        schedule=schedules.linear(),
        predicts=predictions.EPS,
        weights=interop.shifted_times(config, weights, -1.0),
    )
    checkpoint.save(tmp_path / "network.safetensors", made)
    again = checkpoint.load(tmp_path / "network.safetensors")
    back = interop.shifted_times(again.unet, again.weights, 1.0)
    for key, array in weights.items():
        np.testing.assert_allclose(back[key], array, atol=3e-7)


@pytest.mark.parametrize(
    "option",
    [
        {"act_fn": "gelu"},
        {"center_input_sample": True},
        {"time_embedding_type": "fourier"},
        {"mid_block_type": None},
        {"mid_block_scale_factor": 2**0.5},
        {"class_embed_type": "timestep"},
        {"time_embedding_dim": 64},
        {"resnet_time_scale_shift": "spatial"},
        {"downsample_padding": 2},
        {"down_block_types": ("SkipDownBlock2D", "AttnDownBlock2D")},
        {"up_block_types": ("UpBlock2D", "UpBlock2D")},
        {"down_block_types": ("DownBlock2D",)},
        {"downsample_type": "fir", "_": 0},
        {"attn_norm_num_groups": 2},
        {"sample_size": (8, 16)},
        {"sample_size": None},
        {"out_channels": 4},
        {"in_channels": 1},
        {"a_new_option": 1},
        {"_class_name": "UNet2DConditionModel", "mid_block_type": "UNetMidBlock2DCrossAttn"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_an_option_that_there_is_not_is_named(option):
    name = next(iter(option))
    name = {"in_channels": "out_channels"}.get(name, name)
    with pytest.raises(ValueError, match=f"{name} = .* is not supported"):
        interop.unet_config({**SMALL, **option})


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"resnet_time_scale_shift": "scale_shift"}, "attn_norm_num_groups"),
        ({**RESNET, "upsample_type": "conv", "up_block_types": ("UpBlock2D",) * 2}, "up_block"),
        ({"down_block_types": RESNET["down_block_types"]}, "down_block_types"),
        ({"norm_num_groups": 3}, "groups"),
        ({"attention_head_dim": 5}, "head_width"),
    ],
)
def test_options_that_do_not_go_together(options, name):
    with pytest.raises(ValueError, match=name):
        interop.unet_config({**SMALL, **options})


def test_a_side_may_be_given():
    config = interop.unet_config({**SMALL, "sample_size": None}, image_size=16)
    assert (config.image_size, config.attention) == (16, (8,))
    assert interop.unet_config({**SMALL, "sample_size": [8, 8]}).image_size == 8


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"multipliers": (2, 4)}, "multipliers"),
        ({"max_period": 1000.0}, "max_period"),
        ({"heads": 2, "attention": (8, 4)}, "heads"),
    ],
)
def test_a_field_that_they_have_not_is_named(changes, name):
    config = replace(OURS["heads of one width"], **changes)
    with pytest.raises(ValueError, match=f"{name} = .* has no place in a UNet2DModel"):
        interop.unet_2d_config(config)


def test_tensors_that_do_not_fit_are_named():
    theirs = unet_2d()
    config, weights = interop_weights(theirs)
    state = dict(theirs.state_dict())
    left = state.pop("conv_in.bias")
    with pytest.raises(ValueError, match=r"'conv_in.bias' is missing"):
        interop.from_unet_2d(config, state)
    with pytest.raises(ValueError, match=r"'conv_in.bias' must have shape \(8,\), has \(4,\)"):
        interop.from_unet_2d(config, {**state, "conv_in.bias": left[:4]})
    with pytest.raises(ValueError, match=r"'more' is not one of the network's$"):
        interop.from_unet_2d(config, {**state, "conv_in.bias": left, "more": left})
    with pytest.raises(TypeError, match=r"'conv_in.bias' must be an array, got list"):
        interop.from_unet_2d(config, {**state, "conv_in.bias": [1.0]})
    bias = weights.pop("input.bias")
    with pytest.raises(ValueError, match=r"weights must have 'input.bias'"):
        interop.to_unet_2d(config, weights)
    with pytest.raises(ValueError, match=r"weights\['input.bias'\] must have shape"):
        interop.to_unet_2d(config, {**weights, "input.bias": bias[:3]})
    with pytest.raises(ValueError, match="weights have 'more', which"):
        interop.to_unet_2d(config, {**weights, "input.bias": bias, "more": bias})
    with pytest.raises(ValueError, match="by must be finite"):
        interop.shifted_times(config, {**weights, "input.bias": bias}, float("nan"))


def test_a_folder_without_the_files_says_what_it_holds(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        interop.read_unet_2d(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"the folder holds diffusion_pytorch_model\.bin"):
        interop.read_unet_2d(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_come_as_float32(dtype, tmp_path):
    theirs = unet_2d().to(dtype)
    theirs.save_pretrained(tmp_path)
    config, weights = interop.read_unet_2d(tmp_path)
    assert {x.dtype for x in weights.values()} == {np.dtype(np.float32)}
    assert_equal(*outputs(theirs.float(), config, ours(config, weights)))
