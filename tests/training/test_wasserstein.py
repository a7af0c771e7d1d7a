"""Sliced Wasserstein distances against closed forms."""

import math

import numpy as np
import pytest
import scipy.stats

from diffcore.training.wasserstein import directions, sliced_wasserstein

EPS = float(np.finfo(np.float64).eps)


def points(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_moved_and_stretched_sets_are_as_far_as_said() -> None:
    """W_2 of u . x and u . (x + a) is |u . a|, of u . x and c u . x it is |1 - c| rms(u . x)."""
    x, a, c = points(0, 50, 2), np.array([0.6, -1.1]), 1.7
    even = directions(2, 16)
    assert sliced_wasserstein(x, x[::-1], even) <= 8 * EPS
    moved = math.sqrt(float(a @ a) / 2.0)
    assert sliced_wasserstein(x, x + a, even) == pytest.approx(moved, rel=64 * EPS)
    stretched = 0.7 * math.sqrt(np.mean(np.sum(x**2, axis=1)) / 2.0)
    assert sliced_wasserstein(x, c * x, even) == pytest.approx(stretched, rel=64 * EPS)
    # Pairing the points as they come is no transport at all.
    shuffled = x[np.random.default_rng(1).permutation(50)]
    paired = math.sqrt(np.mean((x @ even.T - shuffled @ even.T) ** 2))
    assert paired > 10.0 * sliced_wasserstein(x, shuffled, even) + 0.5


@pytest.mark.parametrize(("m", "n"), [(7, 7), (5, 8), (12, 3), (9, 6)])
def test_sets_of_different_size_are_compared_by_their_quantiles(m, n) -> None:
    """Each point as many times as makes the sets equal, which changes no law."""
    x, y = points(2, m, 3), points(3, n, 3) + 0.4
    u = directions(3, 5, seed=1)
    times = math.lcm(m, n)
    total = 0.0
    for direction in u:
        many = [np.sort(np.repeat(p @ direction, times // len(p))) for p in (x, y)]
        total += float(np.mean((many[0] - many[1]) ** 2))
    assert sliced_wasserstein(x, y, u) == pytest.approx(math.sqrt(total / 5), rel=1e-12)


def test_on_the_line_the_first_moment_s_cousin_agrees_with_scipy() -> None:
    """Of two values on either side W_1 and W_2 are one."""
    x, y = np.array([[0.0], [0.0], [1.0]]), np.array([[0.0], [1.0], [1.0], [1.0]])
    wanted = scipy.stats.wasserstein_distance(x[:, 0], y[:, 0])
    got = sliced_wasserstein(x, y, np.ones((1, 1)))
    assert got**2 == pytest.approx(wanted, rel=16 * EPS)


def test_large_samples_of_two_normal_laws() -> None:
    """SW_2^2 of N(0, 1) and N(m, s^2) is |m|^2 / d + (1 - s)^2 but for the samples' own noise."""
    n, d = 20_000, 4
    x, y = points(4, n, d), 0.5 * points(5, n, d)
    y[:, 0] += 0.8
    wanted = math.sqrt(0.8**2 / d + 0.25)
    drawn = directions(d, 400)
    share = float(np.mean(drawn[:, 0] ** 2))
    assert share == pytest.approx(1 / d, abs=4 * math.sqrt(2 * (d - 1) / d**2 / (d + 2) / 400))
    exact = math.sqrt(0.8**2 * share + 0.25)
    assert sliced_wasserstein(x, y, drawn) == pytest.approx(exact, abs=0.02)
    assert exact == pytest.approx(wanted, abs=0.03)


def test_directions_have_unit_length_and_are_the_seed_s() -> None:
    for d in (1, 2, 5):
        u = directions(d, 30, seed=3)
        np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1.0, rtol=4 * EPS)
    np.testing.assert_array_equal(directions(5, 30, seed=3), u)
    assert not np.array_equal(directions(5, 30, seed=4), u)
    even = directions(2, 3)
    np.testing.assert_allclose(even.T @ even, 1.5 * np.eye(2), atol=8 * EPS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sliced_wasserstein(points(0, 9, 2), points(0, 9, 3), directions(2, 3)), "y must"),
        (lambda: sliced_wasserstein(points(0, 9, 2), points(0, 9, 2), directions(3, 3)), "along"),
        (lambda: sliced_wasserstein(points(0, 9), points(0, 9, 2), directions(2, 3)), "x must be"),
        (lambda: directions(0, 3), "d and count must be positive, got 0 and 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
