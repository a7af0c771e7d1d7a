"""The GPU's kernels: compiled where there is a CUDA compiler, and run on the CPU as C++."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host_cuda
from diffcore.unet import UNetConfig
from diffcore_reference import UNet
from diffcore_reference.kernels.arrays import SAME, Arrays, Padding
from diffcore_reference.kernels.gpu import Gpu, source

DEFINED = Arrays(np)
EPS = float(np.finfo(np.float64).eps)
without_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Gpu:
    return Gpu(np, host_cuda.compiled(tmp_path_factory.mktemp("kernels")))


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no CUDA compiler")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cuda_compiler_takes_them(dtype: Any, tmp_path: Path) -> None:
    (tmp_path / "kernels.cu").write_text(source(dtype))
    command = ["nvcc", "-ptx", "-Werror", "all-warnings", "-o", "kernels.ptx", "kernels.cu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    ptx = (tmp_path / "kernels.ptx").read_text()
    for name in re.findall(r"__global__ void (\w+)\(", source(dtype)):
        assert f".entry {name}(" in ptx


@without_compiler
@pytest.mark.parametrize(
    ("stride", "pad"), [(1, SAME), (2, SAME), (2, Padding(0, 1))], ids=["1", "2", "2, asymmetric"]
)
@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (1, 4, 4, 1), (3, 2, 2, 5)])
def test_neighbourhoods_and_their_adjoint(
    gpu: Gpu, shape: tuple[int, ...], stride: int, pad: Padding
) -> None:
    x = normal(*shape)
    columns = gpu.windows(x, stride, pad)
    np.testing.assert_array_equal(columns, DEFINED.windows(x, stride, pad))
    spread = normal(*columns.shape, seed=1)
    back = gpu.windows_pull(spread, shape, stride, pad)
    wanted = DEFINED.windows_pull(spread, shape, stride, pad)
    np.testing.assert_allclose(back, wanted, rtol=0, atol=32 * EPS)
    # <W x, s> = <x, W' s>: what makes it the adjoint.
    assert np.sum(columns * spread) == pytest.approx(float(np.sum(x * back)), rel=1e-12)


@without_compiler
@pytest.mark.parametrize("adding", [True, False])
def test_norm_and_silu(gpu: Gpu, adding: bool) -> None:
    x, dy = 3.0 + normal(2, 4, 5, 6), normal(2, 4, 5, 6, seed=1)
    added = normal(2, 6, seed=2) if adding else None
    gain, bias = 1.0 + normal(1 if adding else 2, 6, seed=3), normal(1, 6, seed=4)
    found, statistics = gpu.normalise_silu(x, added, gain, bias, 3, 1e-6)
    wanted, exact = DEFINED.normalise_silu(x, added, gain, bias, 3, 1e-6)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=256 * EPS)
    got = gpu.normalise_silu_pull(dy, x, added, gain, bias, statistics)
    for a, b in zip(got, DEFINED.normalise_silu_pull(dy, x, added, gain, bias, exact), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1024 * EPS)


@without_compiler
def test_the_update_is_the_definition(gpu: Gpu) -> None:
    arrays = [normal(40, seed=k) for k in range(5)]
    arrays[3] = arrays[3] ** 2
    ours, theirs = [a.copy() for a in arrays], [a.copy() for a in arrays]
    how: dict[str, Any] = {"rate": 0.1, "betas": (0.9, 0.99), "decay": 0.01, "step": 3}
    gpu.adamw(*ours, **how, ema=0.9, scale=0.5)
    DEFINED.adamw(*theirs, **how, ema=0.9, scale=0.5)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=16 * EPS)
    assert not np.allclose(ours[0], arrays[0])


@without_compiler
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y + before - k / 3", "y + before - k % 3"),
        ("dz[i] * xhat;", "dz[i];"),
        ("z * sigmoid(z);", "sigmoid(z);"),
        ("xhat * second[bg]", "second[bg]"),
        ("* root + (T)1e-8", "+ (T)1e-8"),
    ],
)
def test_a_wrong_kernel_is_found(old: str, new: str, tmp_path: Path) -> None:
    wrong = Gpu(np, host_cuda.compiled(tmp_path, (old, new)))

    def all_hold() -> None:
        test_neighbourhoods_and_their_adjoint(wrong, (2, 8, 6, 3), 1, SAME)
        test_norm_and_silu(wrong, True)
        test_the_update_is_the_definition(wrong)

    with pytest.raises(AssertionError):
        all_hold()


@without_compiler
def test_the_whole_network_on_them(gpu: Gpu) -> None:
    config = UNetConfig(
        image_size=8, channels=1, width=8, multipliers=(1, 2), attention=(4,), groups=4, heads=2
    )
    x, t, dy = normal(2, 1, 8, 8), np.array([1, 500]), normal(2, 1, 8, 8, seed=1)
    ends = []
    for kernels in (gpu, DEFINED):
        network = UNet(config, kernels, np.float64)
        network.weights.value[...] = 0.3 * normal(network.weights.value.size, seed=2)
        y, pull = network.run(x, t)
        ends.append((y, pull(dy), network.weights.gradient))
    for found, wanted in zip(*ends, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())
