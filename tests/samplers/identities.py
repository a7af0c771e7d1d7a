"""What every plan that is exact for a point mass must keep, to the rounding of its coefficients."""

import numpy as np

from diffcore import plan

EPS = np.finfo(np.float64).eps


def assert_keeps_marginals(made, schedule):
    """For data that is one point every state has mean alpha x_0 and standard deviation sigma.

    What a stage rounds, from terms that cancel, later ones carry on, and may magnify.
    """
    visited = [made.stages[0].time, *(stage.time_next for stage in made.stages)]
    bounds = [4 * EPS * schedule(visited[0]).sigma]
    for k, stage in enumerate(made.stages):
        size = sum(map(abs, stage.m)) + abs(stage.z) + sum(schedule(stage.time_next))
        carried = 0.0
        for i, c in enumerate(stage.x):
            size += abs(c) * sum(schedule(visited[k - i]))
            carried += abs(c) * bounds[k - i]
        bounds.append(carried + 32 * EPS * size)
    residuals = np.append(0.0, plan.mean_residuals(made, schedule))
    assert np.all(np.abs(residuals) <= bounds)
    wanted = np.array([schedule(t).sigma for t in visited])
    assert np.all(np.abs(np.sqrt(plan.variances(made, schedule)) - wanted) <= bounds)
