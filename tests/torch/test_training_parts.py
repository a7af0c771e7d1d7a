"""The parts of a training step that know nothing of diffusion: average, rate, stopping."""

import math
import os
import signal
from itertools import pairwise

import pytest
import torch
from torch import nn

from diffcore.training.rates import ema_decay, ema_has_caught_up, learning_rate
from diffcore.training.stopping import Stopping
from diffcore_torch import ema
from diffcore_torch.optimizer import adamw


def test_the_average_is_the_weighted_sum_of_all_past_weights() -> None:
    network = nn.Linear(3, 2, bias=False)
    average = ema.shadow(network)
    history = [network.weight.detach().clone()]
    for step in range(60):
        with torch.no_grad():
            network.weight += torch.randn_like(network.weight)
        history.append(network.weight.detach().clone())
        ema.update(average, network, ema_decay(step, 0.9))
    # Weight i enters with (1 - d_i) and is kept by every later step.
    decays = [min(0.9, (1 + k) / (10 + k)) for k in range(60)]
    shares = [math.prod(decays)] + [(1 - decays[i]) * math.prod(decays[i + 1 :]) for i in range(60)]
    assert math.isclose(sum(shares), 1.0, rel_tol=1e-12)
    expected = sum(share * w.double() for share, w in zip(shares, history, strict=True))
    constant = sum(
        (0.9**60 if i == 0 else 0.1 * 0.9 ** (60 - i)) * w.double() for i, w in enumerate(history)
    )
    bound = 60 * torch.finfo(torch.float32).eps * max(w.abs().max().item() for w in history)
    assert (average.weight - expected).abs().max() <= bound
    assert (average.weight - constant).abs().max() > bound


def test_the_average_is_a_copy_that_does_not_train() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    average = ema.shadow(network)
    assert not average.training
    assert network.training
    assert not any(p.requires_grad for p in average.parameters())
    assert average[0].weight.data_ptr() != network[0].weight.data_ptr()


def test_the_early_average_follows_closely_and_the_late_one_slowly() -> None:
    assert ema_decay(0, 0.9999) == 0.1
    assert ema_decay(10**6, 0.9999) == 0.9999
    assert ema_decay(5, 0.0) == 0.0
    assert [ema_has_caught_up(k, 0.99) for k in (0, 800, 900)] == [False, False, True]


def test_the_learning_rate_climbs_in_equal_steps_and_stays() -> None:
    rates = [learning_rate(k, 0.5, 10, 100) for k in range(100)]
    assert rates[0] == 0.05
    assert rates[:10] == pytest.approx([0.05 * (k + 1) for k in range(10)], rel=1e-15)
    assert rates[10:] == [0.5] * 90
    assert learning_rate(0, 0.5, 0, 100) == 0.5


def test_the_cosine_ends_near_zero_and_is_never_negative() -> None:
    rates = [learning_rate(k, 1.0, 10, 100, "cosine") for k in range(101)]
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5, abs=1e-15)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0.0, abs=1e-15)
    assert learning_rate(150, 1.0, 10, 100, "cosine") == pytest.approx(0.0, abs=1e-15)


def test_adamw_is_the_algorithm_of_the_paper() -> None:
    start, gradients = torch.tensor([1.0, -2.0]), torch.tensor([[0.3, -1.0], [0.1, 2.0]])
    parameter = nn.Parameter(start.clone())
    optimizer = adamw([parameter], 0.01, (0.9, 0.99), 0.1)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    w, m, v = start.double(), torch.zeros(2).double(), torch.zeros(2).double()
    for k, g in enumerate(gradients.double(), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        step = (m / (1 - 0.9**k)) / ((v / (1 - 0.99**k)).sqrt() + 1e-8)
        w = w - 0.01 * step - 0.01 * 0.1 * w
    bound = 8 * torch.finfo(torch.float32).eps
    assert (parameter.detach() - w).abs().max() <= bound * 2
    # L2 regularisation inside the gradient, which AdamW is not, would land elsewhere.
    assert (parameter.detach() - (w + 0.01 * 0.1 * start)).abs().max() > bound * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_one_acts(number: signal.Signals) -> None:
    came = []
    previous = signal.signal(number, lambda n, frame: came.append(n))
    try:
        with Stopping() as stopping:
            assert stopping.asked is None
            os.kill(os.getpid(), number)
            assert stopping.asked is number
            assert came == []
            os.kill(os.getpid(), number)
            assert came == [number]
        os.kill(os.getpid(), number)
        assert came == [number, number]
    finally:
        signal.signal(number, previous)
