"""L_simple: w_t |output - target|^2, averaged over a sample's elements.

Ho et al. 2020, eq. 14, for eps and w = 1; any prediction and any weighting here.
"""

from typing import Any

from .._arrays import Array, mean_per_sample, namespace, require_floating, require_like
from ..predictions import Prediction, require_prediction
from ..schedules import Schedule
from ._wide import widen
from .weightings import CONSTANT, Weighting, require_weighting


def simple(
    schedule: Schedule,
    predicts: Prediction,
    output: Array,
    x_0: Array,
    t: Any,
    eps: Array,
    weighting: Weighting = CONSTANT,
) -> Any:
    """The loss of each sample, shape (batch,), in x_0's dtype.

    output: what the network gave for x_t = alpha_t x_0 + sigma_t eps; output, x_0 and eps are
    floating arrays of one shape (batch, ...) and dtype. t: a number or shape (batch,). Half
    precisions are computed in float32. Raises TypeError or ValueError that names the argument.
    """
    require_prediction(predicts)
    require_weighting(weighting)
    require_floating("x_0", x_0)
    require_like("output", output, "x_0", x_0)
    require_like("eps", eps, "x_0", x_0)
    wide_output, wide_x_0, wide_eps = widen(output, x_0, eps)
    error = wide_output - predicts.target(schedule, wide_x_0, t, wide_eps)
    mean = mean_per_sample(error * error)
    loss = weighting.weight(schedule, t, mean, predicts) * mean
    return namespace(x_0).astype(loss, x_0.dtype, copy=False)
