"""The bound: its terms against their integrals, and their sum against the exact likelihood."""

import math
from functools import partial
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from estimates import LN_2, PREDICTIONS, compiled, output_for
from hypothesis import given
from hypothesis import strategies as st
from strategies import continuous_schedules, discrete_schedules, normal, seeds, shapes, timed

from diffcore import gaussians, losses, oracles, process, schedules
from diffcore.predictions import EPS, X_0, Edm, V

EPSILON = np.finfo(np.float64).eps
DENSITY = gaussians.log_density
# Exact for the quadratics that the terms are, in the noise of x_t.
NODES, MASSES = np.polynomial.hermite_e.hermegauss(4)
MASSES = MASSES / math.sqrt(2.0 * math.pi)
TERMS = {"l_0": losses.l_0, "l_t": losses.l_t, "l_T": losses.l_T}


def bound(schedule, times, x_0, denoise, predicts, variance, prior_variance, **wrong):
    """E_q of the sum of terms along increasing `times` from 0, in nats, for a single number x_0."""
    l_0, l_t, l_T = ({**TERMS, **wrong}[name] for name in TERMS)
    data = np.full(NODES.shape, x_0)
    discrete = isinstance(schedule, schedules.DiscreteSchedule) and len(times) == schedule.T + 1
    terms = [l_T(schedule, data, times[-1], prior_variance)[0]]
    for s, t in pairwise(times):
        x_t = process.q_sample(schedule, data, t, NODES)
        output = output_for(predicts, schedule, denoise(x_t, t), x_t, t)
        term = l_t if s > 0 else partial(l_0, likelihood=DENSITY)
        step = {} if discrete else {"s": s}
        values = term(schedule, predicts, output, data, x_t, t, variance=variance(t, s), **step)
        terms.append(values @ MASSES)
    return math.fsum(terms) * LN_2


def matched_variance(schedule, data_variance):
    """Var(x_s | x_t) for Gaussian data: the posterior's, and what x_0 is still uncertain by."""

    def variance(t, s):
        alpha, sigma = schedule(t)
        at_x_0, _, small = process.posterior(schedule, t, s)
        unknown = data_variance * sigma**2 / (alpha**2 * data_variance + sigma**2)
        return small + at_x_0**2 * unknown

    return variance


def exact_bound(case, spread, x_0, predicts, **wrong):
    """The bound for x_0 ~ N(0, spread) with the exact denoiser and -log p(x_0), in nats."""
    schedule, times = case
    alpha, sigma = schedule(times[-1])
    total = bound(
        schedule,
        times,
        x_0,
        oracles.gaussian(schedule, 0.0, spread),
        predicts,
        matched_variance(schedule, spread),
        alpha**2 * spread + sigma**2,
        **wrong,
    )
    return total, 0.5 * (x_0**2 / spread + math.log(2.0 * math.pi * spread))


@st.composite
def chains(draw):
    """(schedule, all times of a chain that starts at data)."""
    if draw(st.booleans()):
        schedule = draw(discrete_schedules(max_T=12))
        return schedule, list(range(schedule.T + 1))
    kinds = continuous_schedules().filter(lambda schedule: schedule(0.0).sigma == 0.0)
    schedule = draw(kinds)
    parts = sorted(draw(st.sets(st.integers(1, 99), min_size=2, max_size=8)))
    return schedule, [0.0, *(schedule.curve.t_max * p / 100 for p in parts)]


@given(
    chains(),
    st.floats(0.01, 20.0),
    st.floats(-3.0, 3.0),
    st.sampled_from([X_0, V, Edm(0.5), EPS]),
)
def test_the_terms_telescope_to_the_exact_likelihood(case, spread, x_0, predicts):
    schedule, times = case
    if predicts is EPS and schedule(times[-1]).alpha == 0.0:
        return
    total, exact = exact_bound(case, spread, x_0, predicts)
    # Terms are log ratios of variances, and offsets of x_0 over the first standard deviation.
    log_snr = schedule.log_snr_at(times[1])
    size = 1e3 * (1.0 + abs(log_snr)) * (1.0 + x_0**2 + x_0**2 / spread)
    if predicts is EPS:
        size *= 1.0 + 1.0 / schedule(times[-1]).alpha
    assert abs(total - exact) <= EPSILON * len(times) * size * (1.0 + math.exp(log_snr / 2))


