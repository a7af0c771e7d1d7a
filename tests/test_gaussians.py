"""Gaussians against 50 digits, quadrature and autograd, with wrong formulas beside them."""

import importlib
import math
from typing import Any

import array_api_compat
import mpmath as mp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
from conftest import as_numpy, make, namespace_of
from hypothesis import given
from hypothesis import strategies as st

from diffcore import gaussians
from diffcore.gaussians import discretised_log_likelihood, kl, log_density, log_ndtr

DIGITS = 60
FLOATS = ["float64", "float32"]
EPS = {name: float(np.finfo(name).eps) for name in FLOATS}


def exact(function: Any, *arrays: Any) -> list[mp.mpf]:
    """`function` of the exact values of the arrays' entries, at 60 digits."""
    with mp.workdps(DIGITS):
        rows = np.broadcast_arrays(*arrays)
        return [function(*map(mp.mpf, row)) for row in zip(*(r.ravel().tolist() for r in rows))]  # noqa: B905


def errors(got: Any, expected: list[mp.mpf], scales: list[mp.mpf] | None = None) -> np.ndarray:
    """|got - expected| / |expected|, or over `scales`."""
    scales = [abs(e) for e in expected] if scales is None else scales
    with mp.workdps(DIGITS):
        return np.asarray(
            [
                float(abs(mp.mpf(float(g)) - e) / s) if s else float(g != e)
                for g, e, s in zip(np.ravel(got), expected, scales, strict=True)
            ]
        )


def mp_upper(y: mp.mpf) -> mp.mpf:
    return mp.erfc(y / mp.sqrt(2)) / 2


def mp_log_ndtr(x: mp.mpf) -> mp.mpf:
    return mp.log(mp_upper(-x)) if x < 0 else mp.log1p(-mp_upper(x))


def mp_kl(m_1: mp.mpf, v_1: mp.mpf, m_2: mp.mpf, v_2: mp.mpf) -> mp.mpf:
    return (v_1 / v_2 - 1 - mp.log(v_1 / v_2) + (m_1 - m_2) ** 2 / v_2) / 2


def mp_bin(
    x: mp.mpf, mean: mp.mpf, variance: mp.mpf, half: mp.mpf, low: float = -1.0, high: float = 1.0
) -> mp.mpf:
    deviation, distance = mp.sqrt(variance), abs(x - mean)
    if x < low + half:
        return mp_log_ndtr((x + half - mean) / deviation)
    if x > high - half:
        return mp_log_ndtr((mean - x + half) / deviation)
    if distance < half:
        return mp.log1p(
            -mp_upper((half - distance) / deviation) - mp_upper((half + distance) / deviation)
        )
    return mp.log(mp_upper((distance - half) / deviation) - mp_upper((distance + half) / deviation))


def bin_scales(expected: list[mp.mpf], x: Any, mean: Any, variance: Any, half: float) -> Any:
    """What a rounding of x - mean scales with: the value, times z^2 where the mass is near 1."""
    distance = (np.abs(np.float64(x) - mean) + half) ** 2 / np.float64(variance)
    return [abs(e) + min(abs(e), 1) * d for e, d in zip(expected, distance.tolist(), strict=True)]


