"""The checks of benchmarks/gpu.py: on a GPU where there is one, and the same code on the CPU."""

import sys

import numpy as np
import pytest
import torch

import gpu
import gpu_reference
import kernel_cases
from diffcore_reference.kernels.arrays import Arrays

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


BY_HAND = [gpu_reference.kernels, gpu_reference.networks, gpu_reference.lock_step]


@pytest.mark.parametrize(
    "check", [gpu.identities, gpu.noise_bits, gpu.networks, gpu.training, *BY_HAND]
)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_everything_holds_on(device, check):
    if check in BY_HAND and (lacking := gpu_reference.missing(torch.device(device))):
        pytest.skip(f"no {lacking}")
    rows = list(check(torch.device(device)))
    assert rows
    assert [row for row in rows if not row.holds] == []


def test_every_kernel_has_its_case():
    own = {name for name in vars(Arrays) if not name.startswith("_")}
    assert {case.partition(",")[0] for case in kernel_cases.CASES} == own - {"empty", "working"}


class Wrong(Arrays):
    """Kernels of which two are a little off."""

    def silu(self, z):
        return super().silu(z) + 1e-3

    def adamw(self, *arrays, **numbers):
        super().adamw(*arrays, **{**numbers, "ema": 0.91})


def test_a_wrong_kernel_is_found():
    rows = list(kernel_cases.measured(Wrong(np)))
    wrong = {row.name.partition(",")[0] for row in rows if not row.holds}
    assert wrong == {"silu", "normalise_silu", "adamw"}


def test_a_wrong_network_is_found(monkeypatch):
    right = gpu.forward_and_gradient

    def wrong(network, x, t):
        return right(network, x, t + (x.dtype == torch.float32))

    monkeypatch.setattr(gpu, "forward_and_gradient", wrong)
    assert any(not row.holds for row in gpu.networks(torch.device("cpu")))


def test_without_a_gpu_the_script_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 2
    assert "no CUDA device here" in capsys.readouterr().err
