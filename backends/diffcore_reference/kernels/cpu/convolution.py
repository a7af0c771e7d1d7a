"""Which way a 3 x 3 convolution is computed, and the room it works in.

Winograd's transforms where both sides have channels by sixteens and the stride is 1, of images of
more than 2 x 2: there, they take half the time and less. Else a matrix product of the
neighbourhoods, or of each pixel with all nine places where few channels come out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import SAME, Padding
from . import columns, images, winograd
from .products import SGEMM

Empty = Callable[[tuple[int, ...], Any], Any]

TILES = 60
"""Winograd's tiles at a time: their parts stay near, and no power of two lies between them."""
ROOM = 65_536
"""Numbers of a block of neighbourhoods: they stay in the cache."""
FEW = 8
"""Channels out up to which a stride of 1 is computed by `columns.spread`."""
NOTHING = np.empty((0, 0, 0, 0), np.float32)
f = np.float32


def by_winograd(shape: tuple[int, ...], w: Any, stride: int, pad: Padding) -> bool:
    """Whether it is, for images of that shape and weights (3, 3, in, out)."""
    whole = w.shape[2] % winograd.GROUP == 0 and w.shape[3] % winograd.GROUP == 0
    return whole and stride == 1 and pad == SAME and max(shape[1:3]) > 2


def forward(
    empty: Empty, threads: int, x: Any, w: Any, bias: Any, stride: int, pad: Padding, added: Any
) -> Any:
    """See `Arrays.convolve`."""
    b, h, wide, c = x.shape
    out = w.shape[3]
    rows, across = ((size + sum(pad) - 3) // stride + 1 for size in (h, wide))
    y = empty((b, rows, across, out), f)
    more = NOTHING if added is None else added
    if by_winograd(x.shape, w, stride, pad):
        _winograd(empty, threads, x, w, bias, more, y)
    elif stride == 1 and out <= FEW and added is None and sum(pad) == 2:
        room = empty((threads, h * wide * 9 * out), f)
        columns.spread(SGEMM, x, _places(w[::-1, ::-1], 2), bias, y, 1, pad.before, room)
    else:
        columns.convolve(
            SGEMM, x, _flat(w), bias, more, y, stride, pad.before, _room(empty, threads, across, c)
        )
    return y


def backward(
    empty: Empty, threads: int, dy: Any, w: Any, shape: tuple[int, ...], stride: int, pad: Padding
) -> Any:
    """See `Arrays.convolve_input`."""
    _, rows, across, out = dy.shape
    c = shape[3]
    dx = empty(shape, f)
    bias = np.zeros(c, f)
    if by_winograd(shape, w, stride, pad):
        back = empty((3, 3, out, c), f)
        winograd.turned(w, back)
        _winograd(empty, threads, dy, back, bias, NOTHING, dx)
    elif stride == 1 and c > FEW and sum(pad) == 2:
        back = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))
        columns.convolve(
            SGEMM,
            dy,
            _flat(back),
            bias,
            NOTHING,
            dx,
            1,
            2 - pad.before,
            _room(empty, threads, shape[2], out),
        )
    else:
        room = empty((threads, rows * across * 9 * c), f)
        columns.spread(SGEMM, dy, _places(w, 3), bias, dx, stride, pad.before, room)
    return dx


def weight(
    empty: Empty, threads: int, x: Any, dy: Any, dw: Any, db: Any, stride: int, pad: Padding
) -> None:
    """See `Arrays.convolve_weight`."""
    c, out = dw.shape[2:]
    sums = empty((threads, out), f)
    if by_winograd(x.shape, dw, stride, pad):
        count = _count(x, threads)
        du = empty((threads, 36, c * out + winograd.GROUP), f)
        room = empty((threads, 36 * count * (c + out)), f)
        winograd.weight_parts(SGEMM, x, dy, du, sums, room, count)
        winograd.collected(du, dw)
    elif stride == 1 and out < c and sum(pad) == 2:
        # x' columns(dy), of fewer columns: the places come turned by half a turn.
        parts, unused = empty((threads, 9 * out, c), f), empty((threads, c), f)
        room = _room(empty, threads, x.shape[2], out)
        columns.weight(SGEMM, dy, x, parts, unused, 1, 2 - pad.before, room)
        turned = parts.sum(axis=0).reshape(3, 3, out, c)
        dw += turned[::-1, ::-1].transpose(0, 1, 3, 2)
        sums[:] = 0
        sums[0] = dy.reshape(-1, out).sum(axis=0)
    else:
        parts = empty((threads, 9 * c, out), f)
        room = _room(empty, threads, dy.shape[2], c)
        columns.weight(SGEMM, x, dy, parts, sums, stride, pad.before, room)
        images.gather(parts.reshape(threads, -1), dw.reshape(-1))
    images.gather(sums, db)


def _winograd(empty: Empty, threads: int, x: Any, w: Any, bias: Any, added: Any, y: Any) -> None:
    c, out = w.shape[2:]
    u = empty((36, c * out + winograd.GROUP), f)
    winograd.transformed(w, u)
    count = _count(x, threads)
    room = empty((threads, 36 * count * (c + out)), f)
    winograd.convolve(SGEMM, x, u, bias, added, y, room, count)


def _count(x: Any, threads: int) -> int:
    """Tiles at a time: a share for each thread."""
    b, h, w = map(int, x.shape[:3])
    tiles = b * -(-h // 4) * -(-w // 4)
    return min(TILES, -(-tiles // threads))


def _room(empty: Empty, threads: int, width: int, channels: int) -> Any:
    """Room for at least one row of neighbourhoods."""
    return empty((threads, max(ROOM, width * 9 * channels)), f)


def _flat(w: Any) -> Any:
    return w.reshape(-1, w.shape[3])


def _places(w: Any, entering: int) -> Any:
    """(in, 9 out), of (3, 3, ...) whose axis `entering` is what comes in."""
    order = (2, 0, 1, 3) if entering == 2 else (3, 0, 1, 2)
    turned = np.ascontiguousarray(w.transpose(order))
    return turned.reshape(turned.shape[0], -1)
