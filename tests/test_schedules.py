import dataclasses
import json
import math
import sys

import exact
import mpmath as mp
import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import continuous_schedules, discrete_schedules

from diffcore import process, schedules
from diffcore.schedules.numbers import Numbers

KINDS = {
    **{name: getattr(schedules, name)() for name in exact.BETAS},
    "zero_terminal_snr": schedules.zero_terminal_snr(schedules.linear()),
    "shift": schedules.shift(schedules.linear(), 3.0),
    "respace": schedules.respace(schedules.linear(), range(50, 1001, 50)),
}
TABLES = list(exact.tables([mp.mpf(1), mp.mpf("0.5"), mp.mpf("0.25")]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TABLES)
def test_tables_are_within_1e_12_of_50_digits(kind, name):
    table, wanted = getattr(KINDS[kind], name), exact.reference(kind)[name]
    errors = np.array(exact.relative_errors(table, wanted))
    if name == "log_snr":
        # It crosses zero, where relative error has no meaning; there SNR's own is held instead.
        crossing = np.abs(table) < 0.1
        errors[crossing] = 0.0
        for value, exactly in zip(table[crossing], np.array(wanted)[crossing], strict=True):
            assert abs(mp.mpf(value) - exactly) <= 8 * np.finfo(float).eps
    assert max(errors) <= 1e-12, f"at t = {int(np.argmax(errors))}"


def test_the_bound_rejects_tables_made_the_usual_way():
    betas = np.linspace(1e-4, 0.02, 1000, dtype=np.float32)
    naive = np.append(0.0, 1.0 - np.cumprod(1.0 - betas).astype(np.float64))
    errors = exact.relative_errors(naive, exact.reference("linear")["one_minus_alpha_bar"])
    assert max(errors) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_float32_coefficients_are_correctly_rounded(kind, xp):
    tables = KINDS[kind].tables(make(xp, [0.0], "float32"))
    for name in ("alpha", "sigma", "beta", "posterior_variance", "posterior_mean_x_0"):
        table = as_numpy(getattr(tables, name)).astype(np.float64)
        ulp = np.spacing(np.abs(table).astype(np.float32)).astype(np.float64)
        error = [
            float(abs(mp.mpf(v) - w)) / u
            for v, w, u in zip(table, exact.reference(kind)[name], ulp, strict=True)
        ]
        assert max(error) <= 0.51, name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_snr_in_two_parts_keeps_the_gap(dtype, xp):
    schedule = KINDS["linear"]
    tables = schedule.tables(make(xp, [0.0], dtype))
    log_snr = exact.reference("linear")["log_snr"]
    t = np.arange(2, 1001)
    gap = tables.log_snr_gap(make(xp, t - 1, "int64"), make(xp, t, "int64"))
    assert gap.dtype == getattr(xp, dtype)
    wanted = np.array([float(log_snr[k - 1] - log_snr[k]) for k in t])
    eps = np.finfo(dtype).eps
    worst = np.max(np.abs(as_numpy(gap) - wanted) / wanted)
    # In float64 the tables' own last digit, 10 eps, over the smallest gap remains.
    assert worst <= (4 * eps if dtype == "float32" else 10 * eps / wanted.min())
    cast = schedule.log_snr.astype(dtype)
    if dtype == "float32":
        assert np.max(np.abs((cast[1:-1] - cast[2:]) - wanted) / wanted) > 100 * eps


def error_of(schedule, betas):
    """The largest relative error of the tables, of logs over 1 + |log|; betas at 50 digits."""
    wanted = exact.tables(exact.alpha_bar_of(betas))
    wanted["log_alpha_bar"] = [mp.log(bar) for bar in wanted["alpha_bar"]]
    errors = []
    for name, column in wanted.items():
        table = getattr(schedule, name)
        assert table.dtype == np.float64
        if name in ("log_snr", "posterior_log_variance_clipped"):
            infinite = [mp.isinf(log) for log in column]
            np.testing.assert_array_equal(np.isinf(table), infinite)
            both = zip(table.tolist(), column, infinite, strict=True)
            errors += [float(abs(v - w) / (1 + abs(w))) for v, w, skip in both if not skip]
        else:
            errors += exact.relative_errors(table, column)
    return max(errors)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("linear", {"beta_start": 0.3, "beta_end": 1e-6}),
        ("scaled_linear", {"beta_start": 1e-6, "beta_end": 0.5}),
        ("quadratic", {"beta_start": 0.01, "beta_end": 0.02}),
        ("constant", {"beta": 1e-7}),
        ("constant", {"beta": 0.9}),
        ("cosine", {"offset": 0.0}),
        ("cosine", {"offset": 0.0, "min_beta": 0.01, "max_beta": 0.5}),
        ("sigmoid", {"start": -1.0, "end": 5.0, "tau": 0.5}),
        ("sigmoid", {"start": 0.0, "end": 3.0, "tau": 2.0, "max_beta": 0.4}),
        # Rounding has these lose a little more than there is.
        ("sigmoid", {"start": -4.0, "end": -0.8, "tau": 1.5}),
        ("sigmoid", {"start": -0.8, "end": 4.0, "tau": 0.6}),
        ("sigmoid", {"start": -9.0, "end": -2.0, "tau": 0.7}),
    ],
)
def test_parameters_count_as_published(kind, parameters):
    T = 37
    schedule = getattr(schedules, kind)(T, **parameters)
    assert schedule.T == T
    np.testing.assert_array_equal(schedule.origin, range(T + 1))
    assert error_of(schedule, exact.BETAS[kind](T, **parameters)) <= 1e-12
    assert schedule.config == {"kind": kind, "T": T} | defaults(kind) | parameters
    assert schedules.from_config(schedule.config) == schedule


