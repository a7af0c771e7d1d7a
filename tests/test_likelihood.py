"""The bound is the data's entropy where nothing is lost; the flow's density is the exact one."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import as_numpy, make, namespace_of

from diffcore import likelihood, losses, noise, oracles, process, samplers, schedules, times
from diffcore.adaptive import dpm_adaptive
from diffcore.gaussians import discretised_log_likelihood, log_density
from diffcore.likelihood import (
    bits_per_dimension,
    exact_divergence,
    flow_log_likelihood,
    hutchinson,
    rademacher,
    solved_log_likelihood,
    variational_bound,
)
from diffcore.plan import Denoised, Plan, stack
from diffcore.samplers.dpm_solver import dpm_solver
from diffcore.samplers.dpm_solver_pp import dpm_solver_pp
from diffcore.samplers.runge_kutta import runge_kutta
from diffcore.samplers.unipc import unipc
from diffcore_torch.divergence import through as pullback

EPS = float(np.finfo(np.float64).eps)

# The bound. A term is a quadratic in x_0 and eps, which the four pairs of signs average exactly.

SIGNS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])


def entropy(variance):
    """Of N(0, variance), in bits."""
    return 0.5 * math.log2(2.0 * math.pi * math.e * variance)


def signs(like, step):
    return SIGNS[:, 1:]


def exact_variance(schedule, variance, t):
    """Of x_{t-1} given x_t, for data N(0, variance): the posterior's, and what x_0 adds to it."""
    (alpha, sigma), (at_x_0, _, small) = schedule(t), process.posterior(schedule, t)
    return small + at_x_0**2 * variance * sigma**2 / (alpha**2 * variance + sigma**2)


