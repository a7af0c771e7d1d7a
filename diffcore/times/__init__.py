"""Sampling grids: which times a sampler visits, from noise down to data.

A grid is a tuple of descending times that ends at 0: n + 1 of them for n steps (`uniform_log_snr`
and the caller's own may end before). Discrete schedules have whole times, to which a grid is
rounded without two becoming one; `schedules.interpolate` gives them all times in between.
"""

from ._grid import Times
from .beta import beta, beta_quantile
from .even import every, explicit, leading, linspace, quadratic, trailing
from .levels import exponential, from_sigmas, karras, uniform_log_snr

__all__ = [
    "Times",
    "beta",
    "beta_quantile",
    "every",
    "explicit",
    "exponential",
    "from_sigmas",
    "karras",
    "leading",
    "linspace",
    "quadratic",
    "trailing",
    "uniform_log_snr",
]
