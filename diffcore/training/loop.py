"""The training loop that every backend shares.

    for k in 0, 1, ..., steps - 1:   stepper.step(draws.at(k), learning rate k, EMA decay k)

with, every so often: a line of metrics, the loss on held-out images at fixed times and noise, a
grid of samples, and the state on disk. A run that was stopped, killed or has ended goes on, with
as many threads, to the bit: update k is a function of the state and of k.
"""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from signal import Signals
from typing import Any, get_args

import numpy as np

from .._optional import optional
from . import grids, state
from .draws import Draws, held_out_batches
from .images import Images
from .meter import Meter
from .rates import ema_decay, ema_has_caught_up, learning_rate
from .recipe import Recipe
from .record import Record
from .run_folder import RunFolder
from .state import Diverged, Saved
from .stepper import Stepper, Task, Weights
from .stopping import Stopping

NEVER = -1
"""The step of a save that has not been."""
WEIGHTS: tuple[Weights, ...] = get_args(Weights)
WALL_CLOCK = ("images_per_second", "seconds")
"""The metrics that tell of the machine, and differ from run to run."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call of `fit` ended; seconds and steps count earlier calls of the same run too."""

    step: int
    """Updates made, of the `steps` asked for."""
    steps: int
    stopped: Signals | None
    """The signal that stopped it, or None where it is finished."""
    seconds: float
    metrics: dict[str, float]
    """The last value of each metric that this call logged."""


def fit(
    recipe: Recipe,
    run: RunFolder,
    make_stepper: Callable[[Task], Stepper],
    *,
    resume: bool = False,
    progress: bool = True,
) -> Outcome:
    """Train by `recipe` into the folder `run`, which must be open for writing.

    resume: go on from the run's last state; one that is finished goes on where `training.steps` has
    grown. progress: whether to show a bar on stderr.

    SIGINT and SIGTERM save and stop; a second one aborts. Raises `Diverged` where the loss, its
    gradient or the weights stop being finite, with the last good state still on disk, and
    ValueError where the recipe and the data, or the run's own past, do not go together.
    """
    images, held_out = recipe.data.load()
    task = Task.of(recipe, recipe.unet_config(images))
    saved = state.load(run, recipe, images.digest()) if resume else None
    stepper = make_stepper(task)
    run.write_text(run.recipe, recipe.to_toml())
    done = NEVER if saved is None else saved.step
    record = Record(
        run, tensorboard=recipe.evaluation.tensorboard, resume_at=done if resume else None
    )
    with closing(record), Stopping() as stopping:
        loop = _Loop(task, run, stepper, images, held_out, stopping, saved, record)
        return loop.run(progress)


