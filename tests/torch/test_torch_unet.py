"""The PyTorch UNet against diffusers' `UNet2DModel`, layer by layer formulas, and its own table."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffcore import unet
from diffcore.noise import portable
from diffcore.unet import Block, UNetConfig, layout, parameters
from diffcore_torch import UNet
from diffcore_torch.unet import Attention, ResidualBlock, sinusoid

PUBLISHED = {
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
}
"""The configuration published with google/ddpm-cifar10-32."""

SMALL = UNetConfig(image_size=8, channels=1, width=16, multipliers=(1, 2), attention=(4,), groups=4)
DIGITS = replace(SMALL, classes=10, heads=2, dropout=0.1)

VARIANTS = {
    "plain": SMALL,
    "eight channels per head": replace(SMALL, head_width=8),
    "attention at both levels": replace(SMALL, attention=(8, 4)),
    "three levels of several widths": replace(
        SMALL, image_size=16, multipliers=(1, 1.5, 2), attention=(8,), blocks=1, channels=3
    ),
    "one level": replace(SMALL, multipliers=(1,), attention=(8,)),
    "no middle attention": replace(SMALL, middle_attention=False),
    "scale and shift": replace(SMALL, scale_shift=True),
    "symmetric padding": replace(SMALL, downsample_padding="symmetric"),
    "cosines first": replace(SMALL, embedding_order="cos-sin"),
    "no frequency shift": replace(SMALL, frequency_shift=0),
    "resampling in residual blocks": replace(SMALL, resample="residual", blocks=1),
    "the same with attention": replace(SMALL, resample="residual", attention=(8, 4)),
    "learned variance": replace(SMALL, learned_variance=True),
    "a conditioning image": replace(SMALL, condition_channels=2),
    "labels": replace(SMALL, classes=10),
    "labels without a null class": replace(SMALL, classes=10, null_class=False),
    "another epsilon": replace(SMALL, norm_eps=1e-2),
}


def diffusers_config(config: UNetConfig) -> dict[str, Any]:
    """The `UNet2DModel` configuration of the same network, in the keys that are published."""
    attends = [side in config.attention for side in config.sides]
    plain = {"convolution": "{}Block2D", "residual": "Resnet{}sampleBlock2D"}[config.resample]

    def kinds(way: str) -> list[str]:
        return [f"Attn{way}Block2D" if there else plain.format(way) for there in attends]

    return {
        "act_fn": "silu",
        "attention_head_dim": config.head_width,
        "block_out_channels": list(config.widths),
        "center_input_sample": False,
        "down_block_types": kinds("Down"),
        "downsample_padding": {"asymmetric": 0, "symmetric": 1}[config.downsample_padding],
        "flip_sin_to_cos": config.embedding_order == "cos-sin",
        "freq_shift": config.frequency_shift,
        "in_channels": config.in_channels,
        "layers_per_block": config.blocks,
        "mid_block_scale_factor": 1,
        "norm_eps": config.norm_eps,
        "norm_num_groups": config.groups,
        "out_channels": config.out_channels,
        "sample_size": config.image_size,
        "time_embedding_type": "positional",
        "up_block_types": kinds("Up")[::-1],
    }


def diffusers_model(config: UNetConfig) -> Any:
    """The same network as diffusers builds it."""
    from diffusers import UNet2DModel

    kind = {"convolution": "conv", "residual": "resnet"}[config.resample]
    return UNet2DModel(
        **diffusers_config(config),
        add_attention=config.middle_attention,
        # Left out, the middle attention of a scale-shift network has no norm.
        attn_norm_num_groups=config.groups,
        downsample_type=kind,
        upsample_type=kind,
        resnet_time_scale_shift="scale_shift" if config.scale_shift else "default",
        num_class_embeds=config.label_rows or None,
    )


def diffusers_layers(config: UNetConfig) -> dict[str, tuple[str, ...]]:
    """diffusers' name of every layer of ours; several stand for their concatenation on axis 0."""
    parts = {
        "norm_1": ("norm1",),
        "conv_1": ("conv1",),
        "embedding": ("time_emb_proj",),
        "norm_2": ("norm2",),
        "conv_2": ("conv2",),
        "shortcut": ("conv_shortcut",),
        "conv": ("conv",),
    }
    attention = {"norm": ("group_norm",), "qkv": ("to_q", "to_k", "to_v"), "out": ("to_out.0",)}

    def places(way: str, blocks: tuple[Block, ...]) -> Iterator[tuple[str, str, str]]:
        level = index = 0
        for block in blocks:
            here = f"{way}_blocks.{level}"
            if block.resample:
                yield block.name, f"{here}.{way}samplers.0", ""
                level, index = level + 1, 0
            else:
                yield block.name, f"{here}.resnets.{index}", f"{here}.attentions.{index}"
                index += 1

    blocks = layout(config)
    names = {
        "time_1": ("time_embedding.linear_1",),
        "time_2": ("time_embedding.linear_2",),
        "labels": ("class_embedding",),
        "input": ("conv_in",),
        "norm": ("conv_norm_out",),
        "output": ("conv_out",),
    }
    middle = [(f"middle.{i}", f"mid_block.resnets.{i}", "mid_block.attentions.0") for i in (0, 1)]
    for ours, resnet, attends in (
        *places("down", blocks.down),
        *middle,
        *places("up", blocks.up),
    ):
        for part, theirs in parts.items():
            names[f"{ours}.{part}"] = tuple(f"{resnet}.{t}" for t in theirs)
        for part, theirs in attention.items():
            names[f"{ours}.attention.{part}"] = tuple(f"{attends}.{t}" for t in theirs)
    return names