def exact(schedule, variance):
    """The denoiser of N(0, variance), with that variance as a share of its range."""
    mean = oracles.gaussian(schedule, 0.0, variance)

    def denoise(x_t, t):
        low, high = losses.log_variances(schedule, t, x_t)
        share = (math.log(exact_variance(schedule, variance, t)) - low) / (high - low)
        return Denoised(mean(x_t, t), np.full_like(x_t, share))

    return denoise


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.cosine(12),
        schedules.linear(40, 1e-3, 0.3),
        schedules.zero_terminal_snr(schedules.linear(7, 0.05, 0.5)),
        schedules.respace(schedules.cosine(100), [3, 20, 50, 99]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("variance", [0.09, 2.0])
def test_with_the_exact_reverse_process_the_bound_is_the_entropy(schedule, variance):
    """Whatever the schedule and the number of its steps."""
    x_0 = math.sqrt(variance) * SIGNS[:, :1]
    alpha, sigma = schedule(schedule.T)
    bound = variational_bound(
        schedule,
        exact(schedule, variance),
        x_0,
        signs,
        likelihood=log_density,
        prior_variance=alpha**2 * variance + sigma**2,
    )
    assert bound.terms.shape == (schedule.T, 4)
    got = np.mean(bound.total)
    assert got == pytest.approx(entropy(variance), abs=64 * schedule.T * EPS)
    # Each KL is that of two variances, on average over x_0 and eps.
    for k, t in enumerate(range(schedule.T, 1, -1)):
        ratio = exact_variance(schedule, variance, t) / process.posterior(schedule, t).variance
        assert np.mean(bound.terms[k]) == pytest.approx(0.5 * math.log2(ratio), rel=1e-9, abs=1e-14)
    # With the prior N(0, 1), or without L_T, or with a fixed variance, it is not.
    plain = variational_bound(
        schedule, oracles.gaussian(schedule, 0.0, variance), x_0, signs, likelihood=log_density
    )
    assert np.mean(plain.total) > got + 1e-3
    assert np.mean(np.sum(bound.terms, axis=0)) < got or alpha == 0.0


@pytest.mark.parametrize(
    "schedule", [schedules.cosine_continuous(), schedules.vp_linear()], ids=["cosine", "vp"]
)
def test_continuous_times(schedule):
    """For unit variance the large variance is the exact one."""
    x_0 = SIGNS[:, :1]
    denoise = oracles.gaussian(schedule, 0.0, 1.0)
    grid = (1.0, 0.8, 0.5, 0.1, 0.0)
    bound = partial(variational_bound, schedule, denoise, x_0, signs, likelihood=log_density)
    total = np.mean(bound(times=grid, variance="large").total)
    assert total == pytest.approx(entropy(1.0), abs=64 * EPS)
    assert np.mean(bound(times=grid).total) > total + 0.1


def test_coins_cost_a_bit_and_a_little():
    """The discretised bound is above the entropy, and close to it with many steps."""
    schedule = schedules.linear()
    x_0 = np.where(noise.portable(0)(np.zeros((400, 1)), 0) < 0, -1.0, 1.0)
    bound = partial(variational_bound, schedule, x_0=x_0, noise=noise.portable(1))
    denoise = oracles.empirical(schedule, [[-1.0], [1.0]])
    two_levels = partial(discretised_log_likelihood, bin_width=2.0)
    total = bound(denoise, likelihood=two_levels).total
    error = np.std(total) / 20.0
    assert 1.0 - 4.0 * error < np.mean(total) < 1.05 + 4.0 * error
    assert error < 0.02
    # The state at t = 1 is noisier than 256 levels are apart: about half a bit is lost there.
    assert 1.4 < np.mean(bound(denoise).total) < 1.6
    wrong = oracles.gaussian(schedule, 0.0, 1.0)
    assert np.mean(bound(wrong, likelihood=two_levels).total) > 2.0


def test_each_term_draws_its_own_noise():
    schedule = schedules.cosine(6)
    x_0 = noise.portable(0)(np.zeros((3, 2, 2)), 0)
    denoise = oracles.gaussian(schedule, 0.2, 0.3)
    bound = variational_bound(schedule, denoise, x_0, noise.portable(1))
    for k, t in enumerate(range(6, 0, -1)):
        x_t = process.q_sample(schedule, x_0, t, noise.portable(1)(x_0, k))
        term = losses.vlb_term(schedule, likelihood.X_0, denoise(x_t, t), x_0, x_t, t)
        np.testing.assert_array_equal(bound.terms[k], term)
    assert not np.array_equal(bound.terms[0], bound.terms[1])
    np.testing.assert_allclose(
        bound.total, bound.prior + sum(bound.terms[k] for k in range(6)), rtol=8 * EPS
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_library_gives_the_same_bound(xp, dtype):
    schedule = schedules.cosine(8)
    host = 0.5 * noise.portable(0)(np.zeros((4, 3)), 0)
    denoise = oracles.gaussian(schedule, 0.1, 0.25)
    wanted = variational_bound(schedule, denoise, host, noise.portable(1)).total
    x_0 = make(xp, host, dtype)
    got = variational_bound(schedule, denoise, x_0, noise.portable(1)).total
    assert got.dtype == x_0.dtype
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(as_numpy(got), wanted, rtol=1000 * eps)


# The flow.

MEAN, VARIANCE = np.array([0.3, -0.5, 0.1]), np.array([0.2, 0.5, 0.04])
CASES = {
    "vp_linear": (schedules.vp_linear(), 0.02, 0.9),
    "cosine_continuous": (schedules.cosine_continuous(), 0.03, 1.0),
    "edm": (schedules.edm(), 0.05, 20.0),
    "flow": (schedules.flow(), 0.03, 1.0),
}
"""Schedules, the data's time and that of the noise, alpha = 0 among them."""


def even(schedule, first, last, n):
    """n steps between two times, even in log SNR; from alpha = 0 on, even but for one step."""
    ends = [max(schedule.log_snr_at(t), -6.0) for t in (first, last)]
    inner = [schedule.time_at(float(v)) for v in np.linspace(*ends, n + 1)[1:-1]]
    return [first, *inner, last]


def gaussian_log_density(schedule, t, x):
    alpha, sigma = schedule(t)
    return log_density(x, alpha * MEAN, alpha**2 * VARIANCE + sigma**2).sum(axis=1)


def gaussian_divergence(schedule):
    """In closed form; the trace of alpha V / (alpha^2 V + sigma^2)."""
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)

    def divergence(x, t):
        alpha, sigma = schedule(t)
        trace = np.sum(alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2))
        return denoise(x, t), np.full(len(x), trace)

    return divergence


