"""Integers, uniforms and permutations of the host: exact, uniform and independent.

SIGNIFICANCE is each check's, on fixed seeds; what is broken on purpose must fail at FLAGRANT.
"""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from randomness import independence, two_sided, uniformity
from scipy import special, stats

from diffcore import noise
from diffcore.noise.threefry import derive

SIGNIFICANCE = 1e-4
FLAGRANT = 1e-9


def words(seed, step, n, stream, purpose):
    """The 64-bit words that draws are made of, as Python's integers."""
    key = derive(seed, step, 4 * stream + purpose)
    pairs = [derive(key[0] + 2**32 * key[1], i, 0) for i in range(n)]
    return [2**32 * upper + lower for upper, lower in pairs]


@pytest.mark.parametrize(("seed", "step", "stream"), [(0, 0, 0), (2**63 - 1, 2**31 - 1, 2**29 - 1)])
def test_draws_are_the_words_exactly(seed, step, stream):
    for high in (1, 2, 10, 1000, 3 * 2**30, 2**32 - 1, 2**32):
        expected = [w * high // 2**64 for w in words(seed, step, 200, stream, 1)]
        got = noise.integers(seed, step, 200, high, stream)
        assert got.tolist() == expected
        assert got.dtype == np.int64
    expected = [Fraction(w // 2**11, 2**53) for w in words(seed, step, 200, stream, 2)]
    got = noise.uniform(seed, step, 200, stream)
    assert [Fraction(u) for u in got.tolist()] == expected
    assert got.dtype == np.float64
    order = words(seed, step, 200, stream, 3)
    got = noise.permutation(seed, step, 200, stream)
    assert got.tolist() == sorted(range(200), key=order.__getitem__)
    assert got.dtype == np.int64


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_draws_and_none(n):
    assert noise.integers(1, 2, n, 10).tolist() == noise.integers(1, 2, 9, 10)[:n].tolist()
    assert noise.uniform(1, 2, n).tolist() == noise.uniform(1, 2, 9)[:n].tolist()
    assert sorted(noise.permutation(1, 2, n)) == list(range(n))
    assert not np.any(noise.integers(1, 2, n, 1))


def by_remainder(seed, step, n, high):
    """Integers as the remainders of 32-bit words, which are not all as likely."""
    return noise.integers(seed, step, n, 2**32) % high


@pytest.mark.parametrize("high", [2, 7, 10, 256, 1000])
def test_integers_are_uniform(high):
    counts = np.bincount(noise.integers(3, high, 200_000, high), minlength=high)
    assert len(counts) == high
    assert uniformity(counts) > SIGNIFICANCE
    if high > 2:
        without_zero = np.maximum(noise.integers(3, high, 200_000, high), 1)
        assert uniformity(np.bincount(without_zero, minlength=high)) < FLAGRANT


def test_large_integers_are_uniform_where_remainders_are_not():
    high, n = 3 * 2**30, 200_000
    for draw, bound in ((noise.integers, SIGNIFICANCE), (by_remainder, None)):
        cells = draw(1, 0, n, high) // 2**28
        p = uniformity(np.bincount(cells, minlength=12))
        assert p > bound if bound else p < FLAGRANT


def test_uniforms_are_uniform_to_the_last_bit():
    u = noise.uniform(4, 0, 200_000)
    assert u.min() >= 0.0
    assert u.max() < 1.0
    assert stats.kstest(u, "uniform").pvalue > SIGNIFICANCE
    assert stats.kstest(u * (1.0 - 0.01), "uniform").pvalue < FLAGRANT
    bits = (u * 2.0**53).astype(np.int64)
    single = (u.astype(np.float32) * 2.0**53).astype(np.int64)
    for shift in range(53):
        z = 2.0 * (np.mean(bits >> shift & 1) - 0.5) * math.sqrt(u.size)
        assert two_sided(z) > SIGNIFICANCE
    assert abs(np.mean(single & 1) - 0.5) > 0.4  # float32 has no such bits
    pairs = np.bincount(64 * (bits[::2] >> 47) + (bits[1::2] >> 47), minlength=64 * 64)
    assert uniformity(pairs) > SIGNIFICANCE


def biased_shuffle(seed, step, n):
    """Every place exchanged with any place: n^n ways, which n! does not divide."""
    order = list(range(n))
    for i, j in enumerate(noise.integers(seed, step, n, n)):
        order[i], order[j] = order[j], order[i]
    return order


def tied(seed, step, n):
    """The order of words of two bits, which are often equal."""
    return np.argsort(noise.integers(seed, step, n, 4), kind="stable")


def orders(draw):
    """How often each of the 24 orders of four comes up."""
    found = Counter(tuple(map(int, draw(5, step, 4))) for step in range(4800))
    return np.array([found[order] for order in itertools.permutations(range(4))])


def test_every_order_is_as_likely():
    assert uniformity(orders(noise.permutation)) > SIGNIFICANCE
    assert uniformity(orders(biased_shuffle)) < FLAGRANT
    assert uniformity(orders(tied)) < FLAGRANT


def positions(draw, n=12, count=3000):
    """The p-value of where each of n comes to lie: an n by n table with even margins."""
    table = np.zeros((n, n))
    for step in range(count):
        table[np.arange(n), draw(6, step, n)] += 1
    expected = count / n
    # The margins are fixed, by which each cell varies less: (n - 1)^2 degrees of freedom.
    statistic = np.sum((table - expected) ** 2 / expected) * (n - 1) / n
    chi_square = stats.chi2((n - 1) ** 2)
    return 2.0 * min(chi_square.sf(statistic), chi_square.cdf(statistic))


def test_every_place_is_as_likely():
    assert positions(noise.permutation) > SIGNIFICANCE
    assert positions(biased_shuffle) < FLAGRANT
    assert positions(tied) < FLAGRANT
    order = noise.permutation(6, 0, 50_000)
    assert np.array_equal(np.sort(order), np.arange(50_000))
    assert np.count_nonzero(order == np.arange(50_000)) < 12  # one in the mean


def normal_rows(seed, step, streams, n=4096):
    """Every kind of draw of a seed and step, made normal; one a row."""
    rows = [noise.portable(seed)(np.empty((1, n)), step)[0]]
    for stream in streams:
        rows += [
            special.ndtri(noise.uniform(seed, step, n, stream) + 2.0**-54),
            special.ndtri((noise.integers(seed, step, n, 2**32, stream) + 0.5) / 2**32),
            special.ndtri((noise.permutation(seed, step, n, stream) + 0.5) / n),
        ]
    return np.stack(rows)


def test_kinds_streams_steps_and_seeds_are_independent():
    origins = [(seed, step) for seed in (0, 1, 2**32) for step in (0, 1, 2**31 - 1)]
    streams = (0, 1, 2, 4, 2**29 - 1)
    rows = np.concatenate([normal_rows(seed, step, streams) for seed, step in origins])
    assert independence(rows) > SIGNIFICANCE
    one_key = np.stack([normal_rows(0, 0, (0,))[1], special.ndtri(noise.uniform(0, 0, 4096))])
    assert independence(np.concatenate([rows, one_key])) < FLAGRANT


@pytest.mark.parametrize("bad", [-1, 1.0, "3", None, True])
@pytest.mark.parametrize("name", ["n", "high", "stream"])
def test_errors_name_the_argument(name, bad):
    for draw in (noise.integers, noise.uniform, noise.permutation):
        arguments = {"n": 3} | ({"high": 10} if draw is noise.integers else {})
        if name == "high" and draw is not noise.integers:
            continue
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be .*, got "):
            draw(0, 0, **(arguments | {name: bad}))


@pytest.mark.parametrize(
    ("name", "value"), [("n", 2**31), ("high", 0), ("high", 2**32 + 1), ("stream", 2**29)]
)
def test_errors_show_the_range(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be from \d+ to \d+, got {value}$"):
        noise.integers(0, 0, **({"n": 3, "high": 10} | {name: value}))
