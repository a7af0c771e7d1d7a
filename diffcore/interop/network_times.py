"""One network told two times: a shift of the time is a rotation of the first layer's weights.

    sin((t + c) w) = cos(c w) sin(t w) + sin(c w) cos(t w)
    cos((t + c) w) = cos(c w) cos(t w) - sin(c w) sin(t w)

The sinusoid meets the weights of `time_1` next, so a network that counts its times otherwise is the
same network with that matrix turned, exactly, for whole times and those between.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..unet import UNetConfig
from .weights import Weights, checked


def shifted_times(config: UNetConfig, weights: Mapping[str, Any], by: float) -> Weights:
    """The weights of the network g(x, t) = f(x, t + by), f being the one with these weights.

    by = -1 makes of a network that is told the steps 0 .. T - 1, as published ones are, one that is
    told the times 1 .. T of a discrete schedule, as those trained here are; by = 1 is the way back.
    The matrix is turned in float64 and then rounded. Raises ValueError that names `by` unless it is
    finite, or the weight that does not fit.
    """
    if not math.isfinite(by):
        raise ValueError(f"by must be finite, got {by}")
    made = checked(config, weights)
    half = config.width // 2
    i = np.arange(half) / (half - config.frequency_shift)
    w = np.exp(-math.log(config.max_period) * i)
    sine, cosine = np.split(made["time_1.weight"].astype(np.float64), 2, axis=1)
    if config.embedding_order == "cos-sin":
        sine, cosine = cosine, sine
    c, s = np.cos(by * w), np.sin(by * w)
    turned = [sine * c - cosine * s, sine * s + cosine * c]
    if config.embedding_order == "cos-sin":
        turned.reverse()
    return {**made, "time_1.weight": np.concatenate(turned, axis=1).astype(np.float32)}