def defaults(kind):
    """The parameters of the papers, but for T."""
    line = {"beta_start": 1e-4, "beta_end": 0.02}
    return {
        "linear": line,
        "quadratic": line,
        "scaled_linear": {"beta_start": 0.00085, "beta_end": 0.012},
        "constant": {"beta": 0.02},
        "cosine": {"offset": 0.008, "max_beta": 0.999, "min_beta": 0.0},
        "sigmoid": {"start": -3.0, "end": 3.0, "tau": 1.0, "max_beta": 0.999},
    }[kind]


def test_one_step_and_two():
    one = schedules.constant(1, beta=0.3)
    assert error_of(schedules.constant(2, beta=0.3), exact.constant(2, 0.3)) <= 1e-12
    assert one(1) == pytest.approx((math.sqrt(0.7), math.sqrt(0.3)), rel=1e-15)
    assert process.posterior(one, 1) == pytest.approx((1.0, 0.0, 0.0), abs=1e-15)
    # There is no step from t = 2 to clip to: beta_1, the transition's variance, stands in.
    assert one.posterior_log_variance_clipped == pytest.approx([math.log(0.3)] * 2, rel=1e-15)


@pytest.mark.parametrize("kind", exact.BETAS)
def test_defaults_are_published_ones(kind):
    assert getattr(schedules, kind)().config == {"kind": kind, "T": 1000} | defaults(kind)


def test_a_long_cosine_keeps_its_last_digits():
    """Where cos is small it is the sine of what is left."""
    T = 20_000
    schedule = schedules.cosine(T, offset=0.0, max_beta=1.0 - 1e-12)
    for t in range(T - 8, T):
        wanted = mp.cos(mp.pi / 2 * t / T)
        assert float(abs(schedule.alpha[t] / wanted - 1)) <= 1e-12


@pytest.mark.parametrize("kind", ["cosine", "sigmoid"])
def test_the_betas_of_a_long_schedule_keep_their_last_digits(kind):
    """The ratio of two alpha_bar, which is as near 1 as the schedule is long, loses them."""
    T = 20_000
    schedule = getattr(schedules, kind)(T, max_beta=1.0 - 1e-9)
    wanted = {t: long_beta(kind, T, t) for t in (1, 2, 50, 10_000, 19_000, 19_998, 19_999)}
    for t, beta in wanted.items():
        assert float(abs(schedule.beta[t] / beta - 1)) <= 8 * np.finfo(float).eps
    ratio = schedule.alpha_bar[1:] / schedule.alpha_bar[:-1]
    assert max(float(abs((1.0 - ratio[t - 1]) / beta - 1)) for t, beta in wanted.items()) > 1e-12


def long_beta(kind, T, t):
    """1 - alpha_bar_t / alpha_bar_{t-1} from the papers' definitions at 50 digits."""

    def cosine(k):
        return mp.cos((mp.mpf(k) / T + mp.mpf(0.008)) / (1 + mp.mpf(0.008)) * mp.pi / 2) ** 2

    def sigmoid(k):
        return 1 / (1 + mp.exp(-mp.mpf(3))) - 1 / (1 + mp.exp(3 - mp.mpf(6) * k / T))

    alpha_bar = {"cosine": cosine, "sigmoid": sigmoid}[kind]
    return 1 - alpha_bar(t) / alpha_bar(t - 1)


@given(st.floats(-6.0, 2.0), st.floats(0.5, 6.0), st.floats(0.3, 3.0))
@example(-3.0, 2.0, 3.0)  # start + (end - start) is not end.
def test_any_sigmoid_is_within_1e_12_of_50_digits(start, width, tau):
    schedule = schedules.sigmoid(12, start, start + width, tau)
    assert error_of(schedule, exact.sigmoid(12, start, start + width, tau)) <= 1e-12


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
def test_sums_of_logarithms_lose_nothing(order):
    """Against exact sums; without compensation they would be off by many ulp."""
    betas = 10.0 ** np.random.default_rng(0).uniform(-9.0, -0.5, size=20_000)
    betas = {"rising": np.sort(betas), "falling": np.sort(betas)[::-1], "mixed": betas}[order]
    terms = np.log1p(-betas)
    wanted = np.array([math.fsum(terms[:k]) for k in range(400, 20_001, 400)])
    ulp = np.spacing(np.abs(wanted))
    got = schedules.from_betas(betas).log_alpha_bar[400::400]
    assert np.max(np.abs(got - wanted) / ulp) <= 1.0
    assert np.max(np.abs(np.cumsum(terms)[399::400] - wanted) / ulp) > 10.0


