"""The three Gaussians of the forward process, each against the others."""

import math

import exact
import mpmath as mp
import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import discrete_schedules, normal, seeds, shapes, timed

from diffcore import process, schedules

EPS = np.finfo(np.float64).eps


def close(a, b, ulps=64):
    """Whether a and b agree to `ulps` machine epsilons of the larger."""
    a, b = np.asarray(a), np.asarray(b)
    return bool(np.all(np.abs(a - b) <= ulps * EPS * np.maximum(np.abs(a), np.abs(b))))


def composed(schedule, s, t, transition):
    """The scale and variance of q(x_t | x_0) made by a step from x_s."""
    scale, variance = transition
    start = schedule(s)
    return scale * start.alpha, scale**2 * start.sigma**2 + variance


def wrong_transition(schedule, s, t):
    """The variance of q(x_t | x_s) as if the step's own noise were all there is."""
    scale, _ = process.transition(schedule, s, t)
    return scale, schedule(t).sigma ** 2 - schedule(s).sigma ** 2


@given(timed())
def test_chapman_kolmogorov(case):
    schedule, (s, t) = case
    end = schedule(t)
    alpha, variance = composed(schedule, s, t, process.transition(schedule, s, t))
    assert close(alpha, end.alpha)
    assert close(variance, end.sigma**2)


def test_chapman_kolmogorov_rejects_a_wrong_variance():
    schedule = schedules.linear()
    _, variance = composed(schedule, 300, 600, wrong_transition(schedule, 300, 600))
    assert not close(variance, schedule(600).sigma ** 2)


@given(timed(count=3))
def test_transitions_compose(case):
    schedule, (r, s, t) = case
    first, second = process.transition(schedule, r, s), process.transition(schedule, s, t)
    whole = process.transition(schedule, r, t)
    assert close(second.scale * first.scale, whole.scale)
    assert close(second.scale**2 * first.variance + second.variance, whole.variance)


def product_of_gaussians(schedule, s, t):
    """q(x_s | x_t, x_0) at 50 digits, from q(x_t | x_s) q(x_s | x_0) by adding precisions."""
    alpha_s, sigma_s = map(mp.mpf, schedule(s))
    alpha_t, sigma_t = map(mp.mpf, schedule(t))
    scale = alpha_t / alpha_s
    variance = sigma_t**2 - scale**2 * sigma_s**2
    precision = 1 / sigma_s**2 + scale**2 / variance
    return alpha_s / sigma_s**2 / precision, scale / variance / precision, 1 / precision


def conditioned(schedule, s, t, posterior):
    """The largest relative error of a posterior, in units of what the levels' rounding makes of it.

    alpha and sigma are float64, and 1 - r amplifies their last digit by 1 / (1 - r).
    """
    wanted = product_of_gaussians(schedule, s, t)
    rest = process.one_minus_snr_ratio(schedule, s, t)
    errors = [
        abs(mp.mpf(c) - w) / abs(w) if w else abs(c) for c, w in zip(posterior, wanted, strict=True)
    ]
    return float(max(errors)) * rest / EPS


@given(timed())
def test_the_posterior_is_the_product_of_gaussians(case):
    schedule, (s, t) = case
    # log SNR itself is rounded relative to its size, hence the 64.
    assert conditioned(schedule, s, t, process.posterior(schedule, t, s)) <= 64


def test_the_product_of_gaussians_rejects_wrong_posteriors():
    schedule = schedules.linear()
    s, t = 400, 401
    right = process.posterior(schedule, t, s)
    beta_instead = right._replace(variance=schedule.beta[t])
    swapped = right._replace(x_0=right.x_t, x_t=right.x_0)
    off_by_one = process.posterior(schedule, t + 1, s + 1)
    for wrong in (beta_instead, swapped, off_by_one):
        assert conditioned(schedule, s, t, wrong) > 64


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid", "zero_terminal_snr"])
def test_posterior_coefficients_against_50_digits(kind):
    schedule = (
        schedules.zero_terminal_snr(schedules.linear())
        if kind == "zero_terminal_snr"
        else getattr(schedules, kind)()
    )
    alpha_bar = exact.reference(kind)["alpha_bar"]
    for s, t in [(1, 2), (1, 1000), (10, 500), (499, 500), (900, 1000), (999, 1000)]:
        a_s, a_t = alpha_bar[s], alpha_bar[t]
        rest = 1 - (a_t / (1 - a_t)) / (a_s / (1 - a_s))
        wanted = (
            mp.sqrt(a_s) * rest,
            mp.sqrt(a_t / a_s) * (1 - a_s) / (1 - a_t),
            (1 - a_s) * rest,
        )
        errors = exact.relative_errors(process.posterior(schedule, t, s), wanted)
        assert max(errors) <= 1e-12, (s, t)