def from_diffusers(state: Mapping[str, Tensor], config: UNetConfig) -> dict[str, Tensor]:
    """diffusers' weights under our names; each of theirs is used exactly once."""
    layers, left, tensors = diffusers_layers(config), set(state), {}
    for name in parameters(config):
        layer, kind = name.rsplit(".", 1)
        theirs = [f"{t}.{kind}" for t in layers[layer]]
        left -= set(theirs)
        tensors[name] = torch.cat([state[t] for t in theirs])
    assert not left
    return tensors


def scatter(model: nn.Module) -> None:
    """Random weights, nowhere zero, that keep activations of order 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim > 1:
                p.copy_(noise * p[0].numel() ** -0.5)
            else:
                p.copy_(0.3 * noise + (1.0 if "norm" in name and "weight" in name else 0.0))


class Float64Sinusoid(nn.Module):
    """The embedding in NumPy float64; diffusers' own is never finer than float32."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, t: Tensor) -> Tensor:
        half = self.config.width // 2
        rate = np.log(self.config.max_period) / (half - self.config.frequency_shift)
        angle = np.outer(t.double().numpy(), np.exp(-rate * np.arange(half)))
        waves = [np.sin(angle), np.cos(angle)]
        if self.config.embedding_order == "cos-sin":
            waves.reverse()
        return torch.from_numpy(np.concatenate(waves, axis=1))


def arguments(config: UNetConfig, dtype: torch.dtype, batch: int = 3) -> dict[str, Tensor]:
    """x, t and whatever else the network takes."""
    generator = torch.Generator().manual_seed(1)

    def images(channels: int) -> Tensor:
        shape = (batch, channels, config.image_size, config.image_size)
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    given = {"x": images(config.channels), "t": torch.tensor([0, 17, 999])[:batch]}
    if config.classes:
        given["labels"] = torch.tensor([0, 3, config.label_rows - 1])[:batch]
    if config.condition_channels:
        given["condition"] = images(config.condition_channels)
    return given


def both(config: UNetConfig, ours: UNetConfig, dtype: torch.dtype) -> tuple[Any, UNet]:
    """diffusers' network of `config`, and ours of `ours` with the same weights."""
    # Its own `to` logs a warning about modules to keep in float32, of which it has none.
    theirs = nn.Module.to(diffusers_model(config), dtype).eval()
    scatter(theirs)
    if dtype == torch.float64:
        theirs.time_proj = Float64Sinusoid(config)
    net = UNet(ours).to(dtype).eval()
    net.load_state_dict(from_diffusers(theirs.state_dict(), config))
    return theirs, net


