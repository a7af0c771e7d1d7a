"""A run in a process of its own, that can be stopped and killed.

The processes are forked from one that has imported PyTorch, and done nothing else with it.
"""

import multiprocessing
import os
import signal
import time
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import tiny
import torch

from diffcore.training.recipe import Recipe
from diffcore.training.run_folder import RunFolder
from diffcore_torch import training
from diffcore_torch.stepper import TorchStepper

PRELOADED = ["diffcore_torch.training", "safetensors.numpy", "tomli_w", "torch._dynamo", "tqdm"]
PAUSE = 0.02
"""Seconds between updates, so that there is a time to be killed at."""


def recipe(source: Path) -> Recipe:
    return tiny.recipe(source, unet={"dropout": 0.2}, training={"steps": 40})


def started(source: Path, path: Path, *, kill_at_write: int = 0) -> ForkServerProcess:
    """A process that begins the run at `path`, or goes on with it, and is under way.

    kill_at_write: the file whose writing it does not survive, from 1: all is written, and not yet
    in its place (odd), or in its place, but the folder not on the disk (even).
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ready = context.Event()
    process = context.Process(target=_run, args=(source, path, kill_at_write, ready))
    process.start()
    while not ready.wait(0.05) and process.is_alive():
        pass
    return process


def _run(source: Path, path: Path, kill_at_write: int, ready: Event) -> None:
    step, fsync, written = TorchStepper.step, os.fsync, 0

    def slow(self: TorchStepper, *arguments: Any) -> Any:
        time.sleep(PAUSE)
        update = step(self, *arguments)
        ready.set()
        return update

    def dying(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written == kill_at_write:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    torch.set_num_threads(1)
    TorchStepper.step = slow  # type: ignore[method-assign]
    os.fsync = dying  # type: ignore[assignment]
    resume = (path / "recipe.toml").exists()
    with (RunFolder.resume if resume else RunFolder.create)(path) as run:
        training.fit(recipe(source), run, resume=resume, device="cpu", progress=False)
