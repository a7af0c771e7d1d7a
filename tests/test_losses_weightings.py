"""Weightings: each paper's formula in its own space, one objective for every prediction, limits."""

import math

import mpmath as mp
import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from estimates import PREDICTIONS, compiled, output_for
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal, seeds, shapes, timed

from diffcore import losses, process, schedules
from diffcore.predictions import EPS, MEAN, SCORE, VELOCITY, X_0, Edm, Prediction, V

EPSILON = np.finfo(np.float64).eps
WEIGHTINGS = [
    losses.snr(),
    losses.min_snr(),
    losses.min_snr(1.5),
    losses.p2(),
    losses.p2(0.5, 2.0),
    losses.p2(2.0),
    losses.p2(0.0),
    losses.truncated_snr(),
    losses.edm(),
    losses.edm(1.0),
    losses.sigmoid(),
    losses.sigmoid(-3.0),
]


def name(value):
    return "-".join(str(v) for v in value.config.values())


# What each paper states, and on whose error, as a function of the SNR at 50 digits.
PUBLISHED = [
    (losses.min_snr(5.0), X_0, lambda snr: min(snr, mp.mpf(5))),
    (losses.min_snr(5.0), EPS, lambda snr: min(snr, mp.mpf(5)) / snr),
    (losses.min_snr(5.0), V, lambda snr: min(snr, mp.mpf(5)) / (snr + 1)),
    (losses.p2(0.5, 2.0), EPS, lambda snr: 1 / mp.sqrt(2 + snr)),
    (losses.p2(1.0, 1.0), EPS, lambda snr: 1 / (1 + snr)),
    (losses.p2(2.0, 1.0), EPS, lambda snr: 1 / (1 + snr) ** 2),
    (losses.truncated_snr(), X_0, lambda snr: max(snr, mp.mpf(1))),
    (losses.snr(), X_0, lambda snr: snr),
    (losses.snr(), EPS, lambda snr: mp.mpf(1)),
    (losses.edm(1.0), X_0, lambda snr: snr + 1),
    (losses.edm(1.0), V, lambda snr: mp.mpf(1)),
    (losses.sigmoid(-3.0), EPS, lambda snr: 1 / (1 + mp.exp(mp.log(snr) + 3))),
    (losses.sigmoid(-3.0), X_0, lambda snr: mp.exp(-3) / (1 + mp.exp(-3 - mp.log(snr)))),
]


def errors_against(weighting, predicts, formula, schedule=None):
    schedule = schedule or schedules.linear()
    errors = []
    for t in (1, 10, 300, 700, 1000):
        bar = mp.mpf(float(schedule.one_minus_alpha_bar[t]))
        wanted = formula((1 - bar) / bar)
        got = weighting.weight(schedule, t, np.empty((2, 3)), predicts)
        errors.append(float(abs(got / wanted - 1)))
    return max(errors)


@pytest.mark.parametrize(("weighting", "predicts", "formula"), PUBLISHED)
def test_the_published_weights(weighting, predicts, formula):
    # 1 - alpha_bar is itself rounded, which the SNR at t = T magnifies by 1 / alpha_bar = 2.5e4.
    assert errors_against(weighting, predicts, formula) <= 16 * EPSILON * 2.5e4


@pytest.mark.parametrize(
    ("weighting", "predicts", "wrong"),
    [
        (losses.min_snr(5.0), X_0, lambda snr: min(1 / snr, mp.mpf(5))),
        (losses.min_snr(5.0), X_0, lambda snr: max(snr, mp.mpf(5))),
        (losses.min_snr(5.0), V, lambda snr: min(snr, mp.mpf(5)) / snr),
        (losses.p2(0.5, 2.0), EPS, lambda snr: 1 / mp.sqrt(2 + 1 / snr)),
        (losses.truncated_snr(), EPS, lambda snr: max(snr, mp.mpf(1))),
        (losses.sigmoid(-3.0), EPS, lambda snr: 1 / (1 + mp.exp(-3 - mp.log(snr)))),
        (losses.snr(), X_0, lambda snr: mp.sqrt(snr)),
    ],
)
def test_wrong_weights_are_rejected(weighting, predicts, wrong):
    assert errors_against(weighting, predicts, wrong) > 0.1


