"""The reference backend: the UNet and its training by hand, on NumPy and Numba or on CuPy."""

from .unet import UNet

__all__ = ["UNet"]
