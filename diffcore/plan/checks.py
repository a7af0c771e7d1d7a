"""What a plan's coefficients must satisfy, checked without an array.

    mean:      sum_i x[i] alpha_{k-i} + sum_j m[j] = alpha_{k+1}
    variance:  Var(x_k | x_0) = sigma_k^2

with the denoiser of a point mass, m = x_0.
"""

import math

import numpy as np

from .._arrays import Host
from ..schedules import Schedule
from ..schedules.level import require_schedule
from .stack import unstack
from .table import LogRange, Plan, require_plan


def mean_residuals(plan: Plan, schedule: Schedule) -> Host:
    """The left side less the right for each stage; shape (stages,), for a stack (stages, batch).

    0 means that with an exact denoiser of a point mass the mean stays alpha_t x_0.
    """
    require_plan(plan)
    require_schedule(schedule)
    if plan.batch is not None:
        return np.stack([mean_residuals(one, schedule) for one in unstack(plan)], axis=-1)
    alphas = [schedule(stage.time).alpha for stage in plan.stages[:1]]
    residuals = []
    for stage in plan.stages:
        alpha = schedule(stage.time_next).alpha
        kept = math.fsum(c * a for c, a in zip(stage.x, alphas, strict=False))
        residuals.append(math.fsum((kept, *stage.m, -alpha)))
        alphas.insert(0, alpha)
    return np.array(residuals)


def variances(plan: Plan, schedule: Schedule) -> Host:
    """The variance of each state about alpha_t x_0 for a point mass, the start included.

    Shape (stages + 1,), for a stack (stages + 1, batch). It equals sigma_t^2 throughout for a plan
    that keeps the marginals. Learned ranges count with their upper end.
    """
    require_plan(plan)
    require_schedule(schedule)
    if plan.batch is not None:
        return np.stack([variances(one, schedule) for one in unstack(plan)], axis=-1)
    sigma = schedule(plan.stages[0].time).sigma if plan.stages else 0.0
    # Each state is a row of weights over independent noises: the start's and each stage's.
    rows = [np.eye(1, len(plan.stages) + 1)[0] * sigma]
    for index, stage in enumerate(plan.stages):
        row = sum(
            (c * r for c, r in zip(stage.x, rows[::-1], strict=False)), np.zeros_like(rows[0])
        )
        row[index + 1] = math.exp(stage.z.high / 2) if isinstance(stage.z, LogRange) else stage.z
        rows.append(row)
    return np.array([row @ row for row in rows])
