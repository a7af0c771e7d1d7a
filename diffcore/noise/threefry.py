"""Threefry-2x32 of 20 rounds, a bijection of 64 bits for each key of 64 bits.

A round takes the words (x_0, x_1) to (x_0 + x_1, (x_1 <<< r) ^ (x_0 + x_1)), <<< a rotation; the
key is added before the first round and, its words in turn with a third that is their parity, after
every fourth. Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from typing import Any, TypeAlias

import numpy as np

from .._arrays import namespace

Pair: TypeAlias = tuple[Any, Any]
"""Two arrays of 32-bit words."""

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
WORD = 0xFFFFFFFF

NORMALS, INTEGERS, UNIFORMS, ORDERS = range(4)
"""What a key is for: the second word of its counter, modulo 4."""


def threefry(key: Pair, counter: Pair) -> Pair:
    """F(key, counter): Threefry-2x32 of 20 rounds.

    key, counter: two arrays each, of any library, int32 with the bits of the unsigned words, or
    uint32, which is faster where the library computes with it (NumPy and JAX do, PyTorch does not).
    The key's broadcast to the counter's, which are of one shape. Returns two new arrays of that
    shape and dtype.
    """
    keys = (*key, key[0] ^ key[1] ^ PARITY)
    # In place where the library can, on arrays made here; elsewhere these operators make new ones.
    x_0, x_1 = counter[0] + key[0], counter[1] + key[1]
    copies_sign = namespace(x_0).isdtype(x_0.dtype, "signed integer")
    for group in range(1, 6):
        for r in ROTATIONS[(group - 1) % 2]:
            x_0 += x_1
            low = x_1 << r
            x_1 >>= 32 - r
            if copies_sign:
                x_1 &= (1 << r) - 1
            x_1 |= low
            x_1 ^= x_0
        x_0 += keys[group % 3]
        x_1 += keys[(group + 1) % 3] + group
    return x_0, x_1


def derive(seed: int, step: int, purpose: int) -> tuple[int, int]:
    """The key F((seed mod 2^32, seed div 2^32), (step, purpose)), as ints from 0 to 2^32 - 1.

    In Python's integers, which take a tenth of the time of arrays of one, and which compilers need
    not trace.
    """
    seed_0, seed_1 = seed & WORD, seed >> 32
    keys = (seed_0, seed_1, seed_0 ^ seed_1 ^ PARITY)
    x_0, x_1 = (step + seed_0) & WORD, (purpose + seed_1) & WORD
    for group in range(1, 6):
        for r in ROTATIONS[(group - 1) % 2]:
            x_0 = (x_0 + x_1) & WORD
            x_1 = ((x_1 << r) & WORD | x_1 >> 32 - r) ^ x_0
        x_0 = (x_0 + keys[group % 3]) & WORD
        x_1 = (x_1 + keys[(group + 1) % 3] + group) & WORD
    return x_0, x_1


def signed(word: int) -> int:
    """The int from -2^31 to 2^31 - 1 with the bits of a word."""
    return (word + 2**31) % 2**32 - 2**31


def on_numpy(words: tuple[int, int]) -> Pair:
    """The words as uint32 arrays of NumPy, shape (1,)."""
    return np.array(words[:1], dtype=np.uint32), np.array(words[1:], dtype=np.uint32)
