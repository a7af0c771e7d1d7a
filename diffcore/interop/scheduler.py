"""A plan as a scheduler: the loop is somebody else's, the table of numbers is the plan's.

    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x).prev_sample

gives what `plan.sample` gives with the same network and the same draws.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from .. import times
from ..denoisers import Threshold
from ..plan import Plan
from ..predictions import Prediction
from ..schedules import ContinuousSchedule, DiscreteSchedule

Grid = Callable[[Any, int], times.Times]
"""grid(schedule, n) -> times, such as `times.trailing`."""


def scheduler(
    plan: Plan | None = None,
    schedule: DiscreteSchedule | ContinuousSchedule | None = None,
    *,
    predicts: Prediction,
    planner: Callable[..., Plan] | str | None = None,
    grid: Grid | str = times.trailing,
    parameters: Mapping[str, Any] | None = None,
    timestep: Literal["time", "index"] | None = None,
    time_scale: float | None = None,
    threshold: Threshold | None = None,
    learned_variance: bool = False,
) -> Any:
    """A scheduler object that diffusers' pipelines accept, which runs `plan`.

    plan: any `Plan` for `schedule` that calls the network in its first stage, no stack. Its number
    of calls is its only `num_inference_steps`. planner, in place of a plan, makes one for each
    number of steps asked for: planner(schedule, grid(schedule, n), **parameters), given as a
    function or by its name in `samplers.PLANNERS`. predicts, threshold, learned_variance: as of
    `denoisers.denoiser`.

    timestep, time_scale: what the network is told, as of `denoisers.denoiser`. By default what
    diffusers' networks expect: the step t - 1 where times are whole (and those between), 1000 t
    where they end at 1, the noise level itself on EDM's schedule, and EDM's c_noise for that
    prediction whatever else is given.

    The state stays float32 where samples are of half precision; noise comes from the pipeline's
    generator, one draw of the sample's shape for each stage that draws. The object is saved and
    loaded like any scheduler (`save_pretrained`, `from_pretrained`; a process that loads a pipeline
    with it must `import diffcore.interop.plan_scheduler` first: diffusers imports nothing that a
    folder names), and other schedulers' `from_config` takes the betas and the prediction type from
    its config. A pipeline that does not multiply its first sample by `init_noise_sigma`, as
    `DDPMPipeline`, starts from variance 1.

    Raises ValueError or TypeError that names the argument; ImportError where diffusers is missing.
    """
    from .plan_scheduler import PlanScheduler

    return PlanScheduler(
        plan=plan,
        schedule=schedule,
        predicts=predicts,
        planner=planner,
        grid=grid,
        parameters=parameters,
        timestep=timestep,
        time_scale=time_scale,
        threshold=threshold,
        learned_variance=learned_variance,
    )