@given(timed(), shapes, seeds)
def test_bayes(case, shape, seed):
    """log q(x_s|x_t,x_0) + log q(x_t|x_0) = log q(x_t|x_s) + log q(x_s|x_0), whatever the x."""
    schedule, (s, t) = case
    x_0, x_s, x_t = normal(seed, shape, 3)

    def log_density(x, gaussian):
        variance = gaussian.variance
        return -0.5 * ((x - gaussian.mean) ** 2 / variance + np.log(2 * np.pi * variance))

    left = [
        log_density(x_s, process.q_posterior(schedule, x_0, x_t, t, s)),
        log_density(x_t, process.q_mean_variance(schedule, x_0, t)),
    ]
    right = [
        log_density(x_t, process.q_transition(schedule, x_s, s, t)),
        log_density(x_s, process.q_mean_variance(schedule, x_0, s)),
    ]
    rest = process.one_minus_snr_ratio(schedule, s, t)
    size = sum(np.abs(term) for term in left + right) + 1.0
    assert np.all(np.abs(sum(left) - sum(right)) <= 256 * EPS / rest * size)


def test_bayes_rejects_the_transition_in_the_posteriors_place():
    schedule, s, t = schedules.linear(), 300, 301
    x_0, x_s, x_t = normal(0, (4,), 3)
    posterior = process.q_posterior(schedule, x_0, x_t, t, s)
    wrong = posterior.variance * 0 + schedule.beta[t]
    gap = (x_s - posterior.mean) ** 2 * (1 / wrong - 1 / posterior.variance)
    assert np.all(np.abs(gap - np.log(posterior.variance / wrong)) > 1e-6)


@given(discrete_schedules(), st.data())
def test_the_step_before_is_the_default(schedule, data):
    t = data.draw(st.integers(1, schedule.T))
    own, general = process.posterior(schedule, t), process.posterior(schedule, t, t - 1)
    rest = process.one_minus_snr_ratio(schedule, t - 1, t)
    for a, b in zip(own, general, strict=True):
        assert a == pytest.approx(b, rel=64 * EPS / rest, abs=1e-300)


def test_posterior_end_points():
    zero = schedules.zero_terminal_snr(schedules.linear())
    from_noise = process.posterior(zero, 1000, 500)
    assert from_noise == (zero(500).alpha, 0.0, pytest.approx(zero(500).sigma ** 2))
    assert process.posterior(zero, 1000, 0) == (1.0, 0.0, 0.0)
    assert process.posterior(schedules.flow(), 0.5, 0.0) == (1.0, 0.0, 0.0)
    assert process.transition(zero, 0, 1000) == (0.0, 1.0)
    x = np.ones((2, 3))
    at_data = process.q_posterior(schedules.linear(), x, 5 * x, 1)
    np.testing.assert_allclose(at_data.mean, x, rtol=4 * EPS)
    assert at_data.variance.max() == 0.0