def outputs(theirs: Any, net: UNet, config: UNetConfig, dtype: torch.dtype) -> tuple[Any, Tensor]:
    given = arguments(config, dtype)
    x = torch.cat([given["x"], *([given["condition"]] if "condition" in given else [])], dim=1)
    labels = given.get("labels")
    return theirs(x, given["t"], class_labels=labels, return_dict=False)[0], net(**given)


def distance(a: Tensor, b: Tensor) -> float:
    """Largest difference over the largest value, in units of the dtype's epsilon."""
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / a.abs().max() / torch.finfo(a.dtype).eps)


TOLERANCE = 64


def gap(config: UNetConfig, dtype: torch.dtype, ours: UNetConfig | None = None) -> float:
    theirs, net = both(config, ours or config, dtype)
    with torch.no_grad():
        return distance(*outputs(theirs, net, config, dtype))


def test_the_default_is_the_published_configuration() -> None:
    assert diffusers_config(UNetConfig()) == PUBLISHED


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_published_network_weight_for_weight(dtype: torch.dtype) -> None:
    assert gap(UNetConfig(), dtype) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", VARIANTS)
def test_variants_weight_for_weight(name: str, dtype: torch.dtype) -> None:
    assert gap(VARIANTS[name], dtype) < TOLERANCE


@pytest.mark.parametrize(
    "wrong",
    [
        {"downsample_padding": "symmetric"},
        {"embedding_order": "cos-sin"},
        {"frequency_shift": 0},
        {"heads": 2},
        {"groups": 2},
        {"norm_eps": 1e-5},
        {"max_period": 9_999.0},
    ],
    ids=str,
)
def test_another_network_with_the_same_weights_is_told_apart(wrong: dict[str, Any]) -> None:
    assert gap(SMALL, torch.float64, replace(SMALL, **wrong)) > 1e6 * TOLERANCE


@pytest.mark.parametrize("swapped", ["qkv", "skips"])
def test_swapped_weights_are_told_apart(swapped: str) -> None:
    """Values for keys, or a residual block's two halves of [state, skip] exchanged."""
    theirs, net = both(SMALL, SMALL, torch.float64)
    with torch.no_grad():
        if swapped == "qkv":
            for name, p in net.named_parameters():
                if "qkv" in name:
                    p.copy_(torch.cat([p.chunk(3)[i] for i in (0, 2, 1)]))
        else:
            weight = net.get_parameter("up.0.conv_1.weight")
            weight.copy_(torch.cat(weight.chunk(2, dim=1)[::-1], dim=1))
        assert distance(*outputs(theirs, net, SMALL, torch.float64)) > 1e6 * TOLERANCE


@pytest.mark.parametrize("name", ["plain", "scale and shift", "the same with attention", "labels"])
def test_gradients_of_every_weight(name: str) -> None:
    config, dtype = VARIANTS[name], torch.float64
    theirs, net = both(config, config, dtype)
    a, b = outputs(theirs, net, config, dtype)
    direction = torch.linspace(-1, 1, a.numel(), dtype=dtype).reshape(a.shape)
    (a * direction).sum().backward()
    (b * direction).sum().backward()
    expected = from_diffusers({k: p.grad for k, p in theirs.named_parameters()}, config)
    for key, p in net.named_parameters():
        assert p.grad is not None
        # A key's bias adds one number to every logit of a softmax: its gradient is rounding error.
        scale = expected[key].abs().max()
        assert scale > 0
        assert (p.grad - expected[key]).abs().max() <= 1e-12 * scale, key


@pytest.mark.parametrize("name", ["published", *VARIANTS])
def test_names_and_shapes_are_those_of_the_table(name: str) -> None:
    config = UNetConfig() if name == "published" else VARIANTS[name]
    state = UNet(config).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        k: p.shape for k, p in parameters(config).items()
    }