def bins(dtype: str, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data on 256 levels, means up to 50 deviations away, deviations from 1e-4 to 30."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 256, count)
    level[: count // 8], level[count // 8 : count // 4] = 0, 255
    x, deviation = -1.0 + 2.0 * level / 255.0, 10.0 ** rng.uniform(-4.0, 1.5, count)
    away = deviation * rng.uniform(-50.0, 50.0, count) * rng.integers(0, 2, count)
    mean = x + away + rng.uniform(-0.01, 0.01, count)
    return x.astype(dtype), mean.astype(dtype), (deviation**2).astype(dtype)


def log1p_error(xp: Any, dtype: str) -> float:
    """The error of the library's own log1p, over an eps: XLA's in float64 is off by a hundred."""
    x = -(10.0 ** np.linspace(-6.0, -0.3, 400)).astype(dtype)
    error = np.max(errors(as_numpy(xp.log1p(make(xp, x, dtype))), exact(mp.log1p, x)))
    return max(0.0, float(error) - EPS[dtype])


def test_mills_tables_are_the_chebyshev_expansion() -> None:
    with mp.workdps(50):
        nodes = [mp.pi * (2 * j + 1) / 128 for j in range(64)]
        values = []
        for angle in nodes:
            y = 5 * (1 + mp.cos(angle)) / (1 - mp.cos(angle))
            if y < 30:
                ratio = mp_upper(y) * mp.sqrt(2 * mp.pi) * mp.exp(y * y / 2)
            else:
                # Laplace's continued fraction.
                ratio = mp.mpf(0)
                for n in range(200, 0, -1):
                    ratio = n / (y + ratio)
                ratio = 1 / (y + ratio)
            values.append((1 + y) * ratio)
        chebyshev = [
            sum(f * mp.cos(n * a) for f, a in zip(values, nodes, strict=True)) / (32 if n else 64)
            for n in range(24)
        ]
        for table, tolerance in ((gaussians.MILLS, 1e-16), (gaussians.MILLS_FLOAT32, 1e-9)):
            previous, current = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
            powers = [mp.mpf(0)] * len(table)
            for n in range(len(table)):
                for i, c in enumerate(previous):
                    powers[i] += chebyshev[n] * c
                following = [mp.mpf(0)] + [2 * c for c in current]
                for i, c in enumerate(previous):
                    following[i] -= c
                previous, current = current, following
            worst = max(abs(p - c) for p, c in zip(powers, table, strict=True))
            assert worst < tolerance


@pytest.mark.parametrize("dtype", FLOATS)
def test_log_ndtr_is_accurate_on_the_whole_line(xp: Any, dtype: str) -> None:
    rng = np.random.default_rng(1)
    end = 37.0 if dtype == "float64" else 12.5
    x = np.concatenate(
        [rng.uniform(-8, 8, 150), rng.uniform(-300, end, 150), [-1e6, -1e-9, -0.0, 0.0, 1e-9, 1.0]]
    ).astype(dtype)
    got = log_ndtr(make(xp, x, dtype))
    assert array_api_compat.array_namespace(got) is array_api_compat.array_namespace(xp.ones(1))
    assert got.dtype == getattr(xp, dtype)
    expected = exact(lambda v: mp_log_ndtr(v) if v > -1e5 else -v * v / 2, x[x > -1e5])
    error = np.max(errors(as_numpy(got)[x > -1e5], expected))
    assert error < 6 * EPS[dtype] + log1p_error(xp, dtype)
    assert as_numpy(got)[x == x.min()] == pytest.approx(-5e11, rel=1e-6)

    naive = np.log1p(-scipy.special.erfc(np.sqrt(0.5) * np.abs(x)) / 2)
    naive = np.where(x < 0, np.log(np.maximum(np.exp(naive) * 0 - np.expm1(naive), 1e-300)), naive)
    assert np.max(errors(naive[x > -1e5], expected)) > 100 * EPS[dtype]


def test_log_ndtr_of_the_ends() -> None:
    with np.errstate(over="ignore"):
        ends = log_ndtr(np.asarray([1e3, -1e3, 1e200]))
    assert ends[0] == 0.0
    assert ends[1] == pytest.approx(-500007.8266947)
    assert ends[2] == 0.0


POINTS = [-1e4, -40.0, -3.0, -1e-8, -0.0, 0.0, 1e-8, 0.5, 3.0, 8.0, 30.0, 300.0]


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_gradient_of_log_ndtr_is_the_hazard(library: str) -> None:
    got = _gradients(library, log_ndtr, np.asarray(POINTS))[0]
    expected = exact(
        lambda v: mp.npdf(v) / mp_upper(-v) if v > -1000 else -v - 1 / v, np.asarray(POINTS)
    )
    assert np.all(np.isfinite(got))
    with mp.workdps(DIGITS):
        assert all(
            abs(mp.mpf(float(g)) - e) <= 64 * EPS["float64"] * e + mp.mpf("1e-300")
            for g, e in zip(got, expected, strict=True)
        )


def _gradients(library: str, function: Any, *hosts: np.ndarray) -> list[np.ndarray]:
    """d sum(function) / d each argument, by the library's own automatic differentiation."""
    xp = namespace_of(library)
    arrays = [make(xp, h, str(h.dtype)) for h in hosts]
    if library == "torch":
        for a in arrays:
            a.requires_grad_(True)
        function(*arrays).sum().backward()
        return [a.grad.numpy() for a in arrays]
    import jax

    grad = jax.grad(lambda *a: function(*a).sum(), argnums=tuple(range(len(arrays))))
    return [np.asarray(g) for g in grad(*arrays)]


@pytest.mark.parametrize("dtype", FLOATS)
def test_log_density(xp: Any, dtype: str) -> None:
    rng = np.random.default_rng(2)
    x, mean = rng.normal(size=(2, 60)).astype(dtype)
    variance = (10.0 ** rng.uniform(-4, 4, 60)).astype(dtype)
    got = log_density(*(make(xp, a, dtype) for a in (x, mean, variance)))
    expected = exact(
        lambda a, m, v: -((a - m) ** 2) / v / 2 - mp.log(2 * mp.pi * v) / 2, x, mean, variance
    )
    # The two terms may cancel: the scale is their size, not their sum.
    scales = [abs(a) + abs(b) + 1 for a, b in zip(expected, np.log(variance).tolist(), strict=True)]
    assert got.dtype == getattr(xp, dtype)
    assert np.max(errors(as_numpy(got), expected, scales)) < 4 * EPS[dtype]


def test_log_density_integrates_to_one() -> None:
    def mass(variance: float, scale: float = 1.0) -> float:
        grid = np.linspace(-12.0, 12.0, 4001) * math.sqrt(variance) + 0.3
        density = np.exp(scale * log_density(grid, 0.3, variance))
        return float(np.trapezoid(density, grid))

    for variance in (1e-6, 0.2, 1.0, 1e5):
        assert mass(variance) == pytest.approx(1.0, rel=64 * EPS["float64"])
    assert abs(mass(0.2, scale=2.0) - 1.0) > 0.1


@pytest.mark.parametrize("dtype", FLOATS)
def test_kl_is_accurate_for_every_ratio_of_variances(xp: Any, dtype: str) -> None:
    rng = np.random.default_rng(3)
    v_2 = 10.0 ** rng.uniform(-6, 3, 400)
    close = 1.0 + rng.choice([-1, 1], 200) * 10.0 ** rng.uniform(-7, -0.3, 200)
    ratio = np.concatenate([close, 10.0 ** rng.uniform(-8, 8, 200)])
    v_1, v_2 = (v_2 * ratio).astype(dtype), v_2.astype(dtype)
    m_2 = rng.normal(size=400).astype(dtype)
    m_1 = np.where(rng.random(400) < 0.5, m_2, m_2 + 1e-3 * rng.normal(size=400)).astype(dtype)
    got = as_numpy(kl(*(make(xp, a, dtype) for a in (m_1, v_1, m_2, v_2))))
    expected = exact(mp_kl, m_1, v_1, m_2, v_2)
    assert np.all(got >= 0.0)
    # Ten eps: at the edge of the series a difference of 0.4 and 0.5 is taken.
    assert np.max(errors(got, expected)) < 10 * EPS[dtype]

    naive = 0.5 * (v_1 / v_2 - 1.0 - np.log(v_1 / v_2) + (m_1 - m_2) ** 2 / v_2)
    assert np.max(errors(naive, expected)) > 1e4 * EPS[dtype]
    backwards = 0.5 * (v_1 / v_2 - 1.0 - np.log(v_2 / v_1) + (m_1 - m_2) ** 2 / v_2)
    assert np.min(backwards) < 0.0


@pytest.mark.parametrize(
    "numbers", [(0.1, 0.5, -0.2, 1.5), (0.0, 2.0, 0.0, 0.1), (3.0, 1.0, -1.0, 1.0 + 1e-3)]
)
def test_kl_against_quadrature(numbers: tuple[float, float, float, float]) -> None:
    m_1, v_1, m_2, v_2 = numbers

    def integrand(z: float) -> float:
        x = np.asarray([m_1 + math.sqrt(v_1) * z])
        log_p, log_q = log_density(x, m_1, v_1)[0], log_density(x, m_2, v_2)[0]
        return float(np.exp(log_p) * (log_p - log_q) * math.sqrt(v_1))

    expected, _ = scipy.integrate.quad(integrand, -14.0, 14.0, epsabs=1e-13, limit=200)
    got = kl(np.asarray([m_1]), v_1, m_2, v_2)[0]
    assert got == pytest.approx(expected, rel=1e-11)
    swapped = kl(np.asarray([m_2]), v_2, m_1, v_1)[0]
    assert v_1 == pytest.approx(v_2, rel=0.01) or abs(swapped - expected) > 1e-2


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-6, 1e6),
    st.floats(-1e3, 1e3),
    st.floats(1e-6, 1e6),
    st.sampled_from(["numpy", "array_api_strict"]),
    st.sampled_from(FLOATS),
    st.sampled_from([(1,), (2, 3), (2, 1, 2)]),
)
def test_kl_is_never_negative(
    m_1: float, v_1: float, m_2: float, v_2: float, library: str, dtype: str, shape: Any
) -> None:
    xp = namespace_of(library)
    p = [make(xp, np.full(shape, value), dtype) for value in (m_1, v_1)]
    q = [make(xp, np.full(shape, value), dtype) for value in (m_2, v_2)]
    got = kl(*p, *q)
    assert got.shape == shape
    assert np.all(as_numpy(got) >= 0.0)
    assert np.all(as_numpy(kl(*p, *p)) == 0.0)
    # One more neighbour of the same variance: still not negative, though only an eps apart.
    nudged = as_numpy(p[1]) * np.asarray(1.0 + 2.0 * EPS[dtype], dtype=dtype)
    assert np.all(as_numpy(kl(p[0], make(xp, nudged, dtype), *p)) >= 0.0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_discretised_log_likelihood(xp: Any, dtype: str) -> None:
    x, mean, variance = bins(dtype, 400)
    got = discretised_log_likelihood(*(make(xp, a, dtype) for a in (x, mean, variance)))
    assert got.dtype == getattr(xp, dtype)
    half = mp.mpf(float(np.asarray(1.0 / 255.0, dtype=dtype)))
    expected = exact(lambda a, m, v: mp_bin(a, m, v, half), x, mean, variance)
    scales = bin_scales(expected, x, mean, variance, 1 / 255)
    error = errors(as_numpy(got), expected, scales)
    normal = np.asarray([abs(e) > np.finfo(dtype).tiny for e in expected])
    assert normal.mean() > 0.8
    assert np.max(error[normal]) < 6 * EPS[dtype] + log1p_error(xp, dtype)
    assert np.all(as_numpy(got)[~normal] <= 0.0)
    assert np.max(np.abs(as_numpy(got)[~normal])) <= np.finfo(dtype).tiny


def _difference_of_two(x: Any, mean: Any, variance: Any) -> Any:
    """The bin's mass by subtracting two values of Phi, floored at 1e-12."""
    ndtr = scipy.special.ndtr
    plus, minus = ((x + s / 255.0 - mean) / np.sqrt(variance) for s in (1.0, -1.0))
    return np.log(np.maximum(ndtr(plus) - ndtr(minus), 1e-12))


def test_a_difference_of_two_cdfs_is_rejected() -> None:
    x, mean, variance = bins("float64", 400)
    inner = np.abs(x) < 0.99
    x, mean, variance = x[inner], mean[inner], variance[inner]
    expected = exact(lambda a, m, v: mp_bin(a, m, v, mp.mpf(1 / 255)), x, mean, variance)
    scales = bin_scales(expected, x, mean, variance, 1 / 255)
    wrong = errors(_difference_of_two(x, mean, variance), expected, scales)
    assert np.max(wrong) > 0.1
    # Near the mean, where it is no floor but cancellation that spoils a narrow bin.
    narrow = (np.abs(x - mean) < np.sqrt(variance)) & (variance > 100.0)
    assert np.max(wrong[narrow]) > 100 * EPS["float64"]


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1e-5), (0.3, 0.01), (-0.7, 0.5), (3.0, 2.0)])
@pytest.mark.parametrize(
    ("levels", "low", "high"), [(256, -1.0, 1.0), (16, 0.0, 1.0), (2, -1.0, 1.0)]
)
def test_all_bins_sum_to_one(
    xp: Any, mean: float, deviation: float, levels: int, low: float, high: float
) -> None:
    width = (high - low) / (levels - 1)
    x = make(xp, low + width * np.arange(levels))

    def total(half_width_factor: float = 1.0) -> float:
        log_p = discretised_log_likelihood(
            x, mean, deviation**2, bin_width=half_width_factor * width, low=low, high=high
        )
        return float(np.sum(np.exp(as_numpy(log_p))))

    # Edges that two bins share are rounded apart, by an eps of a level over a deviation each.
    assert abs(total() - 1.0) < 8 * EPS["float64"] * (1.0 + levels**0.5 / deviation)
    if levels > 2 and deviation > 1e-3:
        assert abs(total(0.5) - 1.0) > 1e-3


