"""What this package asks of its arguments: what they must be, and where they lie."""

from typing import Any

from .._arguments import is_whole
from .._arrays import require_floating


def require_integer(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int. Raises TypeError or ValueError, naming it, unless in [low, high]."""
    if not is_whole(value):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {value}")
    return int(value)


def require_seed(seed: Any) -> int:
    """`seed` as an int, if it is one from 0 to 2^63 - 1."""
    return require_integer("seed", seed, 0, 2**63 - 1)


def require_step(step: Any) -> int:
    """`step` as an int, if it is one from 0 to 2^31 - 1."""
    return require_integer("step", step, 0, 2**31 - 1)


def require_like(like: Any) -> None:
    """Raise, naming `like`, unless it is a floating array of known shape."""
    require_floating("like", like)
    if any(n is None or n != n for n in like.shape):  # nan in Dask, None in the standard
        raise ValueError(f"like must have a known shape, got {tuple(like.shape)}")