def test_min_snr_is_that_of_diffusers():
    torch = pytest.importorskip("torch")
    from diffusers import DDPMScheduler
    from diffusers.training_utils import compute_snr

    # Their step k is time k + 1 here.
    steps = torch.arange(0, 1000, 37)
    snr = compute_snr(DDPMScheduler(), steps)
    like = torch.empty(len(steps))
    got = losses.min_snr(5.0).weight(schedules.linear(), steps + 1, like, EPS)
    wanted = torch.clamp(snr, max=5.0) / snr
    # Their SNR comes from a float32 product of a thousand factors and 1 - alpha_bar.
    torch.testing.assert_close(got, wanted, rtol=2e-3, atol=0.0)
    shifted = losses.min_snr(5.0).weight(schedules.linear(), steps, like, EPS)
    assert not torch.allclose(shifted[1:], wanted[1:], rtol=2e-3)


@pytest.mark.parametrize("data", [0.5, 1.3])
def test_edm_is_karras_weight_at_any_alpha(data):
    for schedule, t in [(schedules.edm(), 0.002), (schedules.edm(), 7.0), (schedules.linear(), 90)]:
        alpha, sigma = schedule(t)
        noise = sigma / alpha
        wanted = (noise**2 + data**2) / (noise * data) ** 2
        got = losses.edm(data).weight(schedule, t, np.empty((1, 2)), X_0)
        assert got == pytest.approx(wanted, rel=16 * EPSILON)
        preconditioned = losses.edm(data).weight(schedule, t, np.empty((1, 2)), Edm(data))
        assert preconditioned == pytest.approx(1.0, rel=16 * EPSILON)


def weighted_losses(weight, case, predictions, seed, shape):
    """The loss of one estimate of x_0 under each prediction type."""
    schedule, (t,) = case
    x_0, eps, guess = normal(seed, shape, 3)
    x_t = process.q_sample(schedule, x_0, t, eps)
    for predicts in predictions:
        output = output_for(predicts, schedule, guess, x_t, t)
        error = output - predicts.target(schedule, x_0, t, eps)
        mean = np.mean(np.reshape(error * error, (shape[0], -1)), axis=1)
        yield weight(schedule, t, x_0, predicts) * mean


def rounding(case, predicts, seed, shape):
    """A bound on the relative rounding error of each of `weighted_losses`, as a root.

    err = output - target is -(D / sigma) (guess - x_0), left when terms of size S cancel:

        S = |p| (|guess| + |x_0|) + |q| (2 |eps| + alpha (|guess| + |x_0|) / sigma)

    At most 7 roundings act on each: 3.5 EPSILON S. D = alpha q - sigma p, by which the weight
    divides, cancels too, after 2 roundings. The formula and the mean have 32 of their own.
    """
    schedule, (t,) = case
    alpha, sigma = schedule(t)
    x_0, eps, guess = normal(seed, shape, 3)
    p, q = map(abs, predicts.mix(schedule, t, x_0))
    scale = predicts.error_scale(schedule, t, x_0) ** 0.5
    both = abs(guess) + abs(x_0)
    size = p * both + q * (2.0 * abs(eps) + alpha / sigma * both)
    terms, left = (
        np.sqrt(np.mean(np.reshape(v * v, (shape[0], -1)), axis=1))
        for v in (size, scale * (guess - x_0))
    )
    of_determinant = (alpha * q + sigma * p) / (scale * sigma)
    return EPSILON * (3.5 * terms / left + of_determinant + 16.0)


@given(timed(count=1), st.sampled_from(WEIGHTINGS), shapes, seeds)
def test_one_weighting_is_one_objective(case, weighting, shape, seed):
    schedule, (t,) = case
    if schedule(t).alpha == 0.0:
        return
    discrete = isinstance(schedule, schedules.DiscreteSchedule)
    predictions = [*PREDICTIONS, *([MEAN] if discrete else [])]
    # The error of x_0 is one subtraction: what the others are held to.
    (of_x_0,) = weighted_losses(weighting.weight, case, [X_0], seed, shape)
    found = weighted_losses(weighting.weight, case, predictions, seed, shape)
    for predicts, got in zip(predictions, found, strict=True):
        error = np.abs(np.sqrt(got) - np.sqrt(of_x_0))
        bound = rounding(case, predicts, seed, shape) * np.sqrt(of_x_0)
        assert np.all(error <= bound), predicts.name


def test_one_objective_rejects_weights_without_the_conversion():
    case = schedules.linear(), (100,)
    of_x_0 = losses.min_snr().weight
    for wrong in (
        lambda schedule, t, like, predicts: of_x_0(schedule, t, like, X_0),
        lambda schedule, t, like, predicts: (
            of_x_0(schedule, t, like, X_0) * predicts.error_scale(schedule, t, like)
        ),
        losses.CONSTANT.weight,
    ):
        first, *rest = weighted_losses(wrong, case, [EPS, X_0, V], 0, (2, 3))
        assert not any(np.allclose(other, first, rtol=0.1) for other in rest)


