"""The class behind `scheduler`: a plan with the methods that diffusers' pipelines call.

Importing this module imports diffusers. Its class is a module's own, so that a saved pipeline names
it and loads it again (in a process that has imported this module).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from .. import process, times
from .._optional import optional
from ..denoisers import denoiser
from ..plan import Plan
from ..samplers import PLANNERS
from ..schedules import DiscreteSchedule
from .arguments import GRIDS, as_function, as_prediction, as_schedule, as_threshold, saved
from .plan_run import PlanRun, calls, starts
from .told import told

diffusers = optional("diffusers", "diffusers")
torch = optional("torch", "torch")
SchedulerMixin, ConfigMixin = diffusers.SchedulerMixin, diffusers.ConfigMixin
"""Pipelines look in the module of a class for the base that says how it is loaded."""
Output = optional("diffusers.schedulers.scheduling_ddpm", "diffusers").DDPMSchedulerOutput
randn_tensor = optional("diffusers.utils.torch_utils", "diffusers").randn_tensor


class PlanScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc, valid-type]
    """A plan, or a planner, as a scheduler of diffusers; see `scheduler` for what it takes.

    Arguments may also be what its config holds of them: a plan's JSON, names, and the `config` of a
    schedule or a prediction.
    """

    order = 1
    _compatibles = [e.name for e in diffusers.schedulers.KarrasDiffusionSchedulers]  # noqa: RUF012

    def __init__(
        self,
        plan: Any = None,
        schedule: Any = None,
        predicts: Any = None,
        planner: Any = None,
        grid: Any = "trailing",
        parameters: Mapping[str, Any] | None = None,
        timestep: Literal["time", "index"] | None = None,
        time_scale: float | None = None,
        threshold: Any = None,
        learned_variance: bool = False,
    ) -> None:
        self.schedule = as_schedule(schedule)
        self.predicts = as_prediction(predicts)
        if (plan is None) == (planner is None):
            raise ValueError(
                f"either plan or planner must be given, got plan = {plan!r}, planner = {planner!r}"
            )
        self._planner = as_function("planner", planner, PLANNERS) if planner else None
        self._grid = as_function("grid", grid, GRIDS)
        self._parameters = dict(parameters or {})
        if self._parameters and self._planner is None:
            raise ValueError(f"parameters must be left out with a plan, got {self._parameters}")
        self._threshold = as_threshold(threshold)
        self._told = told(self.schedule, self.predicts, timestep, time_scale)
        self._denoiser = partial(
            denoiser,
            schedule=self.schedule,
            predicts=self.predicts,
            threshold=self._threshold,
            learned_variance=learned_variance,
        )
        plan = Plan.from_json(plan) if isinstance(plan, str) else plan
        described, self._unnamed = saved(
            schedule=self.schedule,
            predicts=self.predicts,
            planner=self._planner,
            grid=self._grid,
            threshold=self._threshold,
        )
        self.register_to_config(
            plan=plan.to_json() if isinstance(plan, Plan) else None,
            parameters=self._parameters or None,
            timestep=timestep,
            time_scale=time_scale,
            learned_variance=learned_variance,
            **described,
        )
        self.timesteps: Any = None
        self.num_inference_steps: int | None = None
        if isinstance(self.schedule, DiscreteSchedule):
            self.alphas_cumprod = torch.tensor(self.schedule.alpha_bar[1:].copy())
        self.plan: Plan | None = None
        self._heard: list[float] = []
        self._run: PlanRun | None = None
        self._begin: int | None = None
        self._last: tuple[Any, Any] = (None, None)
        self._scaled = False
        if plan is not None:
            self._take(plan)

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    @property
    def init_noise_sigma(self) -> float:
        """The standard deviation of the state to start from."""
        time = times.trailing(self.schedule, 1)[0]
        if self.plan is not None:
            time = self.plan.stages[0].time
        return float(self.schedule(time).sigma)

    @property
    def step_index(self) -> int | None:
        """How many steps are done; None before the first."""
        return None if self._run is None else self._run.position

    @property
    def begin_index(self) -> int | None:
        """The step to begin with, where a pipeline has said it."""
        return self._begin

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin at that step, as pipelines do that start from an image."""
        self._begin = begin_index

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None) -> None:
        """Make ready for a run of so many steps; `timesteps` is what the network is told in each.

        A planner makes its plan of it. Raises ValueError for another number of steps than the plan
        has, where it is fixed.
        """
        if self._planner is not None:
            if num_inference_steps is None:
                raise ValueError("num_inference_steps must be given for a planner")
            grid = self._grid(self.schedule, num_inference_steps)
            self._take(self._planner(self.schedule, grid, **self._parameters))
        else:
            assert self.plan is not None
            if num_inference_steps not in (None, self.plan.evaluations):
                raise ValueError(
                    f"num_inference_steps must be {self.plan.evaluations}, the calls of plan "
                    f"{self.plan.name!r}, got {num_inference_steps}; give planner in place of plan "
                    "for any number"
                )
            self._take(self.plan)
        self.timesteps = self.timesteps.to(device)

    def scale_model_input(self, sample: Any, timestep: Any = None) -> Any:
        """What to give the network for `sample`: scaled for EDM's prediction, else as it is."""
        stage = self._ready(timestep).stage
        self._scaled = True
        if stage is None:
            return sample
        return self.predicts.inputs(self.schedule, sample, stage.time)[0]

    def step(
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        generator: Any = None,
        return_dict: bool = True,
        eta: float | None = None,
        use_clipped_model_output: bool | None = None,
    ) -> Any:
        """The sample for the next call of the network, or at the end the last one.

        model_output: of the network at `sample` and `timestep`. generator: for the noise. eta: left
        out, 0, or the plan's own. Gives prev_sample and pred_original_sample, of sample's dtype, as
        an object or a tuple. Raises ValueError where `timestep` is not the one that is due.
        """
        run = self._ready(timestep)
        stage = run.stage
        if stage is None or self.plan is None:
            raise ValueError("the plan has ended: set_timesteps begins anew")
        due = self._heard[run.position]
        if timestep is not None and float(timestep) != due:
            raise ValueError(f"timestep must be {due}, which is due, got {float(timestep)}")
        if eta and eta != self.plan.parameters.get("eta"):
            raise ValueError(f"eta is the plan's to say, got {eta} for plan {self.plan.name!r}")
        if self._told.scales and not self._scaled:
            raise ValueError(
                f"sample must go through scale_model_input for a prediction of {self.predicts.name}"
            )
        self._scaled = False
        kept, returned = self._last
        wide = torch.promote_types(sample.dtype, torch.float32)
        x = kept if sample is returned else sample.to(wide)
        denoise = self._denoiser(lambda _x, _t: model_output)
        x, x_0 = run.step(
            x,
            denoise(x, stage.time),
            lambda like: randn_tensor(
                like.shape, generator=generator, device=like.device, dtype=like.dtype
            ),
        )
        returned = x.to(sample.dtype)
        self._last = (x, returned)
        x_0 = x_0.to(sample.dtype)
        if not return_dict:
            return returned, x_0
        return Output(prev_sample=returned, pred_original_sample=x_0)

    def add_noise(self, original_samples: Any, noise: Any, timesteps: Any) -> Any:
        """x_t = alpha_t x_0 + sigma_t eps at what the network calls `timesteps`, one or a batch."""
        found = [self._told.time(float(t)) for t in timesteps.reshape(-1)]
        found = found * (len(original_samples) if len(found) == 1 else 1)
        whole = isinstance(self.schedule, DiscreteSchedule)
        wide = torch.int64 if whole else torch.float64
        t = torch.tensor(found, dtype=wide, device=original_samples.device)
        noise = noise.to(original_samples)
        return process.q_sample(self.schedule, original_samples, t, noise)

    def save_config(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write the config; ValueError that names an argument that is a function without a name."""
        if self._unnamed:
            raise ValueError(
                f"{self._unnamed[0]} must have a name to be saved, one of samplers.PLANNERS, of "
                "times, or a threshold of denoisers"
            )
        super().save_config(save_directory, push_to_hub=push_to_hub, **kwargs)

    def _take(self, plan: Plan) -> None:
        """Begin `plan` anew."""
        self.plan = plan
        stages = [plan.stages[k] for k in calls(plan)]
        self._heard = [self._told(stage.time) for stage in stages]
        whole = all(t == int(t) for t in self._heard)
        self.timesteps = torch.tensor(self._heard, dtype=torch.int64 if whole else torch.float32)
        self.num_inference_steps = len(stages)
        self._run = self._begin = None
        self._last = (None, None)
        self._scaled = False

    def _ready(self, timestep: Any) -> PlanRun:
        """The run, begun at `timestep` where it is not."""
        if self.plan is None:
            raise ValueError("set_timesteps must be called before a step")
        if self._run is None:
            possible = starts(self.plan)
            if self._begin is not None:
                possible = [p for p in possible if p == self._begin]
            elif timestep is not None:
                possible = [p for p in possible if self._heard[p] == float(timestep)]
            if not possible:
                here = f"step {self._begin}" if self._begin is not None else f"timestep {timestep}"
                raise ValueError(
                    f"plan {self.plan.name!r} cannot begin at {here}, where it has none or needs "
                    "what was before: make a plan that starts there"
                )
            self._run = PlanRun(self.plan, possible[0])
        return self._run
