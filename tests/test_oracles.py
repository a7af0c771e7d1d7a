"""Exact denoisers against Bayes' rule by quadrature, Tweedie's formula and each other."""

from itertools import pairwise

import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from scipy import integrate, stats
from strategies import normal

from diffcore import oracles, process, schedules

SCHEDULES = {
    "linear": (schedules.linear(), 300),
    "flow": (schedules.flow(), 0.4),
    "edm": (schedules.edm(), 1.5),
    "sub_vp": (schedules.sub_vp(), 0.3),
}
WEIGHTS, MEANS, VARIANCES = [0.3, 0.7], np.array([[-1.0], [0.5]]), np.array([[0.04], [0.2]])
X = np.ones((3, 2))


def posterior_mean(density, schedule, t, x_t):
    """E[x_0 | x_t] by quadrature of x_0 p(x_0) N(x_t; alpha x_0, sigma^2)."""
    alpha, sigma = schedule(t)

    def weight(x_0):
        return density(x_0) * stats.norm.pdf(x_t, alpha * x_0, sigma)

    points = [-1.0, 0.5, x_t / alpha]
    top = integrate.quad(lambda x: x * weight(x), -12, 12, points=points, limit=400)[0]
    return top / integrate.quad(weight, -12, 12, points=points, limit=400)[0]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("x_t", [-1.3, 0.1, 2.0])
