"""The smallest training runs there are, for the tests of training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffcore.training.draws import Draws
from diffcore.training.images import Images
from diffcore.training.loop import Outcome
from diffcore.training.recipe import Recipe
from diffcore.training.run_folder import RunFolder
from diffcore.training.sections import Data, Evaluation, Loss, Training
from diffcore.training.stepper import Task
from diffcore_torch import training
from diffcore_torch.stepper import TorchStepper

UNET = {
    "width": 8,
    "multipliers": [1],
    "blocks": 1,
    "attention": [],
    "middle_attention": False,
    "groups": 4,
}
EVALUATION = Evaluation(
    log_every=4,
    loss_every=6,
    loss_images=24,
    samples_every=0,
    samples=4,
    steps=2,
    checkpoint_every=5,
    tensorboard=False,
)


def recipe(source: Path | str, **sections: Any) -> Recipe:
    """A run of 20 updates on images of 4 x 4; `training`, `evaluation`, `loss` and `data` are
    dicts of what is to be otherwise, other sections stand for themselves."""
    training = {"steps": 20, "batch": 8, "lr": 1e-3, "warmup": 3, **sections.pop("training", {})}
    data = {"source": str(source), "size": 4, "channels": 1, **sections.pop("data", {})}
    return Recipe(
        name="tiny",
        data=Data(**data),
        training=Training(**training),
        evaluation=replace(EVALUATION, **sections.pop("evaluation", {})),
        loss=Loss(**sections.pop("loss", {})),
        unet={**UNET, **sections.pop("unet", {})},
        **{"schedule": {"kind": "cosine", "T": 20}, **sections},
    )


def write_images(path: Path, n: int = 60, classes: int = 3, side: int = 4) -> Path:
    """An .npz of random bytes with labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(n) % classes)
    return path


def task(made: Recipe, images: Images) -> Task:
    return Task.of(made, made.unet_config(images))


def stepper(made: Recipe, images: Images) -> TorchStepper:
    return TorchStepper(task(made, images), torch.device("cpu"))


def draws(made: Recipe, images: Images) -> Draws:
    return Draws(
        images=images,
        schedule=made.make_schedule(),
        seed=made.seed,
        batch=made.training.batch,
    )


def run(made: Recipe, path: Path, *, resume: bool = False) -> Outcome:
    with (RunFolder.resume if resume else RunFolder.create)(path) as folder:
        return training.fit(made, folder, resume=resume, device="cpu", progress=False)
