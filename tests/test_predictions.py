import math

import numpy as np
import pytest
from conftest import as_numpy, make
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal, seeds, shapes, timed

from diffcore import predictions, process, schedules
from diffcore.predictions import EPS, MEAN, SCORE, VELOCITY, X_0, Edm, V

ALL = [EPS, X_0, V, SCORE, VELOCITY, MEAN, Edm(0.5), Edm(1.3)]
MACHINE = np.finfo(np.float64).eps


def published_target(prediction, schedule, x_0, t, eps):
    """Each target as its paper writes it."""
    alpha, sigma = schedule(t)
    x_t = alpha * x_0 + sigma * eps
    if prediction.name == "edm":
        data = dict(prediction.parameters)["sigma_data"]
        noise = sigma / alpha
        c_skip = data**2 / (noise**2 + data**2)
        c_out = noise * data / math.sqrt(noise**2 + data**2)
        return (x_0 - c_skip * (x_t / alpha)) / c_out
    if prediction is MEAN:
        beta, bar, before = schedule.beta[t], schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
        return (
            math.sqrt(before) * beta / (1 - bar) * x_0
            + math.sqrt(1 - beta) * (1 - before) / (1 - bar) * x_t
        )
    if prediction is SCORE:
        return -(x_t - alpha * x_0) / sigma**2
    return {EPS: eps, X_0: x_0, V: alpha * eps - sigma * x_0, VELOCITY: eps - x_0}[prediction]


def test_names():
    named = {"eps": EPS, "x_0": X_0, "v": V, "score": SCORE, "velocity": VELOCITY, "mean": MEAN}
    assert named == predictions.NAMES


@pytest.mark.parametrize("prediction", ALL, ids=lambda p: p.name)
def test_targets_are_the_published_ones(prediction):
    schedule = schedules.linear(T=100)
    x_0, eps = normal(0, (4, 3), 2)
    for t in (2, 30, 100):
        wanted = published_target(prediction, schedule, x_0, t, eps)
        got = prediction.target(schedule, x_0, t, eps)
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-11)


@given(timed(count=1, lowest=1), st.sampled_from(ALL), shapes, seeds)
def test_round_trips(case, prediction, shape, seed):
    schedule, (t,) = case
    if prediction is MEAN and not isinstance(schedule, schedules.DiscreteSchedule):
        return
    alpha, sigma = schedule(t)
    x_0, eps = normal(seed, shape, 2)
    x_t = process.q_sample(schedule, x_0, t, eps)
    output = prediction.target(schedule, x_0, t, eps)
    # |D| / (row sums) is how far the two equations are from saying the same thing.
    p, q = prediction.mix(schedule, t, x_0)
    determinant = abs(alpha * q - sigma * p)
    size = 1.0 + np.max(np.abs(x_0)) + np.max(np.abs(eps))
    spread = (abs(p) + abs(q)) * (alpha + sigma)
    bound = lambda det: 32 * MACHINE * size * max(1.0, spread / det)  # noqa: E731
    if q == 0.0 or determinant > 0:
        back = prediction.x_0(schedule, output, x_t, t)
        assert np.max(np.abs(back - x_0)) <= bound(abs(p) if q == 0.0 else determinant)
    if p == 0.0 or determinant > 0:
        back = prediction.eps(schedule, output, x_t, t)
        assert np.max(np.abs(back - eps)) <= bound(abs(q) if p == 0.0 else determinant)


def test_the_round_trip_rejects_a_wrong_v():
    schedule, t = schedules.cosine(), 600
    x_0, eps = normal(1, (5,), 2)
    alpha, sigma = schedule(t)
    flipped = sigma * x_0 - alpha * eps
    back = V.x_0(schedule, flipped, process.q_sample(schedule, x_0, t, eps), t)
    assert np.max(np.abs(back - x_0)) > 0.1


