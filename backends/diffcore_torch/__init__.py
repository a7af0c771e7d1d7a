"""The PyTorch backend: the UNet and its training."""

from .unet import UNet

__all__ = ["UNet"]
