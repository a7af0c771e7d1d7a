"""Memory that is used again: a step's arrays lie where the last step's did.

Fresh memory costs a page fault for every 4 kB. A `Pool` hands out arrays over buffers that it keeps;
a buffer comes back when the array and every view of it are gone.
"""

from typing import Any

import numpy as np
import numpy.typing as npt


class Pool:
    """Buffers by their size in bytes. peak: the most bytes that were in use at once."""

    def __init__(self) -> None:
        self._free: dict[int, list[npt.NDArray[np.uint8]]] = {}
        self.used = self.peak = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """An array of any content."""
        kind = np.dtype(dtype)
        size = _rounded(int(np.prod(shape, dtype=np.int64)) * kind.itemsize)
        free = self._free.get(size)
        buffer = free.pop() if free else np.empty(size, np.uint8)
        self.used += size
        self.peak = max(self.peak, self.used)
        return np.asarray(_Loan(self, buffer, tuple(shape), kind))

    def _back(self, buffer: npt.NDArray[np.uint8]) -> None:
        self.used -= buffer.size
        self._free.setdefault(buffer.size, []).append(buffer)


class _Loan:
    """Owns a buffer for as long as an array stands on it: NumPy keeps the owner, not the views."""

    def __init__(
        self, pool: Pool, buffer: npt.NDArray[np.uint8], shape: tuple[int, ...], kind: Any
    ) -> None:
        self._pool, self._buffer = pool, buffer
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": kind.str,
            "data": (buffer.ctypes.data, False),
        }

    def __del__(self) -> None:
        self._pool._back(self._buffer)


def _rounded(size: int) -> int:
    """The size, at least 64, with at most one eighth on top: so that sizes that differ little share."""
    if size <= 64:
        return 64
    unit = 1 << max(6, (size - 1).bit_length() - 3)
    return -(-size // unit) * unit
