"""Losses are sums of many small terms: half precisions are computed in float32."""

from typing import Any

from .._arrays import Array, namespace, placement


def widen(*arrays: Array) -> tuple[Any, ...]:
    """`arrays`, of one dtype, in at least float32."""
    xp = namespace(*arrays)
    wide = xp.float64 if arrays[0].dtype == xp.float64 else xp.float32
    return tuple(xp.astype(x, wide, copy=False) for x in arrays)


def at_least_float32(like: Array) -> Any:
    """`like`, or for a half precision an empty stand-in of its rank in float32."""
    xp = namespace(like)
    if like.dtype in (xp.float32, xp.float64):
        return like
    return xp.zeros((1,) * like.ndim, dtype=xp.float32, **placement(like))
