"""The UNet of DDPM as data: a configuration, its blocks in order, and its parameter table.

    h = input(x);  h = down_k(h, e);  h = middle(h, e);  h = up_k([h, skip], e)
    output(silu(norm(h))),   e = silu(time_2(silu(time_1(sinusoid(t)))) + labels[c])

Ho, Jain & Abbeel 2020 (https://arxiv.org/abs/2006.11239), appendix B. A backend iterates `layout`
and holds `parameters`, so that every backend has one architecture and one set of weight names.
No arithmetic on arrays happens here.

What the blocks compute, on states of shape (batch, channels, height, width):

- sinusoid: w_i = max_period^(-i / (width / 2 - frequency_shift)), i = 0 .. width / 2 - 1; every
  sin(t w_i), then every cos(t w_i), or the other way round ("cos-sin").
- `Residual`: shortcut(resample(x)) + conv_2(dropout(silu(norm_2(h + embedding(e))))) with
  h = conv_1(resample(silu(norm_1(x)))). With `scale_shift`, [scale, shift] = embedding(e) and
  norm_2(h) (1 + scale) + shift stands in place of norm_2(h + embedding(e)). Convolutions are 3x3
  with one zero on every side; the shortcut is a 1x1 convolution where the channels change, else
  the identity. Resampling inside the block is 2x2 averaging, or nearest doubling.
- attention, where the block has heads, on its output x: x + out(softmax(q k' / sqrt(d)) v) with
  [q, k, v] = qkv(norm(x)); each of q, k, v splits into heads of d neighbouring channels.
- `Resample`: a 3x3 convolution, of stride 2 or after nearest doubling. Asymmetric padding of the
  strided one is a row of zeros below and a column to the right (the original's "SAME");
  symmetric padding is one on every side.
"""

from .config import UNetConfig
from .dropout import kept
from .initial import initial
from .inputs import require_inputs
from .layout import Block, Layout, Resample, Residual, layout
from .parameters import Parameter, count, parameters

__all__ = [
    "Block",
    "Layout",
    "Parameter",
    "Resample",
    "Residual",
    "UNetConfig",
    "count",
    "initial",
    "kept",
    "layout",
    "parameters",
    "require_inputs",
]