def test_denoisers_are_bayes_rule(name, x_t):
    schedule, t = SCHEDULES[name]
    x = np.array([[x_t]])
    cases = [
        (
            lambda v: stats.norm.pdf(v, 0.2, 0.7),
            oracles.gaussian(schedule, 0.2, 0.49),
        ),
        (
            lambda v: sum(
                w * stats.norm.pdf(v, m[0], np.sqrt(s[0]))
                for w, m, s in zip(WEIGHTS, MEANS, VARIANCES, strict=True)
            ),
            oracles.mixture(schedule, WEIGHTS, MEANS, VARIANCES),
        ),
    ]
    for density, denoise in cases:
        wanted = posterior_mean(density, schedule, t, x_t)
        assert denoise(x, t)[0, 0] == pytest.approx(wanted, rel=1e-8)
    # A denoiser of the wrong variance is told apart.
    assert oracles.gaussian(schedule, 0.2, 0.5)(x, t)[0, 0] != pytest.approx(
        posterior_mean(cases[0][0], schedule, t, x_t), rel=1e-5
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_mixture_obeys_tweedies_formula(name):
    """E[x_0 | x_t] = (x_t + sigma^2 grad log p_t(x_t)) / alpha, the gradient by autograd."""
    torch = pytest.importorskip("torch")
    schedule, t = SCHEDULES[name]
    alpha, sigma = schedule(t)
    rng = np.random.default_rng(0)
    weights = [0.2, 0.5, 0.3]
    means, variances = rng.normal(size=(3, 2, 2)), rng.uniform(0.01, 0.5, size=(3, 2, 2))
    x = torch.tensor(rng.normal(size=(6, 2, 2)), requires_grad=True)
    total = torch.tensor(alpha**2 * variances + sigma**2)
    log_each = -0.5 * ((x[:, None] - alpha * torch.tensor(means)) ** 2 / total + total.log())
    log_w = torch.tensor(weights, dtype=torch.float64).log()
    log_p = torch.logsumexp(log_w + log_each.sum((2, 3)), dim=1)
    (score,) = torch.autograd.grad(log_p.sum(), x)
    wanted = (x + sigma**2 * score) / alpha
    got = oracles.mixture(schedule, weights, means, variances)(x.detach(), t)
    np.testing.assert_allclose(got.numpy(), wanted.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_special_cases_agree():
    schedule, t = SCHEDULES["linear"]
    x = normal(0, (3, 2))[0]
    one = oracles.mixture(schedule, [1.0], np.full((1, 2), 0.2), 0.49)
    np.testing.assert_allclose(one(x, t), oracles.gaussian(schedule, 0.2, 0.49)(x, t), rtol=1e-14)
    mass = oracles.point_mass(schedule, 0.3)(x, t)
    np.testing.assert_array_equal(mass, np.full((3, 2), 0.3))
    np.testing.assert_allclose(oracles.gaussian(schedule, 0.3, 0.0)(x, t), mass, rtol=1e-15)
    data = normal(1, (5, 2))[0]
    distances = ((x[:, None] - schedule(t).alpha * data) ** 2).sum(-1)
    weights = np.exp(-0.5 * distances / schedule(t).sigma ** 2)
    wanted = (weights @ data) / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(oracles.empirical(schedule, data)(x, t), wanted, rtol=1e-12)


def test_end_points():
    x = normal(0, (3, 2))[0]
    zero = schedules.zero_terminal_snr(schedules.linear())
    gaussian = oracles.gaussian(zero, 0.2, 0.49)
    np.testing.assert_array_equal(gaussian(x, 0), x)
    np.testing.assert_allclose(gaussian(x, 1000), np.full((3, 2), 0.2), rtol=1e-15)
    mixture = oracles.mixture(zero, WEIGHTS, MEANS, VARIANCES)
    np.testing.assert_allclose(mixture(x[:, :1], 1000), np.full((3, 1), 0.05), rtol=1e-14)
    np.testing.assert_allclose(mixture(x[:, :1], 0), x[:, :1], rtol=1e-14)
    # Far out in the tails the weights neither overflow nor vanish.
    assert np.all(np.isfinite(mixture(1e3 * np.ones((1, 1)), 10)))
    near = oracles.empirical(zero, np.array([[0.0], [1.0]]))(np.array([[0.99]]), 1)
    np.testing.assert_allclose(near, [[1.0]], rtol=1e-12)


def rk4(schedule, denoise, x, t, s, steps=400):
    """The probability flow dx/dt integrated in the variable sigma / alpha, in which it is
    d(x / alpha) / d(sigma / alpha) = eps."""

    def slope(y, rho):
        time = times_of(rho)
        alpha, sigma = schedule(time)
        x_t = alpha * y
        return (x_t - alpha * denoise(x_t, time)) / sigma

    def times_of(rho):
        return rho / (1.0 + rho)

    start, end = schedule(t), schedule(s)
    grid = np.linspace(start.sigma / start.alpha, end.sigma / end.alpha, steps + 1)
    y = x / start.alpha
    for rho, after in pairwise(grid):
        h = after - rho
        k1 = slope(y, rho)
        k2 = slope(y + h / 2 * k1, rho + h / 2)
        k3 = slope(y + h / 2 * k2, rho + h / 2)
        k4 = slope(y + h * k3, after)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return end.alpha * y


def test_the_exact_flow_is_what_the_ode_does():
    schedule = schedules.flow()
    x = normal(0, (4, 2))[0]
    denoise = oracles.gaussian(schedule, 0.2, 0.49)
    wanted = rk4(schedule, denoise, x, 0.7, 0.2)
    got = oracles.gaussian_flow(schedule, 0.2, 0.49, x, 0.7, 0.2)
    np.testing.assert_allclose(got, wanted, rtol=1e-8)
    back = oracles.gaussian_flow(schedule, 0.2, 0.49, got, 0.2, 0.7)
    np.testing.assert_allclose(back, x, rtol=1e-14)
    wrong = oracles.gaussian_flow(schedule, 0.2, 0.55, x, 0.7, 0.2)
    assert np.max(np.abs(wrong - wanted)) > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_library(xp, dtype):
    schedule, t = SCHEDULES["linear"]
    host = normal(0, (3, 2, 2))[0]
    x = make(xp, host, dtype)
    rng = np.random.default_rng(1)
    means = rng.normal(size=(4, 2, 2))
    variance = make(xp, np.full((2, 2), 0.3), dtype)
    cases = [
        (oracles.gaussian(schedule, 0.1, variance), oracles.gaussian(schedule, 0.1, 0.3)),
        (oracles.mixture(schedule, [0.25] * 4, means, 0.1),) * 2,
        (oracles.empirical(schedule, means),) * 2,
        (oracles.point_mass(schedule, 0.3),) * 2,
    ]
    times = make(xp, [10, 300, 900], "int64")
    for denoise, reference in cases:
        got = denoise(x, t)
        assert got.dtype == getattr(xp, dtype)
        rtol = 200 * np.finfo(dtype).eps
        np.testing.assert_allclose(as_numpy(got), reference(host, t), rtol=rtol, atol=rtol)
        batch = as_numpy(denoise(x, times))
        for row, time in enumerate((10, 300, 900)):
            alone = reference(host[row : row + 1], time)[0]
            tolerance = 1000 * rtol if dtype == "float32" else 100 * rtol
            np.testing.assert_allclose(batch[row], alone, rtol=tolerance, atol=tolerance)


def test_oracles_sample_their_own_law():
    """The posterior mean's second moment is what the law of total variance says."""
    schedule, t = SCHEDULES["linear"]
    alpha, sigma = schedule(t)
    rng = np.random.default_rng(0)
    x_0 = 0.2 + 0.7 * rng.standard_normal((200_000, 1))
    x_t = process.q_sample(schedule, x_0, t, rng.standard_normal(x_0.shape))
    explained = np.var(oracles.gaussian(schedule, 0.2, 0.49)(x_t, t))
    left = 0.49 * sigma**2 / (alpha**2 * 0.49 + sigma**2)
    # sqrt(2 / n) = 0.0032 relative.
    assert explained == pytest.approx(0.49 - left, rel=5 * 0.0032)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s: oracles.gaussian(s, 0.0, -1.0),
            "variance must be non-negative and finite, got -1",
        ),
        (lambda s: oracles.mixture(s, [0.5, 0.6], MEANS, 0.1), "weights must be positive"),
        (lambda s: oracles.mixture(s, [0.5, 0.5], np.ones(2), 0.1), r"means must have shape \(2"),
        (
            lambda s: oracles.mixture(s, WEIGHTS, MEANS, -0.1),
            "variances must be non-negative and finite",
        ),
        (lambda s: oracles.empirical(s, np.ones(3)), r"data must have shape \(n"),
        (
            lambda s: oracles.empirical(s, np.ones((3, 2)))(np.ones((1, 3)), 5),
            "x_t must have shape",
        ),
        (lambda s: oracles.gaussian(s, 0.0, np.inf), "variance must be non-negative and finite"),
        (lambda s: oracles.gaussian(s, 0.0, [1.0, np.nan]), "variance must be non-negative and"),
        (lambda s: oracles.mixture(s, [0.5, np.nan], MEANS, 0.1), "weights must be positive"),
        (lambda s: oracles.mixture(s, WEIGHTS, MEANS, np.ones(3)), "variances must broadcast"),
        (lambda s: oracles.gaussian(s, 0.0, 0.0)(X, 0), "t must have sigma > 0 where the variance"),
        (lambda s: oracles.gaussian(s, 0.0, [0.0, 1.0])(X, 0), "t must have sigma > 0 where the"),
        (lambda s: oracles.gaussian_flow(s, 0.0, 0.0, X, 0, 9), "t must have sigma > 0 where the"),
        (lambda s: oracles.empirical(s, X)(X, 0), "t must have sigma > 0 where the variance is 0"),
        (lambda s: oracles.gaussian(s, np.ones(3), 1.0)(X, 5), "mean must broadcast against x_t"),
        (lambda s: oracles.gaussian(s, np.ones((4, 2)), 1.0)(X, 5), "mean must broadcast against"),
        (lambda s: oracles.point_mass(s, np.ones((1, 1, 2)))(X, 5), "x_0 must broadcast against"),
        (lambda s: oracles.gaussian(s, 0.0, 1.0)(X, np.array([5, 6])), "t must be a number or"),
        (lambda s: oracles.gaussian_flow(s, 0.0, 1.0, X, 5, np.array([5, 6])), "s must be a num"),
        (lambda s: oracles.mixture(s, WEIGHTS, MEANS, 0.1)(X[:, :1], np.ones((3, 1), int)), "t mu"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(schedules.linear())


@pytest.mark.parametrize(
    "call",
    [
        lambda: oracles.point_mass(None, 1.0),
        lambda: oracles.gaussian("linear", 0.0, 1.0),
        lambda: oracles.empirical(schedules.linear, X),
        lambda: oracles.gaussian_flow(None, 0.0, 1.0, X, 5, 3),
    ],
)
def test_what_is_no_schedule_is_named(call):
    with pytest.raises(TypeError, match="schedule must be a schedule or its tables, got"):
        call()


@pytest.mark.parametrize("real", [np.float64, np.float32])
def test_numpys_numbers_leave_the_dtype(real):
    schedule, x = schedules.linear(), np.ones((2, 3), dtype="float32")
    half = real(0.5)
    for got in (
        oracles.point_mass(schedule, half)(x, 5),
        oracles.gaussian(schedule, half, half)(x, 5),
        oracles.gaussian(schedule, half, half)(x, np.array([5, 6])),
        oracles.gaussian_flow(schedule, half, half, x, 5, 3),
    ):
        assert got.dtype == np.float32


@pytest.mark.parametrize(
    ("library", "dtype"), [("torch", "float16"), ("torch", "bfloat16"), ("jax", "float16")]
)
def test_half_precisions_are_computed_in_float32(library, dtype):
    """Near data sigma^2 and 1 / sigma^2 are out of float16's range, the answer is not."""
    xp = namespace_of(library)
    schedule = schedules.flow()
    t = xp.asarray(np.array([1e-4, 3e-3]))
    data = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 16))
    x = xp.asarray(data[:2], dtype=getattr(xp, dtype))
    cases = [
        lambda x, t: oracles.empirical(schedule, data)(x, t),
        lambda x, t: oracles.gaussian(schedule, 0.2, 0.0)(x, t),
        lambda x, t: oracles.gaussian_flow(schedule, 0.2, 1e-6, x, t, 2.0 * t),
    ]
    for case in cases:
        got = case(x, t)
        assert got.dtype == x.dtype
        host = as_numpy(x).astype(float)
        unit = float(xp.finfo(x.dtype).eps)
        wanted = case(host, as_numpy(t))
        np.testing.assert_allclose(as_numpy(got).astype(float), wanted, rtol=2 * unit, atol=1e-3)


def test_an_empty_batch_stays_empty(xp):
    x = make(xp, np.ones((0, 1)))
    for t in (5, make(xp, np.ones(0), "int64")):
        for denoise in (
            oracles.mixture(schedules.linear(), WEIGHTS, MEANS, VARIANCES),
            oracles.gaussian(schedules.linear(), 0.2, 0.5),
        ):
            assert as_numpy(denoise(x, t)).shape == (0, 1)
