"""Inpainting on two correlated Gaussian pixels, whose conditional law is known.

All that is random in a run enters linearly, so that a run on basis vectors in place of noise gives
the law of what is filled in: its mean and its variance, without sampling.
"""

import itertools

import numpy as np
import pytest
from conftest import as_numpy, make
from strategies import normal

from diffcore import oracles, plan, samplers, schedules, tasks, times
from diffcore.noise import portable
from diffcore.plan import Denoised

EPS = np.finfo(np.float64).eps
MEAN, VARIANCE, CORRELATION = np.array([0.3, -0.2]), 0.5, 0.9
COVARIANCE = VARIANCE * np.array([[1.0, CORRELATION], [CORRELATION, 1.0]])
KNOWN = 1.2
EXACT = MEAN[1] + CORRELATION * (KNOWN - MEAN[0]), VARIANCE * (1.0 - CORRELATION**2)
KEEP = np.array([[1.0, 0.0]])
COSINE = schedules.cosine(1000)


def correlated(schedule):
    """E[x_0 | x_t] for N(MEAN, COVARIANCE)."""

    def denoise(x_t, t):
        alpha, sigma = schedule(t)
        total = alpha**2 * COVARIANCE + sigma**2 * np.eye(2)
        gain = alpha * np.linalg.solve(total, COVARIANCE)
        return MEAN + (x_t - alpha * MEAN) @ gain

    return denoise


def basis(offset):
    """Noise that is a basis vector in two rows for each step, and nothing in row 0."""

    def noise(like, step):
        z = np.zeros_like(like)
        row = 1 + 2 * (offset + step)
        z[row, 0] = z[row + 1, 1] = 1.0
        return z

    return noise


def law(made, schedule=COSINE, fresh=True):
    """(mean, variance) of the pixel filled in; and the whole of the known pixel's."""
    n = len(made.stages)
    x = np.zeros((3 + 2 * n + 2 * made.evaluations, 2))
    x = plan.prior(schedule, made.stages[0].time, basis(0)(x, 0))
    known = KNOWN * KEEP
    denoise = correlated(schedule)
    if fresh:
        denoise = tasks.known_region(denoise, schedule, known, KEEP, basis(n + 1))
    else:
        denoise = tasks.known_region(denoise, schedule, known, KEEP)
    end = plan.sample(denoise, made, x, basis(0))
    responses = end[1:] - end[0]
    assert end[0, 0] == KNOWN
    assert not responses[:, 0].any()
    return end[0, 1], float(responses[:, 1] @ responses[:, 1])


def shift(mean):
    """How much of the way that the known pixel takes the other one's mean it has gone."""
    return (mean - MEAN[1]) / (EXACT[0] - MEAN[1])


def test_replacement_falls_short_of_the_conditional_law_however_many_steps():
    for steps in (50, 200):
        mean, variance = law(samplers.ddpm(COSINE, times.trailing(COSINE, steps)))
        assert 0.6 < shift(mean) < 0.75
        assert 1.4 < variance / EXACT[1] < 1.7
    # With the state's own noise, which is one and the same along the way, less is averaged.
    _, own = law(samplers.ddpm(COSINE, times.trailing(COSINE, 50)), fresh=False)
    assert own / EXACT[1] > 1.7


def test_repaint_comes_the_closer_the_more_often_it_goes_back():
    grid = times.trailing(COSINE, 50)
    made = [
        tasks.repaint(COSINE, samplers.ddpm, grid, jump=1, resamples=r) for r in (1, 2, 5, 10, 20)
    ]
    assert made[0] == samplers.ddpm(COSINE, grid)
    shifts = [shift(law(p)[0]) for p in made]
    assert shifts == sorted(shifts)
    assert shifts[0] < 0.7
    assert shifts[-1] == pytest.approx(1.0, abs=0.03)


def test_repaint_comes_to_the_conditional_variance_as_the_steps_get_shorter():
    """What is left is DDPM's own: too small a variance in wide steps, taken again and again."""
    ratios = [
        law(tasks.repaint(COSINE, samplers.ddpm, times.trailing(COSINE, n), jump=1, resamples=20))[
            1
        ]
        / EXACT[1]
        for n in (25, 100)
    ]
    assert 0.65 < ratios[0] < ratios[1] < 1.0
    replaced = law(samplers.ddpm(COSINE, times.trailing(COSINE, 100)))[1] / EXACT[1]
    assert abs(ratios[1] - 1.0) < 0.6 * abs(replaced - 1.0)