FLOATS = ["float32", "float64"]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("source", ["schedule", "tables"])
def test_every_library(xp, dtype, source):
    """Scalar times, arrays of times and tables say the same in every library, dtype kept."""
    schedule = schedules.cosine(T=200)
    x_0, x_t, eps = normal(3, (4, 3, 2), 3)
    host = {"x_0": x_0, "x_t": x_t, "eps": eps}
    a = {name: make(xp, value, dtype) for name, value in host.items()}
    given_source = schedule if source == "schedule" else schedule.tables(a["x_0"])
    s, t = np.array([0, 50, 100, 199]), np.array([1, 90, 101, 200])
    s_a, t_a = make(xp, s, "int32"), make(xp, t, "int32")
    got = {
        "q_sample": (process.q_sample(given_source, a["x_0"], t_a, a["eps"]),),
        "q_mean_variance": process.q_mean_variance(given_source, a["x_0"], t_a),
        "q_transition": process.q_transition(given_source, a["x_0"], s_a, t_a),
        "q_posterior": process.q_posterior(given_source, a["x_0"], a["x_t"], t_a, s_a),
        "q_posterior_step": process.q_posterior(given_source, a["x_0"], a["x_t"], t_a),
    }
    rtol = 32 * np.finfo(dtype).eps
    for row in range(4):
        one = {name: value[row : row + 1] for name, value in host.items()}
        s_i, t_i = int(s[row]), int(t[row])
        wanted = {
            "q_sample": (process.q_sample(schedule, one["x_0"], t_i, one["eps"]),),
            "q_mean_variance": process.q_mean_variance(schedule, one["x_0"], t_i),
            "q_transition": process.q_transition(schedule, one["x_0"], s_i, t_i),
            "q_posterior": process.q_posterior(schedule, one["x_0"], one["x_t"], t_i, s_i),
            "q_posterior_step": process.q_posterior(schedule, one["x_0"], one["x_t"], t_i),
        }
        for name, values in got.items():
            for value, want in zip(values, wanted[name], strict=True):
                assert value.dtype == getattr(xp, dtype)
                full = np.broadcast_to(as_numpy(value), x_0.shape)[row]
                np.testing.assert_allclose(
                    full, np.broadcast_to(want, (1, 3, 2))[0], rtol=rtol, atol=rtol, err_msg=name
                )


@pytest.mark.parametrize(
    "schedule", [schedules.linear(100), schedules.flow()], ids=["linear", "flow"]
)
def test_coefficients_of_array_times_need_no_data(schedule):
    """Without `like` they come in the library's default dtype, in NumPy float64."""
    discrete = isinstance(schedule, schedules.DiscreteSchedule)
    s, t = ([3, 50], [60, 99]) if discrete else ([0.1, 0.4], [0.6, 0.9])
    for made in (
        lambda s, t: process.transition(schedule, s, t),
        lambda s, t: process.posterior(schedule, t, s),
        lambda s, t: (process.one_minus_snr_ratio(schedule, s, t),),
    ):
        for before, after in ((s, t), (s[1], t), (s, t[0])):
            one, two = (
                made(*(v if isinstance(v, int | float) else v[k] for v in (before, after)))
                for k in range(2)
            )
            arrays = [v if isinstance(v, int | float) else np.array(v) for v in (before, after)]
            for got, *wanted in zip(made(*arrays), one, two, strict=True):
                assert np.dtype(getattr(got, "dtype", float)) == np.float64
                np.testing.assert_allclose(got, np.broadcast_to(wanted, (2,)), rtol=64 * EPS)


