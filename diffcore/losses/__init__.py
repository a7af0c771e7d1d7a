"""Training losses, per sample and unreduced: L_simple and its weightings, the bound, the hybrid."""

from .hybrid import Split, hybrid, split
from .simple import simple
from .variances import LogVariances, learned_variance, log_variances
from .variational import l_0, l_T, l_t, posterior_mean_kl, vlb_term
from .weightings import (
    CONSTANT,
    ByRatio,
    Constant,
    Weighting,
    edm,
    min_snr,
    p2,
    sigmoid,
    snr,
    truncated_snr,
    weighting_from_config,
)

__all__ = [
    "CONSTANT",
    "ByRatio",
    "Constant",
    "LogVariances",
    "Split",
    "Weighting",
    "edm",
    "hybrid",
    "l_0",
    "l_T",
    "l_t",
    "learned_variance",
    "log_variances",
    "min_snr",
    "p2",
    "posterior_mean_kl",
    "sigmoid",
    "simple",
    "snr",
    "split",
    "truncated_snr",
    "vlb_term",
    "weighting_from_config",
]
