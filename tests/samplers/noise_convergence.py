"""The measured order of a planner: errors against an exact flow, over grids even in log SNR."""

import math
from functools import cache, partial

import numpy as np
from scipy.integrate import solve_ivp

from diffcore import oracles, plan, schedules

SCHEDULES = {
    "vp_linear": schedules.vp_linear(),
    "vp_cosine": schedules.cosine_continuous(),
    "edm": schedules.edm(),
    "flow": schedules.flow(),
}
# Half log SNRs between which the curvature of the noise keeps its sign, so that no order is hidden.
FIRST, LAST = -2.0, 0.5
MEAN, VARIANCE = np.array([0.3, -0.5, 0.1]), np.array([0.2, 0.5, 0.1])
MIXTURE = ([0.4, 0.6], np.array([[-0.7], [0.8]]), np.array([[0.3], [0.2]]))


def grid(schedule, n, first=FIRST, last=LAST):
    """n steps between two half log SNRs, even in it."""
    return tuple(schedule.time_at(2.0 * (first + (last - first) * k / n)) for k in range(n + 1))


def even_in_time(schedule, n):
    """n steps between the same ends, even in time."""
    first, last = grid(schedule, 1)
    return tuple(first + (last - first) * k / n for k in range(n + 1))


def gaussian_case(schedule, times):
    """Gaussian data: denoiser, states at the first time, and where the flow takes them."""
    start = np.random.default_rng(0).standard_normal((5, 3)) * math.hypot(*schedule(times[0]))
    wanted = oracles.gaussian_flow(schedule, MEAN, VARIANCE, start, times[0], times[-1])
    return oracles.gaussian(schedule, MEAN, VARIANCE), start, wanted


def mixture_case(schedule, times):
    """The same for a mixture of two Gaussians, whose noise is not linear in the state."""
    starts, wanted = _mixture_flow()
    end = wanted * schedule(times[-1]).alpha
    return oracles.mixture(schedule, *MIXTURE), starts * schedule(times[0]).alpha, end


def error(planner, schedule, times, case=gaussian_case):
    """The root mean square error of a plan at the end of `times`, of x / alpha."""
    denoise, start, wanted = case(schedule, times)
    got = plan.sample(denoise, planner(schedule, times), start)
    return root_mean_square(got - wanted) / schedule(times[-1]).alpha


def root_mean_square(x):
    return float(np.sqrt(np.mean(x * x)))


@cache
def _mixture_flow():
    """dy / dlambda = -n eps from FIRST to LAST, to 13 digits, on EDM, where y = x."""
    schedule = schedules.edm()
    denoise = oracles.mixture(schedule, *MIXTURE)
    starts = np.linspace(-2.0, 2.0, 9)[:, None] * math.exp(-FIRST)

    def slope(half_log_snr, y):
        return (denoise(y[:, None], math.exp(-half_log_snr)) - y[:, None])[:, 0]

    found = solve_ivp(slope, (FIRST, LAST), starts[:, 0], "DOP853", rtol=1e-13, atol=1e-13)
    return starts, found.y[:, -1:]


def order(planner, schedule, steps, error=error, spread=grid):
    """Minus the slope of log error over log steps."""
    errors = [error(planner, schedule, spread(schedule, n)) for n in steps]
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


mixture_error = partial(error, case=mixture_case)
