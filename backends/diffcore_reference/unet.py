"""The UNet of DDPM by hand; `diffcore.unet` says what it computes.

    e = silu(time_2(silu(time_1(sinusoid(t)))) + labels[c])

then the blocks of the layout, each with e, between an input and an output convolution. Backward,
each block's pull in the opposite order: what two blocks have taken, as an output and as a skip,
has the sum of both gradients, and with z what e is the silu of,

    de = the sum over the blocks,   dlabels[c] = sum of silu'(z) de over the images of class c

Both are one text for NumPy and CuPy; what is fast is in `kernels`.

Ho, Jain & Abbeel 2020 (https://arxiv.org/abs/2006.11239), appendix B.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from diffcore import unet
from diffcore.unet import Residual, UNetConfig

from .blocks import block
from .kernels.arrays import Arrays
from .layers import Pull, convolution, linear, norm_silu, silu
from .weights import Weights

NOTHING: Mapping[int, Any] = {}


def sinusoid(xp: Any, t: Any, config: UNetConfig, dtype: Any) -> Any:
    """sin(t w_i) and cos(t w_i), w_i = max_period^(-i / (width / 2 - shift)): (batch, width)."""
    half = config.width // 2
    i = xp.arange(half, dtype=dtype)
    w = xp.exp(-math.log(config.max_period) * i / (half - config.frequency_shift)).astype(dtype)
    angle = t.astype(dtype)[:, None] * w
    waves = (xp.sin(angle), xp.cos(angle))
    return xp.concatenate(waves if config.embedding_order == "sin-cos" else waves[::-1], axis=1)


class UNet:
    """The network that `config` describes, with weights of its own.

    Its weights have the names of `diffcore.unet.parameters`; images go in and out as (batch,
    channels, height, width).

    kernels: as `device.chosen_kernels` gives them, which say where the arrays lie. dtype: float32
    or float64, of all that is computed. value: the weights' flat array, see `Weights`; by default a
    new one, zeros until `initialise` or `weights.write`.
    """

    def __init__(self, config: UNetConfig, kernels: Arrays, dtype: Any, value: Any = None) -> None:
        self.config, self.kernels, self.dtype = config, kernels, dtype
        self.layout = unet.layout(config)
        self.weights = Weights(config, kernels.xp, dtype, value)

    def initialise(self, seed: int) -> None:
        """Start from the weights of that seed."""
        self.weights.write(self.weights.value, unet.initial(self.config, seed))

    def __call__(self, x: Any, t: Any, labels: Any = None, condition: Any = None) -> Any:
        """What the network makes of x_t, without dropout, keeping nothing; see `run`."""
        with self.kernels.working():
            return self._run(x, t, labels, condition, NOTHING, lambda pull: None)[0]

    def run(
        self,
        x: Any,
        t: Any,
        labels: Any = None,
        condition: Any = None,
        kept: Mapping[int, Any] = NOTHING,
    ) -> tuple[Any, Pull]:
        """What the network makes of x_t, and how gradients go back.

        x: (batch, channels, height, width). t: (batch,), on the scale the network is trained with.
        labels: integers (batch,), `classes` for none; left out, all are none. condition: (batch,
        condition_channels, height, width). kept: what dropout keeps, by the block's number, see
        `diffcore.unet.kept`, but channels last; by default everything.

        `pull(dy)`, dy of the output's shape, gives dx of x's shape and adds to `weights.gradient`.
        Raises ValueError for a shape, or an argument, that the configuration does not allow, and
        TypeError for x, t or labels that are no arrays of their kind.
        """
        with self.kernels.working():
            y, pull = self._run(x, t, labels, condition, kept, lambda pull: pull)

        def held(dy: Any) -> Any:
            with self.kernels.working():
                return pull(dy)

        return y, held

    def _run(
        self,
        x: Any,
        t: Any,
        labels: Any,
        condition: Any,
        kept: Mapping[int, Any],
        remembered: Callable[[Pull], Any],
    ) -> tuple[Any, Pull]:
        """remembered: what is kept of a block's pull, which holds the block's activations."""
        unet.require_inputs(self.config, x, t, labels, condition)
        kernels, weights, config = self.kernels, self.weights, self.config
        xp, down, of_norm = kernels.xp, len(self.layout.down), (config.groups, config.norm_eps)
        e, embedding = self._embedding(t, labels)
        de = xp.zeros_like(e)
        both = x if condition is None else xp.concatenate((x, condition), axis=1)
        images = xp.ascontiguousarray(xp.moveaxis(both.astype(self.dtype, copy=False), 1, -1))
        h, entry = convolution(kernels, weights.affine("input"), images)
        pulls: list[Any] = []
        skips = [h]
        for number, plan in enumerate(self.layout):
            if isinstance(plan, Residual) and plan.skip_channels:
                h = kernels.join(h, skips.pop())
            h, pull = block(kernels, weights, config, plan, h, e, de, kept.get(number))
            pulls.append(remembered(pull))
            if number < down:
                skips.append(h)
        h, last = norm_silu(kernels, weights.affine("norm"), h, *of_norm)
        y, output = convolution(kernels, weights.affine("output"), h)

        def pull_all(dy: Any) -> Any:
            de[...] = 0
            dh = last(output(xp.ascontiguousarray(xp.moveaxis(dy, 1, -1)).astype(self.dtype)))
            dskips: list[Any] = []
            for number, plan in reversed(list(enumerate(self.layout))):
                if number < down:
                    dh = kernels.increase(dh, dskips.pop())
                dh = pulls[number](dh)
                if isinstance(plan, Residual) and plan.skip_channels:
                    dh, dskip = kernels.split(dh, plan.in_channels)
                    dskips.append(dskip)
            dx = entry(kernels.increase(dh, dskips.pop()))
            embedding(de)
            return xp.moveaxis(dx, -1, 1)[:, : config.channels]

        return xp.ascontiguousarray(xp.moveaxis(y, -1, 1)).astype(x.dtype, copy=False), pull_all

    def _embedding(self, t: Any, labels: Any) -> tuple[Any, Callable[[Any], None]]:
        """e of the times and labels, and how its gradient goes back to the weights: no further."""
        kernels, weights, config = self.kernels, self.weights, self.config
        xp = kernels.xp
        waves = sinusoid(xp, t, config, self.dtype)
        e, time_1 = linear(kernels, weights.affine("time_1"), waves)
        e, silu_1 = silu(kernels, e)
        e, time_2 = linear(kernels, weights.affine("time_2"), e)
        if config.classes:
            if labels is None:
                labels = xp.full(t.shape, config.classes)
            e = e + weights["labels.weight"].value[labels]
        e, silu_2 = silu(kernels, e)

        def pull(de: Any) -> None:
            embedded = silu_2(de)
            if config.classes:
                _add_rows(xp, weights["labels.weight"].gradient, labels, embedded)
            time_1(silu_1(time_2(embedded)))

        return e, pull


def _add_rows(xp: Any, table: Any, rows: Any, values: Any) -> None:
    """table[rows[b]] += values[b], for rows that repeat too."""
    chosen = (rows[:, None] == xp.arange(table.shape[0])[None]).astype(values.dtype)
    table += xp.matmul(chosen.T, values)