class _Loop:
    """A run under way: the counters between two updates, and what is due after one."""

    def __init__(
        self,
        task: Task,
        run: RunFolder,
        stepper: Stepper,
        images: Images,
        held_out: Images,
        stopping: Stopping,
        saved: Saved | None,
        record: Record,
    ) -> None:
        self.task, self.run_folder, self.stepper = task, run, stepper
        self.images, self.held_out, self.stopping, self.record = images, held_out, stopping, record
        self.digest = images.digest()
        self.evaluation, self.training = task.recipe.evaluation, task.recipe.training
        self.draws = Draws(
            images=images,
            schedule=task.schedule,
            seed=task.recipe.seed,
            batch=self.training.batch,
            label_dropout=self.training.label_dropout if task.unet.classes else 0.0,
            null_label=task.unet.classes if task.unet.null_class else None,
            flips=task.recipe.data.flips,
            condition_size=task.recipe.data.condition_size,
        )
        self.step, self.seconds, self.saved_at = 0, 0.0, NEVER
        self.meter = Meter(None if saved is None else saved.pending)
        if saved is not None:
            stepper.load_state(saved.stepper, saved.step)
            self.step, self.seconds, self.saved_at = saved.step, saved.seconds, saved.step
        self.begun = time.perf_counter()

    def run(self, progress: bool) -> Outcome:
        """Train to the last update, or until a signal comes."""
        with self._bar(progress) as bar:
            if self.saved_at == NEVER:
                self.record.write(0, self._held_out_row() if self.evaluation.loss_every else {})
                self._save()
            else:
                self._catch_up()
            self.meter.start()
            while self.step < self.training.steps and not self._asked():
                self._update()
                bar.update()
                self._after(bar)
            if self.saved_at != self.step:
                self._settle()
                self._save()
        return Outcome(
            step=self.step,
            steps=self.training.steps,
            stopped=self.stopping.asked if self.step < self.training.steps else None,
            seconds=self._elapsed(),
            metrics=self.record.latest,
        )

    def _catch_up(self) -> None:
        """What a run that ended between the state and the rest has left undone."""
        state.publish(self.run_folder, self.task, self.stepper, self.step, self.images.classes)
        if self.step and self._due(self.evaluation.samples_every):
            self._draw()

    def _update(self) -> None:
        t, k = self.training, self.step
        rate = learning_rate(k, t.lr, t.warmup, t.steps, t.decay)
        self.meter.add(self.stepper.step(self.draws.at(k), rate, ema_decay(k, t.ema)))
        self.step += 1

    def _after(self, bar: Any) -> None:
        """What is due after an update. Nothing is written before the loss is known to be finite."""
        e = self.evaluation
        log, measure = self._due(e.log_every), self._due(e.loss_every)
        samples, save = self._due(e.samples_every), self._due(e.checkpoint_every)
        if not (log or measure or samples or save):
            return
        self._settle()
        row = self._training_row() if log else {}
        self.record.write(self.step, row | (self._held_out_row() if measure else {}))
        if log:
            speed = f"{row['images_per_second']:.0f}"
            bar.set_postfix({"loss": f"{row['loss']:.4f}", "images/s": speed}, refresh=False)
        if samples:
            self._draw()
        if save:
            self._save()
        self.meter.start()

    def _due(self, every: int) -> bool:
        return bool(every) and (self.step % every == 0 or self.step == self.training.steps)

    def _settle(self) -> None:
        """Wait for the device, and hold the losses to be finite."""
        if bad := self.meter.settle(self.stepper):
            ago, (loss, norm) = bad
            raise Diverged(
                f"the loss is {loss:g} and its gradient's norm {norm:g} at update "
                f"{self.step - ago}; {self.run_folder.state} still holds the state of update "
                f"{self.saved_at}. A smaller training.lr or training.clip may help"
            )

    def _training_row(self) -> dict[str, float]:
        t = self.training
        return self.meter.row(t.batch) | {
            "learning_rate": learning_rate(self.step - 1, t.lr, t.warmup, t.steps, t.decay),
            "epoch": self.step * t.batch / len(self.images),
            "seconds": self._elapsed(),
        }

    def _held_out_row(self) -> dict[str, float]:
        averaged = self._held_out_loss("ema")
        # Before the first update the two are one.
        raw = self._held_out_loss("raw") if self.step else averaged
        return {"held_out_loss": averaged, "held_out_loss_raw": raw}

    def _held_out_loss(self, weights: Weights) -> float:
        count = self.evaluation.loss_images
        size = self.task.recipe.data.condition_size
        batches = held_out_batches(self.held_out, self.task.schedule, count, size)
        return float(np.concatenate([self.stepper.losses(b, weights) for b in batches]).mean())

    def _draw(self) -> None:
        """Grids of samples: of the average, and of the weights too while it has not caught up."""
        early = not ema_has_caught_up(self.step, self.training.ema)
        for weights in WEIGHTS if early else WEIGHTS[:1]:
            if self.record.grid(self.step, weights).exists():
                continue  # drawn before the run was stopped
            samples = grids.draw(self.stepper, self.task, weights, self.held_out, self._asked)
            if samples is None:
                return
            self.record.draw(self.step, weights, samples, grids.columns(self.task))

    def _asked(self) -> bool:
        return self.stopping.asked is not None

    def _save(self) -> None:
        saved = Saved(
            step=self.step,
            seconds=self._elapsed(),
            pending=self.meter.pending,
            stepper=self.stepper.state(),
        )
        state.save(self.run_folder, self.task.recipe, self.digest, saved)
        state.publish(self.run_folder, self.task, self.stepper, self.step, self.images.classes)
        self.saved_at = self.step

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self.begun

    def _bar(self, progress: bool) -> Any:
        return optional("tqdm", "train").tqdm(
            total=self.training.steps,
            initial=self.step,
            disable=not progress,
            unit="step",
            dynamic_ncols=True,
            # A log file gets a line now and then rather than ten a second.
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
        )