def test_lists_are_read_in_float64():
    betas = np.array([0.1, 0.2, 0.7], dtype=np.float32)
    kept = np.cumprod(1.0 - betas.astype(np.float64))
    rounded = kept.astype(np.float32)
    for schedule, wanted in (
        (schedules.from_betas(betas), kept),
        (schedules.from_betas(betas.astype(np.float64).tolist()), kept),
        (schedules.from_alpha_bar(rounded), rounded.astype(np.float64)),
    ):
        np.testing.assert_allclose(schedule.alpha_bar[1:], wanted, rtol=4e-15)
        for name in ("alpha", "sigma", "beta", "log_alpha_bar", "origin"):
            assert getattr(schedule, name).dtype == np.float64
        np.testing.assert_array_equal(schedule.origin, [0, 1, 2, 3])
        assert schedule.beta[0] == 0.0
    np.testing.assert_array_equal(schedules.from_betas([1])(1), (0.0, 1.0))


def test_a_schedule_of_given_alpha_bar():
    given_bars = [1.0 - 1e-12, 0.9, 0.5, 0.1, 1e-30]
    schedule = schedules.from_alpha_bar(given_bars)
    bars = [mp.mpf(1), *map(mp.mpf, given_bars)]
    for name in ("alpha", "sigma", "beta", "one_minus_alpha_bar", "posterior_variance"):
        errors = exact.relative_errors(getattr(schedule, name), exact.tables(bars)[name])
        assert max(errors) <= 1e-12, name
    assert schedule.config == {"kind": "from_alpha_bar", "alpha_bar": given_bars}
    assert schedules.from_config(schedule.config) == schedule
    np.testing.assert_array_equal(schedule.origin, range(6))
    assert schedule.beta[0] == 0.0
    assert schedules.from_alpha_bar([0.5]).T == 1
    ended = schedules.from_alpha_bar([0.5, 0.0])
    assert ended(2) == (0.0, 1.0)
    assert ended.log_snr[-1] == -math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_end_points(kind):
    schedule = KINDS[kind]
    assert (schedule.beta[0], schedule.alpha_bar[0], schedule.log_snr[0]) == (0.0, 1.0, math.inf)
    assert schedule(0) == (1.0, 0.0)
    assert schedule.posterior_variance[0] == schedule.posterior_variance[1] == 0.0
    assert schedule.beta[1] > 0.0  # The transition's variance, which is not the posterior's here.
    assert schedule.posterior_mean_x_0[1] == pytest.approx(1.0, abs=1e-15)
    assert schedule.posterior_mean_x_t[1] == 0.0
    assert np.all(np.isfinite(schedule.posterior_log_variance_clipped))
    for name in ("beta", "alpha_bar", "log_snr", "posterior_variance"):
        table = getattr(schedule, name)
        assert table.dtype == np.float64
        assert table.shape == (schedule.T + 1,)
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1.0


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_its_start():
    before, after = KINDS["linear"], KINDS["zero_terminal_snr"]
    assert after(1000) == (0.0, 1.0)
    assert before(1000) != (0.0, 1.0)
    assert after.log_snr[-1] == -math.inf
    assert after.beta[-1] == 1.0
    assert after.alpha_bar[1] == pytest.approx(before.alpha_bar[1], rel=4e-16)
    again = schedules.zero_terminal_snr(after)
    np.testing.assert_array_equal(again.alpha_bar, after.alpha_bar)


def test_what_falls_is_the_log_snr_of_the_whole_chain():
    """A single step's, log of (1 - beta_t) / beta_t, need not."""
    schedule = schedules.constant(T=50)
    assert np.all(np.diff(schedule.log_snr) < 0)
    assert not np.all(np.diff(np.log((1.0 - schedule.beta[1:]) / schedule.beta[1:])) < 0)


@given(discrete_schedules())
def test_log_snr_falls_and_the_schedule_is_described(schedule):
    assert np.all(np.diff(schedule.log_snr) < 0)
    assert np.all((schedule.beta[1:] > 0) & (schedule.beta[1:] <= 1))
    again = schedules.from_config(schedule.config)
    assert again == schedule
    assert hash(again) == hash(schedule)
    np.testing.assert_array_equal(again.posterior_variance, schedule.posterior_variance)


@given(continuous_schedules(), st.floats(0.01, 0.98), st.floats(0.01, 0.98))
def test_continuous_schedules(schedule, u, v):
    s, t = sorted(schedule.curve.t_max * w for w in (u, v))
    if t - s > 1e-6:
        assert schedule.log_snr_gap(s, t) > 0
    level = schedule(t)
    assert level.log_snr == pytest.approx(schedule.log_snr_at(t), rel=1e-12, abs=1e-12)
    assert schedules.from_config(schedule.config) == schedule
    split = schedule.curve.split(np, np.float64(schedule.log_snr_at(t)))
    assert tuple(map(float, split)) == pytest.approx(tuple(level), rel=1e-13)