def draws(schedule, t, n=5):
    alpha, sigma = schedule(t)
    spread = np.sqrt(alpha**2 * VARIANCE + sigma**2)
    return alpha * MEAN + spread * np.random.default_rng(0).standard_normal((n, 3))


def fitted_order(counts, error):
    return -np.polyfit(np.log(counts), np.log([error(n) for n in counts]), 1)[0]


def gaussian_error(planner, name, way, n, change=lambda divergence: divergence):
    """Of the log density of Gaussian data, solved up to noise, or down to data."""
    schedule, *ends = CASES[name]
    first, last = ends if way == "up" else ends[::-1]
    flow = flow_log_likelihood(
        schedule,
        change(gaussian_divergence(schedule)),
        planner(schedule, even(schedule, first, last, n)),
        draws(schedule, first),
        partial(gaussian_log_density, schedule, last),
    )
    return np.max(
        np.abs(flow.log_density - gaussian_log_density(schedule, first, draws(schedule, first)))
    )


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("name", CASES)
def test_the_log_density_converges_at_the_order_of_the_method(name, order):
    planner = partial(runge_kutta, order=order)
    measured = fitted_order((64, 96, 128), partial(gaussian_error, planner, name, "up"))
    assert measured == pytest.approx(order, abs=0.15)
    assert gaussian_error(planner, name, "up", 128) < {1: 0.05, 2: 3e-3, 4: 1e-6}[order]


PLANNERS = {
    "ddim": (samplers.ddim, 1),
    "heun": (samplers.heun, 2),
    "dpm2": (samplers.dpm2, 2),
    "dpm_solver_pp": (partial(dpm_solver_pp, order=3), 3),
    "unipc": (partial(unipc, order=3), 4),
    "dpm_solver": (partial(dpm_solver, order=3), 3),
}


@pytest.mark.parametrize("name", PLANNERS)
def test_any_planner_integrates_the_density_along(name):
    """From noise to data here; the density at the start follows from that at the end."""
    planner, order = PLANNERS[name]
    made = planner(CASES["flow"][0], even(*(CASES["flow"][i] for i in (0, 2, 1)), 9))
    assert made.order == order
    measured = fitted_order((64, 96, 128), partial(gaussian_error, planner, "edm", "down"))
    assert measured == pytest.approx(order, abs=0.25)


def test_wrong_divergences_do_not_converge():
    def doubled(divergence):
        return lambda x, t: (divergence(x, t)[0], 2.0 * divergence(x, t)[1])

    def negative(divergence):
        return lambda x, t: (divergence(x, t)[0], -divergence(x, t)[1])

    for wrong in (doubled, negative):
        assert gaussian_error(runge_kutta, "flow", "up", 64, wrong) > 1.0
    assert gaussian_error(runge_kutta, "flow", "up", 64) < 1e-4


def test_data_of_unit_variance_are_integrated_without_error():
    """On a variance-preserving schedule, in a single step of any method."""
    schedule = schedules.cosine_continuous()
    denoise = oracles.gaussian(schedule, 0.0, 1.0)

    def divergence(x, t):
        return denoise(x, t), np.full(len(x), 3 * schedule(t).alpha)

    x = np.random.default_rng(0).standard_normal((4, 3))
    flow = flow_log_likelihood(schedule, divergence, runge_kutta(schedule, (0.1, 1.0), 1), x)
    np.testing.assert_allclose(
        flow.log_density, log_density(x, 0.0, 1.0).sum(axis=1), rtol=64 * EPS
    )


