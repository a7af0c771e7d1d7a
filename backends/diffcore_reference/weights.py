"""All weights of a network as one flat array, and its views by name.

A convolution's weight is kept as (3, 3, in, out), a linear layer's as (in, out): what the products
want. Outside of this backend they are (out, in, 3, 3) and (out, in), as `diffcore.unet` has them.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from diffcore.unet import UNetConfig, parameters

from .device import on_host
from .layers import Affine, Weight


class Weights:
    """The weights of the network that `config` describes, with their gradients.

    value: the flat array to look at, of the module `xp`, in the order of
    `diffcore.unet.parameters`; by default a new one. gradient: one like it.
    """

    def __init__(self, config: UNetConfig, xp: Any, dtype: Any, value: Any = None) -> None:
        self.shapes = {name: p.shape for name, p in parameters(config).items()}
        size = sum(math.prod(shape) for shape in self.shapes.values())
        self.xp = xp
        self.value = xp.zeros(size, dtype) if value is None else value
        self.gradient = xp.zeros(size, dtype)
        self._views = {
            name: Weight(value, gradient)
            for (name, value), gradient in zip(
                self.views(self.value).items(), self.views(self.gradient).values(), strict=True
            )
        }

    def __getitem__(self, name: str) -> Weight:
        return self._views[name]

    def affine(self, name: str) -> Affine:
        """The weight and bias of the layer of that name."""
        return Affine(self[f"{name}.weight"], self[f"{name}.bias"])

    def views(self, flat: Any) -> dict[str, Any]:
        """The parts of a flat array by name, in this backend's layout."""
        made, start = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            made[name] = flat[start : start + size].reshape(_kept(name, shape))
            start += size
        return made

    def read(self, flat: Any) -> dict[str, npt.NDArray[Any]]:
        """The parts of a flat array as host arrays in everybody's layout: copies."""
        return {name: _outward(name, on_host(view)) for name, view in self.views(flat).items()}

    def write(self, flat: Any, tensors: Mapping[str, Any], prefix: str = "") -> None:
        """Fill a flat array. Raises ValueError that names a tensor left out or of another shape."""
        for name, view in self.views(flat).items():
            shape = self.shapes[name]
            tensor = tensors.get(prefix + name)
            if tensor is None or tuple(tensor.shape) != shape:
                raise ValueError(f"state has no {prefix + name} of shape {shape}")
            view[...] = self.xp.asarray(_inward(name, np.asarray(tensor)))


def _matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Whether it is a linear layer's; the label table is not."""
    return len(shape) == 2 and not name.startswith("labels")


def _kept(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) == 4:
        out, entering, *kernel = shape
        return (entering, out) if kernel == [1, 1] else (*kernel, entering, out)
    return shape[::-1] if _matrix(name, shape) else shape


def _outward(name: str, kept: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if kept.ndim == 4:
        return np.ascontiguousarray(kept.transpose(3, 2, 0, 1))
    if name.endswith("shortcut.weight"):
        return np.ascontiguousarray(kept.T)[:, :, None, None]
    return np.ascontiguousarray(kept.T) if _matrix(name, kept.shape) else kept.copy()


def _inward(name: str, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if tensor.ndim == 4:
        return tensor[:, :, 0, 0].T if tensor.shape[2:] == (1, 1) else tensor.transpose(2, 3, 1, 0)
    return tensor.T if _matrix(name, tensor.shape) else tensor
