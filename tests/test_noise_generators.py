"""`as_noise`: the draws of each library's own generators, repeatable, in their own library."""

import numpy as np
import pytest
from conftest import as_numpy, make

from diffcore import noise


def like_of(name, dtype="float32", shape=(3, 4, 5)):
    """An array of the library called `name`."""
    if name == "torch":
        import torch

        return torch.zeros(shape, dtype=getattr(torch, dtype))
    if name == "jax":
        import jax.numpy as jnp

        return jnp.zeros(shape, dtype)
    if name == "dask":
        import dask.array as da

        return da.zeros(shape, chunks=tuple((n + 1) // 2 for n in shape), dtype=dtype)
    return np.zeros(shape, dtype)


def generator(kind, seed):
    """A fresh generator, or key, of a kind."""
    if kind == "numpy":
        return np.random.default_rng(seed)
    if kind == "torch":
        import torch

        return torch.Generator().manual_seed(seed)
    if kind.startswith("jax"):
        import jax

        return jax.random.key(seed) if kind == "jax key" else jax.random.PRNGKey(seed)
    import dask.array as da

    return da.random.default_rng(seed) if kind == "dask" else da.random.RandomState(seed)


KINDS = ["numpy", "torch", "jax key", "jax old key", "dask", "dask RandomState"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_draws_are_like_like_and_repeatable(kind, dtype):
    library = kind.split()[0]
    if dtype == "bfloat16" and library not in ("torch", "jax"):
        dtype = "float32"  # neither NumPy nor Dask has another name for it
    if library == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    like = like_of(library, dtype)
    first, second = (noise.as_noise(generator(kind, 7)) for _ in range(2))
    for step in (0, 1):
        eps = first(like, step)
        assert type(eps) is type(like)
        assert eps.dtype == like.dtype
        assert eps.shape == like.shape
        assert np.array_equal(as_numpy(eps), as_numpy(second(like, step)))
        assert not np.any(as_numpy(like))
    other = noise.as_noise(generator(kind, 8))(like, 1)
    assert not np.array_equal(as_numpy(eps), as_numpy(other))
    assert not np.array_equal(as_numpy(first(like, 2)), as_numpy(eps))
    if library == "dask":
        assert eps.chunks == like.chunks


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_standard_normal(kind):
    eps = as_numpy(
        noise.as_noise(generator(kind, 0))(like_of(kind.split()[0], shape=(100, 1000)), 0)
    )
    n = eps.size
    # Five standard errors of each moment.
    for k, mean, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs(np.mean(eps.astype(np.float64) ** k) - mean) < 5.0 * (variance / n) ** 0.5


@pytest.mark.parametrize("kind", ["numpy", "torch", "dask", "dask RandomState"])
def test_a_generator_is_advanced_whatever_the_step(kind):
    draw, like = noise.as_noise(generator(kind, 7)), like_of(kind.split()[0])
    assert not np.array_equal(as_numpy(draw(like, 3)), as_numpy(draw(like, 3)))


def test_draws_are_the_generators_own():
    import jax
    import torch

    draw, expected = noise.as_noise(generator("numpy", 7)), generator("numpy", 7)
    for dtype in (np.float32, np.float64):
        like = np.zeros((3, 5), dtype)
        assert np.array_equal(draw(like, 0), expected.standard_normal((3, 5), dtype=dtype))
    eps = noise.as_noise(generator("torch", 7))(torch.zeros(3, 5), 0)
    assert torch.equal(eps, torch.randn(3, 5, generator=generator("torch", 7)))
    for kind in ("jax key", "jax old key"):
        key = generator(kind, 7)
        eps = noise.as_noise(key)(like_of("jax"), 4)
        folded = jax.random.fold_in(key, 4)
        assert np.array_equal(eps, jax.random.normal(folded, (3, 4, 5), "float32"))
        assert np.array_equal(jax.jit(noise.as_noise(key))(like_of("jax"), 4), eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_numpy_generator_serves_every_library(xp, dtype):
    like = make(xp, np.zeros((3, 5)), dtype)
    eps = noise.as_noise(np.random.default_rng(7))(like, 0)
    assert type(eps) is type(like)
    assert eps.dtype == like.dtype
    expected = np.random.default_rng(7).standard_normal((3, 5), dtype=dtype)
    assert np.array_equal(as_numpy(eps), expected)


def test_a_numpy_generator_is_refused_under_jit():
    import jax

    source = noise.as_noise(np.random.default_rng(7))
    with pytest.raises(TypeError, match=r"^rng must be a JAX key or an int under jit"):
        jax.jit(lambda x: source(x, 0))(like_of("jax"))


def cupy_generator():
    """An object whose class has the names of CuPy's, which needs a GPU."""
    return type("Generator", (), {"__module__": "cupy.random._generator_api"})()


@pytest.mark.parametrize("kind", [*KINDS[1:], "cupy"])
def test_a_generator_refuses_another_library(kind):
    rng = cupy_generator() if kind == "cupy" else generator(kind, 7)
    library = kind.split()[0]
    for other in {"numpy", "torch", "jax", "dask"} - {library}:
        with pytest.raises(TypeError, match=rf"^rng is a generator of {library} and like an array"):
            noise.as_noise(rng)(like_of(other), 0)
        with pytest.raises(TypeError, match=r"^like must be a real floating-point array"):
            noise.as_noise(rng)(like_of(other, "int32"), 0)


def test_a_torch_generator_must_be_on_the_device():
    import torch

    like = torch.zeros((3, 5), device="meta")
    with pytest.raises(ValueError, match=r"^rng must be on like's device meta, got cpu"):
        noise.as_noise(generator("torch", 7))(like, 0)


@pytest.mark.parametrize("step", [-1, 2**31, 1.0, None, True])
def test_a_jax_key_takes_steps_that_are_steps(step):
    with pytest.raises((TypeError, ValueError), match=r"^step must be .*, got "):
        noise.as_noise(generator("jax key", 7))(like_of("jax"), step)


def test_an_int_is_a_seed_and_a_noise_stays_itself():
    like = like_of("numpy")
    for seed in (7, np.int64(7), np.uint8(7)):
        assert noise.as_noise(seed) == noise.portable(7)
        assert np.array_equal(noise.as_noise(seed)(like, 2), noise.portable(7)(like, 2))

    def own(like, step):
        return like

    for source in (own, noise.portable(3), noise.as_noise(np.random.default_rng(0))):
        assert noise.as_noise(source) is source


@pytest.mark.parametrize(
    "rng",
    [None, "7", 1.5, True, np.random.Generator, np.random.RandomState(0), np.zeros(2), np.random],
)
def test_errors_name_the_rng(rng):
    with pytest.raises(TypeError, match=r"^rng must be an int seed, .*, got "):
        noise.as_noise(rng)


def test_errors_name_keys_that_are_not_one_key():
    import jax
    import jax.numpy as jnp

    for keys in (
        jax.random.split(jax.random.key(0), 3),
        jax.random.split(jax.random.PRNGKey(0), 3),
    ):
        with pytest.raises(ValueError, match=r"^rng must be a single JAX key, got shape \(3,"):
            noise.as_noise(keys)
    with pytest.raises(TypeError, match=r"^rng must be an int seed"):
        noise.as_noise(jnp.zeros(2, jnp.float32))
    with pytest.raises(ValueError, match=r"^seed must be"):
        noise.as_noise(-1)
