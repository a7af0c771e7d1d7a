"""The UNet of DDPM in PyTorch; `diffcore.unet` says what it computes.

    e = silu(time_2(silu(time_1(sinusoid(t)))) + labels[c])
    x + conv_2(silu(norm_2(conv_1(silu(norm_1(x))) + embedding(e))))        a residual block
    x + out(softmax(q k' / sqrt(d)) v),   [q, k, v] = qkv(norm(x))          self-attention

Ho, Jain & Abbeel 2020 (https://arxiv.org/abs/2006.11239), appendix B.
"""

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffcore import unet
from diffcore.unet import Block, Residual, UNetConfig

NOTHING: Mapping[int, Tensor] = {}


def sinusoid(t: Tensor, config: UNetConfig, dtype: torch.dtype = torch.float32) -> Tensor:
    """sin(t w_i) and cos(t w_i), w_i = max_period^(-i / (width / 2 - shift)): (batch, width).

    Worked out in `dtype`: a time of 1000 in bfloat16 is only known to 4.
    """
    half = config.width // 2
    i = torch.arange(half, dtype=dtype, device=t.device)
    w = torch.exp(-math.log(config.max_period) * i / (half - config.frequency_shift))
    angle = t.to(dtype)[:, None] * w
    waves = (angle.sin(), angle.cos())
    return torch.cat(waves if config.embedding_order == "sin-cos" else waves[::-1], dim=1)


class Attention(nn.Module):
    """x + out(softmax(q k' / sqrt(d)) v) over the positions of an image, in several heads."""

    def __init__(self, channels: int, heads: int, config: UNetConfig) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(config.groups, channels, config.norm_eps)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        # (batch, channels, height, width) -> (batch, positions, channels): a view, channels last.
        positions = self.norm(x).flatten(2).transpose(1, 2)
        split = self.qkv(positions).unflatten(2, (3, self.heads, -1))
        q, k, v = split.permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + cast(Tensor, self.out(h)).transpose(1, 2).reshape(x.shape)


class ResidualBlock(nn.Module):
    """x + conv_2(silu(norm_2(conv_1(silu(norm_1(x))) + embedding(e)))), then attention."""

    def __init__(self, block: Residual, config: UNetConfig) -> None:
        super().__init__()
        entering, out = block.in_channels + block.skip_channels, block.out_channels
        self.resample = block.resample
        self.scale_shift = config.scale_shift
        self.norm_1 = nn.GroupNorm(config.groups, entering, config.norm_eps)
        self.conv_1 = nn.Conv2d(entering, out, 3, padding=1)
        self.embedding = nn.Linear(config.embedding_width, 2 * out if self.scale_shift else out)
        self.norm_2 = nn.GroupNorm(config.groups, out, config.norm_eps)
        self.kept = 1.0 - config.dropout
        self.conv_2 = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Identity() if entering == out else nn.Conv2d(entering, out, 1)
        self.attention = Attention(out, block.heads, config) if block.heads else nn.Identity()

    def forward(self, x: Tensor, e: Tensor, kept: Tensor | None = None) -> Tensor:
        h = F.silu(self.norm_1(x))
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.resample == "up":
            h, x = double(h), double(x)
        h = self.conv_1(h)
        e = self.embedding(e)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.norm_2(h) * (1.0 + scale) + shift
        else:
            h = self.norm_2(h + e)
        h = F.silu(h)
        if kept is not None:
            h = h * kept / self.kept
        h = self.conv_2(h)
        return cast(Tensor, self.attention(self.shortcut(x) + h))


class Downsample(nn.Module):
    """A 3x3 convolution of stride 2."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.symmetric = config.downsample_padding == "symmetric"
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1 if self.symmetric else 0)

    def forward(self, x: Tensor, e: Tensor, kept: None = None) -> Tensor:
        return cast(Tensor, self.conv(x if self.symmetric else F.pad(x, (0, 1, 0, 1))))


class Upsample(nn.Module):
    """Nearest doubling, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, e: Tensor, kept: None = None) -> Tensor:
        return cast(Tensor, self.conv(double(x)))


