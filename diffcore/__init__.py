"""Denoising diffusion written once, for every array library."""

__version__ = "0.1.0"
