"""A small network learns what there is to learn: its loss comes down to the exact denoiser's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from diffcore import losses, oracles, process
from diffcore.noise import portable
from diffcore.plan import Denoise, sample
from diffcore.samplers import ddim
from diffcore.times import trailing
from diffcore.training import network_time, objective
from diffcore.training.draws import Batch, Draws, held_out_batches
from diffcore.training.images import Images
from diffcore.training.rates import ema_decay, learning_rate
from diffcore.training.recipe import Recipe
from diffcore_torch import ema
from diffcore_torch.stepper import TorchStepper

STEPS, BATCH, N = 220, 128, 2048
SIDE = 2
POINTS = np.array([[[[0.9, -0.3], [0.5, -0.8]]], [[[-0.6, 0.7], [-0.9, 0.2]]]], np.float32)
MEAN, STD = 0.2, 0.3
UNET = {"width": 32, "groups": 8}
INPUTS = network_time.inputs


def two_points(labels: bool = False) -> Images:
    """Each of two images, half of the time."""
    which = np.arange(N) % 2
    return Images(
        x=POINTS[which], labels=which if labels else None, classes=("0", "1") if labels else ()
    )


def normal() -> Images:
    """Pixels from N(0.2, 0.3^2)."""
    eps = portable(5)(np.zeros((N, 1, SIDE, SIDE), np.float32), 0)
    return Images(x=(MEAN + STD * eps).astype(np.float32))


def exact(schedule: Any, images: Images) -> Denoise:
    if len(np.unique(images.x)) <= POINTS.size:
        return oracles.empirical(schedule, POINTS)
    return oracles.gaussian(schedule, MEAN, STD**2)


def recipe(**sections: Any) -> Recipe:
    training = {"steps": STEPS, "batch": BATCH, "lr": 4e-3, "warmup": 20, "decay": "cosine"}
    training |= {"ema": 0.99, **sections.pop("training", {})}
    unet = {**UNET, **sections.pop("unet", {})}
    return tiny.recipe("none", training=training, unet=unet, data={"size": SIDE}, **sections)


def trained(made: Recipe, images: Images) -> TorchStepper:
    """A stepper after all updates of the recipe, by the parts of the loop that change weights."""
    stepper, t = tiny.stepper(made, images), made.training
    labels = images.labels is not None
    draws = Draws(
        images=images,
        schedule=made.make_schedule(),
        seed=made.seed,
        batch=t.batch,
        label_dropout=t.label_dropout if labels else 0.0,
        null_label=2 if labels else None,
    )
    for k in range(t.steps):
        rate = learning_rate(k, t.lr, t.warmup, t.steps, t.decay)
        stepper.step(draws.at(k), rate, ema_decay(k, t.ema))
    return stepper


def held_out(made: Recipe, images: Images) -> list[Batch]:
    return list(held_out_batches(images, made.make_schedule(), 1024))


def loss_of(batches: list[Batch], stepper: TorchStepper) -> float:
    return float(np.mean(np.concatenate([stepper.losses(b, "ema") for b in batches])))


def loss_of_oracle(made: Recipe, batches: list[Batch], denoise: Denoise) -> float:
    """The recipe's loss of the output that the exact E[x_0 | x_t] stands for, in float64."""
    schedule, predicts = made.make_schedule(), made.make_prediction()
    values = []
    for batch in batches:
        x_0 = batch.x_0.astype(np.float64)
        eps = portable(batch.seed)(x_0, batch.step)
        x_t = process.q_sample(schedule, x_0, batch.t, eps)
        alpha, sigma = process.level(schedule, batch.t, x_t)
        guess = denoise(x_t, batch.t)
        output = predicts.target(schedule, guess, batch.t, (x_t - alpha * guess) / sigma)
        weighting = made.make_weighting()
        values.append(losses.simple(schedule, predicts, output, x_0, batch.t, eps, weighting))
    return float(np.mean(np.concatenate(values)))


