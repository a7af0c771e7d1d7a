"""Who computes with how many threads: Numba with its own, BLAS with one within each.

Two pools that alternate, or that call one another, disturb each other. BLAS is therefore held to
one thread in the whole process while the reference backend computes, and only then.
"""

from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController


class Held:
    """BLAS held to one thread from the first `with` that is entered to the last that is left.

    That costs ten or twenty microseconds. It is every BLAS that was loaded when this was made.
    """

    def __init__(self) -> None:
        self._blas = ThreadpoolController().select(user_api="blas")
        self._lock, self._inside = Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limit = self._blas.limit(limits=1)
            self._inside += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


ONE_BLAS_THREAD = Held()
"""For the whole process, as the number of BLAS's threads is."""
