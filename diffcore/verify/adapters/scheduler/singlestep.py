"""DPM-Solver++ (singlestep) that calls wherever its grid's times fall, not at shares of its steps.

A step of order p goes over p of the grid's steps: it calls at their starts and ends at the last's
end (Lu et al. 2022, "DPM-Solver++", algorithm 1, for any r).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ....plan import Plan
from ....samplers._between import half_log_snr
from ....samplers._singlestep import through
from ....samplers._trace import Trace
from ....samplers.adams import bh2, exact
from ....schedules import Schedule
from .running import Setup


def groups(setup: Setup, n: int) -> tuple[int, ...]:
    """How many calls each step makes of n, by the scheduler's list of orders: 1, 2, 3, 1, 2, ...

    A run that begins inside a step has its first steps there of order 1.
    """
    whole = replace(setup, steps=n + setup.begin)
    orders = list(whole.made().order_list)[setup.begin :]
    orders[0] = 1
    starts = [k for k, order in enumerate(orders) if order == 1]
    return tuple(b - a for a, b in zip(starts, [*starts[1:], len(orders)], strict=True))


def singlesteps(
    schedule: Schedule,
    times: Sequence[float],
    calls: Callable[[int], Sequence[int]],
    order: int = 2,
    formula: str = "exact",
    **_: Any,
) -> Plan:
    """The plan over all times at which there are calls; calls(n): how many in each step of n."""
    trace, k = Trace(schedule, float(times[0])), 0
    counts = calls(len(times) - 1)
    for count in counts:
        first = half_log_snr(schedule, trace.time), trace.denoise()
        end, inner = float(times[k + count]), [float(t) for t in times[k + 1 : k + count]]
        rule = bh2 if formula == "published" else exact
        through(trace, end, first, inner, rule, formula == "published")
        k += count
    reached = min(order, 2) if len(set(counts)) > 1 else order
    return trace.plan("dpm_solver_pp", reached, order=order, formula=formula)