def test_one_of_two_times_may_be_a_number(xp):
    schedule = schedules.linear(100)
    x_0, x_t = normal(5, (2, 3), 2)
    a, b = make(xp, x_0), make(xp, x_t)
    for s, t in ((3, [50, 99]), ([3, 50], 99)):
        arrays = [make(xp, v, "int64") if isinstance(v, list) else v for v in (t, s)]
        got = process.q_posterior(schedule, a, b, *arrays)
        for row in range(2):
            numbers = [v[row] if isinstance(v, list) else v for v in (t, s)]
            want = process.q_posterior(schedule, x_0[row:][:1], x_t[row:][:1], *numbers)
            np.testing.assert_allclose(as_numpy(got.mean)[row], want.mean[0], rtol=1e-12)
            np.testing.assert_allclose(as_numpy(got.variance)[row], want.variance[0], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("source", ["schedule", "tables"])
def test_a_batch_of_one_at_data(xp, dtype, source):
    schedule = schedules.linear(100)
    x_0, eps = (make(xp, v) for v in normal(6, (1, 3), 2))
    source = schedule if source == "schedule" else schedule.tables(x_0)
    got = process.q_sample(source, x_0, make(xp, [0], dtype), eps)
    assert tuple(got.shape) == (1, 3)
    np.testing.assert_array_equal(as_numpy(got), as_numpy(x_0))


def test_one_of_two_times_may_be_traced():
    jax = pytest.importorskip("jax")
    jnp = namespace_of("jax")
    schedule, x = schedules.linear(100), jnp.ones((2, 3))
    t = jnp.asarray([50, 99])
    run = jax.jit(lambda t: process.q_transition(schedule, x, 3, t).mean)
    np.testing.assert_allclose(run(t), process.q_transition(schedule, x, 3, t).mean, rtol=1e-12)
    run = jax.jit(lambda s: process.q_transition(schedule, x, s, 99).mean)
    s = jnp.asarray([3, 50])
    np.testing.assert_allclose(run(s), process.q_transition(schedule, x, s, 99).mean, rtol=1e-12)


@pytest.mark.parametrize("kind", ["vp_linear", "flow", "edm", "ve", "sub_vp", "cosine_continuous"])
def test_continuous_times_in_every_library(xp, kind):
    schedule = getattr(schedules, kind)()
    x_0, x_t = normal(4, (3, 2), 2)
    s, t = np.array([0.1, 0.3, 0.5]), np.array([0.2, 0.6, 0.9])
    made = [make(xp, v) for v in (x_0, x_t, t, s)]
    got = process.q_posterior(schedule, *made)
    for row in range(3):
        pair = x_0[row : row + 1], x_t[row : row + 1]
        want = process.q_posterior(schedule, *pair, float(t[row]), float(s[row]))
        np.testing.assert_allclose(as_numpy(got.mean)[row], want.mean[0], rtol=1e-12)
        np.testing.assert_allclose(as_numpy(got.variance)[row], want.variance[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_half_precision_rounds_once(library, name):
    xp = namespace_of(library)
    if library == "numpy" and name == "bfloat16":
        import ml_dtypes

        with pytest.raises(TypeError, match="x_0 must be a real floating-point array"):
            process.q_sample(schedules.linear(), np.ones(2, ml_dtypes.bfloat16), 1, np.ones(2))
        return
    schedule = schedules.linear()
    dtype = getattr(xp, name)
    unit = 2.0**-8 if name == "bfloat16" else 2.0**-11
    x_0, x_t = (xp.asarray(v, dtype=dtype) for v in (np.ones((2, 2)), np.zeros((2, 2))))
    t, s = xp.asarray(np.array([1, 600])), xp.asarray(np.array([0, 599]))
    # 1 - alpha_bar at t = 1 is 1e-4: it must not be derived from a rounded alpha_bar.
    noised = process.q_sample(schedule, x_t, t, x_0)
    assert noised.dtype == dtype
    np.testing.assert_allclose(as_numpy(noised)[:, 0], schedule.sigma[[1, 600]], rtol=unit)
    posterior = process.q_posterior(schedule, x_0, x_t, t, s)
    assert posterior.mean.dtype == posterior.variance.dtype == dtype
    np.testing.assert_allclose(
        as_numpy(posterior.variance)[1, 0], schedule.posterior_variance[600], rtol=2 * unit
    )


def test_under_jit():
    jax = pytest.importorskip("jax")
    jnp = namespace_of("jax")
    schedule = schedules.linear()
    x_0, eps = (jnp.asarray(v, dtype=jnp.float32) for v in normal(1, (3, 4), 2))
    t = jnp.asarray([1, 500, 1000])
    tables = schedule.tables(x_0)
    closed = jax.jit(lambda x, e, k: process.q_sample(schedule, x, k, e))
    passed = jax.jit(lambda tab, x, e, k: process.q_posterior(tab, x, e, k, k - 1))
    # XLA may contract a x + b y into a fused multiply-add, one rounding fewer.
    np.testing.assert_allclose(
        closed(x_0, eps, t), process.q_sample(schedule, x_0, t, eps), rtol=1e-6, atol=1e-6
    )
    got, want = passed(tables, x_0, eps, t), process.q_posterior(schedule, x_0, eps, t, t - 1)
    np.testing.assert_allclose(got.mean, want.mean, rtol=1e-5, atol=1e-6)
    scalar = jax.jit(lambda x, e: process.q_sample(schedule, x, 500, e))
    np.testing.assert_allclose(
        scalar(x_0, eps), process.q_sample(schedule, x_0, 500, eps), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("source", ["schedule", "tables"])
def test_under_torch_compile(source):
    torch = pytest.importorskip("torch")
    schedule = schedules.linear()
    x_0, eps = (torch.asarray(v, dtype=torch.float32) for v in normal(1, (3, 4), 2))
    t = torch.asarray([1, 500, 1000])
    given_source = schedule if source == "schedule" else schedule.tables(x_0)

    def step(x, e, k):
        noised = process.q_sample(given_source, x, k, e)
        return process.q_posterior(given_source, x, noised, k, k - 1)

    compiled = torch.compile(step, fullgraph=True, backend="eager")(x_0, eps, t)
    assert torch.equal(compiled.mean, step(x_0, eps, t).mean)


@pytest.mark.parametrize("kind", ["vp_linear", "sub_vp", "cosine_continuous", "ve", "edm", "flow"])
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_continuous_schedules_compile_whole(kind, factor):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    schedule = schedules.shift(getattr(schedules, kind)(), factor)
    host = normal(1, (3, 2))[0].astype(np.float32)
    times = schedule.curve.t_max * np.array([0.1, 0.4, 0.9], np.float32)

    def step(x, t):
        return process.q_posterior(schedule, x, process.q_sample(schedule, x, t, x), t, 0.5 * t)

    x, t = torch.asarray(host), torch.asarray(times)
    compiled = torch.compile(step, fullgraph=True, backend="eager")(x, t)
    assert torch.equal(compiled.mean, step(x, t).mean)
    assert torch.equal(compiled.variance, step(x, t).variance)
    x, t = jax.numpy.asarray(host), jax.numpy.asarray(times)
    np.testing.assert_allclose(jax.jit(step)(x, t).mean, step(x, t).mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "flow", "edm", "sub_vp", "cosine_continuous", "shift"])
def test_number_times_compile_whole(kind):
    torch = pytest.importorskip("torch")
    if kind == "shift":
        schedule = schedules.shift(schedules.flow(), 3.0)
    else:
        schedule = getattr(schedules, kind)()
    t, s = (500, 400) if kind == "linear" else (0.5, 0.4)
    x = torch.asarray(normal(1, (3, 2))[0], dtype=torch.float32)

    def step(x):
        noised = process.q_sample(schedule, x, t, x)
        return process.q_posterior(schedule, x, noised, t, s).mean

    assert torch.equal(torch.compile(step, fullgraph=True, backend="eager")(x), step(x))


def test_off_the_default_device():
    torch = pytest.importorskip("torch")
    schedule = schedules.linear()
    x = torch.empty((3, 4), device="meta")
    t = torch.empty((3,), dtype=torch.int64, device="meta")
    for time in (t, 500):
        assert process.q_sample(schedule, x, time, x).device.type == "meta"
        assert process.q_posterior(schedule, x, x, time).variance.device.type == "meta"


def test_another_device_of_the_strict_library():
    strict = namespace_of("array_api_strict")
    device = strict.Device("device1")
    x = strict.ones((2, 3), dtype=strict.float32, device=device)
    t = strict.asarray([3, 4], device=device)
    assert process.q_sample(schedules.linear(), x, t, x).device == device
    assert process.q_posterior(schedules.linear(), x, x, t, t - 1).mean.device == device


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("wide", [False, True])
def test_a_number_time_and_tables_keep_the_datas_dtype(xp, dtype, wide):
    if not hasattr(xp, dtype):
        pytest.skip(f"no {dtype} in {xp.__name__}")
    schedule = schedules.linear(100)
    x = xp.asarray(np.ones((2, 3)), dtype=getattr(xp, dtype))
    tables = schedule.tables(xp.asarray(np.ones(1), dtype=xp.float64) if wide else x)
    for source in (schedule, tables):
        assert process.q_sample(source, x, 5, x).dtype == x.dtype
        for got in (
            process.q_posterior(source, x, x, 5),
            process.q_posterior(source, x, x, 5, 3),
            process.q_transition(source, x, 3, 5),
        ):
            assert got.mean.dtype == got.variance.dtype == x.dtype
    rtol = 8 * float(xp.finfo(x.dtype).eps)
    np.testing.assert_allclose(
        as_numpy(process.q_posterior(tables, x, x, 5, 3).mean).astype(float),
        as_numpy(process.q_posterior(schedule, x, x, 5, 3).mean).astype(float),
        rtol=rtol,
    )


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
@pytest.mark.parametrize("times", [[1, 101], [-1, 5]])
def test_times_out_of_range_are_seen(library, times):
    xp = namespace_of(library)
    schedule = schedules.linear(100)
    x, t = xp.asarray(np.ones((2, 3))), xp.asarray(np.array(times))
    for source in (schedule, schedule.tables(x)):
        with pytest.raises(ValueError, match=r"t must be in 0\.\.100"):
            process.q_sample(source, x, t, x)
        with pytest.raises(ValueError, match=r"t must be a whole time in 0\.\.100, got 1\.5"):
            process.q_sample(source, x, 1.5, x)
        with pytest.raises(ValueError, match=r"t must be in 1\.\.100 for a posterior"):
            process.q_posterior(source, x, x, xp.asarray(np.array([0, 5])))
        with pytest.raises(ValueError, match="s must be below t"):
            process.q_transition(source, x, xp.asarray(np.array([5, 6])), 6)
    with pytest.raises(ValueError, match=r"t must be in \[0, 1\]"):
        process.q_sample(schedules.flow(), x, xp.asarray(np.array([0.1, 1.5])), x)


def test_bad_arguments_are_named():
    schedule = schedules.linear()
    x = np.ones((2, 3))
    for call, kind, message in [
        (lambda: process.q_sample(schedule, [1.0], 1, x), TypeError, "x_0 must be an array"),
        (lambda: process.q_sample(schedule, x.astype(int), 1, x), TypeError, "x_0 must be a real"),
        (lambda: process.q_sample(schedule, x, 1, x[:1]), ValueError, "eps must have the shape"),
        (lambda: process.q_sample(schedule, x, 1, x.astype("f4")), TypeError, "eps must have the"),
        (
            lambda: process.q_sample(schedule, x, np.array([1]), x),
            ValueError,
            r"t must be a number",
        ),
        (lambda: process.q_posterior(schedule, x, x, 0), ValueError, r"t must be in 1..1000"),
        (lambda: process.q_posterior(schedule, x, x, 5, 5), ValueError, "s must be below t"),
        (lambda: process.q_transition(schedule, x, 6, 5), ValueError, "s must be below t"),
        (lambda: process.q_posterior(schedules.flow(), x, x, 0.5), ValueError, "s must be given"),
        (lambda: process.q_sample(schedule, x, math.nan, x), ValueError, "t must be a whole"),
        (
            lambda: process.q_transition(schedule, x, np.array([1]), 5),
            ValueError,
            r"s must be a number or have shape \(2,\), got \(1,\)",
        ),
        (lambda: process.q_transition(schedule, x, None, 5), TypeError, "s must be a number or"),
        (lambda: process.q_transition(schedule, x, 1.5, 5), ValueError, "s must be a whole time"),
        (lambda: process.q_transition(schedules.flow(), x, -1.0, 0.5), ValueError, "s must be in"),
        (lambda: process.q_posterior(schedule, x, x, 5, "4"), TypeError, "s must be a number or"),
        (lambda: process.q_posterior(schedule, x, x, 5, -1), ValueError, "s must be a whole time"),
        (lambda: process.q_sample(None, x, 5, x), TypeError, "schedule must be a schedule or"),
        (lambda: process.q_transition("linear", x, 4, 5), TypeError, "schedule must be a sch"),
        (lambda: process.q_posterior(schedules.linear, x, x, 5), TypeError, "schedule must be"),
        (lambda: process.transition(schedule, "4", 5), TypeError, "^s must be a number or"),
        (lambda: process.transition(schedule, 4, "5"), TypeError, "^t must be a number or"),
    ]:
        with pytest.raises(kind, match=message):
            call()


@pytest.mark.parametrize("library", ["torch", "jax", "dask", "array_api_strict"])
def test_arrays_of_two_libraries_are_named(library):
    schedule, x, t = schedules.linear(), np.ones((2, 3)), np.array([4, 5])
    xp = namespace_of(library)
    other, time = make(xp, x), make(xp, t, "int64")
    for call, name in [
        (lambda: process.q_sample(schedule, x, 1, other), "eps"),
        (lambda: process.q_sample(schedule, x, time, x), "t"),
        (lambda: process.q_sample(schedule, other, t, other), "t"),
        (lambda: process.q_mean_variance(schedule.tables(x), x, time), "t"),
        (lambda: process.q_transition(schedule, x, time, 9), "s"),
        (lambda: process.q_posterior(schedule, x, other, 5), "x_t"),
        (lambda: process.q_posterior(schedule, x, x, 9, time), "s"),
    ]:
        with pytest.raises(TypeError, match=f"^{name} must be an array of x_.'s library, "):
            call()


def test_a_time_whose_signal_float64_cannot_hold_is_named():
    """alpha_700 is 1e-350; a single step's posterior has tables of its own."""
    schedule, x = schedules.constant(1000, 0.9), np.ones((2, 3))
    for call in (
        lambda: process.q_transition(schedule, x, 700, 701),
        lambda: process.q_posterior(schedule, x, x, 701, 700),
    ):
        with pytest.raises(ValueError, match="s must be a time that has signal left, got 700"):
            call()
    step = process.posterior(schedule, 701)
    assert step == pytest.approx((0.0, math.sqrt(0.1), 0.9), rel=1e-15)
