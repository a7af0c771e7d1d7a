"""L_hybrid = L_simple + vlb_weight L_vlb, which trains the variance beside the mean.

Nichol & Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models", eq. 16. L_vlb moves the
variance alone: its gradient is stopped at the mean, which L_simple trains.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .._arrays import Array, is_number, require_floating, require_like
from ..gaussians import discretised_log_likelihood
from ..predictions import Prediction
from ..process import q_sample
from ..schedules import DiscreteSchedule, Schedule, Tables
from .simple import simple
from .variances import learned_variance
from .variational import Likelihood, vlb_term
from .weightings import CONSTANT, Weighting, require_weighting


class Split(NamedTuple):
    """A doubled output's halves: the prediction, and the fraction of the variance range."""

    output: Any
    fraction: Any


def split(output: Array) -> Split:
    """The two halves of `output` along axis 1: channels, then v in [-1, 1] as (v + 1) / 2.

    Raises ValueError unless axis 1 exists and has even length.
    """
    require_floating("output", output)
    if output.ndim < 2 or output.shape[1] % 2:
        raise ValueError(
            f"output must have an even number of channels on axis 1, got {tuple(output.shape)}"
        )
    channels = output.shape[1] // 2
    return Split(output[:, :channels, ...], 0.5 * (output[:, channels:, ...] + 1.0))


def hybrid(
    schedule: Schedule,
    predicts: Prediction,
    output: Array,
    x_0: Array,
    t: Any,
    eps: Array,
    *,
    stop_gradient: Callable[[Any], Any],
    weighting: Weighting = CONSTANT,
    vlb_weight: float = 0.001,
    likelihood: Likelihood = discretised_log_likelihood,
) -> Any:
    """The loss of each sample, shape (batch,), in x_0's dtype; T steps of a discrete schedule.

    output: the network's, of shape (batch, 2 channels, ...): the prediction, then v. Per sample it
    is L_simple + vlb_weight T L, with L the sample's own term of the bound in bits per dimension,
    so that over uniform t its mean is L_simple + vlb_weight L_vlb.

    stop_gradient: returns its argument, as a constant to differentiation; the library's own:
    `torch.Tensor.detach`, `jax.lax.stop_gradient`. Where nothing is differentiated, as in NumPy,
    `lambda x: x` does.
    """
    if not isinstance(schedule, (DiscreteSchedule, Tables)):
        raise TypeError(f"schedule must be discrete or its tables, got {type(schedule).__name__}")
    if not callable(stop_gradient):
        raise TypeError(f"stop_gradient must be callable, got {type(stop_gradient).__name__}")
    if not (is_number(vlb_weight) and vlb_weight >= 0.0):
        raise ValueError(f"vlb_weight must be a non-negative number, got {vlb_weight!r}")
    require_weighting(weighting)
    require_floating("x_0", x_0)
    steps = schedule.beta.shape[0] - 1
    mean, fraction = split(output)
    require_like("output's first half", mean, "x_0", x_0)
    term = vlb_term(
        schedule,
        predicts,
        stop_gradient(mean),
        x_0,
        q_sample(schedule, x_0, t, eps),
        t,
        variance=learned_variance(schedule, fraction, t),
        likelihood=likelihood,
    )
    loss = simple(schedule, predicts, mean, x_0, t, eps, weighting)
    return loss + (float(vlb_weight) * steps) * term
