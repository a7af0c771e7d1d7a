"""Planners: each turns a schedule and a time grid into a `Plan`, on the host, in float64.

| planner | calls a step | order | what it is |
| --- | --- | --- | --- |
| `ddpm` | 1 | noise | ancestral sampling, variance small, large or learned |
| `ddim` | 1 | 1 | any share eta of fresh noise; 1 is `ddpm` |
| `euler` | 1 | 1 | the probability flow in sigma / alpha: `ddim` without noise; churn |
| `heun`, `dpm2` | 2 | 2 | EDM's method, and the midpoint rule; churn |
| `euler_ancestral` | 1 | noise | Euler's step down too far, then noise |
| `dpm2_ancestral` | 2 | noise | the midpoint rule's |
| `flow_euler`, `flow_heun` | 1, 2 | 1, 2 | in the schedule's own time, along the velocity |
| `runge_kutta` | 1, 2, 4 | 1, 2, 4 | classical methods, for the flow to a tolerance |
| `dpm_solver` | 1 to 3 | 1 to 3 | exponential, on the noise, singlestep or multistep |
| `dpm_solver_pp` | 1 to 3 | 1 to 3 | exponential, on x_0, multistep or singlestep |
| `dpm_solver_pp_sde` | 1 | noise | the same for the reverse SDE |
| `unipc` | 1 | 2 to 4 | with a corrector that costs no call |
| `deis` | 1 | 1 to 3 | Adams methods on the noise, in t, sigma / alpha or its logarithm |
| `lms` | 1 | 1 to 4 | Adams and Bashforth's in sigma / alpha |
| `plms` | 1 | 2 | PNDM's pseudo linear multistep |
| `sa_solver` | 1 | noise | stochastic Adams methods, predictor and corrector |
| `restart` | | | any planner, with ways up and down again between |

All take f(schedule, times, **parameters); `restart` takes the planner before the times. `PLANNERS`
has them by name, without `restart`. Orders are those that are declared and measured, by `order`
and other parameters; see each function. `ddim`, `ddpm`, `euler`, `heun`, `dpm2`, `flow_euler`,
`flow_heun` and `runge_kutta` go up in time as well as down; all others descend. A step to sigma = 0
takes the denoised x_0; a step from alpha = 0 is DDIM's, but for the methods that are regular there
(`flow_euler`, `flow_heun`, `runge_kutta`).

Multistep methods share two parameters: `start`, how the first steps are taken, which know fewer
outputs ("singlestep" by a method that calls inside the step and keeps the order, "lower" by what
there is), and `lower_order_end`, whether the order falls over the last steps.
"""

from collections.abc import Callable, Mapping

from ..plan import Plan
from .ancestral import dpm2_ancestral, euler_ancestral
from .ddim import ddim
from .ddpm import ddpm
from .deis import deis
from .dpm_solver import dpm_solver
from .dpm_solver_pp import dpm_solver_pp, dpm_solver_pp_sde
from .flow import flow_euler, flow_heun
from .heun import dpm2, euler, heun
from .lms import lms
from .plms import plms
from .restart import Interval, Planner, restart
from .runge_kutta import runge_kutta
from .sa_solver import sa_solver
from .unipc import unipc

PLANNERS: Mapping[str, Callable[..., Plan]] = {
    f.__name__: f
    for f in (
        ddpm,
        ddim,
        euler,
        heun,
        dpm2,
        euler_ancestral,
        dpm2_ancestral,
        flow_euler,
        flow_heun,
        runge_kutta,
        dpm_solver,
        dpm_solver_pp,
        dpm_solver_pp_sde,
        unipc,
        deis,
        lms,
        plms,
        sa_solver,
    )
}
"""Every planner f(schedule, times, **parameters), by its name."""

__all__ = [
    "PLANNERS",
    "Interval",
    "Planner",
    "ddim",
    "ddpm",
    "deis",
    "dpm2",
    "dpm2_ancestral",
    "dpm_solver",
    "dpm_solver_pp",
    "dpm_solver_pp_sde",
    "euler",
    "euler_ancestral",
    "flow_euler",
    "flow_heun",
    "heun",
    "lms",
    "plms",
    "restart",
    "runge_kutta",
    "sa_solver",
    "unipc",
]
