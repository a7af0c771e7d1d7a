"""Checks of plain functions' arrays and of guidance, one wrong habit at a time."""

import numpy as np
import pytest

from diffcore import schedules, verify
from diffcore.verify import Target, Verdict, probing
from diffcore.verify.checks import guidance
from diffcore.verify.subject import Subject

SCHEDULE = schedules.linear(30, 1e-3, 0.3)
ALPHA, SIGMA = SCHEDULE.alpha[1:], SCHEDULE.sigma[1:]


def column(values, x):
    return np.asarray(values, x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def q_sample(x_0, t, eps):
    return column(ALPHA[t], x_0) * x_0 + column(SIGMA[t], x_0) * eps


def result(check, sample=q_sample, **options):
    return verify.check(Target(schedule=SCHEDULE, q_sample=sample, **options))[check]


def test_right_functions_hold():
    for check in ("q_sample", "batches", "arrays"):
        assert result(check).verdict is Verdict.HOLDS


def images_only(x_0, t, eps):
    if x_0.ndim != 4:
        raise ValueError("x_0 must be images")
    return q_sample(x_0, t, eps)


def test_a_clear_error_at_another_rank_is_no_failure():
    found = result("batches", images_only)
    assert found.verdict is Verdict.HOLDS
    assert "takes no arrays of rank 2" in found.note


def silent_wrong_shape(x_0, t, eps):
    alpha, sigma = (c[t].reshape(-1, 1, 1, 1).astype(x_0.dtype) for c in (ALPHA, SIGMA))
    return alpha * x_0 + sigma * eps


def last_axis_where_it_fits(x_0, t, eps):
    if x_0.shape[-1] == len(t) > 1:
        return ALPHA[t].astype(x_0.dtype) * x_0 + SIGMA[t].astype(x_0.dtype) * eps
    return q_sample(x_0, t, eps)


def squeezes(x_0, t, eps):
    out = q_sample(x_0, t, eps)
    return out[0] if len(out) == 1 else out


def first_time_for_all(x_0, t, eps):
    return q_sample(x_0, np.where(len(t) == 4, t[0], t), eps)


def raises_on_one(x_0, t, eps):
    if len(t) == 1:
        raise IndexError("t is empty")
    return q_sample(x_0, t, eps)


@pytest.mark.parametrize(
    ("sample", "cause"),
    [
        (silent_wrong_shape, "x_t has shape (4, 1, 4, 2) for data of shape (4, 2)"),
        (last_axis_where_it_fits, "along another axis"),
        (squeezes, "x_t has shape (2, 3, 5) for data of shape (1, 2, 3, 5)"),
        (first_time_for_all, "is not that of its own time"),
        (raises_on_one, "raises IndexError: t is empty"),
    ],
)
def test_batches_that_are_not_their_samples(sample, cause):
    found = result("batches", sample)
    assert found.verdict is Verdict.FAILS
    assert cause in found.cause


def overwrites_eps(x_0, t, eps):
    out = q_sample(x_0, t, eps)
    eps *= 2.0
    return out


def in_single_precision(x_0, t, eps):
    return q_sample(x_0, t, eps).astype(np.float32)


@pytest.mark.parametrize(
    ("sample", "cause"),
    [
        (overwrites_eps, "changes eps in place"),
        (in_single_precision, "the dtype becomes float32"),
    ],
)
def test_arrays_that_are_not_kept(sample, cause):
    found = result("arrays", sample)
    assert found.verdict is Verdict.FAILS
    assert found.cause == cause


def adds_a_constant(x_0, t, eps):
    return q_sample(x_0, t, eps) + 1e-3


def swaps(x_0, t, eps):
    return q_sample(eps, t, x_0)


def backwards(x_0, t, eps):
    return q_sample(x_0, len(ALPHA) - 1 - t, eps)


def wrong_at_1(x_0, t, eps):
    return q_sample(x_0, t, np.where(column(t, x_0) == 0, 0.0 * eps, eps))


@pytest.mark.parametrize(
    ("sample", "cause"),
    [
        (adds_a_constant, "zeros do not stay zeros"),
        (swaps, "it is sigma where sqrt_alpha_bar belongs"),
        (backwards, "reversed in time"),
        (wrong_at_1, "right but at t = 1"),
        (lambda x_0, t, eps: x_0[:1], "raises ValueError: q_sample makes shape"),
        (lambda x_0, t, eps: np.nan * x_0, ""),
    ],
)
def test_q_sample_read_by_basis_inputs(sample, cause):
    found = result("q_sample", sample)
    assert found.verdict is Verdict.FAILS
    assert cause in found.cause


def test_a_sigma_off_in_the_last_digits_is_found():
    def slightly(x_0, t, eps):
        return q_sample(x_0, t, (1.0 + 1e-12) * eps)

    assert result("q_sample", slightly).verdict is Verdict.FAILS
    assert result("q_sample", slightly, epsilon=2.0**-23).verdict is Verdict.HOLDS


def test_times_are_spread_over_long_schedules():
    def times(schedule):
        empty = Subject(name="", kind="", make=np.asarray, epsilon=1.0, schedule=schedule)
        return probing.spread(empty)

    assert times(SCHEDULE) == tuple(range(1, 31))
    long = times(schedules.linear(1000))
    assert long[:2] == (1, 2)
    assert long[-2:] == (999, 1000)
    assert len(long) <= probing.SPREAD
    assert all(float(np.float32(t)) == t for t in times(schedules.vp_linear()))
    assert times(None) == ()


def test_guidance_on_formulas_that_are_not_linear_or_lose_the_shape():
    def check(guide):
        return verify.check(Target(guide=guide))["guidance"]

    assert check(lambda c, u, w: w * c + (1.0 - w) * u).verdict is Verdict.HOLDS
    rescaled = check(lambda c, u, w: np.abs(w * c + (1.0 - w) * u))
    assert rescaled.cause == "it is not linear in conditional and unconditional"
    assert "makes shape (2, 4, 5)" in check(lambda c, u, w: c[0]).cause
    assert "float32" in check(lambda c, u, w: c.astype(np.float32)).cause

    def in_place(c, u, w):
        c -= u
        c *= w
        c += u
        return c

    assert check(in_place).cause == "changes what it is given in place"


@pytest.mark.parametrize("words", guidance.OTHERS)
def test_each_wrong_guidance_is_named(words):
    weights = guidance.OTHERS[words]

    def guide(c, u, w):
        at_c, at_u = weights(w)
        return at_c * c + at_u * u

    found = verify.check(Target(guide=guide))["guidance"]
    assert found.verdict is Verdict.FAILS
    assert found.cause == words
