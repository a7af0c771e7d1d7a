"""Numba's kernels against the definitions, in float32.

The definitions are taken in float64; what a kernel may miss is a multiple of eps = 2^-23 times the
sum of the magnitudes that it adds up. Winograd's transforms cancel: they may miss 128 eps (1.5e-5)
of the largest output.
"""

import itertools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from diffcore.unet import UNetConfig
from diffcore_reference.kernels.arrays import SAME, Arrays, Padding
from diffcore_reference.kernels.cpu import Cpu, convolution, pool
from diffcore_reference.unet import UNet

EPS = 2.0**-23
CPU, PLAIN = Cpu(), Arrays(np)


def numbers(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def wide(*arrays: Any) -> tuple[Any, ...]:
    return tuple(None if a is None else a.astype(np.float64) for a in arrays)


def within(found: Any, wanted: Any, bound: Any) -> bool:
    """Whether no number is further off than the bound: one, or one for each."""
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    return bool((np.abs(found - wanted) <= bound).all())


def magnitudes(*arrays: Any) -> tuple[Any, ...]:
    return tuple(np.abs(a).astype(np.float64) for a in arrays)


def of_output(wanted: Any) -> float:
    """What Winograd's transforms may miss."""
    return float(128 * EPS * np.abs(wanted).max())


# batch, height, width, channels in, channels out, stride, padding
SHAPES = [
    (2, 8, 8, 32, 32, 1, SAME),
    (1, 7, 7, 64, 48, 1, SAME),
    (3, 14, 9, 16, 32, 1, SAME),
    (2, 3, 5, 16, 16, 1, SAME),
    (33, 8, 8, 16, 16, 1, SAME),
    (1, 1, 1, 16, 16, 1, SAME),
    (2, 2, 2, 32, 16, 1, SAME),
    (2, 9, 9, 1, 32, 1, SAME),
    (2, 28, 28, 3, 16, 1, SAME),
    (2, 9, 7, 32, 1, 1, SAME),
    (1, 8, 8, 16, 3, 1, SAME),
    (2, 5, 6, 7, 13, 1, SAME),
    (2, 8, 8, 32, 32, 2, SAME),
    (1, 14, 14, 16, 16, 2, Padding(0, 1)),
    (2, 9, 7, 5, 11, 2, SAME),
    (2, 28, 28, 1, 1, 1, SAME),
    (1, 6, 6, 20, 300, 1, SAME),
    (1, 6, 6, 300, 20, 1, SAME),
]


def convolution_arrays(shape: tuple[Any, ...]) -> tuple[Any, ...]:
    """x, w, bias, dy, and whether the transforms are used."""
    b, h, w, c, k, stride, pad = shape
    rows, columns = ((n + sum(pad) - 3) // stride + 1 for n in (h, w))
    weight = numbers(1, 3, 3, c, k) / np.float32(3.0 * c**0.5)
    return (
        numbers(0, b, h, w, c),
        weight,
        numbers(2, k),
        numbers(3, b, rows, columns, k),
        convolution.by_winograd((b, h, w, c), weight, stride, pad),
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolutions(shape: tuple[Any, ...]) -> None:
    x, w, bias, dy, transforms = convolution_arrays(shape)
    given = shape[5:]
    added = numbers(4, *dy.shape)
    y = PLAIN.convolve(*wide(x, w, bias), *given, *wide(added))
    bound = 4 * EPS * PLAIN.convolve(*magnitudes(x, w, bias), *given, *magnitudes(added))
    bound = of_output(y) if transforms else bound
    assert within(CPU.convolve(x, w, bias, *given, added), y, bound)
    assert within(CPU.convolve(x, w, bias, *given), y - added, bound)
    assert not within(CPU.convolve(x, w, bias + np.float32(1e-2), *given, added), y, bound)
    if shape[1] > 1:
        assert not within(CPU.convolve(x, w[::-1], bias, *given, added), y, bound)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradient_of_a_convolutions_input(shape: tuple[Any, ...]) -> None:
    x, w, _, dy, transforms = convolution_arrays(shape)
    given = (x.shape, *shape[5:])
    dx = PLAIN.convolve_input(*wide(dy, w), *given)
    bound = 4 * EPS * PLAIN.convolve_input(*magnitudes(dy, w), *given)
    bound = of_output(dx) if transforms else bound
    assert within(CPU.convolve_input(dy, w, *given), dx, bound)
    turned = np.ascontiguousarray(w[::-1, ::-1])
    if shape[1] > 1:
        assert not within(CPU.convolve_input(dy, turned, *given), dx, bound)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradient_of_a_convolutions_weight_is_added(shape: tuple[Any, ...]) -> None:
    x, w, bias, dy, transforms = convolution_arrays(shape)
    given = shape[5:]
    dw, db = wide(w, bias)
    PLAIN.convolve_weight(*wide(x, dy), dw, db, *given)
    bound, bound_b = magnitudes(w, bias)
    PLAIN.convolve_weight(*magnitudes(x, dy), bound, bound_b, *given)
    found, found_b = w.copy(), bias.copy()
    CPU.convolve_weight(x, dy, found, found_b, *given)
    bound = of_output(dw) if transforms else 8 * EPS * bound
    assert within(found, dw, bound)
    assert within(found_b, db, 8 * EPS * bound_b)
    fresh, fresh_b = np.zeros_like(w), np.zeros_like(bias)
    CPU.convolve_weight(x, dy, fresh, fresh_b, *given)
    assert not within(fresh, dw, bound)
    assert not within(fresh_b, db, 8 * EPS * bound_b)


@pytest.mark.parametrize(
    ("rows", "c", "k"), [(1, 1, 1), (7, 128, 64), (130, 33, 200), (64, 700, 40)]
)
def test_linear_layers(rows: int, c: int, k: int) -> None:
    x, w, bias, dy = numbers(0, 2, rows, c), numbers(1, c, k), numbers(2, k), numbers(3, 2, rows, k)
    y = PLAIN.affine(*wide(x, w, bias, dy))
    bound = 8 * EPS * PLAIN.affine(*magnitudes(x, w, bias, dy))
    assert within(CPU.affine(x, w, bias, dy), y, bound)
    assert not within(CPU.affine(x, w, bias), y, bound)
    dx = PLAIN.affine_input(*wide(dy, w))
    bound = 8 * EPS * PLAIN.affine_input(*magnitudes(dy, w))
    assert within(CPU.affine_input(dy, w), dx, bound)
    assert not within(-CPU.affine_input(dy, w), dx, bound)
    dw, db = wide(w, bias)
    PLAIN.affine_weight(*wide(x, dy), dw, db)
    bound, bound_b = magnitudes(w, bias)
    PLAIN.affine_weight(*magnitudes(x, dy), bound, bound_b)
    found, found_b = w.copy(), bias.copy()
    CPU.affine_weight(x, dy, found, found_b)
    assert within(found, dw, 8 * EPS * bound)
    assert within(found_b, db, 8 * EPS * bound_b)
    assert not within(found - w, dw, 8 * EPS * bound)


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize(
    ("shape", "groups"), [((2, 7, 7, 64), 8), ((1, 3, 5, 48), 48), ((3, 1, 1, 32), 1)]
)
@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("each", [False, True], ids=["one gain", "a gain for each image"])
def test_group_norm(
    shape: tuple[int, ...], groups: int, curved: bool, each: bool, offset: float
) -> None:
    b, c = shape[0], shape[-1]
    x = numbers(0, *shape) + np.float32(offset)
    added = numbers(1, b, c) if each else None
    gain, bias = numbers(2, b if each else 1, c), numbers(3, b if each else 1, c)
    name = "normalise_silu" if curved else "normalise"
    y, statistics = getattr(CPU, name)(x, added, gain, bias, groups, 1e-5)
    wanted, exact = getattr(PLAIN, name)(*wide(x, added, gain, bias), groups, 1e-5)
    # A number of size `offset` is off by half an eps of it; one group may be all but constant.
    steep = float(np.abs(exact.rstd).max() * np.abs(gain).max())
    bound = 8 * EPS * ((1.0 + offset) * max(steep, 1.0) + float(np.abs(wanted).max()))
    assert within(y, wanted, bound)
    other = getattr(CPU, name)(x, added, gain, bias, 1 if groups > 1 else 2, 1e-5)[0]
    assert not within(other, wanted, bound)
    if offset:
        return
    dy = numbers(4, *shape)
    pull = getattr(CPU, f"{name}_pull")
    given = (added, gain, bias) if curved else (added, gain)
    found = pull(dy, x, *given, statistics)
    wanted = getattr(PLAIN, f"{name}_pull")(*wide(dy, x, *given), exact)
    for part, true in zip(found, wanted, strict=True):
        limit = 32 * EPS * max(1.0, steep, float(np.abs(true).max())) * np.sqrt(shape[1] * shape[2])
        assert within(part, true, limit)
        assert not within(part * np.float32(1.01), true, limit)


def test_a_large_mean_takes_no_digits_from_the_deviation() -> None:
    x = 1e4 + numbers(0, 1, 16, 16, 32)
    one, none = np.ones((1, 32), np.float32), np.zeros((1, 32), np.float32)
    found = CPU.normalise(x, None, one, none, 8, 1e-5)[1].rstd
    exact = PLAIN.normalise(*wide(x, None, one, none), 8, 1e-5)[1].rstd
    assert within(found, exact, 16 * EPS * exact)
    naive = 1.0 / np.sqrt((x * x).mean() - x.mean() ** 2)
    assert abs(naive - exact.mean()) > 1e-2


@pytest.mark.parametrize(
    ("positions", "channels", "heads"), [(16, 64, 4), (49, 32, 1), (1, 8, 2), (130, 24, 3)]
)
def test_attention(positions: int, channels: int, heads: int) -> None:
    qkv, dy = numbers(0, 2, positions, 3 * channels), numbers(1, 2, positions, channels)
    qkv[:, :, :channels] *= 4
    y, kept = CPU.attend(qkv, heads)
    wanted, softmax = PLAIN.attend(*wide(qkv), heads)
    # What is in the exponent is off by its own size times eps.
    steep = 1.0 + float(np.abs(qkv).max()) ** 2
    assert within(y, wanted, 4 * EPS * steep)
    dqkv = CPU.attend_pull(dy, qkv, heads, y, kept)
    true = PLAIN.attend_pull(*wide(dy, qkv), heads, wanted, softmax)
    bound = 8 * EPS * steep * (1.0 + float(np.abs(true).max()))
    assert within(dqkv, true, bound)
    if positions > 1:
        assert not within(CPU.attend(qkv, 1 if heads > 1 else 2)[0], wanted, 4 * EPS * steep)
        assert not within(CPU.attend_pull(dy, qkv, heads, 0 * y, kept), true, bound)


def test_silu_to_the_ends() -> None:
    z = np.concatenate((np.linspace(-100, 100, 4001), [-1e30, 1e30])).astype(np.float32)
    exact = PLAIN.silu(*wide(z))
    # Below -87 the exponential stops: what is left is smaller than 1e-35.
    assert within(CPU.silu(z), exact, 4 * EPS * np.abs(exact) + np.abs(z) * 2e-38)
    slope = PLAIN.silu_pull(*wide(np.ones_like(z), z))
    assert within(CPU.silu_pull(np.ones_like(z), z)[:-2], slope[:-2], 8 * EPS + 0 * slope[:-2])
    assert not within(CPU.silu(-z), exact, 4 * EPS * np.abs(exact) + 1e-30)


def test_what_moves_numbers_moves_them() -> None:
    x, by = numbers(0, 3, 4, 6, 5), numbers(1, 3, 4, 6, 7)
    double = np.float32(2) * x
    np.testing.assert_array_equal(CPU.increase(x.copy(), x), double)
    np.testing.assert_array_equal(CPU.join(x, by), np.concatenate((x, by), axis=-1))
    for part, true in zip(CPU.split(CPU.join(x, by), 5), (x, by), strict=True):
        np.testing.assert_array_equal(part, true)
    for name in ("double", "halve_pull"):
        np.testing.assert_array_equal(getattr(CPU, name)(x), getattr(PLAIN, name)(x))
    for name in ("double_pull", "halve"):
        wanted = getattr(PLAIN, name)(*wide(x))
        assert within(getattr(CPU, name)(x), wanted, 4 * EPS * 4)
        assert not within(getattr(CPU, name)(x[:, ::-1].copy()), wanted, 4 * EPS * 4)
    assert within(CPU.sum_pixels(x), PLAIN.sum_pixels(*wide(x)), 24 * EPS * 24)
    total = numbers(2, 5)
    rows = x.reshape(-1, 5)
    wanted = (total + rows.astype(np.float64).sum(axis=0)).astype(np.float64)
    CPU.gather(rows, total)
    assert within(total, wanted, 72 * EPS * 10)


def test_adamw_in_one_pass() -> None:
    w, g, first, second, average = (numbers(k, 1000) for k in range(5))
    second = second * second
    given = {"rate": 1e-2, "betas": (0.9, 0.999), "decay": 0.1, "step": 3, "ema": 0.99}
    true = wide(w, g, first, second, average)
    found = tuple(a.copy() for a in (w, g, first, second, average))
    CPU.adamw(*found, **given, scale=0.5)
    PLAIN.adamw(*true, **given, scale=0.5)
    for part, wanted in zip(found, true, strict=True):
        assert within(part, wanted, 16 * EPS * (1.0 + np.abs(wanted)))
    later = tuple(a.copy() for a in (w, g, first, second, average))
    CPU.adamw(*later, **{**given, "step": 4}, scale=0.5)
    assert not within(later[0], true[0], 16 * EPS * (1.0 + np.abs(true[0])))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_adds_up_to_the_same(threads: int) -> None:
    """The parts are split so; who computes them does not matter."""
    kernels = Cpu()
    kernels.threads = threads
    for shape in SHAPES[:4] + SHAPES[7:14]:
        x, w, bias, dy, _ = convolution_arrays(shape)
        given = shape[5:]
        found, found_b = w.copy(), bias.copy()
        kernels.convolve_weight(x, dy, found, found_b, *given)
        dw, db = w.copy(), bias.copy()
        CPU.convolve_weight(x, dy, dw, db, *given)
        assert within(found, dw, of_output(dw))
        assert within(found_b, db, of_output(db))
        y = CPU.convolve(x, w, bias, *given)
        assert within(kernels.convolve(x, w, bias, *given), y, of_output(y))


def test_two_threads_compute_what_one_does() -> None:
    """The tests of this file once more, in a process with two threads of Numba's."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-k", "not two_threads", __file__],
        env={**os.environ, "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_blas_has_one_thread_while_the_network_computes_and_its_own_number_else() -> None:
    seen = []

    class Watched(Cpu):
        def affine(self, *arrays: Any) -> Any:
            seen.append(blas_threads())
            return super().affine(*arrays)

        def affine_input(self, *arrays: Any) -> Any:
            seen.append(blas_threads())
            return super().affine_input(*arrays)

    config = UNetConfig(image_size=4, channels=1, width=4, multipliers=(1,), attention=(), groups=2)
    with threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        network = UNet(config, Watched(), np.float32)
        y, pull = network.run(numbers(0, 1, 1, 4, 4), np.ones(1))
        forward = len(seen)
        assert blas_threads() == {2}
        pull(y)
        assert seen == [{1}] * len(seen)
        assert 0 < forward < len(seen)
        with pytest.raises(ValueError, match="x must have shape"):
            network(y[0], np.ones(1))
        assert blas_threads() == {2}
        with CPU.working(), CPU.working():
            pass
        with CPU.working():
            network(y, np.ones(1))
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_attention_goes_back_from_gradients_in_any_order_of_memory() -> None:
    qkv, dy = numbers(0, 2, 9, 24), numbers(1, 2, 9, 8)
    y, kept = CPU.attend(qkv, 2)
    turned = np.asfortranarray(dy)
    wanted = CPU.attend_pull(dy, qkv, 2, y, kept)
    np.testing.assert_array_equal(CPU.attend_pull(turned, qkv, 2, y, kept), wanted)


def test_what_is_not_float32_takes_the_definitions() -> None:
    x, w, bias = wide(numbers(0, 1, 5, 5, 16), numbers(1, 3, 3, 16, 16), numbers(2, 16))
    np.testing.assert_array_equal(CPU.convolve(x, w, bias), PLAIN.convolve(x, w, bias))
    assert CPU.silu(x).dtype == np.float64
    turned = numbers(0, 5, 4).T
    np.testing.assert_allclose(CPU.silu(turned), PLAIN.silu(turned), rtol=8 * EPS)


def test_the_pool_hands_out_no_memory_twice() -> None:
    source = pool.Pool()
    arrays = [source.empty((3, n), np.float32) for n in (1, 7, 100, 1000, 100, 7)]
    for k, array in enumerate(arrays):
        array[...] = k
    assert all((array == k).all() for k, array in enumerate(arrays))
    for a, b in itertools.combinations(arrays, 2):
        assert not np.shares_memory(a, b)
    assert all(array.ctypes.data % pool.LINE == 0 for array in arrays)


def test_a_buffer_comes_back_when_its_last_view_goes() -> None:
    source = pool.Pool()
    array = source.empty((4, 100), np.float32)
    where, used = array.ctypes.data, source.used
    view = array[1:, ::2].T
    del array
    assert source.used == used > 0
    other = source.empty((4, 100), np.float32)
    assert not np.shares_memory(other, view)
    del view
    again = source.empty((4, 100), np.float32)
    assert again.ctypes.data == where
    assert source.peak == source.used == 2 * used
    assert source.empty((0, 5), np.float64).size == 0


def test_buffers_that_nobody_asks_for_go_back_to_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "SWEEP", 5)
    source = pool.Pool()
    kept = [source.empty((1000, n), np.float32) for n in (64, 64, 16)]
    lasting, again = source.empty((7,), np.float32), 0
    del kept
    assert source.held > 500_000
    for _ in range(12):
        small = source.empty((1000, 16), np.float32)
        again = again or small.ctypes.data
        assert small.ctypes.data == again  # what is asked for stays
        del small
    assert 64_000 < source.held < 70_000
    assert source.used == pool.LINE == source.held - 65_536
    lasting[...] = 1
    assert source.empty((1000, 64), np.float32).shape == (1000, 64)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "every other": {
        "classes": 3,
        "scale_shift": True,
        "resample": "residual",
        "middle_attention": False,
        "learned_variance": True,
        "multipliers": (1, 2, 2),
    },
    "channels by eights": {"width": 24, "downsample_padding": "symmetric"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_whole_network(name: str) -> None:
    """A network sums up some thousand times: 1e-4 of the largest number."""
    given: dict[str, Any] = {"width": 16, "multipliers": (1, 2), "attention": (6,), "heads": 2}
    config = UNetConfig(image_size=12, channels=1, groups=8, **{**given, **OPTIONS[name]})
    x, t = numbers(0, 3, 1, 12, 12), np.array([1, 40, 900])
    labels = np.array([0, 2, 3]) if config.classes else None
    made = []
    for kernels, dtype in ((PLAIN, np.float64), (CPU, np.float32)):
        network = UNet(config, kernels, dtype)
        network.initialise(0)
        network.weights.value += numbers(1, network.weights.value.size) * np.float32(0.02)
        y, pull = network.run(x.astype(dtype), t, labels)
        dx = pull(numbers(2, *y.shape).astype(dtype))
        made.append((y, dx, network.weights.gradient))
    for true, found in zip(*made, strict=True):
        assert within(found, true, 1e-4 * np.abs(true).max())
        assert not within(found * np.float32(1.001), true, 1e-4 * np.abs(true).max())
