"""SA-Solver: stochastic Adams methods (Xue et al. 2023, "SA-Solver", algorithm 1).

    dx = (probability flow) + tau^2 (g^2 / 2) score dt + tau g dw,   g^2 dt = 2 sigma^2 dlambda

has the same marginals for every tau(t) >= 0: 0 is the probability flow, 1 the reverse SDE. A step
takes tau as constant, which is exact, for a tau in steps has the same marginals as any other; its
formula is that of `adams`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from .._arguments import one_of
from ..plan import Plan
from ..schedules import Schedule
from ._grid import Start, checked
from ._predict_correct import Tau, multistep, order, strength_at
from .adams import bh1, exact

Formula = Literal["exact", "published"]


def sa_solver(
    schedule: Schedule,
    times: Sequence[float],
    predictor: int = 2,
    corrector: int = 2,
    tau: Tau = 1.0,
    formula: Formula = "exact",
    start: Start = "singlestep",
    lower_order_end: bool = False,
) -> Plan:
    """SA-Solver over the descending `times`, one call a step, the noise shared with the corrector.

    predictor: through how many outputs a step is predicted, 1 to 4; corrector: through how many,
    the newest included, it is corrected, 1 to 4, or 0 for not at all. tau: a number, or a function
    of the time that a step starts from. Where tau is 0 throughout the order is the smaller of
    predictor + 1 and corrector (of predictor alone without one); elsewhere the mean and the
    covariance converge with that order, 2 at most.

    Where both take as many outputs, the order may not show below hundreds of steps: at 2, 3 and 4
    outputs the corrector's error is 5, 9 and 13 times smaller than the predictor's (the constants
    of Adams and Moulton, and of Adams and Bashforth), which counts one power of the step higher,
    since the denoiser is called on what is predicted and the last step stays so, and which is as
    large, of either sign, until the steps are short.

    formula: "published" has the slope of a line weigh (1 + tau^2) h^2 / 2, as the paper's code
    does for few steps; the orders are the same. start and lower_order_end: see `unipc`; a first
    step with noise is always of order 1, which 2 allows. A step to sigma = 0 takes the denoised
    x_0, one from alpha = 0 keeps nothing but noise of the state where tau > 0, and is DDIM's where
    tau = 0. Raises ValueError on parameters that are none of these.
    """
    predictor = one_of("predictor", predictor, 1, 2, 3, 4)
    corrector = one_of("corrector", corrector, 0, 1, 2, 3, 4)
    one_of("formula", formula, "exact", "published")
    grid = checked(schedule, times)
    trace = multistep(
        schedule,
        grid,
        predictor=predictor,
        corrector=corrector,
        rule=exact if formula == "exact" else bh1,
        tau=tau,
        start=start,
        lower_order_end=lower_order_end,
    )
    strengths = [strength_at(tau, t) for t, _ in pairwise(grid)]
    return trace.plan(
        "sa_solver",
        None if any(strengths) else order(predictor, corrector, start, lower_order_end),
        predictor=predictor,
        corrector=corrector,
        tau=strengths if callable(tau) else strengths[0],
        formula=formula,
        start=start,
        lower_order_end=lower_order_end,
    )