def reversed_kl(schedule, predicts, output, x_0, x_t, t, s=None, variance=None):
    mean, small = process.q_posterior(schedule, x_0, x_t, t, s)
    guess = predicts.x_0(schedule, output, x_t, t)
    model = process.q_posterior(schedule, guess, x_t, t, s).mean
    return gaussians.kl(model, variance, mean, small) / LN_2


def in_nats(*args, **kwargs):
    return losses.l_t(*args, **kwargs) * LN_2


def a_step_off(schedule, predicts, output, x_0, x_t, t, s=None, variance=None):
    return losses.l_t(schedule, predicts, output, x_0, x_t, min(t + 1, schedule.T), s, variance)


def with_the_small_variance(schedule, predicts, output, x_0, x_t, t, s=None, variance=None):
    return losses.l_t(schedule, predicts, output, x_0, x_t, t, s, "small")


WRONG = {
    "KL reversed": {"l_t": reversed_kl},
    "log 2 missing": {"l_t": in_nats},
    "off by one time": {"l_t": a_step_off},
    "another variance": {"l_t": with_the_small_variance},
    "prior against N(0, 1)": {"l_T": lambda schedule, x_0, t, _: losses.l_T(schedule, x_0, t)},
    "no prior term": {"l_T": lambda schedule, x_0, t, _: 0.0 * x_0},
    "a bin for a density": {
        "l_0": lambda *a, likelihood, **k: losses.l_0(
            *a, **k, likelihood=gaussians.discretised_log_likelihood
        )
    },
}


@pytest.mark.parametrize("name", WRONG)
def test_telescoping_rejects(name):
    case = schedules.linear(8, 0.02, 0.4), list(range(9))
    right, exact = exact_bound(case, 0.3, 0.7, X_0)
    assert abs(right - exact) < 1e-12
    wrong, _ = exact_bound(case, 0.3, 0.7, X_0, **WRONG[name])
    assert abs(wrong - exact) > 1e-3


@given(discrete_schedules(max_T=12), st.floats(-2.0, 2.0))
def test_the_large_variance_is_exact_for_standard_normal_data(schedule, x_0):
    """Ho et al. 2020, section 3.2: no variance and no prior need be given."""
    denoise = oracles.gaussian(schedule, 0.0, 1.0)
    times = list(range(schedule.T + 1))
    total = bound(schedule, times, x_0, denoise, X_0, lambda t, s: "large", None)
    exact = 0.5 * (x_0**2 + math.log(2.0 * math.pi))
    first = schedule.sigma[1]
    assert abs(total - exact) <= 1e3 * EPSILON * len(times) * (1.0 + x_0**2) / first


def test_the_bound_of_an_inexact_variance_is_looser_on_average():
    schedule = schedules.linear(6, 0.05, 0.5)
    denoise = oracles.gaussian(schedule, 0.0, 1.0)
    # The mean over x_0 ~ N(0, 1), again of a quadratic; the least it can be is the entropy.
    large, small = (
        MASSES
        @ [bound(schedule, range(7), x, denoise, V, lambda t, s, w=w: w, None) for x in NODES]
        for w in ("large", "small")
    )
    entropy = 0.5 * (1.0 + math.log(2.0 * math.pi))
    assert large == pytest.approx(entropy, rel=1e-13)
    assert small > entropy + 0.01


