"""The gradients of the losses by hand, with respect to the network's output.

With n elements in a sample, x_0-hat the estimate that the output o stands for, linear in o:

    L_simple:  dL/do = 2 w (o - target) / n
    L_mu:      dL/do = c^2 (x_0-hat - x_0) (d x_0-hat / do) / (variance n)

with c the weight of x_0 in the posterior's mean. L_hybrid adds to the second half of the output,
v with log variance = low + (v + 1) / 2 (high - low), what its bound says (in bits):

    t > 1:     dL/dlog variance = (1 - (posterior variance + offset^2) / variance) / 2
    t = 1:     dL/dlog variance = (a phi(a) - b phi(b)) / (2 mass)

where [b, a] is the bin of x_0 in standard deviations from the mean, and mass = Phi(a) - Phi(b).
"""

import math
from typing import Any

from diffcore.gaussians import discretised_log_likelihood
from diffcore.losses import learned_variance, log_variances
from diffcore.losses.hybrid import split
from diffcore.process import posterior, q_sample
from diffcore.training.objective import Objective

BIN = 1.0 / 127.5
"""The distance of two of the 256 levels in [-1, 1]."""


def loss_gradient(
    objective: Objective, xp: Any, tables: Any, output: Any, x_0: Any, t: Any, eps: Any
) -> Any:
    """d loss_b / d output_b for each sample b, of output's shape and dtype.

    The losses are those of `objective`; x_0, eps: (batch, channels, height, width), t: (batch,).
    """
    loss = objective.task.recipe.loss
    if loss.objective == "simple":
        return _simple(objective, tables, output, x_0, t, eps)
    if loss.objective == "mu":
        return _mu(objective, xp, tables, output, x_0, t, eps)
    mean, _ = split(output)
    of_mean = _simple(objective, tables, mean, x_0, t, eps)
    of_variance = loss.vlb_weight * _variance(objective, xp, tables, output, x_0, t, eps)
    return xp.concatenate((of_mean, of_variance), axis=1)


def _simple(objective: Objective, tables: Any, output: Any, x_0: Any, t: Any, eps: Any) -> Any:
    predicts = objective.task.predicts
    error = output - predicts.target(tables, x_0, t, eps)
    weight = objective.weighting.weight(tables, t, error[:, 0, 0, 0], predicts)
    return (2.0 / _elements(x_0)) * _images(weight) * error


def _mu(objective: Objective, xp: Any, tables: Any, output: Any, x_0: Any, t: Any, eps: Any) -> Any:
    predicts, variance = objective.task.predicts, objective.task.recipe.loss.variance
    x_t = q_sample(tables, x_0, t, eps)
    off = predicts.x_0(tables, output, x_t, t) - x_0
    slope = predicts.x_0(tables, xp.ones_like(x_0), xp.zeros_like(x_0), t)
    c = _images(posterior(tables, t, None, x_0)[0])
    low, high = log_variances(tables, t, x_0)
    inverse = xp.exp(-(low if variance == "small" else high))
    return (c * c * inverse / _elements(x_0)) * off * slope


def _variance(
    objective: Objective, xp: Any, tables: Any, output: Any, x_0: Any, t: Any, eps: Any
) -> Any:
    """The gradient of T times the sample's term of the bound, with respect to v."""
    mean, fraction = split(output)
    x_t = q_sample(tables, x_0, t, eps)
    guess = objective.task.predicts.x_0(tables, mean, x_t, t)
    at_x_0, at_x_t, _ = (_images(c) for c in posterior(tables, t, None, x_0))
    low, high = log_variances(tables, t, x_0)
    variance = learned_variance(tables, fraction, t)
    offset = at_x_0 * (x_0 - guess)
    of_kl = 0.5 * (1.0 - (xp.exp(low) + offset * offset) / variance)
    of_bin = _bin(xp, x_0, at_x_0 * guess + at_x_t * x_t, variance)
    of_log = xp.where(_images(t == 1), of_bin, of_kl)
    steps = tables.beta.shape[0] - 1
    return (steps / (math.log(2.0) * _elements(x_0))) * of_log * (0.5 * (high - low))


def _bin(xp: Any, x: Any, mean: Any, variance: Any) -> Any:
    """-d log mass / d log variance; the outermost bins are open."""
    deviation = xp.sqrt(variance)
    log_mass = discretised_log_likelihood(x, mean, variance)
    a = (x - mean + 0.5 * BIN) / deviation
    b = (x - mean - 0.5 * BIN) / deviation
    upper = xp.where(x > 1.0 - 0.5 * BIN, 0.0, a * _density(xp, a, log_mass))
    lower = xp.where(x < -1.0 + 0.5 * BIN, 0.0, b * _density(xp, b, log_mass))
    return 0.5 * (upper - lower)


def _density(xp: Any, z: Any, log_mass: Any) -> Any:
    """phi(z) / mass."""
    return xp.exp(-0.5 * z * z - 0.5 * math.log(2.0 * math.pi) - log_mass)


def _elements(x: Any) -> int:
    return math.prod(x.shape[1:])


def _images(values: Any) -> Any:
    """(batch,) against images; what broadcasts already, or is a number, as it is."""
    return values[:, None, None, None] if getattr(values, "ndim", 0) == 1 else values
