"""Transforms of Winograd's F(4 x 4, 3 x 3), sixteen channels at a time; `winograd` says what for.

    to_input    B' d B     6 x 6 pixels to 36 parts
    to_output   A' m A     36 parts to 4 x 4 pixels
    to_adjoint  A y A'     4 x 4 pixels to 36 parts
    to_weight   G w G'     3 x 3 places of a kernel to 36 parts
    to_kernel   G' u G     36 parts to 3 x 3 places

Each is the same transform of rows and of columns, in registers.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .grid import Frame, Grid
from .lanes import LONG, WIDTH, Lanes

Row = tuple[Lanes, ...]


def _input(d_0: Any, d_1: Any, d_2: Any, d_3: Any, d_4: Any, d_5: Any) -> Row:
    even, odd = d_4 - 4.0 * d_2, d_3 - 4.0 * d_1
    near, far = d_4 - d_2, 2.0 * (d_3 - d_1)
    return (
        4.0 * d_0 - 5.0 * d_2 + d_4,
        even + odd,
        even - odd,
        near + far,
        near - far,
        4.0 * d_1 - 5.0 * d_3 + d_5,
    )


def _output(m_0: Any, m_1: Any, m_2: Any, m_3: Any, m_4: Any, m_5: Any) -> Row:
    near, far = m_1 + m_2, m_3 + m_4
    turn, wide = m_1 - m_2, m_3 - m_4
    return m_0 + near + far, turn + 2.0 * wide, near + 4.0 * far, turn + 8.0 * wide + m_5


def _adjoint(y_0: Any, y_1: Any, y_2: Any, y_3: Any) -> Row:
    even, odd = y_0 + y_2, y_1 + y_3
    wide, far = y_0 + 4.0 * y_2, 2.0 * y_1 + 8.0 * y_3
    return y_0, even + odd, even - odd, wide + far, wide - far, y_3


def _weight(w_0: Any, w_1: Any, w_2: Any) -> Row:
    even, wide = (-1 / 6) * (w_0 + w_2), (1 / 24) * w_0 + (1 / 6) * w_2
    near, far = (1 / 6) * w_1, (1 / 12) * w_1
    return (1 / 4) * w_0, even - near, even + near, wide + far, wide - far, w_2


def _kernel(u_0: Any, u_1: Any, u_2: Any, u_3: Any, u_4: Any, u_5: Any) -> Row:
    near, far = (1 / 6) * (u_1 + u_2), u_3 + u_4
    return (
        (1 / 4) * u_0 - near + (1 / 24) * far,
        (1 / 6) * (u_2 - u_1) + (1 / 12) * (u_3 - u_4),
        (1 / 6) * far - near + u_5,
    )


def _both_ways(transform: Callable[..., Row], grid: list[list[Lanes]]) -> list[tuple[Lanes, ...]]:
    rows = [transform(*row) for row in grid]
    columns = [transform(*column) for column in zip(*rows, strict=True)]
    return list(zip(*columns, strict=True))


def _store_parts(builder: Any, grid: list[tuple[Lanes, ...]], parts: Any, step: Any) -> None:
    to = Grid(builder, parts, builder.mul(step, ir.Constant(LONG, 6)), step)
    for i in range(6):
        for j in range(6):
            grid[i][j].store(to.address(i, j))


def _load_parts(builder: Any, parts: Any, step: Any) -> list[list[Lanes]]:
    place = Grid(builder, parts, builder.mul(step, ir.Constant(LONG, 6)), step)
    return [[Lanes.load(builder, place.address(i, j)) for j in range(6)] for i in range(6)]


def _from_pixels(transform: Callable[..., Row], side: int) -> Any:
    """(pixels, row, column, top, left, height, width, blank, parts, step): pixels to parts.

    pixels: the address of the tile's first pixel, at (top, left) of an image of height x width;
    what lies outside is read at `blank`. row, column, step: bytes to the next.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        pixels, row, column, top, left, height, width, blank, parts, step = arguments
        image = Grid(builder, pixels, row, column)
        frame = Frame(builder, top, left, height, width)
        grid = [
            [Lanes.load(builder, image.within(i, j, frame, blank)) for j in range(side)]
            for i in range(side)
        ]
        _store_parts(builder, _both_ways(transform, grid), parts, step)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 10), generate


