"""A time is two numbers: x_t = alpha x_0 + sigma eps.

Everything a diffusion process needs follows from the levels of two times s < t (Kingma et al. 2021,
"Variational Diffusion Models", section 3.1 and appendix A).
"""

import math
from typing import Any, NamedTuple, Protocol

from .._arrays import Array, is_number, namespace
from .numbers import Numbers


class Level(NamedTuple):
    """The signal and noise scale of one time, or of a batch of times.

    alpha, sigma: Python floats, or arrays of one shape and dtype. Non-negative, not both zero.
    """

    alpha: Any
    sigma: Any

    @property
    def log_snr(self) -> Any:
        """log SNR = 2 log(alpha / sigma): +inf at sigma = 0, -inf at alpha = 0."""
        xp = Numbers if is_number(self.alpha) else namespace(self.alpha)
        return 2.0 * (log(xp, self.alpha) - log(xp, self.sigma))


class Posterior(NamedTuple):
    """q(x_s | x_t, x_0) = N(x_0 * x_0 + x_t * x_t, variance), coefficients only."""

    x_0: Any
    x_t: Any
    variance: Any


class Schedule(Protocol):
    """A map from times to levels with log SNR strictly decreasing in time; t = 0 is data.

    A time is a Python number, for which every answer is a Python float computed in float64, or an
    array of shape (batch,), for which every answer is an array of shape (batch,) in `like`'s
    library, dtype and device.
    """

    def __call__(self, t: Any, like: Array | None = None) -> Level:
        """The level of time `t`."""
        ...

    def log_snr_at(self, t: Any, like: Array | None = None) -> Any:
        """log SNR of time `t`."""
        ...

    def log_snr_gap(self, s: Any, t: Any, like: Array | None = None) -> Any:
        """log SNR_s - log SNR_t > 0 for s < t, without cancellation in low precision."""
        ...

    def posterior_step(self, t: Any, like: Array | None = None) -> Posterior:
        """The posterior of the step from `t` to t - 1; ValueError where times are continuous."""
        ...


def require_schedule(schedule: Any) -> None:
    """Raise TypeError unless `schedule` is one, or a discrete one's tables."""
    if not hasattr(schedule, "log_snr_gap"):
        raise TypeError(f"schedule must be a schedule or its tables, got {schedule!r}")


def log(xp: Any, x: Any) -> Any:
    """log x for x >= 0: -inf at 0, of which no library warns, now or when it gets to it."""
    if is_number(x):
        return xp.log(x)
    zero = x == 0.0
    return xp.where(zero, xp.full_like(x, -math.inf), xp.log(xp.where(zero, xp.ones_like(x), x)))
