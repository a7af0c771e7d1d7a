"""The draws look random to tests that see through generators which are broken on purpose.

Seeds are fixed, so nothing here can fail by chance. SIGNIFICANCE is each check's: of all the checks
together, a true source would fail one in some hundreds of choices of the seeds. A broken source
must be rejected at FLAGRANT by the check that is named beside it.
"""

import math

import numpy as np
import pytest
from randomness import CHECKS
from scipy import special

from diffcore import noise

SIGNIFICANCE = 1e-4
FLAGRANT = 1e-9


def portable(seed, step, rows, elements):
    like = np.empty((rows, elements), dtype=np.float64)
    return noise.portable(seed)(like, step)


def ideal(seed, step, rows, elements):
    """A source of another make, for the checks to be tried on."""
    sequence = np.random.SeedSequence(seed, spawn_key=(step,))
    return np.random.Generator(np.random.SFC64(sequence)).standard_normal((rows, elements))


def constant_step(seed, step, rows, elements):
    return portable(seed, 0, rows, elements)


def step_moves_rows(seed, step, rows, elements):
    return portable(seed, 0, rows + step % 16, elements)[step % 16 :]


def seed_plus_step(seed, step, rows, elements):
    return portable(seed + step, 0, rows, elements)


def seed_of_32_bits(seed, step, rows, elements):
    return portable(seed % 2**32, step, rows, elements)


def row_repeated(seed, step, rows, elements):
    x = portable(seed, step, rows, elements)
    x[rows // 2] = x[0]
    return x


def uniforms(seed, step, rows, elements):
    return noise.uniform(seed, step, rows * elements).reshape(rows, elements)


def box_muller(u, scale):
    radius = scale * np.sqrt(-2.0 * np.log1p(-u[:, ::2]))
    angle = 2.0 * math.pi * u[:, 1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(u.shape)


def wrong_scale(seed, step, rows, elements):
    return box_muller(uniforms(seed, step, rows, elements), 1.01)


def centred_uniform(seed, step, rows, elements):
    return (uniforms(seed, step, rows, elements) - 0.5) * math.sqrt(12.0)


def twelve_uniforms(seed, step, rows, elements):
    return np.sum(uniforms(seed, step, rows, 12 * elements).reshape(rows, elements, 12), -1) - 6.0


def shifted(seed, step, rows, elements):
    return portable(seed, step, rows, elements) + 0.01


def skewed(seed, step, rows, elements):
    x = portable(seed, step, rows, elements)
    return (x + 0.01 * (x**2 - 1.0)) / math.sqrt(1.0 + 2e-4)


def truncated(seed, step, rows, elements):
    return np.clip(portable(seed, step, rows, elements), -3.0, 3.0)


def antithetic(seed, step, rows, elements):
    x = portable(seed, step, rows, elements)
    x[:, 1::2] = -x[:, ::2]
    return x


def random_signs(seed, step, rows, elements):
    """One row's magnitudes under every row's own signs."""
    x = portable(seed, step, rows, elements)
    return np.abs(x[:1]) * np.sign(x)


def equal_norms(seed, step, rows, elements):
    x = portable(seed, step, rows, elements)
    return x / np.sqrt(np.mean(x**2, axis=1, keepdims=True))


def centred_rows(seed, step, rows, elements):
    x = portable(seed, step, rows, elements)
    return x - np.mean(x, axis=1, keepdims=True)


def words(seed, step, rows, elements, rounds=20):
    """The words that normals are made of, after fewer rounds of Threefry than there should be."""
    keys = (seed % 2**32, step, seed % 2**32 ^ step ^ 0x1BD11BDA)
    blocks, numbers = np.arange(elements // 2, dtype=np.uint32), np.arange(rows, dtype=np.uint32)
    x_0, x_1 = (np.array(w) for w in np.broadcast_arrays(blocks[None, :], numbers[:, None]))
    x_0, x_1 = x_0 + np.uint32(keys[0]), x_1 + np.uint32(keys[1])
    rotations = ((13, 15, 26, 6), (17, 29, 16, 24))
    for i in range(rounds):
        r = rotations[i // 4 % 2][i % 4]
        x_0 = x_0 + x_1
        x_1 = (x_1 << np.uint32(r) | x_1 >> np.uint32(32 - r)) ^ x_0
        if i % 4 == 3:
            group = i // 4 + 1
            x_0 = x_0 + np.uint32(keys[group % 3])
            x_1 = x_1 + np.array([keys[(group + 1) % 3] + group], dtype=np.uint64).astype(np.uint32)
    return np.stack([x_0, x_1], axis=-1).reshape(rows, elements)


def looked_up(w):
    return noise.TABLE[w >> 16].astype(np.float64) + noise.TABLE[w & 0xFFFF]


def few_rounds(rounds):
    def source(seed, step, rows, elements):
        return looked_up(words(seed, step, rows, elements, rounds))

    source.__name__ = f"rounds_{rounds}"
    return source


def low_half(seed, step, rows, elements):
    """The low half of each word used for both look-ups."""
    low = words(seed, step, rows, elements) & 0xFFFF
    return looked_up(low << 16 | low)


def low_byte(seed, step, rows, elements):
    low = words(seed, step, rows, elements) & 0xFF
    return special.ndtri((low + 0.5) / 256)


def low_bits_of_a_counter(seed, step, rows, elements):
    """A linear congruence modulo 2^32, whose low bits have short periods."""
    state = np.empty(rows * elements, dtype=np.uint64)
    x = (seed * 7919 + step * 104729 + 12345) % 2**32
    multipliers = np.cumprod(np.full(state.size, 1664525, dtype=np.uint64) % 2**32, dtype=np.uint64)
    state[:] = multipliers * np.uint64(x | 1)
    low = (state & np.uint64(0xFFFF)).astype(np.float64)
    return special.ndtri((low + 0.5) / 65536).reshape(rows, elements)


BROKEN = [
    (constant_step, "origins"),
    (step_moves_rows, "origins"),
    (seed_plus_step, "origins"),
    (seed_of_32_bits, "origins"),
    (row_repeated, "rows"),
    (wrong_scale, "moment 2"),
    (centred_uniform, "moment 4"),
    (centred_uniform, "kolmogorov_smirnov"),
    (centred_uniform, "chi_square"),
    (twelve_uniforms, "moment 4"),
    (shifted, "moment 1"),
    (skewed, "moment 3"),
    (truncated, "tails"),
    (antithetic, "elements"),
    (antithetic, "neighbours"),
    (random_signs, "magnitudes"),
    (equal_norms, "row_norms"),
    (centred_rows, "row_means"),
    (few_rounds(1), "chi_square"),
    (few_rounds(4), "rows"),
    (few_rounds(6), "elements"),
    (low_half, "moment 2"),
    (low_byte, "chi_square"),
    (low_bits_of_a_counter, "rows"),
]


@pytest.mark.parametrize("name", CHECKS)
def test_the_portable_noise_is_normal_and_independent(name):
    assert CHECKS[name](portable) > SIGNIFICANCE


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_pass_another_generator(name):
    assert CHECKS[name](ideal) > SIGNIFICANCE


def test_twenty_rounds_of_the_copy_that_is_broken_below_pass():
    whole = few_rounds(20)
    for name in ("rows", "neighbours", "elements"):
        assert CHECKS[name](whole) > SIGNIFICANCE


@pytest.mark.parametrize(("source", "name"), BROKEN, ids=lambda v: getattr(v, "__name__", v))
def test_the_checks_reject_what_is_broken(source, name):
    assert CHECKS[name](source) < FLAGRANT