def test_the_density_of_the_data_themselves_is_a_limit():
    """log p_s(alpha_s x_0) + d log alpha_s is log p_0(x_0) but for a term in sigma_s^2."""
    schedule = schedules.vp_linear()
    x_0 = MEAN + np.sqrt(VARIANCE) * np.random.default_rng(0).standard_normal((5, 3))
    wanted = log_density(x_0, MEAN, VARIANCE).sum(axis=1)
    sigmas, errors = [], []
    for s in (2e-3, 1e-3, 5e-4):
        alpha, sigma = schedule(s)
        made = runge_kutta(schedule, even(schedule, s, 1.0, 64))
        flow = flow_log_likelihood(
            schedule,
            gaussian_divergence(schedule),
            made,
            alpha * x_0,
            partial(gaussian_log_density, schedule, 1.0),
        )
        sigmas.append(sigma)
        errors.append(np.max(np.abs(flow.log_density + 3 * math.log(alpha) - wanted)))
    slope = np.polyfit(np.log(sigmas), np.log(errors), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.1)
    assert errors[-1] < 0.01


# Mixtures, whose Jacobian differs from state to state, differentiated by libraries.

MIXTURE = (
    [0.5, 0.3, 0.2],
    [[1.0, 0.0], [-0.6, 0.8], [-0.3, -1.0]],
    [[0.02, 0.1], [0.08, 0.03], [0.05, 0.05]],
)


def mixture_log_density(schedule, t, x):
    """log sum_k w_k N(x; alpha mu_k, alpha^2 v_k + sigma^2)."""
    alpha, sigma = schedule(t)
    each = [
        math.log(w)
        + log_density(x, alpha * np.array(mu), alpha**2 * np.array(v) + sigma**2).sum(axis=1)
        for w, mu, v in zip(*MIXTURE, strict=True)
    ]
    return np.logaddexp.reduce(each)


def jax_pullback(denoise):
    import jax

    def of(x, t):
        x_0, vjp = jax.vjp(lambda y: denoise(y, t), x)
        return x_0, lambda v: vjp(v)[0]

    return of


def differentiated(library, schedule):
    """The mixture's denoiser's vector-Jacobian products, and some points as that library's."""
    denoise = oracles.mixture(schedule, *MIXTURE)
    points = np.random.default_rng(1).standard_normal((6, 2))
    if library == "torch":
        return pullback(denoise), torch.from_numpy(points)
    return jax_pullback(denoise), namespace_of("jax").asarray(points)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_the_exact_divergence_is_that_of_the_density(library):
    """alpha tr dm/dx = d + sigma^2 Laplacian of log p, with second derivatives by hand."""
    schedule, t = schedules.flow(), 0.4
    of, x = differentiated(library, schedule)
    x_0, trace = exact_divergence(of)(x, t)
    host = as_numpy(x)
    alpha, sigma = schedule(t)
    p = gradient = laplacian = 0.0
    for w, mu, v in zip(*MIXTURE, strict=True):
        total = alpha**2 * np.array(v) + sigma**2
        z = (alpha * np.array(mu) - host) / total
        share = w * np.exp(log_density(host, alpha * np.array(mu), total).sum(axis=1))
        p = p + share
        gradient = gradient + share[:, None] * z
        laplacian = laplacian + share * np.sum(z**2 - 1.0 / total, axis=1)
    of_log = laplacian / p - np.sum((gradient / p[:, None]) ** 2, axis=1)
    np.testing.assert_allclose(as_numpy(trace), (2 + sigma**2 * of_log) / alpha, rtol=1e-11)
    np.testing.assert_allclose(
        as_numpy(x_0), oracles.mixture(schedule, *MIXTURE)(host, t), rtol=1e-13
    )


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("name", ["vp_linear", "flow"])
def test_the_density_of_a_mixture(library, name):
    """At its order, by plans, with the exact divergence of autograd."""
    schedule, s, t = CASES[name]
    of, x = differentiated(library, schedule)

    def error(n):
        flow = flow_log_likelihood(
            schedule,
            exact_divergence(of),
            runge_kutta(schedule, even(schedule, s, t, n)),
            x,
            lambda y: make(namespace_of(library), mixture_log_density(schedule, t, as_numpy(y))),
        )
        assert flow.end.shape == x.shape
        off = as_numpy(flow.log_density) - mixture_log_density(schedule, s, as_numpy(x))
        return np.max(np.abs(off))

    counts = (64, 96) if library == "torch" else (32,)
    errors = [error(n) for n in counts]
    assert errors[0] < (1e-4 if library == "torch" else 1e-2)
    if library == "torch":
        assert errors[1] < errors[0] * (64 / 96) ** 3.5