def test_initial_weights_follow_the_table() -> None:
    config = replace(SMALL, width=64, classes=10, learned_variance=True)
    state = UNet(config, seed=3).state_dict()
    for name, p in parameters(config).items():
        w = state[name].double()
        if p.init == "zeros" or p.init == "ones":
            assert torch.all(w == (1.0 if p.init == "ones" else 0.0))
            continue
        # Four standard errors of the mean and of the mean square.
        n, variance = w.numel(), p.scale**2 * (1 / 3 if p.init == "uniform" else 1)
        kurtosis = 9 / 5 if p.init == "uniform" else 3
        assert abs(w.mean()) < 4 * (variance / n) ** 0.5
        assert abs((w**2).mean() / variance - 1) < 4 * ((kurtosis - 1) / n) ** 0.5
        if p.init == "uniform":
            # The bound is rounded to float32 with the rest.
            assert 0.9 * p.scale < w.abs().max() <= p.scale * (1 + 2**-23)


def test_the_first_output_is_exactly_zero() -> None:
    for config in VARIANTS.values():
        with torch.no_grad():
            assert torch.all(UNet(config)(**arguments(config, torch.float32)) == 0)


def test_the_last_layer_of_each_branch_is_what_makes_it_zero() -> None:
    net = UNet(SMALL)
    with torch.no_grad():
        net.output.weight.fill_(1.0)
        assert torch.any(net(**arguments(SMALL, torch.float32)) != 0)
        block, e = net.middle[0], torch.randn(2, SMALL.embedding_width)
        x = torch.randn(2, 32, 4, 4)
        assert torch.equal(block(x, e), x)
        block.conv_2.bias.fill_(1.0)
        assert not torch.equal(block(x, e), x)


def test_a_seed_is_a_network() -> None:
    before = torch.get_rng_state()
    state = UNet(DIGITS, seed=1).state_dict()
    again = UNet(DIGITS, seed=1).state_dict()
    assert all(torch.equal(v, state[k]) for k, v in again.items())
    other = UNet(DIGITS, seed=2).state_dict()
    assert not torch.equal(other["input.weight"], state["input.weight"])
    assert torch.equal(torch.get_rng_state(), before)
    try:
        torch.set_default_dtype(torch.float64)
        fine = UNet(DIGITS, seed=1).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(v.dtype == torch.float64 for v in fine.values())
    assert all(torch.equal(v.float(), state[k]) for k, v in fine.items())


def test_sinusoid_at_float64_and_in_float32() -> None:
    config = replace(SMALL, width=32)
    t = torch.tensor([0.0, 0.25, 1.0, 999.0], dtype=torch.float64)
    exact = Float64Sinusoid(config)(t)
    eps = torch.finfo(torch.float64).eps
    # sin(t w) moves by the rounding error of its argument, at most some eps * t w.
    assert (sinusoid(t, config, torch.float64) - exact).abs().max() <= 4 * 999 * eps
    eps = torch.finfo(torch.float32).eps
    assert (sinusoid(t, config) - exact).abs().max() <= 4 * 999 * eps
    flipped = replace(config, embedding_order="cos-sin")
    assert torch.equal(sinusoid(t, flipped), sinusoid(t, config).roll(16, dims=1))
    assert not torch.allclose(sinusoid(t, replace(config, frequency_shift=0)).double(), exact)
    # The lowest frequency is 1 / max_period with the shift, and above it without.
    slow = torch.tensor([10_000.0], dtype=torch.float64)
    assert sinusoid(slow, config, torch.float64)[0, 15].item() == pytest.approx(np.sin(1.0))


