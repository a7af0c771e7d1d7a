"""DDIM inversion: the probability flow from an image up to its noise, in DDIM's steps.

    x_t = (sigma_t / sigma_s) x_s + alpha_t (1 - sqrt(SNR_s / SNR_t)) m(x_s, s),      s < t

(Song, Meng & Ermon 2021, section 4.3; Dhariwal & Nichol 2021, appendix F): the sampler's step with
its times exchanged, so Euler's method of the same flow, of order 1. Down again by DDIM over the
same times, the image comes back up to an error of that order.

The step from sigma_s = 0 has no noise to go by. There the flow is at rest, dy / dn = n (...) = 0 in
y = x / alpha and n = sigma / alpha, and Euler's step is x_t = (alpha_t / alpha_s) x_s, at no call.

The step that DDIM takes down from x_t to x_s exactly is the solution of

    x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - sqrt(SNR_t / SNR_s)) m(x_t, t)

which `iterations` of solving it for the first x_t approach, each at one call and each a factor of
the step closer (Pan et al. 2023, "Effective real image editing with accelerated iterative diffusion
inversion"): one makes the round trip of order 2. They converge where the step is short: t < 2 s is
enough where alpha = 1 and the denoiser does not stretch.
"""

from collections.abc import Sequence
from itertools import pairwise

from .._arguments import is_whole
from ..plan import Plan
from ..samplers._first_order import first_order
from ..samplers._grid import checked
from ..samplers._trace import Trace
from ..schedules import Schedule


def invert(schedule: Schedule, times: Sequence[float], iterations: int = 0) -> Plan:
    """The plan from data to noise over ascending `times`; deterministic, of order 1.

    iterations: 0 for DDIM's inversion, which is `samplers.ddim` going up; more to undo DDIM's steps
    over the same times instead. Raises ValueError unless the times ascend strictly and iterations
    is a whole number from 0 on.
    """
    grid = checked(schedule, times, either_way=True)
    for k, (s, t) in enumerate(pairwise(grid)):
        if not s < t:
            raise ValueError(f"times must ascend strictly, got {s} then {t} at step {k}")
    if not is_whole(iterations) or iterations < 0:
        raise ValueError(f"iterations must be a whole number from 0 on, got {iterations!r}")
    trace = Trace(schedule, grid[0])
    for t in grid[1:]:
        s, x_s = trace.time, trace.x
        solvable = trace.level.sigma > 0.0
        trace.first_order(t)
        if not solvable:
            continue
        keep, share, _ = first_order(schedule, t, s)
        for _ in range(iterations):
            trace.move(t, (1.0 / keep) * (x_s - share * trace.denoise()))
    return trace.plan("ddim_inversion", 1, iterations=int(iterations))
