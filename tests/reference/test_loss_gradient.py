"""The losses' gradients by hand: as PyTorch's autograd of the losses themselves, in float64."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "torch"))

import tiny

from diffcore.losses import weightings
from diffcore.training.images import Images
from diffcore.training.objective import Objective
from diffcore.training.recipe import Recipe
from diffcore_reference import loss_gradient as by_hand

T = 20
NAMES = ("eps", "x_0", "v", "score", "velocity", "mean", "edm")
NOT = {"flow": ("eps", "score", "mean"), "edm": ("mean",)}
"""What a schedule's end, or its steps, leave undefined."""
SCHEDULES: dict[str, dict[str, Any]] = {
    "cosine": {"kind": "cosine", "T": T},
    "linear": {"kind": "linear", "T": T, "beta_start": 1e-3, "beta_end": 0.5},
    "flow": {"kind": "flow"},
    "edm": {"kind": "edm"},
}
SIMPLE = [
    (schedule, name, kind)
    for schedule in SCHEDULES
    for name in NAMES
    for kind in weightings.KINDS
    if name not in NOT.get(schedule, ())
]


def recipe(schedule: str, predicts: str, **loss: Any) -> Recipe:
    return tiny.recipe("", predicts=predicts, schedule=SCHEDULES[schedule], loss=loss)


def times(schedule: str) -> Any:
    """The first and the last, and others; a continuous one's ends but for what training omits."""
    if schedule in ("cosine", "linear"):
        return np.array([1, 2, T // 2, T - 1, T, 1])
    return np.array([1e-5, 0.1, 0.5, 0.9, 1 - 1e-5, 1e-5]) * (80.0 if schedule == "edm" else 1.0)


def both(made: Recipe, schedule: str, seed: int = 0) -> tuple[Any, Any]:
    """The gradients of each sample's loss with respect to the output, ours first."""
    task = tiny.task(made, Images(x=np.zeros((1, 1, 4, 4), np.uint8)))
    rng = np.random.default_rng(seed)
    t = times(schedule)
    levels = rng.integers(0, 256, (len(t), 1, 4, 4))
    # Data in the outermost bins, which are open, in every sample.
    levels[:, 0, 0], levels[:, 0, 1] = 0, 255
    x_0 = levels / 127.5 - 1.0
    eps = rng.standard_normal(x_0.shape)
    output = rng.standard_normal((len(t), 2 if task.unet.learned_variance else 1, 4, 4))
    if task.unet.learned_variance:
        # Near what is right, so that at t = 1 the mass of a bin is not that of a far tail alone.
        here = Objective(task, lambda x: x)
        target = task.predicts.target(here.tables(x_0), x_0, t, eps)
        output[:, :1] = target + 0.05 * output[:, :1] * np.std(target, axis=(1, 2, 3))[0]
    here, there = Objective(task, lambda x: x), Objective(task, torch.Tensor.detach)
    ours = by_hand.loss_gradient(here, np, here.tables(x_0), output, x_0, t, eps)
    leaf = torch.from_numpy(output).requires_grad_()
    data, noise, when = (torch.from_numpy(v) for v in (x_0, eps, t))
    loss = there(lambda x, t: leaf, there.tables(data), data, when, noise)
    assert loss.dtype == torch.float64
    assert bool(loss.isfinite().all())
    (theirs,) = torch.autograd.grad(loss.sum(), leaf)
    return ours, theirs.numpy()


def distance(ours: Any, theirs: Any) -> float:
    """The largest of the samples' relative errors."""
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float64
    axes = (1, 2, 3)
    size = np.max(np.abs(theirs), axis=axes)
    return float(np.max(np.max(np.abs(ours - theirs), axis=axes) / np.where(size > 0, size, 1.0)))


@pytest.mark.parametrize(("schedule", "predicts", "weighting"), SIMPLE)
def test_the_weighted_squared_error(schedule: str, predicts: str, weighting: str) -> None:
    ours, theirs = both(recipe(schedule, predicts, weighting=weighting), schedule)
    assert distance(ours, theirs) < 1e-10
    assert distance(ours * (1.0 + 1e-8), theirs) > 1e-10


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("predicts", NAMES)
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_posterior_mean(schedule: str, predicts: str, variance: str) -> None:
    made = recipe(schedule, predicts, objective="mu", variance=variance)
    ours, theirs = both(made, schedule)
    assert distance(ours, theirs) < 1e-10
    other = {"small": "large", "large": "small"}[variance]
    wrong, _ = both(recipe(schedule, predicts, objective="mu", variance=other), schedule)
    assert distance(wrong, theirs) > 1e-3


@pytest.mark.parametrize("predicts", NAMES)
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_hybrid(schedule: str, predicts: str) -> None:
    weighting = "constant" if predicts == "mean" else "min_snr"
    made = recipe(schedule, predicts, objective="hybrid", vlb_weight=0.3, weighting=weighting)
    ours, theirs = both(made, schedule)
    # Each half by its own size: the mean's, and the variance's.
    for half in (slice(0, 1), slice(1, 2)):
        assert np.abs(theirs[:, half]).max() > 0
        assert distance(ours[:, half], theirs[:, half]) < 1e-10


def closed(xp: Any, x: Any, mean: Any, variance: Any) -> Any:
    """`_bin` with the outermost bins closed."""
    deviation = xp.sqrt(variance)
    log_mass = by_hand.discretised_log_likelihood(x, mean, variance)
    a, b = ((x - mean + by_hand.BIN * side) / deviation for side in (0.5, -0.5))
    densities = (z * by_hand._density(xp, z, log_mass) for z in (a, b))
    upper, lower = densities
    return 0.5 * (upper - lower)


@pytest.mark.parametrize(
    ("name", "wrong"), [("_bin", closed), ("BIN", 1 / 128), ("_density", lambda xp, z, log: z)]
)
def test_a_wrong_bin_is_found(name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe("cosine", "eps", objective="hybrid")
    monkeypatch.setattr(by_hand, name, wrong)
    ours, theirs = both(made, "cosine")
    first = times("cosine") == 1
    assert distance(ours[first, 1:], theirs[first, 1:]) > 1e-3
    assert distance(ours[~first, 1:], theirs[~first, 1:]) < 1e-10
