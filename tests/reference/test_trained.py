"""`Trained`, whichever backend loaded it: labels, conditions, guidance, and what is refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from commands import ANIMALS, write_checkpoint

from diffcore import guidance
from diffcore.denoisers import Clip
from diffcore.training.trained import Trained
from diffcore_reference import loading as reference
from diffcore_reference.device import chosen_kernels, on_host
from diffcore_reference.kernels.arrays import Arrays
from diffcore_torch import loading as pytorch

BACKENDS = {"torch": pytorch, "reference": reference}
EPS = float(np.finfo(np.float32).eps)
X = np.random.default_rng(0).standard_normal((3, 1, 4, 4)).astype(np.float32)
T = 9


@pytest.fixture(autouse=True)
def by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels by their definitions: no test waits for a compiler."""
    monkeypatch.setattr(reference, "chosen_kernels", lambda device: Arrays(np))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    return BACKENDS[request.param]


def load(backend: Any, folder: Path, **options: Any) -> Trained:
    trained = backend.load(write_checkpoint(folder / "net.safetensors", **options), device="cpu")
    assert isinstance(trained, Trained)
    return trained


def host(trained: Trained, denoise: Any, x: Any = X) -> Any:
    """What a denoiser makes of a host array, on the host."""
    return trained.host(denoise(trained.array(x), T))


def near(a: Any, b: Any) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max() <= 2**8 * EPS * max(1, np.abs(b).max()))


def test_labels_are_taken_as_one_as_many_or_as_arrays(backend: Any, tmp_path: Path) -> None:
    trained = load(backend, tmp_path, classes=ANIMALS)
    each = [host(trained, trained.denoise(k, threshold=None)) for k in range(4)]
    assert near(host(trained, trained.denoise(threshold=None)), each[3])
    assert not near(each[0], each[1])
    wanted = np.stack([each[k][row] for row, k in enumerate((2, 0, 3))])
    host_labels = np.array([2, 0, 3])
    for labels in ([2, 0, 3], (2, 0, 3), host_labels, trained.array(host_labels)):
        assert near(host(trained, trained.denoise(labels, threshold=None)), wanted)
    assert near(host(trained, trained.denoise(np.int64(2), threshold=None)), each[2])
    assert near(host(trained, trained.differentiable([2, 0, 3])), wanted)


def test_labels_that_cannot_be_are_named(backend: Any, tmp_path: Path) -> None:
    trained = load(backend, tmp_path, classes=ANIMALS)
    for wrong in (-1, 4, [0, 1, 7]):
        for make in (trained.denoise, trained.differentiable):
            with pytest.raises(ValueError, match=r"labels must be in 0\.\.2, or 3 for none"):
                make(wrong)
        with pytest.raises(ValueError, match=r"labels must be in 0\.\.2, or 3 for none"):
            trained.guided(wrong, 2.0)
    for wrong in (0.5, [0.5], [[0, 1]]):
        with pytest.raises(ValueError, match="labels must be an integer or one for each sample"):
            trained.denoise(wrong)
    with pytest.raises(ValueError, match="labels must be one, or one for each of 3 samples, got 2"):
        host(trained, trained.denoise([0, 1]))
    plain = load(backend, tmp_path)
    with pytest.raises(ValueError, match="labels must be left out"):
        plain.denoise(0)
    with pytest.raises(ValueError, match="must have classes and a null class"):
        plain.guided(0, 2.0)
    strict = load(backend, tmp_path, classes=ANIMALS, null_class=False)
    with pytest.raises(ValueError, match="labels must be given: the network has no null class"):
        strict.denoise()
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2; got 3"):
        strict.denoise(3)
    with pytest.raises(ValueError, match="must have classes and a null class"):
        strict.guided(0, 2.0)


