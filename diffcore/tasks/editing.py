"""Image to image: some of the way up to noise in one step, and all the way down by a sampler.

    x_t = alpha_t x_0 + sigma_t eps,   t the time that `strength` of the steps are left from

(Meng et al. 2022, "SDEdit", algorithm 1). What the noise hides, the model makes up; the rest stays.
On Gaussian data the image comes out as mu + sqrt(v / V_t) (alpha_t (x_0 - mu) + sigma_t eps), with
V_t = alpha_t^2 v + sigma_t^2: it keeps the share alpha_t sqrt(v / V_t) of how it differs from mu.
"""

from collections.abc import Sequence

from .._arguments import number
from .._arrays import A, constant, expand, linear_combination, require_like
from ..plan import Plan
from ..process import q_sample
from ..schedules import Schedule


def last_part(times: Sequence[float], strength: float) -> tuple[float, ...]:
    """The times of the last `strength` of the steps: at least one step, at 1 all of them.

    strength: in (0, 1]; the number of steps is rounded to the nearest. Raises ValueError otherwise.
    """
    if not 0.0 < number("strength", strength) <= 1.0:
        raise ValueError(f"strength must be in (0, 1], got {strength}")
    steps = len(times) - 1
    if steps < 1:
        raise ValueError(f"times must be at least two numbers, got {tuple(times)}")
    return tuple(times[steps - max(1, round(strength * steps)) :])


def noised(schedule: Schedule, plan: Plan, x_0: A, eps: A) -> A:
    """`x_0` with the noise of the time that `plan` starts from, each sample's own in a stack.

    x_0, eps: of one shape and dtype. Raises ValueError for a plan without stages.
    """
    if not plan.stages:
        raise ValueError(f"plan must have stages, got none in {plan.name!r}")
    time = plan.stages[0].time
    if not isinstance(time, tuple):
        return q_sample(schedule, x_0, time, eps)
    require_like("eps", eps, "x_0", x_0)
    if x_0.shape[0] != len(time):
        raise ValueError(
            f"x_0 must have one sample for each of {len(time)} plans, got {x_0.shape[0]} samples"
        )
    levels = zip(*map(schedule, time), strict=True)
    alpha, sigma = (expand(constant(list(each), x_0), x_0) for each in levels)
    return linear_combination((alpha, sigma), (x_0, eps))