def exact_levels(kind, t):
    """(alpha, sigma) from the papers' own integrals and formulas, at 50 digits."""
    t = mp.mpf(t)
    if kind in ("vp_linear", "sub_vp"):
        integral = mp.quad(lambda u: mp.mpf("0.1") + (20 - mp.mpf("0.1")) * u, [0, t])
        alpha = mp.exp(-integral / 2)
        return alpha, (mp.sqrt(1 - alpha**2) if kind == "vp_linear" else 1 - alpha**2)
    if kind == "cosine_continuous":
        return mp.cos(mp.pi * t / 2), mp.sin(mp.pi * t / 2)
    if kind == "flow":
        return 1 - t, t
    return mp.mpf(1), (mp.mpf("0.01") * mp.mpf(5000) ** t if kind == "ve" else t)


@pytest.mark.parametrize("kind", ["vp_linear", "sub_vp", "cosine_continuous", "flow", "ve", "edm"])
def test_continuous_levels_against_50_digits(kind, xp):
    schedule = getattr(schedules, kind)()
    times = np.array([1e-5, 1e-3, 0.1, 0.5, 0.9, 0.999])
    alpha, sigma = schedule(make(xp, times))
    for k, t in enumerate(times):
        wanted = [float(v) for v in exact_levels(kind, float(t))]
        # beta_min = 0.1 and sigma_min = 0.01 as float64 are themselves off by up to an ulp.
        assert schedule(float(t)) == pytest.approx(wanted, rel=1e-13)
        got = [float(as_numpy(alpha)[k]), float(as_numpy(sigma)[k])]
        assert got == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize("kind", ["vp_linear", "sub_vp", "cosine_continuous", "flow", "ve", "edm"])
def test_continuous_kinds_and_last_times(kind):
    schedule, last = getattr(schedules, kind)(), 80.0 if kind == "edm" else 1.0
    assert schedule.config["kind"] == kind
    schedule(last)
    with pytest.raises(ValueError, match="t must be in"):
        schedule(math.nextafter(last, math.inf))


def test_continuous_end_points():
    for kind in ("vp_linear", "sub_vp", "cosine_continuous", "flow", "edm"):
        assert getattr(schedules, kind)()(0.0) == (1.0, 0.0)
        assert getattr(schedules, kind)().log_snr_at(0.0) == math.inf
    assert schedules.flow()(1.0) == (0.0, 1.0)
    assert schedules.cosine_continuous()(1.0) == (0.0, 1.0)
    assert schedules.ve()(0.0) == (1.0, pytest.approx(0.01, rel=1e-15))
    assert schedules.shift(schedules.flow(), 3.0)(1.0) == (0.0, 1.0)
    # In arrays too, without a warning.
    for kind in ("vp_linear", "sub_vp", "cosine_continuous", "flow", "edm"):
        schedule = getattr(schedules, kind)()
        for ends in (np.array([0.0, 0.0]), np.array([0.0, schedule.curve.t_max])):
            wanted = [schedule.log_snr_at(float(t)) for t in ends]
            np.testing.assert_allclose(schedule.log_snr_at(ends), wanted, rtol=1e-12)


@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
def test_shift_of_a_flow_is_the_published_change_of_time(t):
    moved = 3.0 * t / (1.0 + 2.0 * t)
    assert schedules.shift(schedules.flow(), 3.0)(t) == pytest.approx((1 - moved, moved))
    assert schedules.shift(schedules.edm(), 2.0)(t) == pytest.approx((1.0, 2.0 * t))


def test_respaced_posteriors_are_those_of_the_skipped_times():
    schedule = schedules.linear(T=100)
    spaced = schedules.respace(schedule, [1, 7, 40, 100])
    np.testing.assert_array_equal(spaced.origin, [0, 1, 7, 40, 100])
    np.testing.assert_allclose(spaced.alpha_bar, schedule.alpha_bar[[0, 1, 7, 40, 100]], rtol=1e-15)
    twice = schedules.respace(spaced, [2, 4])
    np.testing.assert_array_equal(twice.origin, [0, 7, 100])
    continuous = schedules.respace(schedules.vp_linear(), [0.25, 0.5, 1.0])
    assert continuous.alpha[2] == pytest.approx(schedules.vp_linear()(0.5).alpha, rel=1e-14)


def test_a_time_is_met_in_every_library(xp):
    schedule = schedules.cosine()
    t = make(xp, [1, 500, 1000], "int32")
    like = make(xp, np.zeros((3, 2)), "float32")
    alpha, sigma = schedule(t, like)
    assert alpha.dtype == sigma.dtype == xp.float32
    np.testing.assert_array_equal(as_numpy(alpha), schedule.alpha[[1, 500, 1000]].astype("f4"))
    np.testing.assert_array_equal(as_numpy(sigma), schedule.sigma[[1, 500, 1000]].astype("f4"))
    assert type(schedule(500).alpha) is float
    assert as_numpy(schedule(t).alpha).shape == (3,)


