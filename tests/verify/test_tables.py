"""Tables at 50 digits, what rounding may do to them, and what the checks of them say."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffcore import schedules, verify
from diffcore.verify import Verdict, digits, formulas, table_rounding
from diffcore.verify.checks import CHECKS, entries, tables
from diffcore.verify.outcome import summarise
from diffcore.verify.subject import Subject, Table

EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}
CHECKED = [check for check in CHECKS if check.run.__module__ == tables.__name__]


def subject(held, dtype="float64", first=1, **options):
    made = {k: Table(np.asarray(v, np.float64), first, EPSILON[dtype]) for k, v in held.items()}
    empty = Subject(name="tables", kind="tables", make=np.asarray, epsilon=EPSILON[dtype])
    return replace(empty, tables=made, **options)


def naive(betas, dtype="float64", product=None):
    """Every table as it is usually written, in one dtype; `product`, that of alpha_bar."""
    beta = np.asarray(betas, dtype=dtype)
    alpha = 1 - beta
    bar = np.cumprod(alpha.astype(product or dtype)).astype(dtype)
    before = np.append(np.ones(1, dtype), bar[:-1])
    variance = beta * (1 - before) / (1 - bar)
    return {
        "beta": beta,
        "alpha_bar": bar,
        "alpha_bar_prev": before,
        "alpha_bar_next": np.append(bar[1:], np.zeros(1, dtype)),
        "one_minus_alpha_bar": 1 - bar,
        "sqrt_alpha_bar": np.sqrt(bar),
        "sqrt_one_minus_alpha_bar": np.sqrt(1 - bar),
        "log_one_minus_alpha_bar": np.log(1 - bar),
        "sqrt_recip_alpha_bar": np.sqrt(1 / bar),
        "sqrt_recipm1_alpha_bar": np.sqrt(1 / bar - 1),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.append(variance[1], variance[1:])),
        "posterior_mean_x_0": beta * np.sqrt(before) / (1 - bar),
        "posterior_mean_x_t": (1 - before) * np.sqrt(alpha) / (1 - bar),
        "sigma2": variance,
    }


def report(held, dtype="float64", **options):
    return verify.examine(subject(held, dtype, **options), CHECKED)


LINEAR = np.linspace(1e-4, 0.02, 1000)


def test_the_exact_tables_are_those_of_closed_forms_in_mpmath():
    betas = np.array([0.001, 0.02, 0.3, 0.999, 0.5])
    exact = digits.of_betas(betas)
    with mpmath.workdps(60):
        beta = [mpmath.mpf(float(b)) for b in betas]
        bar = [mpmath.fprod(1 - b for b in beta[:t]) for t in range(6)]
        for t in range(1, 6):
            b, before = beta[t - 1], bar[t - 1]
            rest = 1 - bar[t]
            wanted = {
                "beta": b,
                "alpha_bar": bar[t],
                "alpha_bar_prev": before,
                "one_minus_alpha_bar": rest,
                "sqrt_alpha_bar": mpmath.sqrt(bar[t]),
                "sqrt_one_minus_alpha_bar": mpmath.sqrt(rest),
                "log_one_minus_alpha_bar": mpmath.log(rest),
                "sqrt_recip_alpha_bar": 1 / mpmath.sqrt(bar[t]),
                "sqrt_recipm1_alpha_bar": mpmath.sqrt(rest / bar[t]),
                "posterior_variance": b * (1 - before) / rest,
                "posterior_mean_x_0": mpmath.sqrt(before) * b / rest,
                "posterior_mean_x_t": mpmath.sqrt(1 - b) * (1 - before) / rest,
            }
            for name, value in wanted.items():
                (found,) = exact.table(name, [t])
                error = abs(mpmath.mpf(str(found)) - value)
                assert error <= mpmath.mpf(10) ** -44 * max(abs(value), mpmath.mpf(10) ** -6), name
        clipped = exact.table("posterior_log_variance_clipped", [1, 2])
        assert clipped[0] == clipped[1]
        second = beta[1] * (1 - bar[1]) / (1 - bar[2])
        assert float(clipped[1]) == pytest.approx(float(mpmath.log(second)), rel=1e-15)
    assert exact.host("alpha_bar_next", [5, 4]).tolist() == [0.0, float(bar[5])]


def test_a_schedule_is_exact_to_its_own_digits():
    schedule = schedules.zero_terminal_snr(schedules.cosine(50))
    exact = digits.of_schedule(schedule)
    assert exact.host("alpha_bar", range(51)) == pytest.approx(schedule.alpha_bar, rel=1e-15)
    assert exact.host("beta", [50]).tolist() == [1.0]
    assert exact.host("sqrt_recip_alpha_bar", [50]).tolist() == [np.inf]
    wanted = schedule.posterior_variance[1:]
    assert exact.host("posterior_variance", range(1, 51)) == pytest.approx(wanted, rel=1e-12)


def test_errors_of_numbers_that_are_not_finite():
    one, infinite = digits.ONE, digits.INFINITE
    assert digits.error(np.inf, infinite) == 0.0
    assert digits.error(np.inf, one) == np.inf
    assert digits.error(1.0, infinite) == np.inf
    assert np.isnan(digits.error(np.nan, one))
    assert digits.error(0.75, one) == 0.25


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "betas",
    [
        LINEAR,
        np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2,
        schedules.cosine(1000).beta[1:],
        schedules.cosine(20).beta[1:],
        schedules.sigmoid(100).beta[1:],
        [0.5, 0.5],
    ],
    ids=["linear", "scaled", "cosine", "short cosine", "sigmoid", "two"],
)
def test_naive_tables_hold_in_their_own_dtype(betas, dtype):
    found = report(naive(betas, dtype), dtype)
    assert found.ok, str(found)
    assert sum(r.verdict is Verdict.HOLDS for r in found.results) == len(CHECKED)


@given(
    st.lists(st.floats(1e-5, 0.999), min_size=2, max_size=30),
    st.sampled_from(["float32", "float64"]),
)
def test_naive_tables_of_any_betas_hold(betas, dtype):
    # Where signal is left; beyond it float32 holds nothing of alpha_bar.
    kept = np.cumprod(1.0 - np.array(betas)) > 1e-30
    betas = np.array(betas)[kept] if kept[1] else [0.1, 0.2]
    found = report(naive(betas, dtype), dtype)
    assert found.ok, str(found)


@given(st.integers(0, 2**32 - 1))
def test_float32_products_stay_within_their_bound(seed):
    betas = np.random.default_rng(seed).uniform(1e-4, 0.03, 400).astype(np.float32)
    exact = digits.of_betas(betas.astype(np.float64))
    found = np.cumprod(1 - betas).astype(np.float64)
    bound = table_rounding.drift(exact, 2.0**-23).bound("alpha_bar", list(range(1, 401)))
    assert np.all(np.abs(found - exact.host("alpha_bar", range(1, 401))) <= bound)
    assert np.all(bound <= 2e-4 * exact.host("alpha_bar", range(1, 401)))


def test_a_float32_product_in_a_float64_table_is_named_with_its_entries():
    found = report(naive(LINEAR, product="float32"))
    failed = found["alpha_bar"]
    assert failed.verdict is Verdict.FAILS
    assert failed.where.startswith("alpha_bar at t = 1: 0.999899983")
    assert "float32's digits in a wider table" in failed.cause
    assert "1000 of 1000 entries, t = 1..1000" in failed.cause
    # What follows from the spoilt entries is not blamed again.
    assert found["tables"].verdict is Verdict.HOLDS


def test_a_float32_table_says_what_it_lost():
    found = report(naive(LINEAR, "float32"), "float32")
    assert found["alpha_bar"].note == (
        "alpha_bar: 854 of 1000 float32 entries are not the nearest number; "
        "1.1 digits lost at t = 995"
    )
    assert "sqrt_one_minus_alpha_bar: 431 of 1000 float32 entries" in found["tables"].note
    assert "3.1 digits lost at t = 1" in found["tables"].note
    rounded = {k: np.asarray(v, np.float32) for k, v in naive(LINEAR).items()}
    again = report({**rounded, "beta": LINEAR}, "float32")
    assert again["alpha_bar"].note == ""


def test_one_wrong_entry_is_told_by_its_time():
    held = naive(LINEAR)
    held["sqrt_alpha_bar"][41] *= 1.0 + 1e-11
    failed = report(held)["tables"]
    assert failed.where.startswith("sqrt_alpha_bar at t = 42: ")
    assert failed.cause == "right but at t = 42"


def test_the_last_digits_count():
    held = naive(LINEAR)
    held["sqrt_one_minus_alpha_bar"] = held["sqrt_one_minus_alpha_bar"] * (1.0 + 1e-13)
    assert report(held)["tables"].verdict is Verdict.FAILS
    # At t = 1 the difference from 1 has lost four digits; later ones say that this is no excuse.
    at_1 = naive(LINEAR)
    at_1["sqrt_one_minus_alpha_bar"][0] *= 1.0 + 1e-13
    assert report(at_1)["tables"].verdict is Verdict.HOLDS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.9, 0.9, 0.5], "must fall"),
        ([0.5, 0.7, 0.9], "must fall"),
        ([1.1, 0.7, 0.2], "out of its range"),
        ([0.9, np.nan, 0.2], "out of its range"),
        ([0.9, 0.2, -0.1], "out of its range"),
    ],
)
def test_levels_that_are_no_schedule(values, words):
    failed = report({"alpha_bar": values})["levels"]
    assert failed.verdict is Verdict.FAILS
    assert words in failed.cause


def test_betas_out_of_range():
    for wrong in (0.0, -0.1, 1.2):
        found = report({"beta": [0.1, wrong, 0.3], "sqrt_alpha_bar": [1.0, 1.0, 1.0]})
        assert "beta at t = 2" in found["levels"].where
        assert found["tables"].verdict is Verdict.NOT_APPLICABLE
        assert found["levels"].cause == "beta is out of its range"
    late = verify.check(verify.Target(betas=[0.1, 0.2, 0.3], first=0))["levels"]
    assert "with first = 0 the first entry is that of data" in late.cause


def test_terminal_snr_is_exactly_0_where_it_is_claimed():
    bar = schedules.zero_terminal_snr(schedules.linear(50)).alpha_bar[1:]
    assert report({"alpha_bar": bar}, zero_terminal_snr=True)["terminal"].note == (
        "SNR at the last time is 0"
    )
    nearly = np.append(bar[:-1], 2.0**-24)
    failed = report({"alpha_bar": nearly}, zero_terminal_snr=True)["terminal"]
    assert failed.verdict is Verdict.FAILS
    assert failed.where == "alpha_bar at t = 50: 5.96046e-08 for 0"
    assert report({"alpha_bar": nearly})["terminal"].verdict is Verdict.HOLDS
    roots = {"alpha_bar": bar, "sqrt_recip_alpha_bar": 1.0 / np.sqrt(np.append(bar[:-1], 1.0))}
    roots["sqrt_recip_alpha_bar"][-1] = np.inf
    assert report(roots)["tables"].verdict is Verdict.HOLDS
    roots["sqrt_recip_alpha_bar"][-1] = 1e4
    assert report(roots)["tables"].verdict is Verdict.FAILS


def test_tables_of_a_schedule_that_is_claimed():
    schedule = schedules.linear(50)
    held = naive(schedule.beta[1:])
    assert report(held, schedule=schedule).ok
    backwards = naive(schedule.beta[:0:-1])
    failed = report(backwards, schedule=schedule)["alpha_bar"]
    assert failed.cause == "reversed in time: its entries are those of T + 1 - t"
    alone = report({"alpha_bar": schedule.alpha_bar[1:] ** 0.5}, schedule=schedule)
    assert alone["alpha_bar"].cause == "it is alpha where alpha_bar belongs"
    # A schedule made of the table says nothing of it.
    own = schedules.from_alpha_bar(schedule.alpha_bar[1:])
    found = report({"alpha_bar": schedule.alpha_bar[1:]}, schedule=own)
    assert found["alpha_bar"].verdict is Verdict.NOT_APPLICABLE


def test_tables_that_start_at_data():
    schedule = schedules.cosine(30)
    held = {
        "beta": schedule.beta,
        "alpha_bar": schedule.alpha_bar,
        "sqrt_alpha_bar": schedule.alpha,
        "sqrt_one_minus_alpha_bar": schedule.sigma,
        "posterior_variance": schedule.posterior_variance,
        "posterior_mean_x_0": schedule.posterior_mean_x_0,
        "posterior_mean_x_t": schedule.posterior_mean_x_t,
        "posterior_log_variance_clipped": schedule.posterior_log_variance_clipped,
    }
    found = report(held, first=0)
    assert found.ok, str(found)
    shifted = report({**held, "sqrt_alpha_bar": np.append(schedule.alpha[1:], 0.0)}, first=0)
    assert shifted["tables"].cause == "off by one in time: its entries are those of t + 1"


def test_the_floor_of_the_log_variance_at_1_is_free_but_not_infinite():
    held = naive(LINEAR[:20])
    for floor, verdict in ((np.log(1e-20), "holds"), (-np.inf, "fails"), (np.nan, "fails")):
        held["posterior_log_variance_clipped"][0] = floor
        assert report(held)["posterior tables"].verdict == verdict


def test_sigma2_says_which_variance_it_is():
    held = naive(LINEAR[:20])
    assert report(held)["sigma2"].note == "sigma2 is the posterior variance"
    held["sigma2"] = held["beta"]
    assert report(held)["sigma2"].note == "sigma2 is beta"
    held["sigma2"] = np.sqrt(held["beta"])
    assert report(held)["sigma2"].cause == "it is the square root of beta where beta belongs"


def test_a_report_shows_the_worst_entry_and_the_first_failure():
    errors = np.zeros(1000)
    errors[[411, 777]] = 2.0, 3.0
    bounds = np.ones(1000)
    chosen = entries.shown(errors, bounds, errors > bounds)
    assert {0, 411, 777, 999} <= set(chosen)
    assert len(chosen) <= entries.SHOWN + 2
    failed = summarise("x", "", tables.levels(subject({"alpha_bar": np.append(LINEAR[::-1], 0.5)})))
    assert failed.where.startswith("alpha_bar at t = 1001")


def test_words_for_formulas():
    exact = digits.of_betas(np.linspace(0.01, 0.4, 12))
    times = list(range(1, 13))
    bar = exact.host("alpha_bar", times)
    found = formulas.named(np.sqrt(1.0 - bar), "sqrt_alpha_bar", times, exact)
    assert found == "it is sigma where sqrt_alpha_bar belongs"
    assert formulas.named(bar, "alpha_bar", times, exact) == ""
    assert formulas.named(bar * np.nan, "sqrt_alpha_bar", times, exact) == ""
    drifts = table_rounding.drift(exact, 2.0**-52)
    assert formulas.reversed_in_time(bar[::-1], "alpha_bar", times, drifts)
    assert not formulas.reversed_in_time(bar, "alpha_bar", times, drifts)
    assert not formulas.off_by_one(bar, "alpha_bar", times, drifts)
    assert formulas.only_at([1], times).startswith("right but at t = 1, where t - 1 is data")
    assert formulas.only_at([1, 2, 3], times) == ""
