"""The loop with the least of backends: it needs nothing of one but a `Stepper`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffcore import unet
from diffcore.noise import portable
from diffcore.training import loop, metrics
from diffcore.training.draws import Batch
from diffcore.training.objective import Objective
from diffcore.training.recipe import Recipe
from diffcore.training.run_folder import RunFolder
from diffcore.training.sections import Data, Evaluation, Training
from diffcore.training.stepper import State, Stepper, Task, Update, Weights


class Constant:
    """A network that puts out one number everywhere, learnt by gradient descent, in NumPy."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.parameters = {k: np.zeros(p.shape) for k, p in unet.parameters(task.unet).items()}
        self.average = {k: p.copy() for k, p in self.parameters.items()}
        self.objective = Objective(task, lambda x: x)
        self.rates: list[tuple[float, float]] = []

    def _bias(self, weights: Weights) -> Any:
        held = self.average if weights == "ema" else self.parameters
        return held["output.bias"][0]

    def _losses(self, batch: Batch, bias: float) -> Any:
        x_0 = batch.x_0.astype(np.float64)
        eps = portable(batch.seed)(x_0, batch.step)
        tables = self.objective.tables(x_0)
        return self.objective(lambda x, t: np.full_like(x, bias), tables, x_0, batch.t, eps)

    def step(self, batch: Batch, rate: float, ema_decay: float) -> Update:
        bias, h = self._bias("raw"), 1e-4
        slope = (self._losses(batch, bias + h) - self._losses(batch, bias - h)).mean() / (2 * h)
        loss = self._losses(batch, bias).mean()
        self.parameters["output.bias"] -= rate * slope
        for name, average in self.average.items():
            average += (1.0 - ema_decay) * (self.parameters[name] - average)
        self.rates.append((rate, ema_decay))
        return Update(loss, abs(slope))

    def losses(self, batch: Batch, weights: Weights) -> Any:
        return self._losses(batch, self._bias(weights))

    def numbers(self, updates: list[Update]) -> Any:
        return np.array(updates, np.float64).reshape(-1, 2)

    def denoise(self, weights: Weights, labels: Any, condition: Any = None) -> Any:
        return lambda x_t, t: np.full_like(x_t, self._bias(weights))

    def array(self, host: Any) -> Any:
        return host

    def host(self, array: Any) -> Any:
        return array

    def weights(self, which: Weights) -> dict[str, Any]:
        return dict(self.average if which == "ema" else self.parameters)

    def state(self) -> dict[str, Any]:
        named = {"raw": self.parameters, "ema": self.average}
        return {f"{w}.{k}": p.copy() for w, held in named.items() for k, p in held.items()}

    def load_state(self, state: State, step: int) -> None:
        for k in self.parameters:
            self.parameters[k][...], self.average[k][...] = state[f"raw.{k}"], state[f"ema.{k}"]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    rng = np.random.default_rng(0)
    images = rng.normal(0.4, 0.05, (80, 1, 4, 4)).clip(-1, 1).astype(np.float32)
    images[0, 0, 0, 0] = -0.1  # so that the file is seen to use both signs
    np.savez(tmp_path / "images.npz", images=images)
    return Recipe(
        data=Data(source=str(tmp_path / "images.npz"), size=4, channels=1, held_out=0.2),
        unet={"width": 4, "groups": 2, "multipliers": [1], "blocks": 1, "attention": []},
        schedule={"kind": "cosine", "T": 50},
        predicts="x_0",
        training=Training(steps=60, batch=16, lr=0.05, warmup=10, decay="cosine", ema=0.8),
        evaluation=Evaluation(
            log_every=7,
            loss_every=20,
            samples_every=30,
            samples=4,
            steps=5,
            checkpoint_every=20,
            tensorboard=False,
        ),
    )


def train(recipe: Recipe, path: Path, steppers: list[Constant], resume: bool = False) -> Any:
    def make(task: Task) -> Stepper:
        steppers.append(Constant(task))
        return steppers[-1]

    with (RunFolder.resume if resume else RunFolder.create)(path) as run:
        return loop.fit(recipe, run, make, resume=resume, progress=False)


def test_a_backend_without_pytorch_trains_measures_draws_and_saves(
    recipe: Recipe, tmp_path: Path
) -> None:
    steppers: list[Constant] = []
    outcome = train(recipe, tmp_path / "run", steppers)
    assert outcome.step == 60
    # The best constant for x_0 is its mean.
    assert steppers[0]._bias("raw") == pytest.approx(0.4, abs=0.03)
    columns = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert columns["loss"].step.tolist() == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert columns["held_out_loss"].step.tolist() == [0, 20, 40, 60]
    assert columns["held_out_loss"].value[-1] < 0.1 * columns["held_out_loss"].value[0]
    rates, decays = zip(*steppers[0].rates, strict=True)
    assert rates[:10] == pytest.approx([0.005 * (k + 1) for k in range(10)])
    assert rates[-1] < 1e-4
    assert max(decays) == 0.8
    assert (tmp_path / "run" / "samples" / "step-00000060.png").is_file()


def test_it_goes_on_to_the_bit_too(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe, tmp_path / "whole", steppers := [])
    step = Constant.step

    class Killed(BaseException):
        """As abrupt as it gets within one process."""

    def killed(self: Constant, batch: Batch, *rates: float) -> Update:
        if batch.step == 33:
            raise Killed
        return step(self, batch, *rates)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Constant, "step", killed)
        with pytest.raises(Killed):
            train(recipe, tmp_path / "run", [])
    train(recipe, tmp_path / "run", steppers, resume=True)
    assert len(steppers[1].rates) == 40  # from the state of update 20
    for name, array in steppers[0].state().items():
        assert (array == steppers[1].state()[name]).all()


def test_a_progress_bar_tells_the_loss_and_the_speed(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunFolder.create(tmp_path / "run") as run:
        loop.fit(recipe, run, Constant)
    shown = capsys.readouterr().err
    assert "60/60" in shown
    assert "loss=" in shown
    assert "images/s=" in shown


def test_the_loop_needs_no_pytorch() -> None:
    # PyTorch may be loaded by other tests: what counts is that this module does not ask for it.
    source = Path(sys.modules[loop.__name__].__file__ or "").parent
    asked = [f.name for f in source.glob("*.py") if "import torch" in f.read_text()]
    assert asked == []