def joint_excess(schedule, gain, variance, x_0):
    """-log p(x_0) + KL(q(x_{1:T} | x_0) || p(x_{1:T} | x_0)) by dense matrices, in nats.

    The model: x_T ~ N(0, 1), estimate gain x_t. Its joint law and q's are Gaussian.
    """
    T = schedule.T
    model = np.zeros((T + 1, T + 1))  # Each x as a combination of independent unit normals.
    model[T, T] = 1.0
    for t in range(T, 0, -1):
        at_x_0, at_x_t, _ = process.posterior(schedule, t)
        model[t - 1] = (at_x_t + at_x_0 * gain) * model[t]
        model[t - 1, t - 1] = math.sqrt(variance(t))
    cov = model @ model.T
    row = cov[1:, 0] / cov[0, 0]
    model_mean, model_cov = row * x_0, cov[1:, 1:] - np.outer(row, cov[0, 1:])
    alpha, sigma = schedule.alpha[1:], schedule.sigma[1:]
    # Cov(x_s, x_t | x_0) = (alpha_t / alpha_s) sigma_s^2 for s < t.
    low, high = np.minimum.outer(*[np.arange(T)] * 2), np.maximum.outer(*[np.arange(T)] * 2)
    q_cov = alpha[high] / alpha[low] * sigma[low] ** 2
    offset = model_mean - alpha * x_0
    inverse = np.linalg.inv(model_cov)
    _, log_det = np.linalg.slogdet(inverse @ q_cov)
    kl = 0.5 * (np.trace(inverse @ q_cov) - T - log_det + offset @ inverse @ offset)
    nll = 0.5 * (x_0**2 / cov[0, 0] + math.log(2.0 * math.pi * cov[0, 0]))
    return nll + kl


@pytest.mark.parametrize("predicts", [EPS, X_0, V], ids=lambda p: p.name)
@pytest.mark.parametrize("which", ["small", "large"])
@pytest.mark.parametrize("gain", [0.3, 0.9])
def test_an_inexact_model_has_the_bound_of_its_joint_law(predicts, which, gain):
    schedule, x_0, times = schedules.linear(6, 0.05, 0.5), 0.8, list(range(7))
    total = bound(schedule, times, x_0, lambda x, t: gain * x, predicts, lambda t, s: which, 1.0)
    fixed = {
        "small": lambda t: math.exp(schedule.posterior_log_variance_clipped[t]),
        "large": lambda t: schedule.beta[t],
    }
    assert total == pytest.approx(joint_excess(schedule, gain, fixed[which], x_0), rel=1e-10)
    other = fixed["large" if which == "small" else "small"]
    assert abs(total - joint_excess(schedule, gain, other, x_0)) > 1e-3


@given(timed(count=2), shapes, seeds, st.sampled_from(PREDICTIONS))
def test_with_the_small_variance_a_term_is_the_fall_of_the_snr(case, shape, seed, predicts):
    """Kingma et al. 2021, eq. 13: L_s = (SNR_s - SNR_t) |x_0 - estimate|^2 / 2."""
    schedule, (s, t) = case
    alpha, sigma = schedule(t)
    if alpha == 0.0:
        return
    x_0, eps, guess = normal(seed, shape, 3)
    x_t = process.q_sample(schedule, x_0, t, eps)
    output = output_for(predicts, schedule, guess, x_t, t)
    got = losses.l_t(schedule, predicts, output, x_0, x_t, t, s)
    error = np.mean(np.reshape((x_0 - guess) ** 2, (shape[0], -1)), axis=1)
    snr = math.exp(schedule.log_snr_at(t))
    fall = snr * math.expm1(schedule.log_snr_gap(s, t))
    spread = 1e4 * (1.0 + alpha / sigma + sigma / alpha) ** 2
    np.testing.assert_allclose(got * LN_2, 0.5 * fall * error, rtol=EPSILON * spread)
    mu = losses.posterior_mean_kl(schedule, predicts, output, x_0, x_t, t, s=s)
    np.testing.assert_allclose(mu, got * LN_2, rtol=64 * EPSILON)


def terms_at(t, seed=0, shape=(3, 2)):
    schedule = schedules.linear(T=20)
    x_0, eps, output = normal(seed, shape, 3)
    return schedule, x_0, process.q_sample(schedule, x_0, t, eps), output