def test_data_beyond_the_grid_fall_in_the_end_bins() -> None:
    x = np.asarray([-1.0, -1.001, 1.0, 1.001])
    got = discretised_log_likelihood(x, 0.0, 1.0)
    reach = np.asarray([-1.0 + 1 / 255, -1.001 + 1 / 255, -1.0 + 1 / 255, -1.001 + 1 / 255])
    np.testing.assert_allclose(got, scipy.special.log_ndtr(reach), rtol=1e-14)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_gradients_of_the_discretised_log_likelihood(library: str) -> None:
    x, mean, variance = bins("float64", 120, seed=4)
    # The awkward points: a mean on the level, an edge on the mean, both open ends.
    x = np.concatenate([x, [0.2, 0.2 + 1 / 255, 1.0, -1.0, 1.0, -1.0, -1.0]])
    mean = np.concatenate([mean, [0.2, 0.2, 1.0, -1.0, 1.0 - 1 / 255, -1.0 + 1 / 255, 40.0]])
    variance = np.concatenate([variance, [1e-6, 0.04, 0.04, 0.04, 0.04, 1e-8, 1e-2]])
    _, by_mean, by_variance = _gradients(library, discretised_log_likelihood, x, mean, variance)
    assert np.all(np.isfinite(by_mean))
    assert np.all(np.isfinite(by_variance))

    def slope(a: mp.mpf, m: mp.mpf, v: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
        s, half = mp.sqrt(v), mp.mpf(1 / 255)
        log_mass = mp_bin(a, m, v, half)
        lower, upper = (a - half - m) / s, (a + half - m) / s
        at = [mp.npdf(lower - 0) if a >= -1 + half else 0, mp.npdf(upper) if a <= 1 - half else 0]
        by_m = (at[0] - at[1]) / s
        by_v = (at[0] * lower - at[1] * upper) / (2 * v)
        return by_m / mp.exp(log_mass), by_v / mp.exp(log_mass)

    expected = exact(slope, x, mean, variance)
    z = np.abs(x - mean) / np.sqrt(variance) + 1.0
    # The log mass changes by z a deviation, by z^2 / 2 a relative change of the variance.
    assert np.max(np.abs(by_mean - [float(e[0]) for e in expected]) * np.sqrt(variance) / z) < 1e-11
    assert np.max(np.abs(by_variance - [float(e[1]) for e in expected]) * variance / z**2) < 1e-11


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_gradients_of_kl_are_finite_and_exact(library: str) -> None:
    m_1, v_1 = np.asarray([0.3, -1.0, 2.0, 0.0]), np.asarray([1.0, 0.2, 1.0 + 1e-9, 1e-6])
    m_2, v_2 = np.asarray([0.3, 1.0, 2.5, 0.0]), np.asarray([1.0, 3.0, 1.0, 1e3])
    got = _gradients(library, kl, m_1, v_1, m_2, v_2)
    expected = [
        (m_1 - m_2) / v_2,
        0.5 * (1.0 / v_2 - 1.0 / v_1),
        (m_2 - m_1) / v_2,
        0.5 * (v_2 - v_1 - (m_1 - m_2) ** 2) / v_2**2,
    ]
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-12, atol=8 * EPS["float64"])