def double(x: Tensor) -> Tensor:
    """Each pixel twice along both axes."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class UNet(nn.Module):
    """The network that `config` describes; its state has the names of `diffcore.unet.parameters`.

    It starts from `seed`: the same weights on any device, in any dtype up to rounding. It works in
    the dtype of its weights and answers in that of x. It is fastest with
    `.to(memory_format=torch.channels_last)`, and compiles whole.
    """

    def __init__(self, config: UNetConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.layout = layout = unet.layout(config)
        first = config.widths[0]
        with torch.device("meta"):
            self.time_1 = nn.Linear(config.width, config.embedding_width)
            self.time_2 = nn.Linear(config.embedding_width, config.embedding_width)
            if config.label_rows:
                self.labels = nn.Embedding(config.label_rows, config.embedding_width)
            self.input = nn.Conv2d(config.in_channels, first, 3, padding=1)
            self.down = nn.ModuleList(_module(block, config) for block in layout.down)
            self.middle = nn.ModuleList(_module(block, config) for block in layout.middle)
            self.up = nn.ModuleList(_module(block, config) for block in layout.up)
            self.norm = nn.GroupNorm(config.groups, first, config.norm_eps)
            self.output = nn.Conv2d(first, config.out_channels, 3, padding=1)
        self.to_empty(device=torch.get_default_device())
        if not self.input.weight.is_meta:
            self.initialise(seed)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Start from the weights of that seed, `diffcore.unet.initial`."""
        weights = dict(self.named_parameters())
        for name, start in unet.initial(self.config, seed).items():
            weights[name].copy_(torch.from_numpy(start))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        labels: Tensor | None = None,
        condition: Tensor | None = None,
        kept: Mapping[int, Tensor] = NOTHING,
    ) -> Tensor:
        """What the network makes of x_t.

        x: (batch, channels, height, width), any floating dtype. t: (batch,), whole or fractional,
        on the scale the network is trained with. labels: integers (batch,) in 0 .. classes - 1, or
        `classes` for none; left out, all are none. condition: (batch, condition_channels, height,
        width). kept: what dropout keeps, by the block's number, see `diffcore.unet.kept`; by
        default everything. Returns (batch, out_channels, height, width) in x's dtype.

        Raises ValueError for a shape, or an argument, that the configuration does not allow, and
        TypeError for x, t or labels that are no arrays of their kind.
        """
        unet.require_inputs(self.config, x, t, labels, condition)
        dtype = self.input.weight.dtype
        fine = torch.promote_types(dtype, torch.float32)
        e = self.time_1(sinusoid(t, self.config, fine).to(dtype))
        e = self.time_2(F.silu(e))
        if self.config.classes:
            if labels is None:
                labels = torch.full_like(t, self.config.classes, dtype=torch.int64)
            e = e + self.labels(labels.long())
        e = F.silu(e)
        h = self.input((x if condition is None else torch.cat((x, condition), dim=1)).to(dtype))
        skips = [h]
        for number, block in enumerate(self.down):
            h = block(h, e, kept.get(number))
            skips.append(h)
        before = len(self.down)
        for number, block in enumerate(self.middle, before):
            h = block(h, e, kept.get(number))
        before += len(self.middle)
        for number, (plan, block) in enumerate(zip(self.layout.up, self.up, strict=True), before):
            if isinstance(plan, Residual) and plan.skip_channels:
                h = torch.cat((h, skips.pop()), dim=1)
            h = block(h, e, kept.get(number))
        return cast(Tensor, self.output(F.silu(self.norm(h)))).to(x.dtype)


def _module(block: Block, config: UNetConfig) -> nn.Module:
    if isinstance(block, Residual):
        return ResidualBlock(block, config)
    return (
        Downsample(block.channels, config) if block.resample == "down" else Upsample(block.channels)
    )