@pytest.mark.parametrize("variance", ["small", "large", 0.01])
def test_a_term_is_the_integral_of_the_log_ratio(variance):
    schedule, x_0, x_t, output = terms_at(7)
    got = losses.l_t(schedule, V, output, x_0, x_t, 7, variance=variance)
    mean, small = process.q_posterior(schedule, x_0, x_t, 7)
    guess = V.x_0(schedule, output, x_t, 7)
    model = process.q_posterior(schedule, guess, x_t, 7).mean
    value = {"small": small, "large": schedule.beta[7]}.get(variance, variance)
    # log q - log p is quadratic in x_s, so that a few nodes are exact.
    x_s = mean + np.sqrt(small) * NODES[:, None, None]
    log_q = -0.5 * ((x_s - mean) ** 2 / small + np.log(small))
    log_p = -0.5 * ((x_s - model) ** 2 / value + np.log(value))
    nats = np.tensordot(MASSES, log_q - log_p, axes=1)
    wanted = np.mean(nats, axis=1) / LN_2
    np.testing.assert_allclose(got, wanted, rtol=1e-11)
    assert not np.allclose(np.mean(nats, axis=0)[:1] / LN_2, wanted, rtol=0.01)
    explicit = losses.l_t(schedule, V, output, x_0, x_t, 7, variance=0.0 * x_0 + value)
    np.testing.assert_allclose(explicit, got, rtol=1e-12)


def test_l_0_is_the_mass_of_a_bin():
    schedule, _, x_t, output = terms_at(1, shape=(2, 3))
    x_0 = np.array([[-1.0, 3 / 255, 1.0], [127 / 255, -1 / 255, 1 / 255]])
    guess = x_0 + 0.02 * output
    got = losses.l_0(schedule, X_0, guess, x_0, x_t)
    deviation = mp.exp(mp.mpf(float(schedule.posterior_log_variance_clipped[2])) / 2)

    def log_mass(x, mean):
        low = -mp.inf if x == -1.0 else (mp.mpf(x) - mp.mpf(mean) - mp.mpf(1) / 255) / deviation
        high = mp.inf if x == 1.0 else (mp.mpf(x) - mp.mpf(mean) + mp.mpf(1) / 255) / deviation
        return mp.log(mp.ncdf(high) - mp.ncdf(low))

    def bits(x, mean):
        return [
            float(-sum(map(log_mass, *rows)) / 3 / mp.log(2)) for rows in zip(x, mean, strict=True)
        ]

    np.testing.assert_allclose(got, bits(x_0, guess), rtol=1e-9)
    assert not np.allclose(got, bits(x_0, -guess), rtol=0.1)
    wide = partial(gaussians.discretised_log_likelihood, bin_width=0.5)
    assert np.all(losses.l_0(schedule, X_0, guess, x_0, x_t, likelihood=wide) < got)
    beta = float(schedule.beta[1])
    large = losses.l_0(schedule, X_0, guess, x_0, x_t, variance="large", likelihood=DENSITY)
    nats = 0.5 * ((x_0 - guess) ** 2 / beta + math.log(2 * math.pi * beta))
    np.testing.assert_allclose(large, np.mean(nats, axis=1) / LN_2, rtol=1e-12)


def test_l_T_at_50_digits():
    schedule = schedules.linear()
    x_0 = np.array([[-1.0, 0.5], [0.0, 1.0]])
    bar = mp.mpf(float(schedule.alpha_bar[1000]))

    def kl(x, prior):
        variance = 1 - bar
        return (variance / prior - 1 + mp.log(prior / variance) + bar * x**2 / prior) / 2

    for prior in (None, 1.0, 4.0):
        got = losses.l_T(schedule, x_0, 1000, prior)
        exact = [float((kl(a, prior or 1) + kl(b, prior or 1)) / 2 / mp.log(2)) for a, b in x_0]
        np.testing.assert_allclose(got, exact, rtol=1e-9)
    exploding = losses.l_T(schedules.ve(), x_0, 1.0)
    np.testing.assert_allclose(exploding, losses.l_T(schedules.ve(), x_0, 1.0, 50.0**2 + 1.0))
    assert np.all(losses.l_T(schedules.zero_terminal_snr(schedule), x_0, 1000) == 0.0)