def test_attention_is_the_softmax_formula() -> None:
    config = replace(SMALL, groups=4)
    heads, channels, d = 2, 12, 6
    layer = Attention(channels, heads, config).double()
    scatter(layer)
    x = torch.randn(2, channels, 3, 5, dtype=torch.float64)
    w, b = layer.qkv.weight.detach().numpy(), layer.qkv.bias.detach().numpy()
    v_out, b_out = layer.out.weight.detach().numpy(), layer.out.bias.detach().numpy()
    expected = np.empty(x.shape)
    for n in range(2):
        group = x[n].numpy().reshape(4, -1)
        normal = (group - group.mean(1, keepdims=True)) / np.sqrt(
            group.var(1, keepdims=True) + config.norm_eps
        )
        gain, offset = layer.norm.weight.detach().numpy(), layer.norm.bias.detach().numpy()
        normal = normal.reshape(channels, 15) * gain[:, None] + offset[:, None]
        q, k, v = np.split(w @ normal + b[:, None], 3)
        joined = np.empty((channels, 15))
        for rows in (slice(h * d, (h + 1) * d) for h in range(heads)):
            weights = np.exp(q[rows].T @ k[rows] / np.sqrt(d))
            weights /= weights.sum(axis=1, keepdims=True)
            joined[rows] = (weights @ v[rows].T).T
        expected[n] = x[n].numpy() + (v_out @ joined + b_out[:, None]).reshape(channels, 3, 5)
    assert distance(torch.from_numpy(expected), layer(x)) < TOLERANCE
    one_head = Attention(channels, 1, config).double()
    one_head.load_state_dict(layer.state_dict())
    assert distance(torch.from_numpy(expected), one_head(x)) > 1e6 * TOLERANCE


