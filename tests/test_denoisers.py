import numpy as np
import pytest
from conftest import as_numpy, make
from strategies import normal

from diffcore import denoisers, oracles, predictions, process, schedules
from diffcore.plan import Denoised
from diffcore.predictions import EPS, SCORE, VELOCITY, X_0, Edm, V

SCHEDULE = schedules.linear(T=100)


def exact_network(schedule, predicts, seen):
    """A network that puts out exactly its target's mean for N(0.2, 0.5) data."""
    oracle = oracles.gaussian(schedule, 0.2, 0.5)

    def network(x, t):
        seen.append(as_numpy(t))
        time = 40
        alpha, sigma = schedule(time)
        x_t = x if predicts.name != "edm" else x * (sigma**2 + (alpha * 0.5) ** 2) ** 0.5
        x_0 = oracle(x_t, time)
        eps = (x_t - alpha * x_0) * (1.0 / sigma)
        return predicts.target(schedule, x_0, time, eps)

    return network


@pytest.mark.parametrize("predicts", [EPS, X_0, V, SCORE, VELOCITY, Edm()], ids=lambda p: p.name)
def test_whatever_the_network_predicts_the_denoiser_is_the_same(xp, predicts):
    seen = []
    x_t = make(xp, normal(0, (3, 2))[0])
    denoise = denoisers.denoiser(exact_network(SCHEDULE, predicts, seen), SCHEDULE, predicts)
    got = denoise(x_t, 40)
    assert got.dtype == xp.float64
    wanted = oracles.gaussian(SCHEDULE, 0.2, 0.5)(x_t, 40)
    np.testing.assert_allclose(as_numpy(got), as_numpy(wanted), rtol=1e-12)
    time = 40.0 if predicts.name != "edm" else -SCHEDULE.log_snr[40] / 8
    np.testing.assert_allclose(seen[0], np.full(3, time), rtol=1e-15)


def test_networks_that_count_otherwise_are_met_here():
    seen = []
    x = np.ones((2, 1, 4))

    def network(x_t, t):
        seen.append(t)
        return x_t

    denoisers.denoiser(network, SCHEDULE, X_0, timestep="index")(x, 40)
    denoisers.denoiser(network, schedules.flow(), X_0, time_scale=1000.0)(x, 0.25)
    spaced = schedules.respace(SCHEDULE, [10, 60, 100])
    denoisers.denoiser(network, spaced, X_0)(x, 2)
    denoisers.denoiser(network, spaced, X_0, timestep="index")(x, 2)
    assert [float(t[0]) for t in seen] == [39.0, 250.0, 60.0, 59.0]
    assert all(t.shape == (2,) for t in seen)


def test_thresholds_apply_to_x_0():
    x = np.array([[3.0, -0.5]])
    clipped = denoisers.denoiser(lambda x_t, t: x_t, SCHEDULE, X_0, threshold=denoisers.Clip())
    np.testing.assert_array_equal(clipped(x, 5), [[1.0, -0.5]])
    dynamic = denoisers.denoiser(
        lambda x_t, t: x_t, SCHEDULE, X_0, threshold=denoisers.DynamicThreshold(1.0)
    )
    np.testing.assert_array_equal(dynamic(x, 5), [[1.0, -0.5 / 3.0]])


def test_learned_variance_splits_the_channels(xp):
    host = normal(0, (2, 3, 4, 4))[0]

    def network(x_t, t):
        return xp.concat([x_t, 0.0 * x_t - 1.0], axis=1)

    denoise = denoisers.denoiser(network, SCHEDULE, X_0, learned_variance=True)
    got = denoise(make(xp, host, "float32"), 5)
    assert isinstance(got, Denoised)
    np.testing.assert_array_equal(as_numpy(got.x_0), host.astype("f4"))
    np.testing.assert_array_equal(as_numpy(got.variance_fraction), np.zeros((2, 3, 4, 4)))


def test_a_half_precision_network_leaves_the_state_alone():
    torch = pytest.importorskip("torch")
    x = torch.randn((2, 3), generator=torch.Generator().manual_seed(0))
    denoise = denoisers.denoiser(lambda x_t, t: x_t.to(torch.bfloat16), SCHEDULE, EPS)
    assert denoise(x, 50).dtype == torch.float32