@pytest.mark.parametrize("prediction", ALL, ids=lambda p: p.name)
def test_every_library(xp, prediction):
    schedule = schedules.linear(T=100)
    t = np.array([1, 40, 100])
    host = normal(2, (3, 2, 2), 2)
    x_0, eps = (make(xp, v, "float32") for v in host)
    times = make(xp, t, "int32")
    x_t = process.q_sample(schedule, x_0, times, eps)
    output = prediction.target(schedule, x_0, times, eps)
    assert output.dtype == xp.float32
    pivot = prediction.pivot(schedule, output, x_t, times)
    assert pivot.x_0.dtype == pivot.eps.dtype == xp.float32
    # Near pure noise a float32 eps says x_0 only to 1 / alpha of its last digits.
    loose = 64 * np.finfo(np.float32).eps / schedule.alpha[t][:, None, None]
    assert np.all(np.abs(as_numpy(pivot.x_0) - host[0]) <= 10 * loose)
    strict = 64 * np.finfo(np.float32).eps / schedule.sigma[t][:, None, None]
    assert np.all(np.abs(as_numpy(pivot.eps) - host[1]) <= 10 * strict)
    for row in range(3):
        alone = prediction.target(
            schedule, host[0][row : row + 1], int(t[row]), host[1][row : row + 1]
        )
        np.testing.assert_allclose(as_numpy(output)[row], alone[0], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("prediction", ALL, ids=lambda p: p.name)
def test_error_scale_is_the_ratio_of_squared_errors(prediction):
    schedule = schedules.cosine(T=50)
    x_0, eps, nudge = normal(3, (2, 3), 3)
    for t in (1, 20, 49):
        x_t = process.q_sample(schedule, x_0, t, eps)
        output = prediction.target(schedule, x_0, t, eps)
        change = 1e-3 * nudge
        moved = prediction.x_0(schedule, output + change, x_t, t)
        there = prediction.x_0(schedule, output, x_t, t)
        ratio = np.sum(change**2) / np.sum((moved - there) ** 2)
        assert prediction.error_scale(schedule, t, x_0) == pytest.approx(ratio, rel=1e-9)


def test_error_scale_at_the_ends_and_for_arrays():
    """At sigma = 0 any error of x_0 shows without bound; at alpha = 0 eps says nothing of x_0."""
    zero, like = schedules.zero_terminal_snr(schedules.linear()), np.ones((2, 3), dtype="float32")
    for prediction in (EPS, X_0, V, Edm()):
        assert prediction.error_scale(zero, 0, like) == math.inf
        batch = prediction.error_scale(zero, np.array([3, 700]), like)
        assert batch.shape == (2, 1)
        assert batch.dtype == np.float32
        for row, t in enumerate((3, 700)):
            wanted = prediction.error_scale(zero, t, like)
            np.testing.assert_allclose(batch[row, 0], wanted, rtol=1e-6)
    assert EPS.error_scale(zero, 1000, like) == 0.0
    assert X_0.error_scale(zero, 1000, like) == 1.0


def test_edm_inputs_have_unit_variance_and_edms_noise_coordinate():
    data = 0.5
    for schedule, t in [(schedules.edm(), 3.0), (schedules.linear(), 700)]:
        alpha, sigma = schedule(t)
        x_t = np.random.default_rng(0).standard_normal((200_000, 1))
        x_t *= math.sqrt(alpha**2 * data**2 + sigma**2)
        x_in, c_noise = Edm(data).inputs(schedule, x_t, t)
        # The variance of n normal draws has standard deviation sqrt(2 / n) = 0.0032.
        assert np.var(x_in) == pytest.approx(1.0, abs=5 * 0.0032)
        assert c_noise == pytest.approx(math.log(sigma / alpha) / 4)
    batch = np.array([100, 700])
    x_in, c_noise = Edm(data).inputs(schedules.linear(), np.ones((2, 3)), batch)
    assert x_in.shape == (2, 3)
    assert c_noise.shape == (2,)
    x_in, c_noise = Edm(data).inputs(schedules.linear(), np.ones((2, 3), dtype="float32"), batch)
    assert x_in.dtype == c_noise.dtype == np.float32
    assert EPS.inputs(schedules.linear(), x_t, 5) == (x_t, 5)


def test_what_is_undefined_says_so():
    zero = schedules.zero_terminal_snr(schedules.linear())
    x = np.ones((2, 2))
    for prediction in (EPS, SCORE):
        with pytest.raises(ValueError, match=r"x_0 is not defined by a prediction of .* t = 1000"):
            prediction.x_0(zero, x, x, 1000)
    np.testing.assert_array_equal(EPS.eps(zero, x, 2 * x, 1000), x)
    with pytest.raises(ValueError, match="eps is not defined by a prediction of x_0 at t = 0"):
        X_0.eps(zero, x, x, 0)
    np.testing.assert_array_equal(X_0.x_0(zero, x, 2 * x, 0), x)
    with pytest.raises(ValueError, match="t must have sigma > 0"):
        SCORE.target(zero, x, 0, x)
    # v, velocity and EDM's F determine both halves everywhere.
    for prediction in (V, VELOCITY, Edm()):
        for t in (0, 1000):
            output = prediction.target(zero, x, t, 3 * x)
            x_t = process.q_sample(zero, x, t, 3 * x)
            pivot = prediction.pivot(zero, output, x_t, t)
            np.testing.assert_allclose(pivot.x_0, x, rtol=1e-15)
            np.testing.assert_allclose(pivot.eps, 3 * x, rtol=1e-15)
    with pytest.raises(ValueError, match="s must be given"):
        MEAN.target(schedules.flow(), x, 0.5, x)


def test_bad_arguments_are_named():
    x = np.ones((2, 2))
    with pytest.raises(ValueError, match="output must have the shape of x_t"):
        EPS.x_0(schedules.linear(), x[:1], x, 5)
    with pytest.raises(ValueError, match="sigma_data must be positive"):
        Edm(0.0)
    with pytest.raises(ValueError, match="sigma_data must be positive and finite, got inf"):
        Edm(math.inf)
    for t in (np.array([1]), np.array([[1], [2]])):
        for call in (EPS.target, X_0.x_0, EPS.eps, V.pivot):
            with pytest.raises(ValueError, match=r"t must be a number or have shape \(2,\), got"):
                call(schedules.linear(), x, *((t, x) if call == EPS.target else (x, t)))
    for call in (EPS.target, X_0.target):
        with pytest.raises(TypeError, match="t must be a number or an array, got None"):
            call(schedules.linear(), x, None, x)
    with pytest.raises(TypeError, match="sigma_data must be a number, got 'a'"):
        Edm("a")
    assert type(Edm(np.float32(0.5)).config["sigma_data"]) is float
    for config in (None, 5, ["eps"]):
        with pytest.raises(TypeError, match="prediction must be a name or a mapping, got"):
            predictions.from_config(config)
    with pytest.raises(ValueError, match="prediction must be one of eps, x_0, v"):
        predictions.from_config({"kind": ["eps"]})
    for config in ("epsilon", {}, {"kind": "v", "sigma_data": 0.5}, {"kind": "edm", "sigma": 0.5}):
        with pytest.raises(ValueError, match="prediction must be one of eps, x_0, v"):
            predictions.from_config(config)


@pytest.mark.parametrize("prediction", ALL, ids=lambda p: p.name)
def test_a_prediction_is_described(prediction):
    assert predictions.from_config(prediction.config) == prediction


def test_a_name_alone_describes_a_prediction():
    assert Edm().config == {"kind": "edm", "sigma_data": 0.5}  # Karras et al. 2022, table 1.
    for prediction in (EPS, X_0, V, SCORE, VELOCITY, MEAN, Edm()):
        assert predictions.from_config(prediction.name) == prediction