@pytest.mark.parametrize("way", ["down", "up"])
def test_a_residual_block_resamples_both_branches(way: str) -> None:
    """A constant image stays one, and the shortcut alone is the mean or the copy."""
    config = replace(SMALL, resample="residual")
    block = next(b for b in layout(config) if b.resample == way)
    net = ResidualBlock(block, config).double()
    scatter(net)
    with torch.no_grad():
        net.conv_2.weight.zero_()
        net.conv_2.bias.zero_()
    x = torch.arange(2.0 * 16 * 4 * 4, dtype=torch.float64).reshape(2, 16, 4, 4)
    x = x.repeat(1, block.out_channels // 16, 1, 1)
    e = torch.randn(2, config.embedding_width, dtype=torch.float64)
    if way == "down":
        expected = sum(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    else:
        expected = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(net(x, e), expected)


def random_net(config: UNetConfig, dtype: torch.dtype = torch.float32) -> UNet:
    net = UNet(config).to(dtype).eval()
    scatter(net)
    return net


def test_labels_reach_the_output_and_none_is_the_null_class() -> None:
    net, given = random_net(DIGITS), arguments(DIGITS, torch.float32)
    del given["labels"]
    with torch.no_grad():
        null = net(**given)
        assert torch.equal(null, net(**given, labels=torch.tensor([10, 10, 10])))
        one = net(**given, labels=torch.tensor([10, 3, 10]))
    same = (null == one).flatten(1).all(dim=1)
    assert same.tolist() == [True, False, True]


def test_the_condition_and_the_time_reach_the_output() -> None:
    config = VARIANTS["a conditioning image"]
    net, given = random_net(config), arguments(config, torch.float32)
    with torch.no_grad():
        y = net(**given)
        assert not torch.allclose(y, net(**{**given, "condition": given["condition"] + 1}))
        assert not torch.allclose(y, net(**{**given, "t": given["t"] + 0.5}))
        assert torch.equal(y, net(**{**given, "t": given["t"].double()}))


def test_dropout_drops_what_it_is_told_and_makes_up_for_it() -> None:
    net, given = random_net(DIGITS), arguments(DIGITS, torch.float32)
    without = random_net(replace(DIGITS, dropout=0.0))

    def drawn(shape: tuple[int, ...], k: int) -> torch.Tensor:
        return portable(0)(torch.empty(shape), k)

    with torch.no_grad():
        kept = unet.kept(DIGITS, tuple(given["x"].shape), drawn)
        assert torch.equal(net.train()(**given), without.eval()(**given))
        assert not torch.equal(net(**given, kept=kept), net(**given))
        everything = {k: torch.ones_like(mask) for k, mask in kept.items()}
        # All kept and divided by 1 - p, in one block alone, is that block's conv_2 on 1 / 0.9.
        last = max(kept)
        scaled = net(**given, kept={last: everything[last]})
        net.up[-1].conv_2.weight /= 0.9
        torch.testing.assert_close(scaled, net(**given), rtol=0, atol=256 * 2.0**-23)
    total = sum(mask.numel() for mask in kept.values())
    dropped = sum(int((~mask).sum()) for mask in kept.values())
    assert abs(dropped - 0.1 * total) < 6 * (0.09 * total) ** 0.5
    assert unet.kept(replace(DIGITS, dropout=0.0), tuple(given["x"].shape), drawn) == {}


def test_the_learned_variance_comes_behind() -> None:
    config = VARIANTS["learned variance"]
    net, given = random_net(config), arguments(config, torch.float32)
    with torch.no_grad():
        y = net(**given)
        net.output.bias += torch.tensor([0.0, 1.0])
        change = net(**given) - y
    assert y.shape == (3, 2, 8, 8)
    assert torch.all(change[:, :1] == 0)
    assert torch.all(change[:, 1:] > 0.5)


def test_samples_do_not_see_each_other() -> None:
    net, given = random_net(DIGITS, torch.float64), arguments(DIGITS, torch.float64)
    with torch.no_grad():
        whole = net(**given)
        for b in range(3):
            alone = net(**{k: v[b : b + 1] for k, v in given.items()})
            assert distance(whole[b : b + 1], alone) < TOLERANCE


def test_without_attention_and_norms_the_reach_is_finite() -> None:
    """One level's pixels see the convolutions' span, and attention sees everything."""
    local = replace(
        SMALL, image_size=64, multipliers=(1,), blocks=1, attention=(), middle_attention=False
    )
    for config, everything in ((local, False), (replace(local, middle_attention=True), True)):
        net = random_net(config, torch.float64)
        for module in net.modules():
            if isinstance(module, nn.GroupNorm):
                # Normalising over positions would let everything through.
                module.forward = lambda h: h
        x = torch.zeros(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
        net(x, torch.zeros(1))[0, 0, 32, 32].backward()
        seen = x.grad[0, 0] != 0
        # 3x3 convolutions: one in, two in each of five blocks, one out.
        reach = 1 + 2 * (1 + 2 + 2) + 1
        box = torch.zeros(64, 64, dtype=torch.bool)
        box[32 - reach : 33 + reach, 32 - reach : 33 + reach] = True
        assert torch.all(seen[box])
        assert bool(torch.any(seen[~box])) == everything


def test_other_sides_work() -> None:
    net = random_net(SMALL)
    with torch.no_grad():
        assert net(torch.randn(2, 1, 12, 6), torch.zeros(2)).shape == (2, 1, 12, 6)


def test_bfloat16_weights_keep_the_time_and_the_dtype_of_x() -> None:
    given = arguments(DIGITS, torch.float32)
    fine, coarse = random_net(DIGITS), random_net(DIGITS, torch.bfloat16)
    with torch.no_grad():
        y, z = fine(**given), coarse(**given)
        assert z.dtype == torch.float32
        # Thirty layers of eps = 2^-7.
        assert (y - z).abs().max() < 30 * 2**-7 * y.abs().max()
        assert coarse(**{**given, "x": given["x"].bfloat16()}).dtype == torch.bfloat16
        # 998 and 999 are one number in bfloat16.
        later = coarse(**{**given, "t": given["t"] - torch.tensor([0, 0, 1])})
        assert not torch.equal(later[2], z[2])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert fine(**given).dtype == torch.float32


def test_channels_last_is_kept_and_changes_nothing() -> None:
    net, given = random_net(DIGITS, torch.float64), arguments(DIGITS, torch.float64)
    with torch.no_grad():
        y = net(**given)
    net = net.to(memory_format=torch.channels_last)
    given["x"] = given["x"].to(memory_format=torch.channels_last)
    broken = []

    def look(module: nn.Module, _: Any, h: Tensor) -> None:
        if h.ndim == 4 and not h.is_contiguous(memory_format=torch.channels_last):
            broken.append(module)

    for module in net.modules():
        module.register_forward_hook(look)
    with torch.no_grad():
        assert distance(y, net(**given)) < TOLERANCE
    assert not broken


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_it_compiles_whole(backend: str) -> None:
    torch._dynamo.reset()
    config = replace(DIGITS, condition_channels=1, scale_shift=True, dropout=0.0)
    net, given = random_net(config, torch.float64), arguments(config, torch.float64)
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    expected, got = net(**given), compiled(**given)
    assert distance(expected, got) < TOLERANCE
    got.square().sum().backward()
    grads = {k: p.grad.clone() for k, p in net.named_parameters()}
    net.zero_grad()
    expected.square().sum().backward()
    for key, p in net.named_parameters():
        assert distance(p.grad, grads[key]) < 1e4, key


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"x": torch.zeros(3, 2, 8, 8)},
            r"x must have shape \(batch, 1, height, width\), got \(3, 2",
        ),
        ({"x": torch.zeros(3, 1, 8)}, r"x must have shape .* got \(3, 1, 8\)"),
        ({"x": torch.zeros(3, 1, 8, 7)}, r"divisible by 2, for 2 levels; got \(3, 1, 8, 7\)"),
        ({"t": torch.zeros(2)}, r"t must have shape \(3,\), got \(2,\)"),
        ({"t": torch.tensor(1)}, r"t must have shape \(3,\), got \(\)"),
        (
            {"labels": torch.zeros(1, dtype=torch.int64)},
            r"labels must have shape \(3,\), got \(1,\)",
        ),
        ({"condition": None}, r"condition must have shape \(3, 2, 8, 8\), got None"),
        (
            {"condition": torch.zeros(3, 1, 8, 8)},
            r"condition must have shape .* got \(3, 1, 8, 8\)",
        ),
    ],
)
def test_arguments_are_checked(change: dict[str, Any], words: str) -> None:
    config = replace(SMALL, classes=10, condition_channels=2)
    with pytest.raises(ValueError, match=words):
        UNet(config)(**{**arguments(config, torch.float32), **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"x": torch.zeros(3, 1, 8, 8, dtype=torch.int64)},
            "x must be .*floating.* got dtype torch.int64",
        ),
        ({"x": [[0.0]]}, "x must be an array, got list"),
        ({"t": 5}, "t must be an array, got int"),
        ({"labels": torch.zeros(3)}, "labels must be an array of integers, got dtype torch.float"),
        ({"labels": 1}, "labels must be an array of integers, got int"),
    ],
)
def test_arguments_of_another_kind_are_named(change: dict[str, Any], words: str) -> None:
    config = replace(SMALL, classes=10)
    with pytest.raises(TypeError, match=words):
        UNet(config)(**{**arguments(config, torch.float32), **change})


def test_labels_may_be_integers_of_any_size() -> None:
    config = replace(SMALL, classes=10)
    net = UNet(config, 0)
    torch.nn.init.normal_(net.output.weight)
    given = arguments(config, torch.float32)
    wide = net(**{**given, "labels": torch.tensor([1, 2, 10])})
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert net(**{**given, "labels": torch.tensor([1, 2, 10], dtype=dtype)}).equal(wide)


def test_arguments_that_the_network_has_no_use_for() -> None:
    x, t = torch.zeros(2, 1, 8, 8), torch.zeros(2)
    with pytest.raises(ValueError, match=r"labels must be left out"):
        UNet(SMALL)(x, t, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"condition must be left out"):
        UNet(SMALL)(x, t, condition=x)
    with pytest.raises(ValueError, match=r"labels must be given"):
        UNet(replace(SMALL, classes=10, null_class=False))(x, t)
