"""A sampler is a table of numbers, and one loop runs them all."""

from .checks import mean_residuals, variances
from .loop import Denoise, Denoised, Progress, iterate, prior, sample
from .stack import stack, unstack
from .table import LogRange, Number, Plan, Stage

__all__ = [
    "Denoise",
    "Denoised",
    "LogRange",
    "Number",
    "Plan",
    "Progress",
    "Stage",
    "iterate",
    "mean_residuals",
    "prior",
    "sample",
    "stack",
    "unstack",
    "variances",
]
