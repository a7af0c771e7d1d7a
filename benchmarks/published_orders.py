"""Published samplers whose order is below the one they declare, each measured beside ours."""

from collections.abc import Callable
from itertools import pairwise

import diffusers
import numpy as np
import torch

from diffcore import oracles, plan, samplers
from peers import Finding

import noise_convergence as flow  # isort: skip
import noise_diffusers as on_noise  # isort: skip

VP = flow.SCHEDULES["vp_linear"]
FINE = (32, 48, 64)
PLAIN = {"lower_order_final": False, "final_sigmas_type": "sigma_min"}


def their_error(scheduler: object, schedule: object, visited: tuple[float, ...]) -> float:
    """Of Gaussian data, at our noise levels in float64, against the exact flow."""
    denoise, start, wanted = flow.gaussian_case(schedule, visited)
    on_noise.levels(scheduler, schedule, visited)
    lms = isinstance(scheduler, diffusers.LMSDiscreteScheduler)
    scales = [schedule(t).alpha if lms else 1.0 for t in (visited[0], visited[-1])]
    found = on_noise.states(scheduler, schedule, visited[:-1], denoise, start / scales[0])[-1]
    return flow.root_mean_square(found * scales[1] - wanted) / schedule(visited[-1]).alpha


def their_order(scheduler: object, steps: tuple[int, ...] = FINE) -> str:
    """Minus the slope of their log error over log steps."""
    return f"{flow.order(scheduler, VP, steps, their_error):.2f}"


def our_order(planner: Callable[..., plan.Plan], steps: tuple[int, ...] = FINE) -> str:
    """The same of ours."""
    return f"{flow.order(planner, VP, steps):.2f}"


def multistep_of_order_3() -> list[Finding]:
    """DPM-Solver-3M and ++(3M)."""
    found = []
    for algorithm, planner in (
        ("dpmsolver", samplers.dpm_solver),
        ("dpmsolver++", samplers.dpm_solver_pp),
    ):
        theirs = diffusers.DPMSolverMultistepScheduler(
            solver_order=3,
            algorithm_type=algorithm,
            lower_order_final=False,
            final_sigmas_type="sigma_min",
        )

        def ours(schedule, grid, planner=planner):
            return planner(schedule, grid, order=3, variant="multistep")

        found.append(
            Finding(
                f"diffusers `DPMSolverMultistepScheduler`, {algorithm}, order 3",
                "gives the second derivative half of its weight",
                "order on the exact flow",
                their_order(theirs),
                our_order(ours),
            )
        )
    return found


def sde_of_order_3() -> Finding:
    """SDE-DPM-Solver++(3M): its law on Gaussian data, from every response of its code."""

    def ours(schedule, grid):
        return samplers.dpm_solver_pp_sde(schedule, grid, order=3)

    def our_error(n):
        visited = flow.grid(VP, n)
        made = ours(VP, visited)
        rows = [plan.sample(denoiser_of(VP), made, x, z) for x, z in our_responses(n)]
        return law_error(np.concatenate(rows)[:, 0], visited)

    return Finding(
        "diffusers `DPMSolverMultistepScheduler`, sde-dpmsolver++, order 3",
        "the second derivative with the wrong sign: ... - 0.5 where the integral has ... + 0.5",
        "order of mean and variance",
        f"{slope(sde_law_error):.2f}",
        f"{slope(our_error):.2f}",
    )


def slope(error: Callable[[int], float], steps: tuple[int, ...] = FINE) -> float:
    """The order of errors by number of steps."""
    return -float(np.polyfit(np.log(steps), np.log([error(n) for n in steps]), 1)[0])


def denoiser_of(schedule):
    """Of the data of `law_error`."""
    return oracles.gaussian(schedule, 0.7, 0.2)


def our_responses(n: int):
    """A start and a noise function for each of: nothing, a unit start, a unit draw in a step."""
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    yield zero, lambda like, step: 0.0 * like
    yield one, lambda like, step: 0.0 * like
    for k in range(n):
        yield zero, lambda like, step, k=k: np.full_like(like, float(step == k + 1))


