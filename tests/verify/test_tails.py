"""The bounds of draws hold, are not far from the exact quantiles, and reject what is not normal."""

import numpy as np
import pytest
from scipy import stats

from diffcore.verify import tails


@pytest.mark.parametrize("p", [0.05, 1e-6, 1e-12])
@pytest.mark.parametrize("n", [1, 30, 264, 8448])
def test_no_bound_is_passed_more_often_than_it_says(n, p):
    low, high = tails.chi_squared(n, p)
    assert stats.chi2.cdf(low, n) + stats.chi2.sf(high, n) <= p
    assert 2 * stats.norm.sf(tails.mean(n, p) * n**0.5) <= p
    assert stats.kstwo.sf(tails.distance_bound(n, p), n) <= p
    # a b = (u^2 - v^2) / 2: the sum is half the difference of two chi^2.
    bound = tails.product(n, p)
    assert bound >= stats.norm.isf(p / 2) * n**0.5


@pytest.mark.parametrize("n", [264, 8448])
def test_bounds_are_near_the_exact_quantiles(n):
    low, high = tails.chi_squared(n, 1e-12)
    exact = stats.chi2.isf(5e-13, n) - n
    assert exact <= high - n <= 1.25 * exact
    assert n - low <= 1.35 * (n - stats.chi2.ppf(5e-13, n))
    assert tails.distance_bound(n, 1e-12) <= 1.1 * stats.kstwo.isf(1e-12, n)


def test_sums_of_products_stay_within_a_bound_that_is_not_far():
    n, draws = 100, np.random.default_rng(0).standard_normal((2, 20_000, 100))
    sums = np.abs(np.sum(draws[0] * draws[1], axis=1))
    bound = tails.product(n, 1e-3)
    assert np.mean(sums > bound) <= 1e-3
    assert bound <= 2.5 * np.quantile(sums, 0.999)


def test_distance_is_kolmogorovs():
    draws = np.random.default_rng(0).standard_normal((7, 11))
    assert tails.distance(draws) == pytest.approx(stats.kstest(draws.ravel(), "norm").statistic)


def test_what_is_not_normal_is_rejected():
    rng = np.random.default_rng(0)
    n = 8448
    bound = tails.distance_bound(n, 1e-12)
    assert tails.distance(rng.standard_normal(n)) < bound
    assert tails.distance(rng.uniform(-(3**0.5), 3**0.5, n)) > bound
    assert tails.distance(rng.choice([-1.0, 1.0], n)) > bound
    assert tails.distance(rng.laplace(0, 0.5**0.5, n)) > bound
