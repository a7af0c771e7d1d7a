"""Standard normal noise is an argument: `noise(like, step)` gives an array like `like`.

    eps ~ N(0, I), independent from one step to the next

A function that needs randomness takes eps itself or a `Noise`, never a hidden global state, so one
text runs on every array library, under their compilers too, and is repeatable. `portable(seed)`
draws the same bits in all of them; `as_noise` makes a Noise of what the caller has. `integers`,
`uniform` and `permutation` give the host its draws: a function of (seed, step), with no state to
save. `threefry`, `TABLE` and `NORMALS` are what a backend builds the portable source of.
"""

from functools import partial
from typing import Any, Protocol

from .._arguments import is_whole
from .generators import adapter
from .host import integers, permutation, uniform
from .portable import TABLE, Portable, portable
from .threefry import NORMALS, threefry


class Noise(Protocol):
    """A source of standard normal noise.

    Called with a floating array `like` of shape (batch, ...) and a step, it returns an array of
    like's shape, dtype, device and library. Steps are counted by the caller, from 0.
    """

    def __call__(self, like: Any, step: int, /) -> Any: ...


def as_noise(rng: Any) -> Noise:
    """Noise from what the caller has.

    rng: an int, the seed of the portable source; a Noise, returned as it is; a JAX key, of the new
    style or the old, which each step is folded into; or a NumPy, PyTorch, CuPy (RandomState too) or
    Dask (RandomState too) Generator. A generator is advanced by every call, whatever its step. A
    NumPy Generator draws on the host for any library, float64 for float64 and float32 for all else;
    the others serve arrays of their own library.

    Raises TypeError or ValueError that names `rng`.
    """
    if is_whole(rng):
        return portable(rng)
    draw = adapter(rng)
    if draw is not None:
        return partial(draw, rng)
    if callable(rng) and not isinstance(rng, type):
        return rng  # type: ignore[no-any-return]
    raise TypeError(
        "rng must be an int seed, a function noise(like, step), a JAX key, or a NumPy, PyTorch, "
        f"CuPy or Dask Generator, got {rng!r}"
    )


__all__ = [
    "NORMALS",
    "TABLE",
    "Noise",
    "Portable",
    "as_noise",
    "integers",
    "permutation",
    "portable",
    "threefry",
    "uniform",
]
