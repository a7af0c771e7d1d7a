"""Guidance wraps denoisers: a pair of x_0 becomes one that goes further the way they differ.

    guided x_0 = u + w (c - u),      c = E[x_0 | x_t, y],  u = E[x_0 | x_t]

(Ho & Salimans 2022, "Classifier-free diffusion guidance", eq. 6; their w is w - 1 here). w = 1 is
the conditional model, w = 0 the unconditional one. x_0, eps, v, score and velocity are affine in
one another at a given x_t and the weights sum to 1, so that guiding any of them is the same: with
both laws Gaussian, that of p(x_t | y)^w p(x_t)^(1 - w), which is Gaussian at each time.

    two_pass, batched    one denoiser of two: two calls, or one call on a doubled batch
    Linear, Rescaled, Projected    the rule that makes one x_0 of two
    on_outputs           a rule applied to another prediction than x_0
    interval             guidance between two noise levels alone
    autoguidance         away from a worse model
    classifier           along the gradient of log p(y | x_t)

Thresholding comes after guidance (`denoisers.thresholded`), which leaves the range of the data.
"""

from .classifier import classifier
from .pairs import autoguidance, batched, interval, two_pass
from .rules import Linear, Projected, Rescaled, Rule, on_outputs

__all__ = [
    "Linear",
    "Projected",
    "Rescaled",
    "Rule",
    "autoguidance",
    "batched",
    "classifier",
    "interval",
    "on_outputs",
    "two_pass",
]