@pytest.mark.parametrize("name", ["ve", "edm"])
def test_an_exploding_schedule_keeps_its_signal_when_shifted(name, xp):
    schedule = schedules.shift(getattr(schedules, name)(), 2.0)
    t = make(xp, [0.25, 0.75], "float32")
    alpha, sigma = schedule(t)
    assert alpha.dtype == sigma.dtype == xp.float32
    np.testing.assert_array_equal(as_numpy(alpha), [1.0, 1.0])
    wanted = [2.0 * getattr(schedules, name)()(u).sigma for u in (0.25, 0.75)]
    np.testing.assert_allclose(as_numpy(sigma), wanted, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_two_parts_make_the_log_snr(dtype):
    """Whole numbers have it in one; tables of any precision in two, of at least float32."""
    schedule = schedules.linear(T=50)
    assert schedule.numbers.log_snr == tuple(schedule.log_snr.tolist())
    assert schedule.numbers.log_snr_rest == (0.0,) * 51
    tables = schedule.tables(np.zeros(1, dtype=dtype))
    wide = np.float64 if dtype == "float64" else np.float32
    assert tables.log_snr.dtype == tables.log_snr_rest.dtype == wide
    both = tables.log_snr.astype(np.float64) + tables.log_snr_rest
    np.testing.assert_allclose(both[1:], schedule.log_snr[1:], rtol=0, atol=1e-14)
    assert both[0] == math.inf


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "sqrt", "sin", "abs", "floor"])
def test_numbers_know_what_numpy_knows(name):
    values = [0.0, 5e-324, 1e-9, 0.5, 1.0, 1.5, 700.0]
    if name not in ("log", "sqrt"):
        values += [-0.5, -1.0] + ([-700.0, -1e9] if name != "log1p" else [])
    if name in ("exp", "log", "log1p", "abs", "sqrt"):
        values.append(math.inf)
    if name == "exp":
        largest = math.log(sys.float_info.max)
        values += [709.0, largest, math.nextafter(largest, 1e9), 709.9, 1e9, -math.inf]
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(np.array(values))
    got = [getattr(Numbers, name)(value) for value in values]
    assert all(isinstance(value, float | int) for value in got)
    np.testing.assert_allclose(got, wanted, rtol=4 * np.finfo(float).eps)


