"""Memory that is used again: a step's arrays lie where the last step's did.

Fresh memory costs a page fault for every 4 kB. A `Pool` hands out arrays over buffers that it
keeps; a buffer comes back when the array and every view of it are gone. One that nobody has asked
for since the last sweep but one, as when batches have become smaller, goes back to the system.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LINE = 64
"""Bytes of a line of the cache: arrays begin with one, so that no vector lies across two."""
SWEEP = 10_000
"""Arrays handed out from sweep to sweep: those of some ten training steps."""


class _Buffer(NamedTuple):
    memory: npt.NDArray[np.uint8]
    address: int
    size: int


class Pool:
    """Buffers by their size in bytes. used, peak: bytes in use, and the most that were at once."""

    def __init__(self) -> None:
        # What has come back since the last sweep, and what lay here by then.
        self._free: dict[int, list[_Buffer]] = {}
        self._old: dict[int, list[_Buffer]] = {}
        self._until_sweep = SWEEP
        self.used = self.peak = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """An array of any content."""
        kind = np.dtype(dtype)
        size = _rounded(math.prod(shape) * kind.itemsize)
        self._until_sweep -= 1
        if self._until_sweep < 0:
            self._free, self._old, self._until_sweep = {}, self._free, SWEEP
        free = self._free.get(size) or self._old.get(size)
        buffer = free.pop() if free else _new(size)
        self.used += size
        if self.used > self.peak:
            self.peak = self.used
        return np.asarray(_Loan(self, buffer, shape, kind.str))

    @property
    def held(self) -> int:
        """Bytes in use or kept for later."""
        kept = (self._free, self._old)
        return self.used + sum(size * len(free) for by in kept for size, free in by.items())

    def back(self, buffer: _Buffer) -> None:
        """Take a buffer again."""
        self.used -= buffer.size
        self._free.setdefault(buffer.size, []).append(buffer)


class _Loan:
    """Owns a buffer for as long as an array stands on it: NumPy keeps the owner, not the views."""

    __slots__ = ("__array_interface__", "_buffer", "_pool")

    def __init__(self, pool: Pool, buffer: _Buffer, shape: tuple[int, ...], kind: str) -> None:
        self._pool, self._buffer = pool, buffer
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": kind,
            "data": (buffer.address, False),
        }

    def __del__(self) -> None:
        self._pool.back(self._buffer)


def _new(size: int) -> _Buffer:
    memory = np.empty(size + LINE, np.uint8)
    return _Buffer(memory, -(-memory.ctypes.data // LINE) * LINE, size)


def _rounded(size: int) -> int:
    """The size, at least 64, with at most one eighth on top: sizes that differ little share."""
    if size <= LINE:
        return LINE
    unit = 1 << max(6, (size - 1).bit_length() - 3)
    return -(-size // unit) * unit
