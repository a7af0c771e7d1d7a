"""Planners: each turns a schedule and a time grid into a `Plan`, on the host, in float64."""

from .ddim import ddim
from .ddpm import ddpm
from .heun import dpm2, euler, heun

__all__ = ["ddim", "ddpm", "dpm2", "euler", "heun"]