INF = math.inf
# On the errors of eps, x_0 and v: at sigma = 0, then at alpha = 0.
LIMITS = [
    (losses.CONSTANT, (1, 1, 1), (1, 1, 1)),
    (losses.snr(), (1, INF, 1), (1, 0, 0)),
    (losses.min_snr(5.0), (0, 5, 0), (1, 0, 0)),
    (losses.p2(0.5, 4.0), (0, INF, 0), (0.5, 0, 0)),
    (losses.p2(1.0, 4.0), (0, 1, 0), (0.25, 0, 0)),
    (losses.p2(2.0, 4.0), (0, 0, 0), (0.0625, 0, 0)),
    (losses.p2(0.0, 4.0), (1, INF, 1), (1, 0, 0)),
    (losses.truncated_snr(), (1, INF, 1), (INF, 1, 1)),
    (losses.edm(0.5), (1, INF, 1), (INF, 4, 4)),
    (losses.sigmoid(1.0), (0, math.e, 0), (1, 0, 0)),
]


@pytest.mark.parametrize(("weighting", "at_data", "at_noise"), LIMITS)
def test_limits(xp, weighting, at_data, at_noise):
    zero = schedules.zero_terminal_snr(schedules.linear())
    like = make(xp, np.zeros((2, 3, 1)))
    times = make(xp, [0, 1000], "int64")
    for index, predicts in enumerate((EPS, X_0, V)):
        wanted = [at_data[index], at_noise[index]]
        numbers = [weighting.weight(zero, t, like, predicts) for t in (0, 1000)]
        np.testing.assert_allclose(numbers, wanted, rtol=4 * EPSILON)
        array = weighting.weight(zero, times, like, predicts)
        got = np.broadcast_to(as_numpy(array) if weighting is not losses.CONSTANT else 1, (2, 1, 1))
        np.testing.assert_allclose(got[:, 0, 0], wanted, rtol=4 * EPSILON)


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=name)
def test_limits_are_approached(weighting):
    """The value at an end is what values close to it tend to."""
    schedule, like = schedules.flow(), np.empty((1, 1))
    for predicts in (EPS, X_0, V, VELOCITY, Edm()):
        for end, close in ((0.0, (1e-8, 1e-10)), (1.0, (1 - 1e-8, 1 - 1e-10))):
            at = weighting.weight(schedule, end, like, predicts)
            near = [weighting.weight(schedule, t, like, predicts) for t in close]
            if math.isinf(at):
                assert near[1] > 9 * near[0] > 1e3
            else:
                assert abs(near[1] - at) <= 1e-4 * (1 + at)


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=name)
def test_every_library(xp, weighting):
    schedule = schedules.linear()
    t = np.array([1, 40, 600, 1000])
    like = make(xp, np.zeros((4, 2, 1)), "float32")
    for predicts in (EPS, X_0, V, SCORE, MEAN, Edm(0.7)):
        got = weighting.weight(schedule, make(xp, t, "int32"), like, predicts)
        assert got.dtype == xp.float32
        assert tuple(got.shape) == (4, 1, 1)
        wanted = [weighting.weight(schedule, int(k), like, predicts) for k in t]
        assert all(type(w) is float for w in wanted)
        # MEAN's determinant is a difference; v's and F's are sums.
        slack = 5e3 if predicts is MEAN else 32
        np.testing.assert_allclose(
            as_numpy(got)[:, 0, 0], wanted, rtol=slack * np.finfo(np.float32).eps
        )


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=name)
@pytest.mark.parametrize(("library", "dtype"), [("torch", "bfloat16"), ("jax", "float16")])
def test_half_precision_rounds_once(weighting, library, dtype):
    xp = namespace_of(library)
    schedule, t = schedules.linear(), np.array([1, 40, 600, 1000])
    half = xp.zeros((4, 2), dtype=getattr(xp, dtype))
    got = weighting.weight(schedule, make(xp, t, "int32"), half, V)
    single = xp.zeros((4, 2), dtype=xp.float32)
    wide = weighting.weight(schedule, make(xp, t, "int32"), single, V)
    assert got.dtype == half.dtype
    np.testing.assert_array_equal(
        as_numpy(got).astype("float32"),
        as_numpy(xp.astype(wide, half.dtype)).astype("float32"),
    )


