"""DPM-Solver, DEIS, LMS and PLMS with their parameters, by name."""

from diffcore.samplers.deis import deis
from diffcore.samplers.dpm_solver import dpm_solver
from diffcore.samplers.lms import lms
from diffcore.samplers.plms import plms


def planner(function, **parameters):
    return lambda schedule, grid: function(schedule, grid, **parameters)


PLANNERS = {
    **{f"dpm_solver-{p}": planner(dpm_solver, order=p) for p in (1, 2, 3)},
    "dpm_solver-2-0.3": planner(dpm_solver, order=2, r1=0.3),
    "dpm_solver-3-0.25-0.85": planner(dpm_solver, order=3, r1=0.25, r2=0.85),
    "dpm_solver-2-published": planner(dpm_solver, order=2, formula="published"),
    "dpm_solver-3-published": planner(dpm_solver, order=3, formula="published"),
    **{f"dpm_solver-{p}m": planner(dpm_solver, order=p, variant="multistep") for p in (1, 2, 3)},
    **{
        f"dpm_solver-{p}m-published": planner(
            dpm_solver, order=p, variant="multistep", formula="published"
        )
        for p in (2, 3)
    },
    **{
        f"deis-{p}-{v}": planner(deis, order=p, variable=v)
        for p in (1, 2, 3)
        for v in ("rho", "log_rho", "t")
    },
    **{f"lms-{p}": planner(lms, order=p) for p in (1, 2, 3, 4)},
    "lms-lower": planner(lms, start="lower", lower_order_end=True),
    "plms": planner(plms),
    "plms-singlestep": planner(plms, start="singlestep"),
}
ON_DISCRETE = [name for name in PLANNERS if not name.endswith("-t")]