def test_guidance_is_the_combination_of_two_calls(backend: Any, tmp_path: Path) -> None:
    trained = load(backend, tmp_path, classes=ANIMALS)
    labels = [2, 0, 1]
    with_label = host(trained, trained.denoise(labels, threshold=None))
    without = host(trained, trained.denoise(threshold=None))
    wanted = without + 3.0 * (with_label - without)
    assert near(host(trained, trained.guided(labels, 3.0, threshold=None)), wanted)
    rule = guidance.Linear(3.0)
    assert near(host(trained, trained.guided(labels, rule, threshold=None)), wanted)
    # The threshold comes after guidance: clipped before it, the sum is another, and not in [-1, 1].
    clipped = host(trained, trained.guided(labels, 3.0, threshold=Clip()))
    assert near(clipped, np.clip(wanted, -1, 1))
    assert np.abs(wanted).max() > 1
    assert not near(clipped, wanted)


def test_conditions_lie_on_the_host_or_the_device(backend: Any, tmp_path: Path) -> None:
    trained = load(backend, tmp_path, condition_channels=1, classes=ANIMALS)
    shown = np.random.default_rng(1).standard_normal(X.shape).astype(np.float32)
    first = host(trained, trained.denoise(condition=shown))
    for condition in (shown, shown.astype(np.float64), trained.array(shown)):
        assert near(host(trained, trained.denoise(condition=condition)), first)
        pair = host(trained, trained.guided(1, 1.0, condition=condition))
        assert near(pair, host(trained, trained.denoise(1, condition=condition)))
    for_all = host(trained, trained.denoise(condition=shown[:1]))
    assert near(for_all[:1], first[:1])
    assert not near(for_all, first)
    assert near(for_all, host(trained, trained.denoise(condition=np.repeat(shown[:1], 3, axis=0))))
    with pytest.raises(ValueError, match="condition must be given"):
        trained.denoise(0)
    with pytest.raises(ValueError, match="condition must be left out"):
        load(backend, tmp_path).denoise(condition=shown)


def test_both_backends_say_the_same(tmp_path: Path) -> None:
    for options in ({}, {"classes": ANIMALS}, {"attention": (4,), "scale_shift": True}):
        ours, theirs = (load(b, tmp_path, **options) for b in BACKENDS.values())
        assert (ours.unet, ours.step, ours.training) == (theirs.unet, theirs.step, theirs.training)
        assert ours.predicts == theirs.predicts
        assert near(host(ours, ours.denoise()), host(theirs, theirs.denoise()))


def test_learned_variances_come_with_the_mean(backend: Any, tmp_path: Path) -> None:
    trained = load(backend, tmp_path, learned_variance=True)
    output = trained.denoise()(trained.array(X), T)
    assert trained.host(output.x_0).shape == X.shape
    assert trained.host(output.variance_fraction).shape == X.shape


def test_gradients_pass_in_pytorch_where_they_are_asked_for(tmp_path: Path) -> None:
    trained = load(pytorch, tmp_path)
    x = torch.from_numpy(X).requires_grad_()
    assert trained.differentiable()(x, T).requires_grad
    assert not trained.denoise()(x, T).requires_grad


def test_weights_and_files_that_are_not_there(backend: Any, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "net.safetensors")
    ends = [backend.load(path, weights=which, device="cpu") for which in ("ema", "raw")]
    assert not near(*(host(trained, trained.denoise()) for trained in ends))
    with pytest.raises(ValueError, match="weights must be 'ema' or 'raw', got 'both'"):
        backend.load(path, weights="both", device="cpu")
    with pytest.raises(FileNotFoundError, match="is not a run"):
        backend.load(tmp_path, device="cpu")


def test_words_for_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    for word in ("tpu", "mps", "cuda:1", "", "CPU"):
        with pytest.raises(ValueError, match="device must be 'auto', 'cpu' or 'cuda', got"):
            chosen_kernels(word)
    real = importlib.util.find_spec
    absent = {"cupy", "numba"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in absent else real(n))
    for word in ("auto", "cpu"):
        assert type(chosen_kernels(word)) is Arrays
        assert chosen_kernels(word).xp is np
    assert on_host(X) is X
    if real("cupy") is None:
        with pytest.raises(ImportError, match=r"diffcore\[cupy\]"):
            chosen_kernels("cuda")