def test_under_jit_and_compile():
    schedule = schedules.linear()
    t, x = np.array([1, 500, 1000]), normal(0, (3, 2))[0]

    chosen = [losses.min_snr(), losses.p2(0.5), losses.edm(), losses.sigmoid()]

    def weigh(t, x):
        return sum(w.weight(schedule, t, x, p) for p in (EPS, V) for w in chosen) * x

    def weigh_number(x):
        return sum(w.weight(schedule.tables(x), 500, x, V) for w in chosen) * x

    for function, arrays in ((weigh, (t, x)), (weigh_number, (x,))):
        for got in compiled(function, *arrays):
            np.testing.assert_allclose(got, function(*arrays), rtol=32 * EPSILON)


@pytest.mark.parametrize("weighting", [losses.CONSTANT, *WEIGHTINGS], ids=name)
def test_a_weighting_is_described(weighting):
    again = losses.weighting_from_config(weighting.config)
    assert again == weighting
    assert hash(again) == hash(weighting)
    assert {type(v) for v in weighting.config.values()} <= {str, float}


def test_names_and_errors():
    assert losses.weighting_from_config("min_snr") == losses.min_snr(5.0)
    assert losses.weighting_from_config("constant") == losses.CONSTANT
    assert losses.min_snr(1.0) != losses.min_snr(5.0)
    # By default what the papers recommend, and a sigmoid of log SNR itself.
    assert losses.weighting_from_config("p2") == losses.p2(1.0, 1.0)
    assert losses.weighting_from_config("edm") == losses.edm(0.5)
    assert losses.weighting_from_config("sigmoid") == losses.sigmoid(0.0)
    with pytest.raises(ValueError, match="weighting must be one of constant"):
        losses.weighting_from_config({})
    with pytest.raises(ValueError, match=r"weighting must be one of constant, .* got 'minsnr'"):
        losses.weighting_from_config("minsnr")
    with pytest.raises(ValueError, match="weighting 'p2' takes gamma, k, got 'gama'"):
        losses.weighting_from_config({"kind": "p2", "gama": 1.0})
    for wrong, said in (
        (lambda: losses.min_snr(0.0), "gamma must be positive and finite, got 0.0"),
        (lambda: losses.min_snr(math.inf), "gamma must be positive and finite, got inf"),
        (lambda: losses.p2(-1.0), "gamma must be non-negative and finite, got -1.0"),
        (lambda: losses.p2(math.inf), "gamma must be non-negative and finite, got inf"),
        (lambda: losses.p2(1.0, 0.0), "k must be positive and finite, got 0.0"),
        (lambda: losses.edm(math.nan), "sigma_data must be positive and finite, got nan"),
        (lambda: losses.sigmoid(math.inf), "bias must be finite, got inf"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()
    for wrong, said in (
        (lambda: losses.min_snr("5"), "gamma must be a number, got '5'"),
        (lambda: losses.p2(None), "gamma must be a number, got None"),
        (lambda: losses.p2(1.0, True), "k must be a number, got True"),
        (lambda: losses.edm([0.5]), "sigma_data must be a number"),
        (lambda: losses.sigmoid("a"), "bias must be a number"),
        (lambda: losses.weighting_from_config(["snr"]), "weighting must be a name or a mapping"),
    ):
        with pytest.raises(TypeError, match=said):
            wrong()
    with pytest.raises(ValueError, match="weighting must be one of constant"):
        losses.weighting_from_config({"kind": ["snr"]})
    assert type(losses.min_snr(np.float32(5.0)).config["gamma"]) is float
    with pytest.raises(ValueError, match="t must be a whole time"):
        losses.snr().weight(schedules.linear(), 1001, np.empty((1, 1)), EPS)


@pytest.mark.parametrize(
    ("given_dtype", "wide"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_schedules_are_asked_in_at_least_float32(given_dtype, wide):
    """Seen by a prediction that is EPS, but for noting what it is asked with."""
    seen = []

    def mix(schedule, t, like):
        seen.append((str(like.dtype), like.ndim))
        return EPS.mix(schedule, t, like)

    spy, schedule = Prediction("spy", mix), schedules.linear()
    x, t = np.ones((2, 3, 4), dtype=given_dtype), np.array([3, 700])
    losses.simple(schedule, spy, x, x, t, x, losses.min_snr())
    losses.min_snr().weight(schedule, t, x, spy)
    assert {dtype for dtype, _ in seen} == {wide}
    assert seen[-1] == (wide, 3)


def test_half_precision_weights_off_the_default_device():
    torch = pytest.importorskip("torch")
    like = torch.empty((3, 2), device="meta", dtype=torch.float16)
    t = torch.empty((3,), dtype=torch.int64, device="meta")
    weight = losses.min_snr().weight(schedules.linear(), t, like, V)
    assert weight.device.type == "meta"
    assert weight.dtype == torch.float16