def test_edm_preconditioning_equals_its_paper():
    """D(x; sigma) = c_skip x + c_out F(c_in x; c_noise) on the EDM schedule."""
    data, sigma = 0.5, 2.0
    x = normal(1, (4, 2))[0]
    schedule = schedules.edm()
    denoise = denoisers.denoiser(lambda x_in, c: np.tanh(x_in) + c[:, None], schedule, Edm(data))
    total = sigma**2 + data**2
    network = np.tanh(x / np.sqrt(total)) + np.log(sigma) / 4
    wanted = data**2 / total * x + sigma * data / np.sqrt(total) * network
    np.testing.assert_allclose(denoise(x, sigma), wanted, rtol=1e-13)


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="network must be callable"):
        denoisers.denoiser("net", SCHEDULE, EPS)
    with pytest.raises(TypeError, match="predicts must be a Prediction"):
        denoisers.denoiser(lambda x, t: x, SCHEDULE, "eps")
    with pytest.raises(TypeError, match="schedule must be a schedule or its tables, got 'linear'"):
        denoisers.denoiser(lambda x, t: x, "linear", EPS)
    for scale, error in (("a", TypeError), (0.0, ValueError), (np.nan, ValueError)):
        with pytest.raises(error, match="time_scale must be"):
            denoisers.denoiser(lambda x, t: x, SCHEDULE, EPS, time_scale=scale)
    for threshold in ("clip", denoisers.Clip, 1.0):
        with pytest.raises(TypeError, match="threshold must be a function of x_0"):
            denoisers.denoiser(lambda x, t: x, SCHEDULE, EPS, threshold=threshold)
        with pytest.raises(TypeError, match="threshold must be a function of x_0"):
            denoisers.thresholded(lambda x, t: x, threshold)
    with pytest.raises(TypeError, match="denoise must be callable, got None"):
        denoisers.thresholded(None, denoisers.Clip())
    with pytest.raises(ValueError, match="high must be above low, got low = 1"):
        denoisers.Clip(1.0, -1.0)
    with pytest.raises(TypeError, match="low must be a number, got 'a'"):
        denoisers.Clip("a")
    with pytest.raises(TypeError, match="quantile must be a number"):
        denoisers.DynamicThreshold("a")
    with pytest.raises(TypeError, match="x_0 must be an array"):
        denoisers.Clip()(None)
    x = np.ones((2, 2))
    for output in (None, 1.0, (x, x), x.astype(int)):
        with pytest.raises(TypeError, match="the network's output must be"):
            denoisers.denoiser(lambda x, t, output=output: output, SCHEDULE, EPS)(x, 5)
    with pytest.raises(ValueError, match=r"network must give twice the channels, got shape \(2, 3"):
        denoisers.denoiser(lambda x, t: np.ones((2, 3)), SCHEDULE, EPS, learned_variance=True)(x, 5)
    with pytest.raises(TypeError, match="x_t must be an array"):
        denoisers.denoiser(lambda x, t: x, SCHEDULE, EPS)([1.0], 5)
    with pytest.raises(ValueError, match=r"t must be a number or have shape \(2,\)"):
        denoisers.denoiser(lambda x, t: x, SCHEDULE, EPS)(x, np.array([5]))
    with pytest.raises(ValueError, match="timestep must be"):
        denoisers.denoiser(lambda x, t: x, SCHEDULE, EPS, timestep="steps")
    with pytest.raises(ValueError, match="quantile must be"):
        denoisers.DynamicThreshold(0.0)
    with pytest.raises(ValueError, match="maximum must be"):
        denoisers.DynamicThreshold(maximum=0.5)
    with pytest.raises(ValueError, match="output must have the shape of x_t"):
        denoisers.denoiser(lambda x, t: x[:1], SCHEDULE, EPS)(np.ones((2, 2)), 5)
    zero = schedules.zero_terminal_snr(SCHEDULE)
    with pytest.raises(ValueError, match="x_0 is not defined by a prediction of eps at t = 100"):
        denoisers.denoiser(lambda x, t: x, zero, EPS)(np.ones((2, 2)), 100)


def test_the_sampled_process_and_the_denoiser_agree():
    """The best x_0 in mean square is the denoiser's: no affine change of it does better."""
    schedule, t = schedules.cosine(), 400
    rng = np.random.default_rng(0)
    x_0 = 0.2 + np.sqrt(0.5) * rng.standard_normal((100_000, 1))
    x_t = process.q_sample(schedule, x_0, t, rng.standard_normal(x_0.shape))
    guess = oracles.gaussian(schedule, 0.2, 0.5)(x_t, t)
    residual = x_0 - guess
    # Orthogonality to 1 and to x_t; five standard errors of n = 100,000 draws.
    for probe in (np.ones_like(x_t), x_t):
        assert abs(np.mean(residual * probe)) <= 5 * np.std(residual * probe) / np.sqrt(x_t.size)
    wrong = x_0 - (guess + 0.02)
    assert abs(np.mean(wrong)) > 5 * np.std(wrong) / np.sqrt(x_t.size)


def test_predictions_named_in_a_config_reach_the_denoiser():
    predicts = predictions.from_config({"kind": "edm", "sigma_data": 0.5})
    assert denoisers.denoiser(lambda x, t: 0 * x, schedules.edm(), predicts)(
        np.ones((1, 1)), 1.0
    ) == pytest.approx(0.25 / 1.25)


@pytest.mark.parametrize(
    "threshold", [denoisers.Clip(), denoisers.DynamicThreshold()], ids=lambda t: type(t).__name__
)
def test_a_threshold_leaves_an_empty_batch(xp, threshold):
    assert as_numpy(threshold(make(xp, np.ones((0, 3, 2))))).shape == (0, 3, 2)


def test_numpys_numbers_leave_the_dtype():
    x, half, two = np.ones((2, 3), dtype="float32"), np.float64(0.5), np.float64(2.0)
    for threshold in (denoisers.Clip(-two, two), denoisers.DynamicThreshold(half, two)):
        assert threshold(x).dtype == np.float32
    denoise = denoisers.denoiser(lambda x, t: x, SCHEDULE, EPS, time_scale=two)
    assert denoise(x, np.int64(5)).dtype == np.float32