def test_an_adaptive_solver_holds_its_tolerance():
    schedule, s, t = schedules.vp_linear(), 0.02, 1.0
    of, x = differentiated("torch", schedule)
    wanted = mixture_log_density(schedule, s, x.numpy())
    errors = []
    for tolerance in (1e-3, 1e-5):

        def solve(denoise, state, tolerance=tolerance):
            return dpm_adaptive(
                schedule, denoise, state, s, t, rtol=tolerance, atol=0.1 * tolerance
            ).x

        flow = solved_log_likelihood(
            schedule,
            exact_divergence(of),
            x,
            s,
            t,
            solve,
            lambda y: torch.from_numpy(mixture_log_density(schedule, t, y.numpy())),
        )
        errors.append(np.max(np.abs(flow.log_density.numpy() - wanted)))
    assert errors[0] < 0.1
    assert errors[1] < 0.1 * errors[0]


def test_hutchinson_is_the_trace_on_average_over_all_signs():
    of, x = differentiated("torch", schedules.flow())
    signs = [torch.tensor([[1.0, b]], dtype=x.dtype).expand(6, 2) for b in (-1.0, 1.0)]
    _, wanted = exact_divergence(of)(x, 0.4)
    _, got = hutchinson(of, signs)(x, 0.4)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    _, one = hutchinson(of, signs[:1])(x, 0.4)
    assert float(torch.max(torch.abs(one - wanted))) > 1e-3


def test_hutchinson_is_unbiased_and_signs_err_less():
    of, x = differentiated("torch", schedules.flow())
    many = x[:1].expand(4000, 2)
    _, wanted = exact_divergence(of)(x[:1], 0.4)
    source = noise.portable(0)
    found = {}
    for name, probe in (("normal", source(many, 0)), ("signs", *rademacher(source, many))):
        _, each = hutchinson(of, [probe])(many, 0.4)
        found[name] = float(each.std())
        assert abs(float(each.mean() - wanted)) < 4.0 * found[name] / math.sqrt(4000)
    assert found["signs"] < 0.9 * found["normal"]


def test_probes_are_signs_of_their_own_and_of_their_library(xp):
    like = make(xp, np.zeros((64, 3)), "float32")
    first, second = rademacher(noise.portable(5), like, 2)
    assert first.dtype == like.dtype
    for probe in (as_numpy(first), as_numpy(second)):
        assert set(np.unique(probe)) == {-1.0, 1.0}
        assert abs(np.mean(probe)) < 4.0 / math.sqrt(192)
    assert not np.array_equal(as_numpy(first), as_numpy(second))
    np.testing.assert_array_equal(
        as_numpy(first), np.sign(noise.portable(5)(np.zeros((64, 3), np.float32), 0))
    )


def test_images_are_flattened_and_put_back():
    """Any rank, any library, float32 to float32."""
    schedule = schedules.flow()
    denoise = oracles.gaussian(schedule, 0.2, 0.3)
    seen = []

    def watched(x_t, t):
        seen.append(tuple(x_t.shape))
        return denoise(x_t, t)

    x = 0.5 * noise.portable(0)(torch.zeros(2, 3, 4, 4), 0)
    made = runge_kutta(schedule, even(schedule, 0.05, 1.0, 48))
    of = pullback(watched)
    flow = flow_log_likelihood(schedule, hutchinson(of, rademacher(noise.portable(1), x)), made, x)
    assert set(seen) == {(2, 3, 4, 4)} == {tuple(flow.end.shape)}
    assert flow.log_density.dtype == torch.float32
    alpha, sigma = schedule(0.05)
    wanted = log_density(x.double(), 0.2 * alpha, 0.3 * alpha**2 + sigma**2).sum(dim=(1, 2, 3))
    # At alpha = 0 the flow's end is normal; a diagonal Jacobian's trace is exact with one probe.
    np.testing.assert_allclose(flow.log_density, wanted, rtol=1e-4)


