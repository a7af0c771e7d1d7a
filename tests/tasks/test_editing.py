"""Image to image on Gaussian data, and the mixtures of latent noises."""

import math

import numpy as np
import pytest
from conftest import as_numpy, make
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal, seeds

from diffcore import oracles, plan, samplers, schedules, tasks, times

EPS = np.finfo(np.float64).eps
MEAN, VARIANCE = 0.2, 0.3


@pytest.mark.parametrize(
    ("strength", "steps"), [(1.0, 10), (0.5, 5), (0.26, 3), (0.24, 2), (0.01, 1)]
)
def test_strength_is_the_share_of_the_steps(strength, steps):
    grid = tuple(range(10, -1, -1))
    assert tasks.last_part(grid, strength) == grid[10 - steps :]


@pytest.mark.parametrize("strength", [0.2, 0.6, 1.0])
def test_an_image_comes_back_as_the_closed_form_says(strength):
    schedule = schedules.cosine_continuous()
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    x_0, eps = normal(0, (4, 3), count=2)
    counts, errors = (50, 100, 200), []
    for n in counts:
        grid = tasks.last_part(times.trailing(schedule, n), strength)
        made = samplers.ddim(schedule, grid)
        got = plan.sample(denoise, made, tasks.noised(schedule, made, x_0, eps))
        alpha, sigma = schedule(grid[0])
        assert grid[0] == pytest.approx(strength)
        spread = math.sqrt(VARIANCE / (alpha**2 * VARIANCE + sigma**2))
        wanted = MEAN + spread * (alpha * (x_0 - MEAN) + sigma * eps)
        errors.append(np.abs(got - wanted).max())
        wrong = MEAN + spread * (alpha * (x_0 - MEAN) + eps)
        if strength < 1.0:
            assert np.abs(got - wrong).max() > errors[-1]
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(1.0, abs=0.15)


def test_a_little_strength_changes_little_and_all_of_it_everything():
    schedule = schedules.cosine_continuous()
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    x_0, eps = normal(1, (4, 3), count=2)
    changes = []
    for strength in (0.01, 0.1, 0.4, 1.0):
        made = samplers.ddim(schedule, tasks.last_part(times.trailing(schedule, 100), strength))
        ends = [
            plan.sample(denoise, made, tasks.noised(schedule, made, image, eps))
            for image in (x_0, x_0 + 1.0)
        ]
        changes.append((ends[1] - ends[0]).mean())
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 0.99
    assert changes[-1] == pytest.approx(0.0, abs=8 * EPS)


def test_in_a_stack_each_sample_has_the_noise_of_its_own_start(xp):
    schedule = schedules.flow()
    plans = [samplers.ddim(schedule, (t, t / 2, 0.0)) for t in (0.25, 1.0)]
    x_0, eps = normal(2, (2, 3), count=2)
    both = [make(xp, x, "float32") for x in (x_0, eps)]
    got = tasks.noised(schedule, plan.stack(plans), *both)
    assert got.dtype == xp.float32
    wanted = [tasks.noised(schedule, p, x_0, eps)[i] for i, p in enumerate(plans)]
    np.testing.assert_allclose(as_numpy(got), wanted, rtol=0, atol=2**-22)


def test_bad_arguments_of_editing_are_named():
    for strength in (0.0, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"strength must be in \(0, 1\]"):
            tasks.last_part((2, 1, 0), strength)
    with pytest.raises(TypeError, match="strength must be a number, got 'half'"):
        tasks.last_part((2, 1, 0), "half")
    three = plan.stack([samplers.ddim(schedules.flow(), (1.0, 0.5, 0.0))] * 3)
    with pytest.raises(ValueError, match="x_0 must have one sample for each of 3 plans, got 2"):
        tasks.noised(schedules.flow(), three, np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="times must be at least two numbers"):
        tasks.last_part((2,), 0.5)
    x = np.zeros((1, 2))
    with pytest.raises(ValueError, match="plan must have stages"):
        tasks.noised(schedules.flow(), plan.Plan("empty", ()), x, x)


MIXES = {"slerp": tasks.slerp, "variance_preserving": tasks.variance_preserving}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_a_mix_begins_and_ends_at_the_noises(xp, mix):
    a, b = (make(xp, x, "float32") for x in normal(2, (3, 4, 4), count=2))
    for w, end in ((0.0, a), (1.0, b)):
        got = mix(a, b, w)
        assert got.dtype == xp.float32
        np.testing.assert_allclose(as_numpy(got), as_numpy(end), rtol=0, atol=2**-21)