def test_log_snr_of_a_level(xp):
    assert schedules.Level(1.0, 0.0).log_snr == math.inf
    assert schedules.Level(0.0, 1.0).log_snr == -math.inf
    schedule = schedules.cosine_continuous()
    host = np.array([0.1, 0.5, 0.9])
    got = schedule(make(xp, host)).log_snr
    wanted = [2 * mp.log(mp.cot(mp.pi * mp.mpf(t) / 2)) for t in host.tolist()]
    np.testing.assert_allclose(as_numpy(got), np.array(wanted, float), rtol=1e-13, atol=1e-15)
    ends = schedules.Level(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(ends.log_snr, [math.inf, -math.inf])


@pytest.mark.parametrize("kind", ["vp_linear", "sub_vp", "cosine_continuous", "flow", "edm"])
def test_log_snr_at_the_ends_warns_in_no_library(kind, xp):
    """Dask computes later, array-api-strict by NumPy: neither may speak of a division by 0."""
    schedule = getattr(schedules, kind)()
    t = make(xp, [0.0, schedule.curve.t_max])
    wanted = [math.inf, float(schedule.log_snr_at(schedule.curve.t_max))]
    np.testing.assert_allclose(as_numpy(schedule.log_snr_at(t)), wanted, rtol=1e-12)
    np.testing.assert_allclose(as_numpy(schedule(t).log_snr)[0], math.inf)
    gap = schedule.log_snr_gap(t[:1], t[1:])
    assert as_numpy(gap)[0] == math.inf


def test_a_shifted_schedule_keeps_its_times():
    spaced = schedules.respace(schedules.linear(), [100, 300, 1000])
    for factor in (0.5, 3.0):
        moved = schedules.shift(spaced, factor)
        np.testing.assert_array_equal(moved.origin, spaced.origin)
        wanted = spaced.log_snr[1:] - 2 * math.log(factor)
        np.testing.assert_allclose(moved.log_snr[1:], wanted, rtol=1e-12)
        assert moved.T == 3


def test_zero_terminal_snr_keeps_the_times_and_says_what_it_is():
    spaced = schedules.respace(schedules.linear(), [100, 300, 1000])
    once = schedules.zero_terminal_snr(spaced)
    for inner, schedule in ((spaced, once), (once, schedules.zero_terminal_snr(once))):
        np.testing.assert_array_equal(schedule.origin, [0, 100, 300, 1000])
        assert schedule.config == {"kind": "zero_terminal_snr", "schedule": inner.config}
        assert schedules.from_config(schedule.config) == schedule
        assert schedule(3) == (0.0, 1.0)
        for name in ("origin", "beta", "alpha", "log_alpha_bar", "posterior_variance"):
            assert not getattr(schedule, name).flags.writeable


def test_times_of_any_sort_respace_alike():
    schedule = schedules.linear(T=10)
    ones = [schedules.respace(schedule, times) for times in ([4, 10], [4.0, 10.0], range(4, 11, 6))]
    for one in ones:
        assert one == ones[0]
        assert hash(one) == hash(ones[0])
    last = schedules.respace(schedule, [10])
    assert (last.T, last.alpha_bar[1]) == (1, schedule.alpha_bar[10])


@pytest.mark.parametrize("real", [np.float32, np.float64, np.int64], ids=lambda t: t.__name__)
def test_a_schedule_of_numpys_numbers_is_one_of_pythons(real):
    """A schedule has a hash and goes into a file, whatever sort of number it was made of."""
    steps = np.int64(10)
    made = [schedules.edm(real(80)), schedules.ve(real(1), real(50)), schedules.vp_linear(real(1))]
    made += [schedules.linear(steps), schedules.shift(schedules.linear(steps), real(2))]
    if real is not np.int64:
        half, quarter = real(0.5), real(0.25)
        made += [schedules.linear(steps, quarter, half), schedules.constant(steps, half)]
        made += [schedules.scaled_linear(steps, quarter, half), schedules.cosine(steps, half, half)]
        made += [schedules.sigmoid(steps, real(-3), real(3), half, half)]
    for schedule in made:
        assert schedules.from_config(json.loads(json.dumps(schedule.config))) == schedule
        assert isinstance(hash(schedule), int)
        if isinstance(schedule, schedules.DiscreteSchedule):
            tables = [schedule.beta, schedule.alpha_bar, schedule.log_snr]
            assert {table.dtype for table in tables} == {np.dtype("float64")}
        else:
            assert {type(v) for v in schedule.config.values()} == {str, float}


def test_equal_schedules_have_one_hash():
    whole, real = schedules.cosine(10, offset=0), schedules.cosine(10, offset=0.0)
    assert whole == real
    assert hash(whole) == hash(real)


def test_betas_may_be_an_array_of_any_library(xp):
    betas = make(xp, [0.1, 0.2, 0.5])
    assert schedules.from_betas(betas) == schedules.from_betas([0.1, 0.2, 0.5])
    times = make(xp, [1, 3], "int64")
    schedule = schedules.linear(10)
    assert schedules.respace(schedule, times) == schedules.respace(schedule, [1, 3])


def test_the_steepest_sigmoid_is_one():
    schedule = schedules.sigmoid(10, start=-450.0, end=450.0)
    assert np.all(np.diff(schedule.log_snr) < 0)
    assert not np.any(np.isnan(schedule.posterior_variance))


def test_schedules_are_told_apart():
    schedule, other = schedules.linear(T=10), schedules.linear(T=11)
    assert schedule != other
    assert schedule != schedule.config
    assert hash(schedule) != hash(other)
    turned = dict(reversed(schedule.config.items()))
    twin = dataclasses.replace(schedule, config=turned)
    assert twin == schedule
    assert hash(twin) == hash(schedule)
    assert repr(schedule) == "DiscreteSchedule(linear, T=10)"


def test_a_networks_times_come_in_the_datas_dtype():
    spaced = schedules.respace(schedules.linear(), [100, 300, 1000])
    t = np.array([0, 2, 3])
    for schedule in (spaced, schedules.interpolate(spaced)):
        times = t if schedule is spaced else t.astype(np.float64)
        assert type(schedule.origin_at(2)) is float
        for like, dtype in ((None, "float64"), (np.zeros(1, dtype="float32"), "float32")):
            got = schedule.origin_at(times, like)
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, [0.0, 300.0, 1000.0])
            assert schedule(times, like).alpha.dtype == dtype
            assert schedule.log_snr_at(times, like).dtype == dtype


