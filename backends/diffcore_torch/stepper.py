"""One update in PyTorch: loss, gradient, AdamW, average.

    g_k = clip(grad mean_b loss_b),   w_k = AdamW(w_{k-1}, g_k),   ema_k = d ema_{k-1} + (1 - d) w_k

What is a function of the update's number comes with the batch, so that weights, average and
AdamW's moments are all the state there is.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from diffcore import unet
from diffcore.denoisers import Clip
from diffcore.noise import integers
from diffcore.plan import Denoise
from diffcore.training.draws import Batch
from diffcore.training.inputs import EMA, FIRST, RAW, SECOND, Inputs, slices
from diffcore.training.network_time import as_denoiser
from diffcore.training.objective import Objective
from diffcore.training.stepper import State, Task, Update, Weights

from . import ema
from .noise import DeviceNoise
from .optimizer import adamw
from .unet import UNet


class TorchStepper:
    """The `Stepper` of `diffcore.training` in PyTorch, on one device.

    dtype: of the weights and the arithmetic; float64 to compare with.
    """

    def __init__(
        self, task: Task, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        training = task.recipe.training
        self.task, self.device, self.dtype = task, device, dtype
        self.network = UNet(task.unet, task.recipe.seed)
        self.network.to(device=device, dtype=dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = ema.shadow(self.network)
        self.forward: Callable[..., Tensor] = self.network
        if training.compile:
            self.forward = torch.compile(self.network, fullgraph=True)
        self.optimizer = adamw(
            self.network.parameters(), training.lr, training.betas, training.weight_decay
        )
        for p in self.network.parameters():
            # As AdamW would make it at its first step, so that there is a state from the start.
            where = device if self.optimizer.defaults["fused"] else torch.device("cpu")
            self.optimizer.state[p] = {
                "step": torch.zeros((), dtype=torch.float32, device=where),
                "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format),
            }
        self.noise = DeviceNoise(device)
        self.objective = Objective(task, torch.Tensor.detach)
        self.tables = self.objective.tables(torch.empty(0, device=device, dtype=dtype))
        self.half = training.precision == "bfloat16" or (
            training.precision == "auto" and device.type == "cuda"
        )

    def step(self, batch: Batch, rate: float, ema_decay: float) -> Update:
        training = self.task.recipe.training
        self.network.train()
        inputs = self._inputs(batch)
        parts = training.accumulate
        seeds = integers(batch.seed, batch.step, parts, 2**32)
        total = torch.zeros((), device=self.device, dtype=self.dtype)
        for seed, rows in zip(seeds, slices(len(batch), parts), strict=True):
            part = inputs.rows(rows)
            kept = self._kept(tuple(part.x_0.shape), int(seed))
            network = partial(self.forward, kept=kept) if kept else self.forward
            loss = self._losses(network, part).sum() / len(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(
            self.network.parameters(), training.clip if training.clip else float("inf")
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        ema.update(self.average, self.network, ema_decay)
        return Update(total, norm)

    @torch.no_grad()
    def losses(self, batch: Batch, weights: Weights) -> npt.NDArray[np.float64]:
        losses = self._losses(self._network(weights), self._inputs(batch))
        return cast(npt.NDArray[np.float64], losses.double().cpu().numpy())

    def numbers(self, updates: list[Update]) -> npt.NDArray[np.float64]:
        flat = [value for update in updates for value in update]
        host = torch.stack(flat).double().cpu().numpy() if flat else np.empty(0)
        return host.reshape(-1, len(Update._fields))

    def denoise(
        self,
        weights: Weights,
        labels: npt.NDArray[np.int64] | None,
        condition: npt.NDArray[np.float32] | None = None,
    ) -> Denoise:
        network = self._network(weights)
        given = None if labels is None else self._send(labels)
        shown = None if condition is None else self.array(condition)
        return as_denoiser(
            torch.no_grad()(partial(self._call, network, given, shown)),
            self.task.schedule,
            self.task.predicts,
            threshold=Clip(),
            learned_variance=self.task.unet.learned_variance,
        )

    def array(self, host: npt.NDArray[np.float32]) -> Tensor:
        x = self._send(host).to(self.dtype)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def host(self, array: Tensor) -> npt.NDArray[np.float32]:
        return cast(npt.NDArray[np.float32], array.cpu().contiguous().numpy())

    def weights(self, which: Weights) -> dict[str, npt.NDArray[Any]]:
        network = self.average if which == "ema" else self.network
        return {name: _on_host(p) for name, p in network.named_parameters()}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {name: _on_host(tensor) for name, tensor in self._tensors()}

    @torch.no_grad()
    def load_state(self, state: State, step: int) -> None:
        for name, tensor in self._tensors():
            if name not in state or state[name].shape != tuple(tensor.shape):
                raise ValueError(f"state has no {name} of shape {tuple(tensor.shape)}")
            tensor.copy_(torch.from_numpy(np.array(state[name])))
        for p in self.network.parameters():
            self.optimizer.state[p]["step"].fill_(float(step))

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, p in self.network.named_parameters():
            yield RAW + name, p
            yield FIRST + name, self.optimizer.state[p]["exp_avg"]
            yield SECOND + name, self.optimizer.state[p]["exp_avg_sq"]
        for name, p in self.average.named_parameters():
            yield EMA + name, p

    def _kept(self, shape: tuple[int, ...], seed: int) -> dict[int, Tensor]:
        """What dropout keeps."""

        def normals(shape: tuple[int, ...], k: int) -> Tensor:
            return self.noise(seed, torch.empty(shape, device=self.device), k)

        return unet.kept(self.task.unet, shape, normals)

    def _network(self, weights: Weights) -> UNet:
        return self.average if weights == "ema" else self.network.eval()

    def _losses(self, network: Callable[..., Tensor], inputs: Inputs) -> Tensor:
        x_0, t, eps, labels, condition = inputs
        called = partial(self._call, network, labels, condition)
        return cast(Tensor, self.objective(called, self.tables, x_0, t, eps))

    def _call(
        self,
        network: Callable[..., Tensor],
        labels: Tensor | None,
        condition: Tensor | None,
        x: Tensor,
        t: Tensor,
    ) -> Tensor:
        half = torch.autocast(self.device.type, torch.bfloat16) if self.half else nullcontext()
        with half:
            return network(x, t, labels, condition).to(x.dtype)

    def _inputs(self, batch: Batch) -> Inputs:
        x_0 = self.array(batch.x_0)
        eps = self.noise(batch.seed, x_0, batch.step)
        eps = eps.contiguous(memory_format=torch.channels_last)
        labels = None if batch.labels is None else self._send(batch.labels)
        condition = None if batch.condition is None else self.array(batch.condition)
        return Inputs(x_0, self._send(batch.t), eps, labels, condition)

    def _send(self, host: npt.NDArray[Any]) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(host))
        if self.device.type != "cuda":
            return x.to(self.device)
        # From pinned memory the copy joins the device's queue, and the host goes on.
        return x.pin_memory().to(self.device, non_blocking=True)


def _on_host(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.detach().cpu().contiguous().numpy()