def test_the_mean_loss_is_the_weighted_error_of_eps():
    """Ho et al. 2020, eq. 12: beta^2 / (2 variance (1 - beta) (1 - alpha_bar)) |eps error|^2."""
    schedule = schedules.linear(T=50)
    x_0, eps, output = normal(5, (3, 4), 3)
    for t in (1, 2, 30, 50):
        x_t = process.q_sample(schedule, x_0, t, eps)
        beta, bar = schedule.beta[t], schedule.alpha_bar[t]
        error = np.mean((eps - output) ** 2, axis=1)
        # Improved DDPM's clipping: the variance at t = 1 is that of t = 2.
        for which, value in (("large", beta), ("small", schedule.posterior_variance[max(t, 2)])):
            got = losses.posterior_mean_kl(schedule, EPS, output, x_0, x_t, t, which)
            scale = beta**2 / (2 * value * (1 - beta) * (1 - bar))
            np.testing.assert_allclose(got, scale * error, rtol=1e-9)
            np.testing.assert_allclose(
                losses.posterior_mean_kl(schedule, EPS, output, x_0, x_t, t, float(value)), got
            )
        assert not np.allclose(got, scale * np.mean((eps - output) ** 2, axis=0)[:3], rtol=0.01)


@given(discrete_schedules(), shapes, seeds, st.sampled_from(["small", "large"]))
def test_each_sample_gets_its_own_term(schedule, shape, seed, variance):
    rng = np.random.default_rng(seed)
    t = rng.integers(1, 1 + min(3, schedule.T), size=shape[0])
    x_0, eps, output = normal(seed, shape, 3)
    x_t = process.q_sample(schedule, x_0, t, eps)
    got = losses.vlb_term(schedule, X_0, output, x_0, x_t, t, variance=variance)
    assert got.shape == shape[:1]
    for row, time in enumerate(t):
        alone = [a[row : row + 1] for a in (output, x_0, x_t)]
        right, other = (losses.l_0, losses.l_t) if time == 1 else (losses.l_t, losses.l_0)
        wanted = right(schedule, X_0, *alone, int(time), variance=variance)
        np.testing.assert_allclose(got[row], wanted[0], rtol=1e-9)
        number = losses.vlb_term(schedule, X_0, *alone, int(time), variance=variance)
        assert number == wanted
        with pytest.raises(ValueError, match="t must be"):
            other(schedule, X_0, *alone, int(time), variance=variance)


def test_a_variance_for_each_sample():
    """An array of shape (batch,) and one like the data; a number is every sample's."""
    schedule, x_0, x_t, output = terms_at(7)
    given_variances = np.array([0.01, 0.2, 3.0])
    for function in (losses.l_t, losses.posterior_mean_kl):
        each = function(schedule, V, output, x_0, x_t, 7, variance=given_variances)
        whole = given_variances[:, None] + 0.0 * x_0
        np.testing.assert_array_equal(
            function(schedule, V, output, x_0, x_t, 7, variance=whole), each
        )
        for row, value in enumerate(given_variances):
            number = function(schedule, V, output, x_0, x_t, 7, variance=float(value))
            np.testing.assert_allclose(each[row], number[row], rtol=16 * EPSILON)


def test_each_sample_may_step_to_a_time_of_its_own():
    schedule, x_0, x_t, output = terms_at(7)
    s = np.array([0, 3, 6])
    got = losses.vlb_term(schedule, V, output, x_0, x_t, 7, s, variance="large")
    for row, before in enumerate(s.tolist()):
        term = losses.l_0 if before == 0 else losses.l_t
        wanted = term(schedule, V, output, x_0, x_t, 7, before, variance="large")
        np.testing.assert_allclose(got[row], wanted[row], rtol=1e-12)


def test_numpys_numbers_are_numbers():
    schedule, x_0, x_t, output = terms_at(1)
    for function, t in ((losses.l_0, 1), (losses.l_t, 2), (losses.vlb_term, 1)):
        arguments = schedule, V, output, x_0, x_t
        for s in (None, np.int64(t - 1)):
            got = function(*arguments, np.int64(t), s)
            np.testing.assert_array_equal(
                got, function(*arguments, t, None if s is None else t - 1)
            )
    with pytest.raises(ValueError, match="t must be above 1"):
        losses.l_t(schedule, V, output, x_0, x_t, np.int64(1))


