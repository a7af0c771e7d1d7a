"""One update by hand: loss, gradient, AdamW, average.

    g_k = clip(grad mean_b loss_b),   w_k = AdamW(w_{k-1}, g_k),   ema_k = d ema_{k-1} + (1 - d) w_k

All weights are one flat array, and so are their gradients, moments and average.
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from diffcore import unet
from diffcore.denoisers import Clip
from diffcore.noise import integers, portable
from diffcore.plan import Denoise
from diffcore.training.draws import Batch
from diffcore.training.inputs import EMA, FIRST, RAW, SECOND, Inputs, slices
from diffcore.training.network_time import as_denoiser
from diffcore.training.objective import Objective
from diffcore.training.stepper import State, Task, Update, Weights

from .device import on_host
from .kernels.arrays import Arrays
from .loss_gradient import loss_gradient
from .unet import UNet


class ReferenceStepper:
    """The `Stepper` of `diffcore.training` by hand, in the array module of `kernels`."""

    def __init__(self, task: Task, kernels: Arrays, dtype: Any = np.float32) -> None:
        self.task, self.kernels, self.dtype = task, kernels, np.dtype(dtype)
        self.network = UNet(task.unet, kernels, self.dtype)
        self.network.initialise(task.recipe.seed)
        held = self.network.weights
        self.average = held.value.copy()
        self.averaged = UNet(task.unet, kernels, self.dtype, self.average)
        self.first, self.second = (kernels.xp.zeros_like(held.value) for _ in range(2))
        self.step_count = 0
        self.objective = Objective(task, lambda x: x)
        self.tables = self.objective.tables(kernels.xp.zeros(0, self.dtype))

    def step(self, batch: Batch, rate: float, ema_decay: float) -> Update:
        with self.kernels.working():
            return self._step(batch, rate, ema_decay)

    def _step(self, batch: Batch, rate: float, ema_decay: float) -> Update:
        training = self.task.recipe.training
        xp, weights = self.kernels.xp, self.network.weights
        inputs = self._inputs(batch)
        parts = training.accumulate
        seeds = integers(batch.seed, batch.step, parts, 2**32)
        weights.gradient[...] = 0
        total = xp.zeros((), self.dtype)
        for seed, rows in zip(seeds, slices(len(batch), parts), strict=True):
            total = total + self._learn(inputs.rows(rows), int(seed), len(batch))
        norm = xp.sqrt(xp.vdot(weights.gradient, weights.gradient))
        scale = 1.0
        if training.clip:
            scale = min(1.0, training.clip / (float(norm) + 1e-6))
        self.step_count += 1
        self.kernels.adamw(
            weights.value,
            weights.gradient,
            self.first,
            self.second,
            self.average,
            rate=rate,
            betas=training.betas,
            decay=training.weight_decay,
            step=self.step_count,
            ema=ema_decay,
            scale=scale,
        )
        return Update(total, norm)

    def losses(self, batch: Batch, weights: Weights) -> npt.NDArray[np.float64]:
        inputs = self._inputs(batch)

        def network(x: Any, t: Any) -> Any:
            return self._forward(weights, x, t, inputs.labels, inputs.condition)

        losses = self.objective(network, self.tables, inputs.x_0, inputs.t, inputs.eps)
        return cast(npt.NDArray[np.float64], self.host(losses).astype(np.float64))

    def numbers(self, updates: list[Update]) -> npt.NDArray[np.float64]:
        flat = [value for update in updates for value in update]
        host = self.host(self.kernels.xp.stack(flat)) if flat else np.empty(0)
        return host.astype(np.float64).reshape(-1, len(Update._fields))

    def denoise(
        self,
        weights: Weights,
        labels: npt.NDArray[np.int64] | None,
        condition: npt.NDArray[np.float32] | None = None,
    ) -> Denoise:
        given = None if labels is None else self._send(labels)
        shown = None if condition is None else self.array(condition)
        return as_denoiser(
            lambda x, t: self._forward(weights, x, t, given, shown),
            self.task.schedule,
            self.task.predicts,
            threshold=Clip(),
            learned_variance=self.task.unet.learned_variance,
        )

    def array(self, host: npt.NDArray[np.float32]) -> Any:
        return self.kernels.xp.asarray(host, dtype=self.dtype)

    def host(self, array: Any) -> npt.NDArray[np.float32]:
        return on_host(array)

    def weights(self, which: Weights) -> dict[str, npt.NDArray[Any]]:
        held = self.network.weights
        return held.read(self.average if which == "ema" else held.value)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        held = self.network.weights
        return {
            prefix + name: tensor
            for prefix, flat in self._flats()
            for name, tensor in held.read(flat).items()
        }

    def load_state(self, state: State, step: int) -> None:
        for prefix, flat in self._flats():
            self.network.weights.write(flat, state, prefix)
        self.step_count = step

    def _flats(self) -> tuple[tuple[str, Any], ...]:
        held = self.network.weights
        return (
            (RAW, held.value),
            (FIRST, self.first),
            (SECOND, self.second),
            (EMA, self.average),
        )

    def _learn(self, inputs: Inputs, seed: int, batch: int) -> Any:
        """Add the gradient of these samples' share of the mean loss; returns that share."""
        pulls: list[Any] = []
        x_0, t, eps, labels, condition = inputs
        kept = self._kept(tuple(x_0.shape), seed)

        def network(x: Any, time: Any) -> Any:
            output, pull = self.network.run(x, time, labels, condition, kept)
            pulls.append((output, pull))
            return output

        losses = self.objective(network, self.tables, x_0, t, eps)
        output, pull = pulls.pop()
        gradient = loss_gradient(self.objective, self.kernels.xp, self.tables, output, x_0, t, eps)
        pull(gradient / batch)
        return self.kernels.xp.sum(losses) / batch

    def _kept(self, shape: tuple[int, ...], seed: int) -> dict[int, Any]:
        """What dropout keeps, images as everywhere here."""
        xp, noise = self.kernels.xp, portable(seed)
        made = unet.kept(
            self.task.unet, shape, lambda shape, k: noise(xp.empty(shape, np.float32), k)
        )
        return {k: xp.ascontiguousarray(xp.moveaxis(kept, 1, -1)) for k, kept in made.items()}

    def _forward(self, weights: Weights, x: Any, t: Any, labels: Any, condition: Any) -> Any:
        network = self.averaged if weights == "ema" else self.network
        return network(x, t, labels, condition)

    def _inputs(self, batch: Batch) -> Inputs:
        x_0 = self.array(batch.x_0)
        eps = portable(batch.seed)(x_0, batch.step)
        labels = None if batch.labels is None else self._send(batch.labels)
        condition = None if batch.condition is None else self.array(batch.condition)
        return Inputs(x_0, self._send(batch.t), eps, labels, condition)

    def _send(self, host: npt.NDArray[Any]) -> Any:
        return self.kernels.xp.asarray(host)
