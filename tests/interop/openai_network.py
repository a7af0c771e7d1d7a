"""The network of improved-diffusion and guided-diffusion, as their papers and layer names have it.

Only what the names of the weights and the forward pass need; each layer has theirs, so that a state
dict of theirs loads into it.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels)


class Residual(nn.Module):
    def __init__(self, entering, leaving, embedding, scale_shift, way=""):
        super().__init__()
        self.way, self.scale_shift = way, scale_shift
        self.in_layers = nn.Sequential(
            norm(entering), nn.SiLU(), nn.Conv2d(entering, leaving, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(
            nn.SiLU(), nn.Linear(embedding, leaving * (2 if scale_shift else 1))
        )
        self.out_layers = nn.Sequential(
            norm(leaving), nn.SiLU(), nn.Identity(), nn.Conv2d(leaving, leaving, 3, padding=1)
        )
        same = entering == leaving
        self.skip_connection = nn.Identity() if same else nn.Conv2d(entering, leaving, 1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        normalise, activate, convolve = self.in_layers
        h = activate(normalise(x))
        if self.way == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.way == "up":
            h, x = (F.interpolate(a, scale_factor=2, mode="nearest") for a in (h, x))
        h, e = convolve(h), self.emb_layers(e)[..., None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.out_layers[0](h) * (1 + scale) + shift
            return self.skip_connection(x) + self.out_layers[1:](h)
        return self.skip_connection(x) + self.out_layers(h + e)


class Attention(nn.Module):
    def __init__(self, channels, heads, order):
        super().__init__()
        self.heads, self.order = heads, order
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, *sides = x.shape
        flat = x.reshape(n, c, -1)
        rows = self.qkv(self.norm(flat))
        width = c // self.heads
        if self.order == "heads":
            # Each head's own 3 x width rows, which then part into q, k and v.
            q, k, v = rows.reshape(n * self.heads, 3 * width, -1).split(width, dim=1)
        else:
            q, k, v = (a.reshape(n * self.heads, width, -1) for a in rows.chunk(3, dim=1))
        weight = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(width), dim=-1)
        h = (v @ weight.transpose(1, 2)).reshape(n, c, -1)
        return (flat + self.proj_out(h)).reshape(n, c, *sides)


class Down(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Up(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Layers(nn.Sequential):
    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, e) if isinstance(layer, Residual) else layer(x)
        return x


class OpenAIUNet(nn.Module):
    """attention: the downsampling rates that have it; heads: a number, or with head_width None."""

    def __init__(
        self,
        *,
        entering=3,
        leaving=3,
        width=32,
        blocks=1,
        multipliers=(1, 2),
        attention=(2,),
        heads=2,
        head_width=None,
        classes=None,
        scale_shift=False,
        resblock_updown=False,
        order="heads",
    ):
        super().__init__()
        self.width = width
        embedding = 4 * width
        self.time_embed = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        if classes:
            self.label_emb = nn.Embedding(classes, embedding)

        def residual(a, b, way=""):
            return Residual(a, b, embedding, scale_shift, way)

        def attends(channels):
            return Attention(channels, channels // head_width if head_width else heads, order)

        state, rate = width * multipliers[0], 1
        self.input_blocks = nn.ModuleList([Layers(nn.Conv2d(entering, state, 3, padding=1))])
        skips = [state]
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                layers = [residual(state, width * multiplier)]
                state = width * multiplier
                if rate in attention:
                    layers.append(attends(state))
                self.input_blocks.append(Layers(*layers))
                skips.append(state)
            if level < len(multipliers) - 1:
                way = residual(state, state, "down") if resblock_updown else Down(state)
                self.input_blocks.append(Layers(way))
                skips.append(state)
                rate *= 2
        self.middle_block = Layers(residual(state, state), attends(state), residual(state, state))
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for i in range(blocks + 1):
                layers = [residual(state + skips.pop(), width * multiplier)]
                state = width * multiplier
                if rate in attention:
                    layers.append(attends(state))
                if level and i == blocks:
                    layers.append(residual(state, state, "up") if resblock_updown else Up(state))
                    rate //= 2
                self.output_blocks.append(Layers(*layers))
        self.out = nn.Sequential(norm(state), nn.SiLU(), nn.Conv2d(state, leaving, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        half = self.width // 2
        angle = t[:, None] * torch.exp(-math.log(10_000.0) * torch.arange(half) / half)
        e = self.time_embed(torch.cat([angle.cos(), angle.sin()], dim=1))
        if y is not None:
            e = e + self.label_emb(y)
        skips, h = [], x
        for block in self.input_blocks:
            h = block(h, e)
            skips.append(h)
        h = self.middle_block(h, e)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), e)
        return self.out(h)