@pytest.mark.parametrize("planner", ["ddim", "heun", "euler"])
def test_repaint_goes_with_other_planners(planner):
    grid = times.trailing(COSINE, 40)[2:]
    function = getattr(samplers, planner)
    plain, again = (law(tasks.repaint(COSINE, function, grid, jump=4, resamples=r)) for r in (1, 8))
    assert shift(plain[0]) < 0.7 < 0.8 < shift(again[0]) < 1.02
    assert abs(again[1] - EXACT[1]) < 0.5 * abs(plain[1] - EXACT[1])


def test_the_way_of_repaint():
    """Lugmayr et al., figure 9: with T = 6, jumps of 2 and each stretch twice."""
    schedule = schedules.linear(6)
    made = tasks.repaint(schedule, samplers.ddpm, range(6, -1, -1), jump=2, resamples=2)
    visited = [6, *(stage.time_next for stage in made.stages)]
    assert visited == [6, 5, 4, 3, 5, 4, 3, 2, 1, 3, 2, 1, 0]
    assert made.evaluations == 6 + 2 + 2
    up = [stage for stage in made.stages if stage.time_next > stage.time]
    assert [stage.calls for stage in up] == [False, False]
    # Two forward steps of DDPM in one: the product of their scales, and the variance they add.
    scales = [(1.0 - schedule.beta[t]) ** 0.5 for t in (4, 5)]
    assert up[0].x == (pytest.approx(scales[0] * scales[1], rel=8 * EPS),)
    added = schedule.beta[4] * (1.0 - schedule.beta[5]) + schedule.beta[5]
    assert up[0].z ** 2 == pytest.approx(added, rel=8 * EPS)
    once = tasks.repaint(schedule, samplers.ddpm, range(6, -1, -1), jump=3, resamples=3)
    assert [stage.time_next for stage in once.stages] == [5, 4, 3, 2, 1, *[4, 3, 2, 1] * 2, 0]


def test_whole_numbers_may_be_numpys():
    two = np.int64(2)
    made = tasks.repaint(COSINE, samplers.ddpm, range(6, -1, -1), jump=two, resamples=two)
    assert made == tasks.repaint(COSINE, samplers.ddpm, range(6, -1, -1), jump=2, resamples=2)
    up = tasks.invert(COSINE, range(0, 30, 10), two)
    assert plan.Plan.from_json(up.to_json()) == tasks.invert(COSINE, range(0, 30, 10), 2)
    x = normal(0, (1, 1, 4, 4))[0]
    np.testing.assert_array_equal(tasks.low_resolution(x, two), tasks.low_resolution(x, 2))
    with pytest.raises(ValueError, match="iterations must be a whole number from 0 on, got True"):
        tasks.invert(COSINE, (0, 10), True)


def test_replacement_is_song_et_als():
    """Written out: DDIM's steps from a state whose known part is drawn from q(x_t | x_0)."""
    grid = times.trailing(COSINE, 10)
    made = samplers.ddim(COSINE, grid)
    x, *draws = normal(0, (4, 2), count=11)
    fresh = iter(draws)
    denoise = correlated(COSINE)
    got = plan.sample(
        tasks.known_region(denoise, COSINE, KNOWN * KEEP, KEEP, lambda like, k: next(fresh)),
        made,
        x,
    )
    for (t, s), eps in zip(itertools.pairwise(grid), draws, strict=True):
        (alpha, sigma), (alpha_s, sigma_s) = COSINE(t), COSINE(s)
        x = np.stack([alpha * KNOWN + sigma * eps[:, 0], x[:, 1]], axis=1)
        m = denoise(x, t)
        x = alpha_s * m + sigma_s * (x - alpha * m) / sigma
    np.testing.assert_allclose(got[:, 1], x[:, 1], rtol=0, atol=64 * EPS)
    assert (got[:, 0] == KNOWN).all()
    # The state's own noise is another answer, and so is the image without noise.
    start = normal(0, (4, 2), count=11)[0]
    for wrong in (None, lambda like, k: 0.0 * like):
        other = plan.sample(
            tasks.known_region(denoise, COSINE, KNOWN * KEEP, KEEP, wrong), made, start
        )
        assert np.abs(other - got).max() > 0.01