def test_the_last_step_as_an_array():
    schedule, x_0, x_t, output = terms_at(1)
    t = np.array([1, 2, 1])
    got = losses.l_t(schedule, X_0, output, x_0, x_t, t)
    assert list(np.isinf(got)) == [True, False, True]
    again = losses.l_t(schedule, X_0, output, x_0, x_t, t, t - 1)
    np.testing.assert_allclose(got, again, rtol=16 * EPSILON)
    flow = schedules.flow()
    term = losses.vlb_term(flow, X_0, output, x_0, x_t, 0.3, 0.0, likelihood=DENSITY)
    np.testing.assert_array_equal(
        term, losses.l_0(flow, X_0, output, x_0, x_t, 0.3, 0.0, likelihood=DENSITY)
    )
    # sigma_s = 0 with s given: both ends of the range are the transition's variance.
    assert losses.log_variances(flow, 0.3, x_0, 0.0) == pytest.approx(2 * (2 * math.log(0.3),))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_library(xp, dtype):
    schedule = schedules.linear(T=100)
    t = np.array([1, 2, 60, 100])
    host = [a.astype(dtype).astype("float64") for a in normal(3, (4, 2, 3), 3)]
    x_0, x_t, output = (make(xp, a, dtype) for a in host)
    times = make(xp, t, "int64")
    tolerance = {"float32": 2e-4, "float64": 1e-11}[dtype]
    source = schedule if dtype == "float64" else schedule.tables(x_0)
    for name, function in FUNCTIONS.items():
        got = function(source, output, x_0, x_t, times)
        assert got.dtype == getattr(xp, dtype)
        assert tuple(got.shape) == (4,)
        rows = [
            function(schedule, *(a[i : i + 1] for a in (host[2], *host[:2])), int(t[i]))[0]
            for i in range(4)
        ]
        np.testing.assert_allclose(as_numpy(got), rows, rtol=tolerance, err_msg=name)


def test_number_times_in_every_library(xp):
    schedule, x_0, x_t, output = terms_at(7)
    arrays = [make(xp, a) for a in (output, x_0, x_t)]
    for function, t in ((losses.l_t, 7), (losses.vlb_term, 7), (losses.l_0, 1)):
        got = function(schedule, V, *arrays, t)
        wanted = function(schedule, V, output, x_0, x_t, t)
        np.testing.assert_allclose(as_numpy(got), wanted, rtol=1e-12)