def test_tables_answer_like_the_schedule(xp):
    schedule = schedules.linear(T=50)
    like = make(xp, [0.0])
    tables = schedule.tables(like)
    t = make(xp, [1, 20, 50], "int64")
    for source in (schedule, tables):
        np.testing.assert_array_equal(as_numpy(source(t, like).sigma), schedule.sigma[[1, 20, 50]])
        np.testing.assert_array_equal(
            as_numpy(source.log_snr_at(t, like)), schedule.log_snr[[1, 20, 50]]
        )
        assert source.log_snr_at(t, make(xp, [0.0], "float32")).dtype == xp.float32
        step = source.posterior_step(t, like)
        np.testing.assert_array_equal(
            as_numpy(step.variance), schedule.posterior_variance[[1, 20, 50]]
        )
    assert float(tables(20).alpha) == schedule(20).alpha
    assert (tables.T, schedule.numbers.T) == (schedule.T, schedule.T)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: schedules.linear(T=0), "T must be a positive int, got 0"),
        (lambda: schedules.linear(T=10.0), "T must be a positive int, got 10.0"),
        (lambda: schedules.linear(T=True), "T must be a positive int, got True"),
        (lambda: schedules.linear(T="10"), "T must be a positive int, got '10'"),
        (lambda: schedules.linear(beta_start=0.0), r"beta_start must be in \(0, 1\), got 0.0"),
        (lambda: schedules.linear(beta_end=1.0), r"beta_end must be in \(0, 1\), got 1.0"),
        (lambda: schedules.cosine(max_beta=0.2, min_beta=0.2), "max_beta must be above min_beta"),
        (lambda: schedules.cosine(min_beta=-0.1), "max_beta must be above min_beta"),
        (lambda: schedules.cosine(offset=math.inf), "offset must be"),
        (lambda: schedules.sigmoid(start=-math.inf), "end must be above start and finite"),
        (lambda: schedules.sigmoid(end=math.inf), "end must be above start and finite"),
        (lambda: schedules.sigmoid(start=1.0, end=1.0), "end must be above start and finite"),
        (lambda: schedules.sigmoid(tau=math.inf), "tau must be positive and finite"),
        (lambda: schedules.from_betas([0.0, 0.1]), "got 0.0 at t = 1"),
        (lambda: schedules.from_betas([[0.1, 0.2]]), r"betas must have shape \(T,\)"),
        (lambda: schedules.from_alpha_bar([]), r"alpha_bar must have shape \(T,\)"),
        (lambda: schedules.from_alpha_bar([[0.5, 0.2]]), r"alpha_bar must have shape \(T,\)"),
        (lambda: schedules.edm(sigma_max=math.inf), "sigma_max must be positive and finite"),
        (lambda: schedules.ve(sigma_max=math.inf), "sigma_max must be finite and above sigma_min"),
        (lambda: schedules.ve(1.0, 1.0), "sigma_max must be finite and above sigma_min"),
        (lambda: schedules.from_config({}), "schedule kind must be one of linear"),
        (lambda: schedules.linear(beta_end=1.5), "beta_end must be in"),
        (lambda: schedules.cosine(max_beta=1.0), "max_beta must be"),
        (lambda: schedules.cosine(offset=-1.0), "offset must be"),
        (lambda: schedules.sigmoid(start=2.0, end=1.0), "end must be above start"),
        (lambda: schedules.sigmoid(tau=0.0), "tau must be"),
        (lambda: schedules.sigmoid(tau=1e-3), "tau must be at least the larger of -start and end"),
        (lambda: schedules.sigmoid(end=0.0, tau=1e-3), "tau must be at least the larger of -start"),
        (lambda: schedules.sigmoid(start=-450.5), "tau must be at least the larger of -start"),
        (lambda: schedules.shift(schedules.linear(), 1e-200), "schedule must lose signal at each"),
        (
            # What alpha_bar loses from step to step is below log SNR's last digit after the shift.
            lambda: schedules.shift(schedules.from_alpha_bar([0.5, np.nextafter(0.5, 0)]), 1e100),
            "schedule must lose signal at each",
        ),
        (
            lambda: schedules.zero_terminal_snr(schedules.constant(1000, 0.9)),
            "schedule must lose signal at each",
        ),
        (lambda: schedules.from_betas([]), "betas must have shape"),
        (lambda: schedules.from_betas([0.1, 1.0, 0.1]), "got 1.0 at t = 2"),
        (lambda: schedules.from_betas([0.1, math.nan]), "got nan at t = 2"),
        (lambda: schedules.from_alpha_bar([0.9, 0.95]), "got 0.95 at t = 2"),
        (lambda: schedules.from_alpha_bar([0.9, -0.1]), "got -0.1 at t = 2"),
        (lambda: schedules.from_alpha_bar([1.0, 0.5]), "got 1.0 at t = 1"),
        (lambda: schedules.vp_linear(beta_min=0.0), "above beta_min > 0"),
        (lambda: schedules.edm(sigma_max=0.0), "sigma_max must be positive"),
        (lambda: schedules.linear()(1001), r"t must be a whole time in 0..1000, got 1001"),
        (lambda: schedules.linear()(-1), "got -1"),
        (lambda: schedules.linear()(0.5), "got 0.5"),
        (lambda: schedules.linear().log_snr_gap(0.5, 6), "s must be a whole time in 0..1000"),
        (lambda: schedules.linear()(np.array([0, 1001])), r"t must be in 0..1000, got 0..1001"),
        (lambda: schedules.linear()(np.array([[1]])), r"t must have shape \(batch,\)"),
        (lambda: schedules.linear().posterior_step(0), r"t must be in 1..1000"),
        (lambda: schedules.flow()(1.5), r"t must be in \[0, 1\]"),
        (lambda: schedules.flow()(np.array([math.nan])), "t must be in"),
        (lambda: schedules.flow().posterior_step(0.5), "s must be given"),
        (lambda: schedules.respace(schedules.linear(), [5, 5]), "times must increase strictly"),
        (lambda: schedules.respace(schedules.linear(), [5, 1001]), "times must be whole"),
        (lambda: schedules.respace(schedules.linear(), [0, 5]), "times must increase strictly"),
        (lambda: schedules.respace(schedules.linear(), []), "times must increase strictly"),
        (lambda: schedules.respace(schedules.linear(), [[1, 2]]), "times must increase strictly"),
        (lambda: schedules.respace(schedules.linear(), [1.5, 3]), "times must be whole"),
        (lambda: schedules.respace(schedules.flow(), [0.5]), "variance preserving"),
        (lambda: schedules.shift(schedules.flow(), 0.0), "factor must be positive"),
        (lambda: schedules.shift(schedules.flow(), math.inf), "factor must be positive"),
        (lambda: schedules.zero_terminal_snr(schedules.linear(T=1)), "at least 2 steps"),
        (lambda: schedules.from_config({"kind": "liner"}), "schedule kind must be one of linear"),
        (
            lambda: schedules.from_config({"kind": "linear", "t": 3}),
            "schedule 'linear' takes T, beta_start, beta_end, got 't'",
        ),
        (
            lambda: schedules.from_config({"kind": "edm", "T": 3}),
            "schedule 'edm' takes sigma_max, got 'T'",
        ),
        (
            lambda: schedules.from_config({"kind": "flow", "T": 3}),
            "schedule 'flow' takes no parameters, got 'T'",
        ),
        (
            lambda: schedules.from_config({"kind": "from_betas"}),
            "schedule 'from_betas' needs betas",
        ),
        (
            lambda: schedules.from_config({"kind": "edm", "sigma_max": "x"}),
            "schedule 'edm': sigma_max must be a number, got 'x'",
        ),
        (lambda: schedules.from_config({"kind": ["linear"]}), "schedule kind must be one of"),
    ],
)
def test_bad_values_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: schedules.linear()("5"), "t must be an int or an integer array, got str"),
        (lambda: schedules.linear()(True), "t must be an int"),
        (lambda: schedules.linear()(np.array([0.5])), "t must be an integer array"),
        (lambda: schedules.flow()(np.array([1])), "t must be a floating array"),
        (lambda: schedules.zero_terminal_snr(schedules.flow()), "schedule must be discrete"),
        (lambda: schedules.linear(beta_start="a"), "beta_start must be a number, got 'a'"),
        (lambda: schedules.scaled_linear(beta_end=None), "beta_end must be a number, got None"),
        (lambda: schedules.constant(beta=True), "beta must be a number, got True"),
        (lambda: schedules.cosine(offset="a"), "offset must be a number"),
        (lambda: schedules.cosine(min_beta=[0.1]), "min_beta must be a number"),
        (lambda: schedules.sigmoid(max_beta=1j), "max_beta must be a number"),
        (lambda: schedules.sigmoid(start="a"), "start must be a number"),
        (lambda: schedules.sigmoid(end=np.array([1.0, 2.0])), "end must be a number"),
        (lambda: schedules.sigmoid(tau="a"), "tau must be a number"),
        (lambda: schedules.vp_linear(beta_min="a"), "^beta_min must be a number"),
        (lambda: schedules.vp_linear(beta_max="a"), "^beta_max must be a number"),
        (lambda: schedules.sub_vp(beta_min="a"), "^beta_min must be a number"),
        (lambda: schedules.sub_vp(beta_max="a"), "^beta_max must be a number"),
        (lambda: schedules.flow().log_snr_at("a"), "^t must be a float or a floating array"),
        (lambda: schedules.ve(sigma_max=None), "sigma_max must be a number"),
        (lambda: schedules.edm("80"), "sigma_max must be a number, got '80'"),
        (lambda: schedules.from_betas(["a"]), r"betas must be a sequence of numbers, got \['a'\]"),
        (lambda: schedules.from_alpha_bar({}), "alpha_bar must be a sequence of numbers"),
        (lambda: schedules.respace(schedules.linear(), "ab"), "times must be a sequence of"),
        (lambda: schedules.respace(None, [1]), "schedule must be discrete or continuous"),
        (lambda: schedules.shift("linear", 2.0), "schedule must be discrete or continuous"),
        (lambda: schedules.shift(schedules.linear(), None), "factor must be a number"),
        (lambda: schedules.from_config("linear"), "config must be a mapping, got 'linear'"),
        (lambda: schedules.from_config(None), "config must be a mapping, got None"),
    ],
)
def test_bad_types_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("kind", ["linear", "tables", "flow"])
def test_what_levels_are_made_like_must_be_floating(kind):
    """Of integers alpha and sigma would be 0 and 1."""
    whole = np.ones(2, dtype=int)
    schedule = schedules.flow() if kind == "flow" else schedules.linear(10)
    schedule = schedule.tables(np.ones(1)) if kind == "tables" else schedule
    t = np.array([0.5, 0.7]) if kind == "flow" else np.array([5, 7])
    other = namespace_of("torch").ones(2)
    for like, said in (
        (whole, "like must be a real floating-point array, got dtype int64"),
        (5, "like must be an array, got int"),
        (other, "t must be an array of like's library, torch, got one of numpy"),
    ):
        with pytest.raises(TypeError, match=said):
            schedule(t, like)
    if kind == "linear":
        with pytest.raises(TypeError, match="like must be a real floating-point array"):
            schedule.tables(whole)
        tables = schedule.tables(other)
        with pytest.raises(TypeError, match="schedule's tables must be an array of the data's"):
            tables(5, np.ones(2))