def sde_law_error(n: int) -> float:
    """How far mean or variance are off the marginal, from the same responses of their code."""
    visited = flow.grid(VP, n)
    scheduler = diffusers.DPMSolverMultistepScheduler(
        solver_order=3,
        algorithm_type="sde-dpmsolver++",
        lower_order_final=False,
        final_sigmas_type="sigma_min",
    )
    on_noise.levels(scheduler, VP, visited)
    x = torch.zeros(n + 2, 1, dtype=torch.float64)
    x[1] = 1.0
    for k, t in enumerate(visited[:-1]):
        alpha, sigma = VP(t)
        eps = (x - alpha * torch.from_numpy(denoiser_of(VP)(x.numpy(), t))) / sigma
        drawn = torch.zeros_like(x)
        drawn[k + 2] = 1.0
        step = scheduler.step(eps, scheduler.timesteps[k], x, variance_noise=drawn)
        x = step.prev_sample.double()
    return law_error(x[:, 0].numpy(), visited)


def law_error(responses: np.ndarray, visited: tuple[float, ...]) -> float:
    """Of N(0.7, 0.2), where the last state is affine in the start and in each draw."""
    (a, s), (b, r) = VP(visited[0]), VP(visited[-1])
    rest, gains = responses[0], responses[1:] - responses[0]
    mean = rest + gains[0] * a * 0.7
    variance = gains[0] ** 2 * (a * a * 0.2 + s * s) + float(gains[1:] @ gains[1:])
    return max(abs(mean - b * 0.7), abs(variance - b * b * 0.2 - r * r))


def singlestep_of_order_3() -> list[Finding]:
    """DPM-Solver++(3S) with its calls elsewhere than at thirds, and the paper's DPM-Solver-3."""
    theirs = diffusers.DPMSolverSinglestepScheduler(
        solver_order=3,
        algorithm_type="dpmsolver++",
        lower_order_final=False,
        final_sigmas_type="sigma_min",
    )

    def at(*fractions):
        def visited(schedule, n):
            ends = [0.5 * schedule.log_snr_at(t) for t in flow.grid(schedule, n)]
            inner = [a + f * (b - a) for a, b in pairwise(ends) for f in (0.0, *fractions)]
            return tuple(schedule.time_at(2.0 * v) for v in (*inner, ends[-1]))

        return visited

    def ours(schedule, grid):
        return samplers.dpm_solver_pp(schedule, grid, order=3, variant="singlestep")

    counts = (16, 24, 32)
    quarters = flow.order(theirs, VP, counts, their_error, at(0.25, 0.5))

    def published(schedule, grid):
        return samplers.dpm_solver(schedule, grid, 3, formula="published", r1=0.25, r2=0.5)

    def exact(schedule, grid):
        return samplers.dpm_solver(schedule, grid, 3, r1=0.25, r2=0.5)

    return [
        Finding(
            "diffusers `DPMSolverSinglestepScheduler`, dpmsolver++, order 3",
            "calls wherever the grid's times fall, with a formula for calls at 1/3 and 2/3 of a "
            "step (here at 1/4 and 1/2)",
            "order on the exact flow",
            f"{quarters:.2f}",
            our_order(ours, counts),
        ),
        Finding(
            "DPM-Solver-3 as published, r2 other than 2/3",
            "a formula that has order 3 at r2 = 2/3 alone (here r1 = 1/4, r2 = 1/2)",
            "order on the exact flow",
            our_order(published, (48, 64, 96)),
            our_order(exact, (48, 64, 96)),
        ),
    ]


def lms() -> Finding:
    """LMS' start."""
    steps = (128, 256)
    return Finding(
        "diffusers `LMSDiscreteScheduler`, k-diffusion's LMS, order 4",
        "starts with Euler's step and outputs that grow in number",
        "order on the exact flow",
        their_order(diffusers.LMSDiscreteScheduler(), steps),
        our_order(samplers.lms, steps),
    )


def pndm() -> Finding:
    """The paper's linear multistep, over even times."""
    counts = (64, 96, 128)
    return Finding(
        "PNDM, the paper's linear multistep of four outputs",
        "Adams' weights for even times, where DDIM's step integrates over sigma / alpha "
        "(ours: `lms`, the weights for that)",
        "order on the exact flow, times even",
        f"{flow.order(samplers.plms, VP, counts, spread=flow.even_in_time):.2f}",
        f"{flow.order(samplers.lms, VP, counts, spread=flow.even_in_time):.2f}",
    )


def findings() -> list[Finding]:
    """Every line of this sort."""
    return [
        *multistep_of_order_3(),
        sde_of_order_3(),
        *singlestep_of_order_3(),
        lms(),
        pndm(),
    ]