def test_multistep_plans_take_their_known_pixels_from_the_image():
    """The state that a later stage goes back to is the one before what is known was put in."""
    schedule = schedules.vp_linear()
    made = samplers.heun(schedule, times.trailing(schedule, 8))
    x = normal(1, (3, 2))[0]
    keep = np.array([[0.25, 1.0]])
    denoise = tasks.known_region(
        oracles.gaussian(schedule, 0.0, 0.5), schedule, np.full((3, 2), 0.7), keep, portable(3)
    )
    end = plan.sample(denoise, made, x)
    assert (end[:, 1] == 0.7).all()
    assert np.abs(end[:, 0] - 0.7).min() > 1e-3  # Kept by a quarter: mixed with what is filled in.


def test_every_library_gives_numpys_answer(xp):
    made = samplers.ddpm(COSINE, times.trailing(COSINE, 5))
    hosts = [normal(2, (3, 1, 4, 4))[0], normal(3, (1, 1, 4, 4))[0]]
    hosts.append((np.arange(16).reshape(1, 1, 4, 4) % 3 == 0).astype(float))

    def ended(x, known, keep):
        denoise = oracles.gaussian(COSINE, 0.1, 0.5)
        filled = tasks.known_region(denoise, COSINE, known, keep, portable(1))
        return plan.sample(filled, made, x, portable(2))

    got = ended(*(make(xp, host, "float32") for host in hosts))
    assert got.dtype == xp.float32
    np.testing.assert_allclose(as_numpy(got), ended(*hosts), rtol=0, atol=2**-16)


def test_a_learned_variance_passes_through():
    def denoise(x, t):
        return Denoised(0.0 * x, 0.25 + 0.0 * x)

    x = np.zeros((2, 2))
    got = tasks.known_region(denoise, COSINE, KNOWN * KEEP, KEEP)(x, 10)
    np.testing.assert_array_equal(got.x_0, np.broadcast_to(KNOWN * KEEP, (2, 2)))
    np.testing.assert_array_equal(got.variance_fraction, 0.25)


def test_bad_arguments_are_named():
    x = np.ones((1, 2))
    with pytest.raises(TypeError, match="known must be a real floating-point array, got dtype int"):
        tasks.known_region(correlated(COSINE), COSINE, np.ones((1, 2), int), x)
    with pytest.raises(TypeError, match="keep must be a real floating-point array, got dtype bool"):
        tasks.known_region(correlated(COSINE), COSINE, x, np.ones((1, 2), bool))
    both = {"known": x, "keep": x}
    for name in ("known", "keep"):
        arrays = {"known": x, "keep": x, name: x.astype(np.float32)}
        wrong = tasks.known_region(correlated(COSINE), COSINE, **arrays)
        with pytest.raises(TypeError, match=f"{name} must have the dtype of x_t, float64"):
            wrong(x, 10)
        grown = tasks.known_region(correlated(COSINE), COSINE, **{**both, name: np.ones((3, 1, 2))})
        with pytest.raises(
            ValueError, match=rf"{name} must broadcast to the shape of x_t, \(1, 2\)"
        ):
            grown(x, 10)
    for wrong in (0, np.random.default_rng(0)):
        with pytest.raises(TypeError, match=r"noise must be a function such as noise\.as_noise"):
            tasks.known_region(correlated(COSINE), COSINE, x, x, wrong)
    for name in ("jump", "resamples"):
        for bad in (0, 1.5):
            with pytest.raises(ValueError, match=f"{name} must be a positive whole number"):
                tasks.repaint(COSINE, samplers.ddpm, (3, 2, 1, 0), **{"jump": 1, name: bad})
    with pytest.raises(ValueError, match="times must be at least two numbers"):
        tasks.repaint(COSINE, samplers.ddpm, (3,))
    with pytest.raises(ValueError, match="jump must be at most 2 for 3 steps, got 3"):
        tasks.repaint(COSINE, samplers.ddpm, (3, 2, 1, 0), jump=3)