def test_bits_per_dimension_keep_the_densitys_dtype(xp):
    density = make(xp, np.array([-3.0, 1.0]), "float32")
    got = bits_per_dimension(density, np.int64(5), np.float64(0.5))
    assert got.dtype == xp.float32
    np.testing.assert_allclose(as_numpy(got), 1.0 - as_numpy(density) / 5.0 / math.log(2.0), 1e-6)


def test_bits_per_dimension_of_a_bin():
    """A uniform density over bins gives each its probability."""
    for levels in (2, 17, 256):
        width = 2.0 / (levels - 1)
        density = np.full(3, -5 * math.log(levels * width))
        np.testing.assert_allclose(
            bits_per_dimension(density, 5, width), math.log2(levels), rtol=8 * EPS
        )


# The Runge-Kutta plans.


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("name", CASES)
def test_runge_kutta_follows_the_flow_both_ways(name, order):
    schedule, s, t = CASES[name]
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    for first, last in ((s, t), (t, s)):
        x = draws(schedule, first)
        exact_end = oracles.gaussian_flow(schedule, MEAN, VARIANCE, x, first, last)

        def error(n, first=first, last=last, x=x, wanted=exact_end):
            made = runge_kutta(schedule, even(schedule, first, last, n), order)
            assert made.evaluations == order * n
            return np.max(np.abs(likelihood.sample(denoise, made, x) - wanted))

        assert fitted_order((64, 96, 128), error) == pytest.approx(order, abs=0.2)


def test_runge_kutta_ends_with_the_denoised_x_0():
    schedule = schedules.cosine_continuous()
    made = runge_kutta(schedule, (1.0, 0.5, 0.0))
    assert made.evaluations == 5
    assert (made.stages[-1].x, made.stages[-1].m) == ((), (1.0,))