CASES: dict[str, tuple[dict[str, Any], Callable[[], Images]]] = {
    "eps, cosine": ({"schedule": {"kind": "cosine", "T": 100}}, two_points),
    "x_0, linear": ({"predicts": "x_0", "schedule": {"kind": "linear", "T": 1000}}, normal),
    "v, sigmoid": ({"predicts": "v", "schedule": {"kind": "sigmoid", "T": 50}}, two_points),
    "velocity, flow": ({"predicts": "velocity", "schedule": {"kind": "flow"}}, normal),
    "v, continuous cosine": (
        {"predicts": "v", "schedule": {"kind": "cosine_continuous"}},
        two_points,
    ),
    "edm": (
        {"predicts": {"kind": "edm", "sigma_data": 0.5}, "schedule": {"kind": "edm"}},
        two_points,
    ),
    "x_0, min-SNR, VP": (
        {
            "predicts": "x_0",
            "schedule": {"kind": "vp_linear"},
            "loss": {"weighting": {"kind": "min_snr", "gamma": 5.0}},
        },
        normal,
    ),
}


def reaches(after: float, least: float, before: float) -> bool:
    """Whether all but a twentieth of what there was to learn is learnt.

    No network beats the exact denoiser but by the luck of 1024 held-out images.
    """
    return 0.97 * least < after < least + 0.05 * (before - least)


@pytest.mark.parametrize("case", CASES)
def test_the_loss_comes_down_to_the_exact_denoisers(case: str) -> None:
    sections, make = CASES[case]
    made, images = recipe(**sections), make()
    batches = held_out(made, images)
    before = loss_of(batches, tiny.stepper(made, images))
    after = loss_of(batches, trained(made, images))
    least = loss_of_oracle(made, batches, exact(made.make_schedule(), images))
    assert not reaches(before, least, before)
    assert reaches(after, least, before)


def off_by_one(*arguments: Any) -> Any:
    x_in, time = INPUTS(*arguments)
    return x_in, time - 1.0


def test_training_that_is_wrong_does_not_get_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # Few times, so that each is far from the next.
    made, images = recipe(schedule={"kind": "cosine", "T": 6}), two_points()
    batches = held_out(made, images)
    before = loss_of(batches, tiny.stepper(made, images))
    least = loss_of_oracle(made, batches, exact(made.make_schedule(), images))
    right = trained(made, images)
    assert reaches(loss_of(batches, right), least, before)
    with monkeypatch.context() as patch:
        # The network is told t - 1 where it was trained with t.
        patch.setattr(objective, "inputs", off_by_one)
        assert not reaches(loss_of(batches, right), least, before)
    with monkeypatch.context() as patch:
        patch.setattr(ema, "update", lambda *arguments: None)
        assert not reaches(loss_of(batches, trained(made, images)), least, before)
    with monkeypatch.context() as patch:
        # The noise that is added is not the noise that is to be predicted.
        target = losses.simple
        other = lambda *a: target(*a[:5], torch.roll(a[5], 1, 0), *a[6:])  # noqa: E731
        patch.setattr(objective, "simple", other)
        assert not reaches(loss_of(batches, trained(made, images)), least, before)


def test_labels_tell_which_image_and_none_tells_nothing() -> None:
    made = recipe(
        schedule={"kind": "cosine", "T": 100},
        predicts="v",
        training={"label_dropout": 0.3, "steps": 400},
    )
    images = two_points(labels=True)
    schedule, stepper = made.make_schedule(), trained(made, images)
    batches = held_out(made, images)
    nothing = [replace(b, labels=np.full(len(b), 2)) for b in batches]
    swapped = [replace(b, labels=1 - b.labels) for b in batches]
    untold = loss_of_oracle(made, batches, exact(schedule, images))
    # With its label the image is known, and the exact loss is 0.
    told = loss_of(batches, stepper)
    assert told < 0.1 * untold
    assert reaches(loss_of(nothing, stepper), untold, loss_of(batches, tiny.stepper(made, images)))
    assert loss_of(swapped, stepper) > 5 * untold
    # So in sampling: each class gives its own image, none gives both.
    noise = portable(3)
    like = torch.zeros(64, 1, SIDE, SIDE)
    steps = ddim(schedule, trailing(schedule, 10))

    def nearest(labels: np.ndarray) -> np.ndarray:
        denoise = stepper.denoise("ema", labels.astype(np.int64))
        x = sample(denoise, steps, noise(like, 0)).numpy()[:, None]
        return np.abs(x - POINTS).mean(axis=(2, 3, 4)).argmin(axis=1)

    each = np.arange(64) % 2
    assert (nearest(each) == each).all()
    assert 16 < nearest(np.full(64, 2)).sum() < 48
