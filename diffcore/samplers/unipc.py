"""UniPC: a predictor-corrector of one call a step (Zhao et al. 2023, "UniPC").

    predictor: through the last p outputs              corrector: through these and the newest

in data prediction, of order p + 1 together. For two outputs the weight of the slope is free up to
O(h^3): B(h) / 2 with B(h) = h ("bh1") or exp(h) - 1 ("bh2"); for more, B drops out and the
integrals are exact. `sa_solver` with tau = 0 has exact integrals throughout.
"""

from collections.abc import Sequence
from typing import Literal

from .._arguments import one_of, switch
from ..plan import Plan
from ..schedules import Schedule
from ._grid import Start
from ._predict_correct import multistep
from ._predict_correct import order as order_of
from .adams import bh1, bh2

Solver = Literal["bh1", "bh2"]
RULES = {"bh1": bh1, "bh2": bh2}


def unipc(
    schedule: Schedule,
    times: Sequence[float],
    order: int = 2,
    solver: Solver = "bh2",
    corrector: bool = True,
    start: Start = "singlestep",
    lower_order_end: bool = False,
) -> Plan:
    """UniPC-`order`, of order `order` + 1, or without corrector UniP-`order`, over `times`.

    start: "singlestep" keeps the order, for which order 3 and 4 call once and twice more in the
    first step; "lower", the published one, starts with one output, which leaves order 3 of
    UniPC-3's 4, and 2 of UniP-3's 3. lower_order_end: one output in the last step, two in the last
    but one, which is steadier where these are long, and leaves order 2. The last step is not
    corrected. A step to sigma = 0 takes the denoised x_0, one from alpha = 0 is DDIM's. Raises
    ValueError on parameters that are none of these.
    """
    order = one_of("order", order, 1, 2, 3)
    one_of("solver", solver, *RULES)
    after = order + 1 if switch("corrector", corrector) else 0
    trace = multistep(
        schedule,
        times,
        predictor=order,
        corrector=after,
        rule=RULES[solver],
        start=start,
        lower_order_end=lower_order_end,
    )
    return trace.plan(
        "unipc",
        order_of(order, after, start, lower_order_end),
        order=order,
        solver=solver,
        corrector=corrector,
        start=start,
        lower_order_end=lower_order_end,
    )
