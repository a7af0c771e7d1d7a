"""The portable noise in every library, to the bit, and what it asks of its arguments.

The reference is written from the docstring with JAX's own Threefry, which shares no code with ours.
"""

import hashlib
import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from scipy import special

from diffcore import noise
from diffcore.noise.portable import TABLE_SHA256
from diffcore.noise.threefry import derive

SHAPES = [(1,), (5,), (3, 1), (4, 7), (2, 3, 8, 8), (3, 2, 5, 1, 3)]
SEEDS = [0, 7, 2**31, 2**32 - 1, 2**32, 2**40 + 3, 2**63 - 1]
# Of the Random123 distribution: key, counter, 20 rounds of Threefry-2x32.
KNOWN = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


def reference_words(key, counter):
    """F(key, counter) by JAX; key: two ints, counter: two uint32 arrays; two uint32 arrays."""
    from jax.extend.random import threefry_2x32

    flat = np.concatenate([np.ravel(c) for c in counter]).astype(np.uint32)
    words = np.asarray(threefry_2x32(np.array(key, dtype=np.uint32), flat))
    return np.split(words, 2)


def reference(seed, step, shape):
    """The noise of the docstring, element by element; float32."""
    key = reference_words((seed % 2**32, seed // 2**32), ([step], [0]))
    batch, size = shape[0], math.prod(shape[1:])
    e, b = np.meshgrid(np.arange(size), np.arange(batch))
    both = reference_words((key[0][0], key[1][0]), (e // 2, b))
    word = np.where(np.ravel(e) % 2 == 0, both[0], both[1])
    return (noise.TABLE[word // 2**16] + noise.TABLE[word % 2**16]).reshape(shape)


def as_words(xp, values, dtype):
    """Words as an array of a library: uint32, or int32 with the same bits."""
    host = np.atleast_1d(np.asarray(values, dtype=np.uint32))
    return make(xp, host if dtype == "uint32" else host.view(np.int32), dtype)


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
@pytest.mark.parametrize(("key", "counter", "expected"), KNOWN)
def test_threefry_gives_the_known_answers(xp, dtype, key, counter, expected):
    if dtype == "uint32" and "torch" in xp.__name__:
        dtype = "int32"  # PyTorch computes in int32 alone, as the docstring says.
    words = noise.threefry(
        *(tuple(as_words(xp, w, dtype) for w in pair) for pair in (key, counter))
    )
    assert [int(as_numpy(w).view(np.uint32)[0]) for w in words] == list(expected)


@pytest.mark.parametrize(("key", "counter", "expected"), KNOWN)
def test_keys_are_derived_by_the_same_function(key, counter, expected):
    assert derive(key[0] + 2**32 * key[1], *counter) == expected


def test_threefry_is_that_of_jax():
    rng = np.random.default_rng(0)
    for _ in range(4):
        key = rng.integers(0, 2**32, 2, dtype=np.uint32)
        counter = rng.integers(0, 2**32, (2, 501), dtype=np.uint32)
        expected = reference_words(key, counter)
        for dtype in (np.uint32, np.int32):
            got = noise.threefry(
                (key[:1].view(dtype), key[1:].view(dtype)), tuple(counter.view(dtype))
            )
            assert all(
                np.array_equal(g.view(np.uint32), w) for g, w in zip(got, expected, strict=True)
            )
        assert not np.array_equal(
            noise.threefry((key[1:], key[:1]), tuple(counter))[0], expected[0]
        )


def test_the_table_is_that_of_the_formula():
    n, outer = 2**16, 64
    with mp.workdps(40):
        z = [mp.mpf("-inf")]
        for i in range(1, outer + 1):
            start = mp.mpf(float(special.ndtri(i / n)))
            z.append(mp.findroot(lambda x, i=i: mp.ncdf(x) - mp.mpf(i) / n, start))
        density = [mp.mpf(0)] + [mp.npdf(x) for x in z[1:]]
        tail = [float(n * (a - b)) for a, b in itertools.pairwise(density)]
    # Further in, the mean of the quantile function by a Gauss rule of 12 points an interval.
    nodes, weights = np.polynomial.legendre.leggauss(12)
    p = (np.arange(outer, n // 2)[:, None] + (nodes + 1.0) / 2.0) / n
    m = np.concatenate([tail, special.ndtri(p) @ weights / 2.0])
    m = np.concatenate([m, -m[::-1]])
    exact = m / math.sqrt(2.0 * math.fsum(m**2) / n)
    assert np.array_equal(exact.astype(np.float32), noise.TABLE)
    assert hashlib.sha256(noise.TABLE.astype("<f4").tobytes()).hexdigest() == TABLE_SHA256
    unscaled = (m / math.sqrt(2.0)).astype(np.float32)
    middles = special.ndtri((np.arange(n) + 0.5) / n) / math.sqrt(2.0)
    for wrong in (unscaled, middles.astype(np.float32)):
        assert not np.array_equal(wrong, noise.TABLE)


def test_the_distribution_is_as_close_to_normal_as_documented():
    table = noise.TABLE.astype(np.float64)
    second, fourth = np.mean(table**2), np.mean(table**4)
    assert abs(2.0 * second - 1.0) < 1e-9
    assert abs((2.0 * fourth + 6.0 * second**2) / (2.0 * second) ** 2 - 2.9999) < 5e-5
    assert 2.0 * np.max(table) == pytest.approx(6.2, abs=0.01)
    assert np.array_equal(table, -table[::-1])

    def cdf(x):
        return np.mean(np.searchsorted(table, x - table, side="right")) / 2**16

    grid = np.linspace(-4.2, 4.2, 127)
    error = max(abs(cdf(x) - special.ndtr(x)) for x in grid)
    assert 5e-6 < error < 7.7e-6
    assert cdf(-4.0) / special.ndtr(-4.0) - 1.0 == pytest.approx(-0.005, abs=0.001)
    assert cdf(-5.0) / special.ndtr(-5.0) - 1.0 == pytest.approx(-0.10, abs=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_library_gives_the_bits_of_the_reference(xp, shape):
    like = make(xp, np.zeros(shape), "float32")
    for seed, step in ((0, 0), (2**40 + 3, 5), (2**63 - 1, 2**31 - 1)):
        eps = noise.portable(seed)(like, step)
        assert type(eps) is type(like)
        assert eps.dtype == like.dtype
        assert tuple(eps.shape) == shape
        assert np.array_equal(as_numpy(eps), reference(seed, step, shape))


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_of_64_bits_count_in_full(seed):
    like = np.zeros((2, 9), dtype=np.float32)
    assert np.array_equal(noise.portable(seed)(like, 3), reference(seed, 3, (2, 9)))
    assert np.array_equal(
        noise.portable(np.int64(seed))(like, np.int32(3)), reference(seed, 3, (2, 9))
    )
    others = [noise.portable(s)(like, 3) for s in SEEDS if s != seed]
    assert not any(np.any(noise.portable(seed)(like, 3) == other) for other in others)


@pytest.mark.parametrize("shape", [(3, 70_001), (40_001, 3), (66_000,), (300, 500)])
def test_blocks_of_the_host_meet(shape):
    like = np.zeros(shape, dtype=np.float32)
    eps = noise.portable(11)(like, 2)
    assert np.array_equal(eps, noise.portable(11)(like, np.asarray(2)))  # in one piece, in int32
    assert np.array_equal(eps[-1:], reference(11, 2, shape)[-1:])


@pytest.mark.parametrize(
    "chunks", [(5, 3, 6), (2, 3, 6), (5, 1, 6), (1, 2, 5), ((1, 4), 3, (2, 3, 1))]
)
def test_dask_gives_the_same_bits_in_any_chunks(chunks):
    import dask.array as da

    expected = reference(7, 1, (5, 3, 6))
    for dtype in (np.float32, np.float64):
        like = da.zeros((5, 3, 6), chunks=chunks, dtype=dtype)
        eps = noise.portable(7)(like, 1)
        assert eps.chunks == like.chunks
        assert eps.dtype == eps.compute().dtype == dtype
        assert np.array_equal(eps.compute(scheduler="sync"), expected)
        assert np.array_equal(eps[1:, 2].compute(scheduler="sync"), expected[1:, 2])


def test_jax_gives_the_same_bits_compiled():
    import jax
    import jax.numpy as jnp

    source, like = noise.portable(2**40 + 3), jnp.zeros((4, 3, 5), jnp.float32)
    expected = [reference(2**40 + 3, step, (4, 3, 5)) for step in range(3)]
    fixed = jax.jit(lambda x: source(x, 1))
    assert np.array_equal(fixed(like), expected[1])
    traced = jax.jit(source)
    for step in range(3):
        assert np.array_equal(traced(like, step), expected[step])
        assert np.array_equal(traced(like, jnp.asarray(step, jnp.int32)), expected[step])
    _, scanned = jax.lax.scan(lambda x, step: (x, source(x, step)), like, jnp.arange(3))
    assert np.array_equal(scanned, expected)
    mapped = jax.vmap(lambda step: source(like, step))(jnp.arange(3))
    assert np.array_equal(mapped, expected)
    gradient = jax.grad(lambda x: jnp.sum(x * source(x, 1)))(like)
    assert np.array_equal(gradient, expected[1])


def test_torch_gives_the_same_bits_compiled_and_on_meta():
    import torch

    source, like = noise.portable(2**40 + 3), torch.zeros(4, 3, 5)
    expected = reference(2**40 + 3, 2, (4, 3, 5))
    add = torch.compile(lambda x, eps: 2.0 * x + eps, fullgraph=True, backend="aot_eager")
    assert np.array_equal(add(like, source(like, 2)), expected)
    inside = torch.compile(lambda f, x: f(x, 2), fullgraph=True, backend="eager")
    assert np.array_equal(inside(source, like), expected)
    traced = torch.compile(lambda f, x, k: f(x, k), fullgraph=True, backend="eager")
    assert np.array_equal(traced(source, like, torch.tensor(2)), expected)
    meta = source(torch.zeros((4, 3, 5), device="meta", dtype=torch.float16), 2)
    assert (meta.device.type, meta.shape, meta.dtype) == ("meta", (4, 3, 5), torch.float16)


def test_an_array_may_be_the_step(xp):
    like = make(xp, np.zeros((3, 5)), "float32")
    if "dask" in xp.__name__:
        with pytest.raises(TypeError, match=r"^step must be an int where like is a Dask array"):
            noise.portable(1)(like, make(xp, 5, "int32"))
        return
    for dtype in ("int32", "int64"):
        eps = noise.portable(2**40 + 3)(like, make(xp, 5, dtype))
        assert np.array_equal(as_numpy(eps), reference(2**40 + 3, 5, (3, 5)))


@pytest.mark.parametrize("name", ["float16", "float64", "bfloat16"])
def test_the_values_are_float32_cast(xp, name):
    dtype = getattr(xp, name, None)
    if dtype is None:
        assert name != "float64"
        assert xp.__name__ not in ("torch", "jax.numpy")
        return
    like = xp.zeros((3, 5), dtype=dtype)
    eps = noise.portable(3)(like, 2)
    assert eps.dtype == dtype
    single = xp.asarray(reference(3, 2, (3, 5)))
    assert np.array_equal(as_numpy(eps), as_numpy(xp.astype(single, dtype)))
    if name == "float64":
        assert np.array_equal(as_numpy(eps), reference(3, 2, (3, 5)))


def invariant(source):
    """Whether a row is the same in batches, and its elements in rows, of any size."""
    like = np.zeros((6, 4, 5), dtype=np.float32)
    whole = source(like, 3)
    return (
        all(np.array_equal(source(like[:n], 3), whole[:n]) for n in (1, 2, 5))
        and np.array_equal(source(like[:, :2], 3), whole[:, :2])
        and np.array_equal(source(like.reshape(6, 20), 3), whole.reshape(6, 20))
        and np.array_equal(source(like.reshape(6, 20)[:, :7], 3), whole.reshape(6, 20)[:, :7])
        and np.array_equal(source(like, 3), whole)
    )


def test_a_row_depends_on_seed_row_and_step_alone():
    assert invariant(noise.portable(5))
    eps = noise.portable(5)(np.zeros((6, 40), dtype=np.float32), 3)
    assert not np.any(eps == noise.portable(5)(eps, 4))
    assert len({row.tobytes() for row in eps}) == 6

    def in_order(like, step):
        return np.random.default_rng(step).standard_normal(like.shape, dtype=np.float32)

    def counted_by_batch(like, step):
        return noise.portable(5)(like.reshape(1, -1), step).reshape(like.shape)

    assert not invariant(in_order)
    assert not invariant(counted_by_batch)
    assert not invariant(noise.as_noise(np.random.default_rng(0)))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4), (0, 3, 8, 8)])
def test_nothing_is_drawn_for_empty_batches(xp, shape):
    like = make(xp, np.zeros(shape), "float32")
    eps = noise.portable(3)(like, 2)
    assert tuple(eps.shape) == shape
    assert eps.dtype == like.dtype
    assert as_numpy(eps).size == 0


def test_like_is_read_for_its_kind_alone(xp):
    like = make(xp, np.full((3, 5), np.nan), "float32")
    eps = noise.portable(3)(like, 2)
    assert np.array_equal(as_numpy(eps), reference(3, 2, (3, 5)))
    assert np.all(np.isnan(as_numpy(like)))


def test_read_only_arrays_serve_and_what_returns_is_the_callers():
    like = np.full((3, 5), 7.0, dtype=np.float32)
    like.flags.writeable = False
    first = noise.portable(3)(like, 2)
    assert np.all(like == 7.0)
    assert first.flags.writeable
    first[...] = 0.0
    assert np.array_equal(noise.portable(3)(like, 2), reference(3, 2, (3, 5)))


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "7", None, True, np.float64(3)])
def test_errors_name_the_seed(seed):
    for call in (
        lambda: noise.portable(seed),
        lambda: noise.integers(seed, 0, 3, 10),
        lambda: noise.uniform(seed, 0, 3),
        lambda: noise.permutation(seed, 0, 3),
    ):
        with pytest.raises((TypeError, ValueError), match=r"^seed must be .*, got "):
            call()


@pytest.mark.parametrize("step", [-1, 2**31, 1.0, "7", None, True])
def test_errors_name_the_step(xp, step):
    like = make(xp, np.zeros((3, 5)), "float32")
    for call in (lambda: noise.portable(1)(like, step), lambda: noise.uniform(1, step, 3)):
        with pytest.raises((TypeError, ValueError), match=r"^step must be .*, got "):
            call()


def test_errors_name_a_step_that_is_the_wrong_array(xp):
    like = make(xp, np.zeros((3, 5)), "float32")
    other = make(
        namespace_of("torch" if xp.__name__ == "array_api_strict" else "array_api_strict"),
        1,
        "int32",
    )
    for step in (make(xp, [1], "int32"), make(xp, 1.0, "float32"), other):
        with pytest.raises(TypeError, match=r"^step must be an int"):
            noise.portable(1)(like, step)


def test_errors_name_like(xp):
    for like in (
        make(xp, np.zeros((3, 5)), "int32"),
        make(xp, np.zeros(3), "bool"),
        [1.0],
        None,
        2.0,
    ):
        with pytest.raises(TypeError, match=r"^like must be .*, got "):
            noise.portable(1)(like, 0)
        with pytest.raises(TypeError, match=r"^like must be .*, got "):
            noise.as_noise(np.random.default_rng(0))(like, 0)
    with pytest.raises(ValueError, match=r"^like must have a leading batch axis"):
        noise.portable(1)(make(xp, np.zeros(()), "float32"), 0)


def test_errors_name_a_shape_that_is_unknown():
    import dask.array as da

    x = da.zeros((5, 2), chunks=(2, 2))
    for rng in (1, np.random.default_rng(0), da.random.default_rng(0)):
        with pytest.raises(ValueError, match=r"^like must have a known shape"):
            noise.as_noise(rng)(x[x[:, 0] > 0], 0)