def test_runge_kutta_on_whole_times():
    """Up every time of a discrete schedule and down again, with zero terminal SNR too."""
    schedule = schedules.zero_terminal_snr(schedules.linear(300, 1e-3, 0.06))
    denoise = oracles.gaussian(schedule, 0.2, 0.3)
    x = np.linspace(-1.0, 1.0, 5)[:, None]
    up = runge_kutta(schedule, range(1, 301), 2)
    assert {stage.time for stage in up.stages} == set(range(1, 301))
    there = likelihood.sample(denoise, up, x)
    wanted = oracles.gaussian_flow(schedule, 0.2, 0.3, x, 1, 300)
    np.testing.assert_allclose(there, wanted, atol=1e-3)
    back = likelihood.sample(denoise, runge_kutta(schedule, range(300, 0, -1), 2), there)
    np.testing.assert_allclose(back, x, atol=1e-3)
    for a, b in pairwise(stage.time for stage in up.stages):
        assert b >= a


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: runge_kutta(s, (0.1, 0.5), 3), ValueError, "order must be 1, 2 or 4, got 3"),
        (lambda s: runge_kutta(s, (0.1,)), ValueError, "times must be at least two numbers"),
        (lambda s: runge_kutta(s, (0.1, 0.1)), ValueError, "change at each step, got 0.1 then 0.1"),
        (
            lambda s: runge_kutta(s, (0.0, 0.5)),
            ValueError,
            "sigma above 0 but for the last, got 0.0",
        ),
        (
            lambda s: runge_kutta(schedules.linear(9), (1, 9)),
            ValueError,
            "order must be 1 or 2 on a discrete",
        ),
        (
            lambda s: bound_of(s, times=None),
            ValueError,
            "times must be given for a continuous schedule",
        ),
        (lambda s: bound_of(s, times=(0.1, 0.5)), ValueError, "times must descend strictly"),
        (lambda s: bound_of(s, times=(0.5, 0.1)), ValueError, "times must end where sigma is 0"),
        (lambda s: bound_of(s, x_0=[1.0]), TypeError, "x_0 must be an array, got list"),
        (
            lambda s: flow_of(s, samplers.ddim(s, (1.0, 0.5), eta=1.0)),
            ValueError,
            "plan must have stages and draw no noise, got 'ddim'",
        ),
        (lambda s: flow_of(s, Plan("none", ())), ValueError, "plan must have stages"),
        (
            lambda s: flow_of(s, samplers.ddim(s, (1.0, 0.0))),
            ValueError,
            "t must be a time with sigma above 0, got 0.0",
        ),
        (lambda s: hutchinson(lambda x, t: x, []), ValueError, "probes must hold at least one"),
        (lambda s: hutchinson(lambda x, t: x, np.ones((2, 1))), TypeError, "must be a sequence"),
        (lambda s: hutchinson(None, [1.0]), TypeError, "pullback must be a function, got None"),
        (lambda s: exact_divergence(None), TypeError, "pullback must be a function, got None"),
        (lambda s: rademacher(0, np.zeros(2)), TypeError, "noise must be a function such as"),
        (lambda s: bound_of(s, times=(0.5, None)), TypeError, "times must be numbers, got"),
        (
            lambda s: variational_bound(s, None, np.zeros((1, 1)), noise.portable(0)),
            TypeError,
            "denoise must be a function, got None",
        ),
        (
            lambda s: variational_bound(s, oracles.point_mass(s, 0.0), np.zeros((1, 1)), 0),
            TypeError,
            r"noise must be a function such as noise.as_noise\(0\), got 0",
        ),
        (
            lambda s: flow_of(s, stack([runge_kutta(s, (0.1, 0.5))])),
            ValueError,
            "plan must be one for all samples, got a stack of 1",
        ),
        (
            lambda s: flow_of(s, runge_kutta(s, (0.1, 0.5)), lambda x, t: (x, x)),
            ValueError,
            r"divergence's trace must have the shape of one number for each sample, \(1,\), got",
        ),
        (
            lambda s: flow_of(s, runge_kutta(s, (0.1, 0.5)), lambda x, t: (x[:, :1], x[:, 0])),
            ValueError,
            r"divergence's x_0 must have the shape of x, \(1, 3\), got \(1, 1\)",
        ),
        (
            lambda s: flow_of(s, runge_kutta(s, (0.1, 0.5)), log_prior=lambda x: x),
            ValueError,
            "log_prior's result must have the shape of one number for each sample",
        ),
        (
            lambda s: bits_per_dimension(np.zeros(2), 0),
            ValueError,
            "dimensions must be positive and finite, got 0",
        ),
        (
            lambda s: bits_per_dimension(np.zeros(2), 3, 0.0),
            ValueError,
            "bin_width must be positive and finite, got 0.0",
        ),
        (
            lambda s: pullback(lambda x, t: x.detach())(torch.zeros(1, 1), 0.5),
            ValueError,
            "denoise must let gradients pass",
        ),
        (
            lambda s: hutchinson(pullback(lambda x, t: 2 * x), [torch.zeros(2, 1)])(
                torch.zeros(1, 1), 0.5
            ),
            ValueError,
            r"probes must have the shape of x, \(1, 1\), got \(2, 1\)",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(schedules.flow())


def bound_of(schedule, x_0=None, **options):
    x_0 = np.zeros((1, 1)) if x_0 is None else x_0
    return variational_bound(
        schedule, oracles.point_mass(schedule, 0.0), x_0, noise.portable(0), **options
    )


def flow_of(schedule, made, divergence=None, log_prior=None):
    divergence = divergence or gaussian_divergence(schedule)
    return flow_log_likelihood(schedule, divergence, made, np.zeros((1, 3)), log_prior)


def test_times_of_the_bound_are_all_by_default():
    schedule = schedules.cosine(5)
    every = variational_bound(
        schedule, oracles.point_mass(schedule, 0.1), np.full((2, 2), 0.1), noise.portable(0)
    )
    same = variational_bound(
        schedule,
        oracles.point_mass(schedule, 0.1),
        np.full((2, 2), 0.1),
        noise.portable(0),
        times=times.every(schedule),
    )
    np.testing.assert_array_equal(every.terms, same.terms)
