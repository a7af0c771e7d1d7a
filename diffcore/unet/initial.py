"""The weights a network starts from: a function of its configuration and a seed, the same on every
backend, in every array library.
"""

import math

import numpy as np
import numpy.typing as npt

from ..noise import portable, uniform
from .config import UNetConfig
from .parameters import Parameter, parameters


def initial(config: UNetConfig, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Every weight by name, as `parameters` says it is distributed, float32.

    seed: 0 to 2^63 - 1. Weight number k is drawn at step k of the seed's streams in
    `diffcore.noise`.
    """
    return {
        name: _drawn(parameter, seed, k)
        for k, (name, parameter) in enumerate(parameters(config).items())
    }


def _drawn(parameter: Parameter, seed: int, k: int) -> npt.NDArray[np.float32]:
    shape, scale = parameter.shape, parameter.scale
    if parameter.init == "uniform":
        values = uniform(seed, k, math.prod(shape)) * (2.0 * scale) - scale
        return values.astype(np.float32).reshape(shape)
    if parameter.init == "normal":
        normals: npt.NDArray[np.float32] = portable(seed)(np.empty(shape, np.float32), k)
        return normals * np.float32(scale)
    return np.full(shape, 1.0 if parameter.init == "ones" else 0.0, np.float32)
