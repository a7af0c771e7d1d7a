"""One update in PyTorch: its loss, gradient, clipping, accumulation, dropout and precision."""

from pathlib import Path

import pytest
import tiny
import torch

from diffcore.noise import portable
from diffcore.training.images import Images
from diffcore_torch import ema
from diffcore_torch.stepper import TorchStepper

EPS32 = float(torch.finfo(torch.float32).eps)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return tiny.recipe(tiny.write_images(tmp_path / "images.npz")).data.load()[0]


def gradients(stepper: TorchStepper, batch) -> torch.Tensor:
    """The first update's gradient, from Adam's first moment, (1 - beta_1) g."""
    stepper.step(batch, 0.0, 0.0)
    moments = [v for k, v in stepper.state().items() if k.startswith("adam.first.")]
    return torch.cat([torch.from_numpy(m).ravel() for m in moments]).double() / (1.0 - 0.9)


def test_accumulated_gradients_are_those_of_the_whole_batch(images: Images) -> None:
    def gradient(accumulate: int, batch: int = 8) -> torch.Tensor:
        recipe = tiny.recipe("", training={"accumulate": accumulate, "batch": batch, "clip": 0.0})
        return gradients(tiny.stepper(recipe, images), tiny.draws(recipe, images).at(0))

    whole = gradient(1)
    bound = 64 * EPS32 * whole.norm()
    assert (gradient(4) - whole).norm() <= bound
    assert (gradient(8) - whole).norm() <= bound
    # A sum in place of a mean, or a part left out, would be far outside.
    assert (4 * gradient(4) - whole).norm() > 1000 * bound
    assert (gradient(1, batch=6) - whole).norm() > 1000 * bound


def test_the_loss_and_the_gradient_are_those_of_plain_autograd(images: Images) -> None:
    recipe = tiny.recipe("", training={"clip": 0.0})
    stepper, batch = tiny.stepper(recipe, images), tiny.draws(recipe, images).at(0)
    network = tiny.stepper(recipe, images).network.double()
    table = recipe.make_schedule()
    x_0, t = torch.from_numpy(batch.x_0).double(), torch.from_numpy(batch.t)
    eps = portable(recipe.seed)(torch.zeros(batch.x_0.shape), 0).double()
    alpha, sigma = (torch.tensor(v)[t][:, None, None, None] for v in (table.alpha, table.sigma))
    output = network(alpha * x_0 + sigma * eps, t.double(), torch.from_numpy(batch.labels))
    loss = ((output - eps) ** 2).mean()
    loss.backward()
    expected = torch.cat([p.grad.ravel() for p in network.parameters()])
    loss_now, norm = stepper.numbers([stepper.step(batch, 0.0, 0.0)])[0]
    assert loss_now == pytest.approx(loss.item(), rel=64 * EPS32)
    assert norm == pytest.approx(expected.norm().item(), rel=256 * EPS32)
    got = gradients(tiny.stepper(recipe, images), batch)
    assert (got - expected).norm() <= 256 * EPS32 * expected.norm()


def test_clipping_scales_the_gradient_to_the_norm(images: Images) -> None:
    def gradient(clip: float) -> torch.Tensor:
        recipe = tiny.recipe("", training={"clip": clip})
        return gradients(tiny.stepper(recipe, images), tiny.draws(recipe, images).at(0))

    free = gradient(0.0)
    assert free.norm() > 0.1
    clipped = gradient(0.1)
    assert clipped.norm().item() == pytest.approx(0.1, rel=1e-5)
    assert (clipped / clipped.norm() - free / free.norm()).norm() < 64 * EPS32
    assert torch.equal(gradient(1e6), free)


def test_dropout_is_drawn_from_the_step_alone(images: Images) -> None:
    recipe = tiny.recipe("", unet={"dropout": 0.5})
    batch = tiny.draws(recipe, images).at(0)

    def loss(disturb: int) -> float:
        stepper = tiny.stepper(recipe, images)
        torch.manual_seed(disturb)
        # The untrained output layer is 0, and hides dropout until it has learnt.
        return float(
            stepper.numbers([stepper.step(batch, 0.01, 0.0), stepper.step(batch, 0.0, 0.0)])[1, 0]
        )

    assert loss(1) == loss(2)


def test_compile_takes_the_network_whole(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch, "compile", lambda f, **options: asked.append(options) or f)
    tiny.stepper(tiny.recipe(""), images)
    assert asked == []
    tiny.stepper(tiny.recipe("", training={"compile": True}), images)
    assert asked == [{"fullgraph": True}]


def test_bfloat16_rounds_the_network_and_nothing_else(images: Images) -> None:
    def loss(precision: str) -> tuple[float, TorchStepper]:
        recipe = tiny.recipe("", training={"precision": precision})
        stepper = tiny.stepper(recipe, images)
        with torch.no_grad():
            stepper.network.output.weight.normal_(0.0, 0.1, generator=torch.manual_seed(0))
        update = stepper.step(tiny.draws(recipe, images).at(0), 0.0, 0.0)
        return float(stepper.numbers([update])[0, 0]), stepper

    exact, _ = loss("float32")
    rounded, stepper = loss("bfloat16")
    assert loss("auto")[0] == exact
    assert rounded != exact
    assert abs(rounded - exact) < 0.02 * exact
    assert all(p.dtype == torch.float32 for p in stepper.network.parameters())
    assert rounded != float(torch.tensor(rounded).bfloat16())


def test_an_average_that_never_moves_is_seen(images: Images, monkeypatch) -> None:
    def moved(recipe) -> bool:
        stepper = tiny.stepper(recipe, images)
        start = stepper.weights("ema")["output.bias"].copy()
        for k in range(3):
            stepper.step(tiny.draws(recipe, images).at(k), 1e-3, 0.5)
        return bool((stepper.weights("ema")["output.bias"] != start).any())

    assert moved(tiny.recipe(""))
    monkeypatch.setattr(ema, "update", lambda *arguments: None)
    assert not moved(tiny.recipe(""))
