"""The checks of benchmarks/gpu.py: on a GPU where there is one, and the same code on the CPU."""

import sys

import pytest
import torch

import gpu

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("check", [gpu.identities, gpu.noise_bits, gpu.networks, gpu.training])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_everything_holds_on(device, check):
    rows = list(check(torch.device(device)))
    assert rows
    assert [row for row in rows if not row.holds] == []


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