@intrinsic
def to_input(  # type: ignore[no-untyped-def]
    typing_context, pixels, row, column, top, left, height, width, blank, parts, step
):
    """See `_from_pixels`; 6 x 6 of them."""
    return _from_pixels(_input, 6)


@intrinsic
def to_adjoint(  # type: ignore[no-untyped-def]
    typing_context, pixels, row, column, top, left, height, width, blank, parts, step
):
    """See `_from_pixels`; 4 x 4 of them."""
    return _from_pixels(_adjoint, 4)


@intrinsic
def to_output(  # type: ignore[no-untyped-def]
    typing_context,
    parts,
    step,
    bias,
    added,
    added_row,
    added_column,
    pixels,
    row,
    column,
    top,
    left,
    height,
    width,
    nowhere,
):
    """Pixels = transformed parts + bias + added; those outside of the image go to `nowhere`."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        parts, step, bias, added, added_row, added_column, pixels, row, column, *rest = arguments
        *place, nowhere = rest
        frame = Frame(builder, *place)
        grid = _both_ways(_output, _load_parts(builder, parts, step))
        image, beside = (
            Grid(builder, pixels, row, column),
            Grid(builder, added, added_row, added_column),
        )
        offset = Lanes.load(builder, bias)
        for i in range(4):
            for j in range(4):
                more = Lanes.load(builder, beside.within(i, j, frame, nowhere))
                y = grid[i][j] + offset + more
                y.store(image.within(i, j, frame, nowhere))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 14), generate


@intrinsic
def to_weight(typing_context, weight, step_w, parts, step):  # type: ignore[no-untyped-def]
    """3 x 3 places, step_w bytes apart, to 36 parts."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        weight, step_w, parts, step = arguments
        kernel = Grid(builder, weight, builder.mul(step_w, ir.Constant(LONG, 3)), step_w)
        grid = [[Lanes.load(builder, kernel.address(i, j)) for j in range(3)] for i in range(3)]
        _store_parts(builder, _both_ways(_weight, grid), parts, step)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@intrinsic
def to_kernel(typing_context, parts, step, weight, step_w):  # type: ignore[no-untyped-def]
    """36 parts to 3 x 3 places, to which they are added."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        parts, step, weight, step_w = arguments
        grid = _both_ways(_kernel, _load_parts(builder, parts, step))
        kernel = Grid(builder, weight, builder.mul(step_w, ir.Constant(LONG, 3)), step_w)
        for i in range(3):
            for j in range(3):
                place = kernel.address(i, j)
                (Lanes.load(builder, place) + grid[i][j]).store(place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@intrinsic
def to_transpose(typing_context, source, step, target, target_step):  # type: ignore[no-untyped-def]
    """16 x 16 numbers, rows `step` bytes apart, to their transpose."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        source, step, target, target_step = arguments
        rows = [
            Lanes.load(builder, builder.add(source, builder.mul(step, LONG(i))))
            for i in range(WIDTH)
        ]
        half = WIDTH // 2
        while half:
            # Blocks of half x half off the diagonal change places.
            for i in (i for i in range(WIDTH) if not i & half):
                rows[i], rows[i + half] = rows[i].exchanged(rows[i + half], half)
            half //= 2
        for i, row in enumerate(rows):
            row.store(builder.add(target, builder.mul(target_step, LONG(i))))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


__all__ = ["to_adjoint", "to_input", "to_kernel", "to_output", "to_transpose", "to_weight"]