FUNCTIONS = [
    lambda x, m, v: log_density(x, m, v),
    lambda x, m, v: kl(x, v, m, 0.7),
    lambda x, m, v: log_ndtr(x),
    lambda x, m, v: discretised_log_likelihood(x, m, v),
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("library", "dtype"),
    [
        ("numpy", "float16"),
        ("torch", "float16"),
        ("torch", "bfloat16"),
        ("jax", "float16"),
        ("jax", "bfloat16"),
    ],
)
def test_half_precision_is_computed_in_float32(function: Any, library: str, dtype: str) -> None:
    xp = namespace_of(library)
    rng = np.random.default_rng(5)
    half = [
        xp.astype(make(xp, a, "float32"), getattr(xp, dtype))
        for a in (rng.uniform(-1, 1, 50), rng.normal(size=50), rng.uniform(0.1, 2.0, 50))
    ]
    got = function(*half)
    assert got.dtype == getattr(xp, dtype)
    wide = function(*(xp.astype(a, xp.float32) for a in half))
    np.testing.assert_array_equal(
        as_numpy(got).astype("float32"), as_numpy(xp.astype(wide, got.dtype)).astype("float32")
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_under_jit_and_compile(function: Any) -> None:
    x, mean, variance = bins("float64", 64, seed=6)
    eager = function(x, mean, variance)
    jax, torch = importlib.import_module("jax"), importlib.import_module("torch")
    jitted = jax.jit(function)(*(make(namespace_of("jax"), a) for a in (x, mean, variance)))
    np.testing.assert_allclose(np.asarray(jitted), eager, rtol=1e-10, atol=1e-300)
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    got = compiled(*(torch.as_tensor(a) for a in (x, mean, variance)))
    np.testing.assert_allclose(got.numpy(), eager, rtol=1e-10, atol=1e-300)
    torch._dynamo.reset()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_off_the_default_device(function: Any) -> None:
    torch = importlib.import_module("torch")
    got = function(*(torch.empty((2, 3), device="meta") for _ in range(3)))
    assert got.device.type == "meta"
    assert got.shape == (2, 3)


def test_numbers_stand_for_arrays_and_shapes_broadcast(xp: Any) -> None:
    x = make(xp, np.linspace(-1.0, 1.0, 24).reshape(2, 3, 4), "float32")
    number, column = 0.25, make(xp, np.full((2, 1, 1), 0.25), "float32")
    for function in (log_density, discretised_log_likelihood):
        got = function(x, 0.5, number)
        same = function(x, make(xp, np.full((2, 1, 1), 0.5), "float32"), column)
        assert got.shape == same.shape == (2, 3, 4)
        assert got.dtype == same.dtype == xp.float32
        np.testing.assert_array_equal(as_numpy(got), as_numpy(same))
    got = kl(0.0, 1.0, x, number)
    np.testing.assert_array_equal(as_numpy(got), as_numpy(kl(0.0, 1.0, x, column)))


@given(
    st.integers(0, 255),
    st.floats(-2.0, 2.0),
    st.floats(-3.0, 1.0),
    st.sampled_from(["numpy", "array_api_strict"]),
    st.sampled_from(FLOATS),
)
def test_a_bin_holds_the_integral_of_the_density(
    level: int, mean: float, log_deviation: float, library: str, dtype: str
) -> None:
    xp, deviation = namespace_of(library), 10.0**log_deviation
    x = np.asarray([-1.0 + 2.0 * level / 255.0])
    got = as_numpy(discretised_log_likelihood(make(xp, x, dtype), mean, deviation**2))[0]
    lower = x[0] - 1.0 / 255.0 if level > 0 else -math.inf
    upper = x[0] + 1.0 / 255.0 if level < 255 else math.inf
    # 60 panels from the point nearest to the mean to where the density has died away.
    nearest = min(max(mean, lower), upper)
    reach = 40.0 * deviation / max(abs(nearest - mean) / deviation, 1.0)
    ends = np.linspace(max(lower, nearest - reach), min(upper, nearest + reach), 61)
    z, w = np.polynomial.legendre.leggauss(20)
    radius = 0.5 * (ends[1] - ends[0])
    grid = (ends[:-1, None] + radius * (1.0 + z)).ravel()
    log_p = log_density(grid, mean, deviation**2) + np.log(np.tile(radius * w, 60))
    expected = scipy.special.logsumexp(log_p)
    sensitivity = (abs(x[0] - mean) / deviation + 1.0) ** 2 + 1.0 / deviation
    assert got == pytest.approx(expected, abs=16 * EPS[dtype] * sensitivity + 1e-12 * sensitivity)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: log_density(x, 0.0, 0.0), ValueError, "variance must be positive"),
        (lambda x: log_density(x, 0.0, -1.0), ValueError, "variance must be positive"),
        (lambda x: kl(x, 1.0, 0.0, math.inf), ValueError, "variance_2 must be positive"),
        (lambda x: kl(0.0, 1.0, 0.0, 1.0), TypeError, "must be an array"),
        (lambda x: log_ndtr(0.5), TypeError, "x must be an array"),
        (lambda x: log_ndtr(np.arange(3)), TypeError, "x must be a real floating-point"),
        (lambda x: log_density(x, x.astype("float32"), 1.0), TypeError, "mean must have the dtype"),
        (lambda x: discretised_log_likelihood(x, x, 1.0, bin_width=0.0), ValueError, "bin_width"),
        (lambda x: discretised_log_likelihood(x, x, 1.0, low=1.0), ValueError, "high must be"),
        (lambda x: discretised_log_likelihood(x, x, 1.0, low="a"), TypeError, "low must be a num"),
        (lambda x: discretised_log_likelihood(x, x, 1.0, high=None), TypeError, "high must be a n"),
        (lambda x: discretised_log_likelihood(x, x, 1.0, "a"), TypeError, "bin_width must be a n"),
    ],
)
def test_errors_name_the_argument(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.zeros(3))


@pytest.mark.parametrize("library", ["jax", "dask"])
def test_arrays_of_two_libraries_are_named(library: str) -> None:
    """Of those whose dtypes are NumPy's own, which a comparison of dtypes lets through."""
    x, other = np.zeros(3), make(namespace_of(library), np.ones(3))
    for call, name in (
        (lambda: log_density(x, other, 1.0), "mean"),
        (lambda: discretised_log_likelihood(x, 0.0, other), "variance"),
    ):
        with pytest.raises(TypeError, match=f"{name} must be an array of x's library, numpy"):
            call()
    with pytest.raises(TypeError, match="variance_1 must be an array of mean_1's library"):
        kl(x, other, 0.0, 1.0)
