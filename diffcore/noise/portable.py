"""Normal noise that is the same in every array library, to the bit.

The source is a counter. With F(key, counter) the Threefry-2x32 of `threefry`, element e of row b
(the rows are the samples of a batch, their elements counted in C order) is

    key  = F((seed mod 2^32, seed div 2^32), (step, 0))
    word = F(key, (e div 2, b))[e mod 2]
    eps  = T[word div 2^16] + T[word mod 2^16]

Integer operations, two look-ups and one float32 addition: the same bits in every library, eager or
compiled, and a row depends on nothing else in its batch. For each key F is a bijection, so within a
seed no two steps share a key and no two elements of a step a counter; the keys of two seeds
coincide with probability 2^-64.

The table T is made of the means of N(0, 1) on n = 2^16 intervals of equal probability. With phi the
density and z_i the quantile of i / n,

    m_i = n (phi(z_i) - phi(z_{i+1})),   T_i = m_i / sqrt(2 mean(m^2)),   i = 0 .. n - 1

so that T has mean 0 and variance 1/2, and the sum of two draws has variance 1; each entry is the
float32 nearest to the exact number. The sum's CDF is within 7.7e-6 of the normal one, its variance
1 to 1e-9, its kurtosis 2.9999, its range +-6.2; the probability beyond 4 is 0.5% too small, beyond
5 10%.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import constant, is_array, is_chunked, namespace, on_host, placement
from ._checks import require_like, require_seed, require_step
from .threefry import NORMALS, Pair, derive, on_numpy, signed, threefry

TABLE: npt.NDArray[np.float32] = np.load(Path(__file__).with_name("normal.npy"))
TABLE.flags.writeable = False
TABLE_SHA256 = "e962206705e27c801eb0b679069d8d37e4f08814b2c3e54cb338a386799540f7"
"""Of the table's bytes, little-endian."""
BLOCK = 2**15
"""Counters taken at a time on the host, so that what is made of them stays in its cache."""


def portable(seed: int) -> "Portable":
    """Noise that is the same in every library, to the bit; row b depends on (seed, b, step) alone.

    seed: 0 to 2^63 - 1. The noise's `like` has any floating dtype, less than 2^31 rows and less
    than 2^31 elements a row; the values are float32, cast to its dtype (float64 holds the float32
    values). Its `step` is 0 to 2^31 - 1, or, but for Dask, an integer array of shape () in like's
    library, such as the traced step of a `jax.lax.scan`, whose value nobody checks.

    Arrays of NumPy, array-api-strict and, on a CPU and outside of a compiler, PyTorch and JAX are
    filled by NumPy, a block at a time; Dask arrays a chunk at a time, in like's chunks; all others
    by their own library on their own device. Under `jax.jit` call it as usual. Draw outside of what
    `torch.compile` compiles and pass the array in: its default backend takes minutes for this.

    Raises TypeError or ValueError that names `seed`, `like` or `step`.
    """
    return Portable(require_seed(seed))


@dataclass(frozen=True)
class Portable:
    """The noise that `portable` returns."""

    seed: int

    def __call__(self, like: Any, step: int, /) -> Any:
        require_like(like)
        if like.ndim == 0:
            raise ValueError("like must have a leading batch axis, got shape ()")
        if is_array(step):
            return _native(like, _traced_key(self.seed, step, like))
        key = derive(self.seed, require_step(step), NORMALS)
        if is_chunked(like):
            return _chunked(like, key)
        if not on_host(like):
            return _native(like, (_word(key[0], like), _word(key[1], like)))
        eps = _host(key, range(like.shape[0]), range(math.prod(like.shape[1:])))
        return constant(eps.reshape(like.shape), like)


def _host(key: tuple[int, int], rows: range, elements: range) -> npt.NDArray[np.float32]:
    """Elements `elements` of rows `rows`; shape (rows, elements)."""
    first = elements.start // 2
    blocks = np.arange(first, (elements.stop + 1) // 2, dtype=np.uint32)[None, :]
    numbers = np.arange(rows.start, rows.stop, dtype=np.uint32)[:, None]
    eps = np.empty((len(rows), 2 * blocks.size), dtype=np.float32)
    width = max(1, min(BLOCK, blocks.size))
    height = BLOCK // width
    for i in range(0, len(rows), height):
        for j in range(0, blocks.size, width):
            counter = np.broadcast_arrays(blocks[:, j : j + width], numbers[i : i + height])
            for k, words in enumerate(threefry(on_numpy(key), (counter[0], counter[1]))):
                halves = TABLE.take(words.view(np.uint16))
                part = eps[i : i + height, 2 * j + k : 2 * (j + width) : 2]
                np.add(halves[:, ::2], halves[:, 1::2], out=part)
    start = elements.start - 2 * first
    return eps[:, start : start + len(elements)]


def _native(like: Any, key: Pair) -> Any:
    """The noise by like's own library, in int32, since PyTorch has no arithmetic in uint32."""
    xp, where = namespace(like), placement(like)
    size = math.prod(like.shape[1:])
    rows = xp.arange(like.shape[0], dtype=xp.int32, **where)
    blocks = xp.arange((size + 1) // 2, dtype=xp.int32, **where)
    counter = xp.broadcast_arrays(blocks[None, :], rows[:, None])
    words = xp.reshape(xp.stack(threefry(key, (counter[0], counter[1])), axis=-1), (-1,))
    table = constant(TABLE, like, xp.float32)
    eps = xp.take(table, words & 0xFFFF, axis=0)
    eps += xp.take(table, (words >> 16) & 0xFFFF, axis=0)
    eps = xp.reshape(eps, (like.shape[0], 2 * ((size + 1) // 2)))
    return xp.astype(xp.reshape(eps[:, :size], like.shape), like.dtype, copy=False)


def _traced_key(seed: int, step: Any, like: Any) -> Pair:
    """The key of a step that is an array: `derive`, by like's library."""
    xp = namespace(like)
    if is_chunked(like):
        raise TypeError(f"step must be an int where like is a Dask array, got {step}")
    if step.shape != () or namespace(step) is not xp or not xp.isdtype(step.dtype, "integral"):
        raise TypeError(f"step must be an int or an integer array () of like's library, got {step}")
    first = xp.reshape(xp.astype(step, xp.int32), (1,))
    key = _word(seed & 0xFFFFFFFF, like), _word(seed >> 32, like)
    return threefry(key, (first, _word(NORMALS, like)))


def _word(word: int, like: Any) -> Any:
    """A 32-bit word as an int32 array of shape (1,) in like's library."""
    xp = namespace(like)
    return xp.full((1,), signed(word), dtype=xp.int32, **placement(like))


def _chunked(like: Any, key: tuple[int, int]) -> Any:
    return namespace(like).map_blocks(
        _chunk,
        key,
        tuple(like.shape),
        like._meta,
        chunks=like.chunks,
        dtype=like.dtype,
        meta=like._meta,
    )


def _chunk(key: tuple[int, int], shape: tuple[int, ...], meta: Any, block_info: Any = None) -> Any:
    """One chunk of an array of shape `shape`, in the library and dtype of `meta`."""
    rows, *others = (range(*extent) for extent in block_info[None]["array-location"])
    element = np.zeros((), dtype=np.int64)
    for n, extent in zip(shape[1:], others, strict=True):
        element = element[..., None] * n + np.array(extent, dtype=np.int64)
    if element.size == 0:
        return constant(np.empty((len(rows), *element.shape), dtype=np.float32), meta)
    first = int(element.min())
    eps = _host(key, rows, range(first, int(element.max()) + 1))
    return constant(eps[:, element - first], meta)
