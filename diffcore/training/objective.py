"""What training minimises, written once for every backend.

    x_t = alpha_t x_0 + sigma_t eps,   loss_b = L(network(inputs(x_t)), x_0, t, eps)

with L the weighted L_simple, L_mu or L_hybrid of `diffcore.losses`, as the recipe says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..denoisers import Network
from ..losses import Weighting, hybrid, posterior_mean_kl, simple
from ..process import q_sample
from ..schedules import ContinuousSchedule, DiscreteSchedule, Tables
from .network_time import inputs
from .stepper import Task


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a task; `stop_gradient` is the library's own, such as `torch.Tensor.detach`."""

    task: Task
    stop_gradient: Callable[[Any], Any]

    @cached_property
    def weighting(self) -> Weighting:
        """The weighting of the squared error."""
        return self.task.recipe.make_weighting()

    def tables(self, like: Any) -> Tables | ContinuousSchedule:
        """The schedule beside the floating array `like`: to be made once, and passed back."""
        schedule = self.task.schedule
        return schedule.tables(like) if isinstance(schedule, DiscreteSchedule) else schedule

    def __call__(
        self, network: Network, tables: Tables | ContinuousSchedule, x_0: Any, t: Any, eps: Any
    ) -> Any:
        """The loss of each sample, shape (batch,), in x_0's dtype.

        network: called as network(x, t) with x of x_0's shape; its output must have x_0's dtype.
        """
        predicts, recipe = self.task.predicts, self.task.recipe
        x_t = q_sample(tables, x_0, t, eps)
        output = network(*inputs(self.task.schedule, predicts, tables, x_t, t))
        if recipe.loss.objective == "mu":
            return posterior_mean_kl(
                tables, predicts, output, x_0, x_t, t, variance=recipe.loss.variance
            )
        if recipe.loss.objective == "simple":
            return simple(tables, predicts, output, x_0, t, eps, self.weighting)
        return hybrid(
            tables,
            predicts,
            output,
            x_0,
            t,
            eps,
            stop_gradient=self.stop_gradient,
            weighting=self.weighting,
            vlb_weight=recipe.loss.vlb_weight,
        )
