"""Denoising diffusion written once, for every array library.

schedules     a time is two numbers: x_t = alpha x_0 + sigma eps
process       q(x_t | x_0), q(x_t | x_s), q(x_s | x_t, x_0) for any s < t
predictions   eps, x_0, v, score, velocity, mean, EDM: one pivot
gaussians     log density, KL, discretised likelihood
losses        L_simple, weightings, the variational bound, the hybrid
noise         noise is an argument
times, plan, samplers     a sampler is a table of numbers, run by one loop
moments, adaptive         what a plan does to Gaussian data; the sampler that is no plan
denoisers, oracles        networks and exact answers as E[x_0 | x_t]
guidance, tasks           denoisers made of denoisers, and what to do with them besides sampling
likelihood    the variational bound in full, and the log density of the probability flow
unet, checkpoint          what every backend implements, and the file they share
"""

from . import (
    adaptive,
    checkpoint,
    denoisers,
    gaussians,
    guidance,
    likelihood,
    losses,
    moments,
    noise,
    oracles,
    plan,
    predictions,
    process,
    samplers,
    schedules,
    tasks,
    times,
    unet,
)

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "adaptive",
    "checkpoint",
    "denoisers",
    "gaussians",
    "guidance",
    "likelihood",
    "losses",
    "moments",
    "noise",
    "oracles",
    "plan",
    "predictions",
    "process",
    "samplers",
    "schedules",
    "tasks",
    "times",
    "unet",
]