@pytest.mark.parametrize("mix", [*MIXES.values(), tasks.perturbed])
def test_numpys_numbers_promote_nothing(xp, mix):
    a, b = (make(xp, x, "float32") for x in normal(2, (3, 4, 4), count=2))
    got = mix(a, b, np.float64(0.25))
    assert got.dtype == xp.float32
    np.testing.assert_array_equal(as_numpy(got), as_numpy(mix(a, b, 0.25)))


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_a_share_for_each_sample_is_of_their_dtype_and_number(mix):
    torch = pytest.importorskip("torch")
    a, b = normal(2, (3, 4), count=2)
    w = np.array([0.0, 0.3, 1.0])
    got = mix(a, b, w)
    for i in range(3):
        one = mix(a[i : i + 1], b[i : i + 1], float(w[i]))
        np.testing.assert_allclose(got[i : i + 1], one, rtol=0, atol=16 * EPS)
    for wrong, error, message in (
        (w[:2], ValueError, "w must be one number, or one for each of 3 samples, got 2"),
        (w.astype(np.float32), TypeError, "w must have the dtype of a, float64, got float32"),
        ([0.0, 0.3, 1.0], TypeError, "w must be a number or an array of shape"),
        (torch.asarray(w), TypeError, "w must be an array of a's library, numpy, got one of torch"),
        (math.nan, ValueError, "w must be finite, got nan"),
    ):
        with pytest.raises(error, match=message):
            mix(a, b, wrong)


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_compiled_the_share_is_an_argument(mix):
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    a, b = (x.astype(np.float32) for x in normal(2, (3, 4), count=2))
    jitted = jax.jit(mix)
    torch.compiler.reset()
    compiled = torch.compile(mix, fullgraph=True, backend="eager")
    for w in (0.25, 0.5, 0.875):
        wanted = mix(a, b, w)
        for function, array in ((jitted, jax.numpy.asarray), (compiled, torch.from_numpy)):
            got = function(array(a), array(b), w)
            assert "float32" in str(got.dtype)
            np.testing.assert_allclose(as_numpy(got), wanted, rtol=0, atol=2**-20)


@given(seed=seeds, w=st.floats(0.0, 1.0))
def test_slerp_keeps_the_length_and_divides_the_angle(seed, w):
    a, b = normal(seed, (5, 6), count=2)
    b *= np.linalg.norm(a, axis=1, keepdims=True) / np.linalg.norm(b, axis=1, keepdims=True)
    got = tasks.slerp(a, b, w)
    length = np.linalg.norm(a, axis=1)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), length, rtol=1e-9)
    whole = np.arccos(np.sum(a * b, axis=1) / length**2)
    part = np.arccos(np.clip(np.sum(a * got, axis=1) / length**2, -1.0, 1.0))
    np.testing.assert_allclose(part, w * whole, rtol=0, atol=1e-6)
    straight = (1.0 - w) * a + w * b
    if 0.1 < w < 0.9 and (whole > 0.5).all():
        assert (np.linalg.norm(straight, axis=1) < 0.99 * length).all()


def test_slerp_of_parallel_opposite_and_zero_vectors_is_the_straight_line():
    a = normal(3, (4, 8))[0]
    for b in (a, 2.0 * a, -3.0 * a, 0.0 * a):
        np.testing.assert_allclose(
            tasks.slerp(a, b, 0.25), 0.75 * a + 0.25 * b, rtol=0, atol=64 * EPS
        )
    nearly = a * (1.0 + 1e-9 * normal(4, (4, 8))[0])
    np.testing.assert_allclose(
        tasks.slerp(a, nearly, 0.25), 0.75 * a + 0.25 * nearly, rtol=0, atol=64 * EPS
    )


@given(w=st.floats(-1.0, 2.0))
def test_variance_is_preserved_for_independent_noises(w):
    """The weights' squares sum to 1, read off basis vectors."""
    one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    weights = tasks.variance_preserving(one, other, w)
    assert np.sum(weights**2) == pytest.approx(1.0, abs=8 * EPS)
    perturbed = tasks.perturbed(one, other, abs(w) / 2.0)
    assert np.sum(perturbed**2) == pytest.approx(1.0, abs=8 * EPS)
    assert perturbed[0, 1] == pytest.approx(abs(w) / 2.0)
    if 0.1 < w < 0.9:
        assert np.sum(((1 - w) * one + w * other) ** 2) < 0.9


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_a_weight_for_each_sample(mix):
    a, b = normal(5, (3, 4), count=2)
    w = np.array([0.0, 0.3, 1.0])
    got = mix(a, b, w)
    for i in range(3):
        np.testing.assert_allclose(got[i], mix(a, b, float(w[i]))[i], rtol=0, atol=8 * EPS)


def test_the_ends_of_a_perturbation():
    x, eps = normal(6, (2, 3), count=2)
    np.testing.assert_array_equal(tasks.perturbed(x, eps, 0.0), x)
    np.testing.assert_array_equal(tasks.perturbed(x, eps, 1.0), eps)
    for amount in (-0.1, 1.1, math.nan, "half", np.array([0.1, 0.2])):
        with pytest.raises(ValueError, match=r"amount must be in \[0, 1\]"):
            tasks.perturbed(x, eps, amount)
    for mix in (*MIXES.values(), tasks.perturbed):
        with pytest.raises(ValueError, match="must have the shape of"):
            mix(x, eps[:1], 0.5)


def test_a_mixed_latent_ends_between_the_images():
    """Through a Gaussian's flow, which is affine: the images mix as their noises do."""
    schedule = schedules.cosine_continuous()
    made = samplers.heun(schedule, times.trailing(schedule, 20))
    a, b = normal(7, (2, 3), count=2)

    def image(latent):
        return plan.sample(oracles.gaussian(schedule, 0.0, VARIANCE), made, latent)

    mixed = image(tasks.variance_preserving(a, b, 0.3))
    wanted = tasks.variance_preserving(image(a), image(b), 0.3)
    np.testing.assert_allclose(mixed, wanted, rtol=0, atol=64 * EPS)