FUNCTIONS = {
    "vlb_term": lambda source, output, x_0, x_t, t: losses.vlb_term(source, V, output, x_0, x_t, t),
    "explicit": lambda source, output, x_0, x_t, t: losses.vlb_term(
        source, X_0, output, x_0, x_t, t, variance=0.5 + 0.0 * x_0
    ),
    "posterior_mean_kl": lambda source, output, x_0, x_t, t: losses.posterior_mean_kl(
        source, EPS, output, x_0, x_t, t, "large"
    ),
    "l_T": lambda source, output, x_0, x_t, t: losses.l_T(source, x_0, t, 1.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("library", "dtype"), [("torch", "bfloat16"), ("jax", "float16")])
def test_half_precision_is_computed_in_float32(name, library, dtype):
    xp = namespace_of(library)
    schedule, times = schedules.linear(T=100), make(xp, [1, 2, 60, 100], "int32")
    half = [xp.astype(make(xp, a, "float32"), getattr(xp, dtype)) for a in normal(4, (4, 5), 3)]
    got = FUNCTIONS[name](schedule, *half, times)
    wide = FUNCTIONS[name](schedule, *(xp.astype(a, xp.float32) for a in half), times)
    assert got.dtype == half[0].dtype
    np.testing.assert_array_equal(
        as_numpy(got).astype("float32"), as_numpy(xp.astype(wide, got.dtype)).astype("float32")
    )


def test_off_the_default_device():
    torch = pytest.importorskip("torch")
    schedule = schedules.linear()
    x = torch.empty((3, 4), device="meta")
    t = torch.empty((3,), dtype=torch.int64, device="meta")
    for function in FUNCTIONS.values():
        for time in (t, 500):
            got = function(schedule, x, x, x, time)
            assert got.device.type == "meta"
            assert got.shape == (3,)


def test_under_jit_and_compile():
    schedule = schedules.linear(T=100)
    t = np.array([1, 2, 60, 100])
    arrays = normal(3, (4, 3), 3)

    def every(t, output, x_0, x_t):
        term = losses.vlb_term(schedule, V, output, x_0, x_t, t, likelihood=DENSITY)
        mu = losses.posterior_mean_kl(schedule, EPS, output, x_0, x_t, t)
        return term + mu + losses.l_T(schedule, x_0, t)

    def at_a_number(output, x_0, x_t):
        tables = schedule.tables(x_0)
        return sum(f(tables, output, x_0, x_t, 60) for f in FUNCTIONS.values())

    for function, given_arrays in ((every, (t, *arrays)), (at_a_number, arrays)):
        for got in compiled(function, *given_arrays):
            np.testing.assert_allclose(got, function(*given_arrays), rtol=1e-10)


def test_bad_arguments_are_named():
    schedule, x_0, x_t, output = terms_at(7)
    for wrong, error, said in (
        ({"variance": "medium"}, ValueError, "variance must be 'small', 'large', a number"),
        ({"variance": -1.0}, ValueError, "variance must be positive and finite, got -1.0"),
        ({"variance": None}, ValueError, "variance must be 'small', 'large', a number or an array"),
        ({"variance": True}, ValueError, "variance must be 'small', 'large', a number or an array"),
        ({"variance": x_0[:1]}, ValueError, r"variance must have shape \(\d+,\) or .*, got \(1, "),
        ({"variance": np.ones(1, int)}, TypeError, "variance must be a real floating-point"),
        ({"predicts": "v"}, TypeError, "predicts must be a Prediction such as EPS, got 'v'"),
        ({"s": "6"}, TypeError, "s must be a number or an array, got '6'"),
        ({"s": np.array([6])}, ValueError, "s must be a number or have shape"),
        ({"t": np.array([7])}, ValueError, "t must be a number or have shape"),
        ({"output": output[:1]}, ValueError, "output must have the shape of x_0"),
        ({"x_t": x_t.astype("float32")}, TypeError, "x_t must have the dtype of x_0"),
        ({"t": 21}, ValueError, "t must be a whole time"),
        ({"t": 0}, ValueError, r"t must be in 1\.\.20"),
        ({"s": 8}, ValueError, "s must be below t"),
        ({"schedule": schedules.flow(), "t": 0.5}, ValueError, "s must be given"),
    ):
        arguments = {"schedule": schedule, "predicts": V, "output": output, "x_0": x_0}
        arguments |= {"x_t": x_t, "t": 7} | wrong
        with pytest.raises(error, match=said):
            losses.l_t(**arguments)
    for variance in (0.0, -1.0):
        with pytest.raises(ValueError, match="variance must be positive and finite"):
            losses.posterior_mean_kl(schedule, V, output, x_0, x_t, 7, variance)
    with pytest.raises(ValueError, match=r"prior_variance must be positive and finite, got 0\.0"):
        losses.l_T(schedule, x_0, 20, 0.0)
    with pytest.raises(ValueError, match="t must be a number or have shape"):
        losses.l_T(schedule, x_0, np.array([20]))
    with pytest.raises(TypeError, match="likelihood must be callable, got 'normal'"):
        losses.l_0(schedule, V, output, x_0, x_t, likelihood="normal")
    with pytest.raises(TypeError, match="s must be a number or an array, got 'a'"):
        losses.log_variances(schedule, 7, x_0, "a")
    with pytest.raises(ValueError, match="s must be a number or have shape"):
        losses.log_variances(schedule, 7, x_0, np.array([6]))
    with pytest.raises(ValueError, match="t must be a number or have shape"):
        losses.learned_variance(schedule, x_0, np.array([7]))
    zero = schedules.zero_terminal_snr(schedule)
    with pytest.raises(ValueError, match="x_0 is not defined by a prediction of eps at t = 20"):
        losses.l_t(zero, EPS, output, x_0, x_t, 20)
