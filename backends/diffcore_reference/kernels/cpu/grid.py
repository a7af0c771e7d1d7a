"""Addresses of a tile's vectors, of which some may lie outside of the image."""

from typing import Any

from llvmlite import ir

from .lanes import LONG


class Grid:
    """Addresses of vectors in rows and columns, of which those outside of an image are elsewhere.

    first: the address of place (0, 0). row, column: bytes from one to the next.
    """

    def __init__(self, builder: Any, first: Any, row: Any, column: Any) -> None:
        self.builder, self.first, self.row, self.column = builder, first, row, column

    def address(self, i: int, j: int) -> Any:
        """That of place (i, j)."""
        b = self.builder
        down = b.mul(self.row, ir.Constant(LONG, i))
        along = b.mul(self.column, ir.Constant(LONG, j))
        return b.add(self.first, b.add(down, along))

    def within(self, i: int, j: int, frame: "Frame", elsewhere: Any) -> Any:
        """That of place (i, j) where the frame has it, else `elsewhere`."""
        return self.builder.select(frame.has(i, j), self.address(i, j), elsewhere)


class Frame:
    """Which places (i, j) of a tile at (top, left) lie in an image of height x width."""

    def __init__(self, builder: Any, top: Any, left: Any, height: Any, width: Any) -> None:
        self.builder = builder
        self._rows = [self._inside(top, i, height) for i in range(6)]
        self._columns = [self._inside(left, j, width) for j in range(6)]

    def _inside(self, start: Any, i: int, size: Any) -> Any:
        # Without a sign, what is negative is large.
        place = self.builder.add(start, ir.Constant(LONG, i))
        return self.builder.icmp_unsigned("<", place, size)

    def has(self, i: int, j: int) -> Any:
        """Whether place (i, j) does."""
        return self.builder.and_(self._rows[i], self._columns[j])
