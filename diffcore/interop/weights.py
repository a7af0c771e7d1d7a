"""Weights under one set of names from weights under another; NumPy float32 arrays on both sides.

A mapping says for each of our layers which of theirs it is; several are its parts, joined along
axis 0. Each tensor of theirs is used exactly once.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._arrays import is_array, to_host
from ..unet import UNetConfig, parameters

Weights: TypeAlias = dict[str, npt.NDArray[np.float32]]
Layers: TypeAlias = Mapping[str, tuple[str, ...]]
"""Their layers of each layer of ours."""


def host(name: str, tensor: Any) -> npt.NDArray[np.float32]:
    """A tensor of any library as a float32 array; TypeError that names it where it is none."""
    if not is_array(tensor):
        raise TypeError(f"tensor {name!r} must be an array, got {type(tensor).__name__}")
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().float()
    array: npt.NDArray[np.float32] = np.asarray(to_host(tensor), dtype=np.float32)
    return array


def ours(config: UNetConfig, state: Mapping[str, Any], layers: Layers) -> Weights:
    """The weights of `config`'s network from `state`, whose layers are called as `layers` says.

    A weight that differs from ours by axes of length 1 alone is reshaped. Raises ValueError that
    names the first tensor of theirs that is missing, of another shape, or left over.
    """
    left, made = dict(state), {}
    for name, parameter in parameters(config).items():
        layer, _, kind = name.rpartition(".")
        parts = [f"{theirs}.{kind}" for theirs in layers[layer]]
        found = []
        for part in parts:
            if part not in left:
                raise ValueError(f"tensor {part!r} is missing")
            found.append(host(part, left.pop(part)))
        rows = parameter.shape[0] // len(parts)
        for part, array in zip(parts, found, strict=True):
            wanted = (rows, *parameter.shape[1:])
            if _shape(array.shape) != _shape(wanted):
                raise ValueError(f"tensor {part!r} must have shape {wanted}, has {array.shape}")
        made[name] = np.concatenate(found).reshape(parameter.shape)
    if left:
        more = f" (nor are {len(left) - 1} others)" if len(left) > 1 else ""
        raise ValueError(f"tensor {min(left)!r} is not one of the network's{more}")
    return made


def theirs(config: UNetConfig, weights: Mapping[str, Any], layers: Layers) -> Weights:
    """The inverse of `ours`: the weights of `config`'s network, called as `layers` says.

    Raises ValueError that names the weight that is missing, of another shape, or left over.
    """
    own = checked(config, weights)
    state: Weights = {}
    for name, array in own.items():
        layer, _, kind = name.rpartition(".")
        names = layers[layer]
        for part, values in zip(names, np.split(array, len(names)), strict=True):
            state[f"{part}.{kind}"] = values
    return state


def checked(config: UNetConfig, weights: Mapping[str, Any]) -> Weights:
    """The weights of `config`'s network as float32 arrays; ValueError unless they are all there."""
    table = parameters(config)
    for name in table:
        if name not in weights:
            raise ValueError(f"weights must have {name!r}")
    if unexpected := sorted(set(weights) - set(table)):
        raise ValueError(f"weights have {unexpected[0]!r}, which the network has not")
    made = {name: host(name, weights[name]) for name in table}
    for name, parameter in table.items():
        if made[name].shape != parameter.shape:
            raise ValueError(
                f"weights[{name!r}] must have shape {parameter.shape}, has {made[name].shape}"
            )
    return made


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its axes of length 1, but for the first."""
    return (*shape[:1], *(n for n in shape[1:] if n != 1))
