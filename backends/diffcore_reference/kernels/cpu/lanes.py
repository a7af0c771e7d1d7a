"""Sixteen float32 at once: arithmetic on LLVM's vectors, written as on numbers.

Numba leaves it to LLVM to find loops that vectorise, which fails for a transform of 36 numbers per
channel, and for loops over many arrays. Here such code is a Python function of `Lanes`, traced
once into instructions. They are carried out in the order written, but that a product and a sum
become one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils

WIDTH = 16
FLOAT, LONG = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, WIDTH)
BYTES = 4 * WIDTH
FUSED = ("contract",)


class Lanes:
    """A vector, or a single number, in the code that `builder` writes."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: "Lanes | float") -> "Lanes":
        return self._of(self.builder.fadd(self.value, self._like(other), flags=FUSED))

    def __sub__(self, other: "Lanes | float") -> "Lanes":
        return self._of(self.builder.fsub(self.value, self._like(other), flags=FUSED))

    def __mul__(self, other: "Lanes | float") -> "Lanes":
        return self._of(self.builder.fmul(self.value, self._like(other), flags=FUSED))

    def __rtruediv__(self, number: float) -> "Lanes":
        return self._of(self.builder.fdiv(self._like(number), self.value, flags=FUSED))

    def __neg__(self) -> "Lanes":
        return self * -1.0

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, number: float) -> "Lanes":
        return self._of(self.builder.fsub(self._like(number), self.value, flags=FUSED))

    def between(self, low: float, high: float) -> "Lanes":
        """The number itself, or the end that it lies beyond."""
        value = self.value
        for sign, end in (("<", self._like(high)), (">", self._like(low))):
            value = self.builder.select(self.builder.fcmp_ordered(sign, value, end), value, end)
        return self._of(value)

    def floor(self) -> "Lanes":
        """The largest integer that is not larger."""
        kind = self.value.type
        name = "llvm.floor.f32" if kind == FLOAT else f"llvm.floor.v{WIDTH}f32"
        shape = ir.FunctionType(kind, [kind])
        floor = cgutils.get_or_insert_function(self.builder.module, shape, name)
        return self._of(self.builder.call(floor, [self.value]))

    def power_of_two(self) -> "Lanes":
        """2 to the number, an integer from -126 to 127: it is put where a float's exponent lies."""
        whole = ir.IntType(32)
        if self.value.type != FLOAT:
            whole = ir.VectorType(whole, WIDTH)
        bits = self.builder.fptosi(self.value, whole)
        bits = self.builder.add(bits, _same(whole, 127))
        bits = self.builder.shl(bits, _same(whole, 23))
        return self._of(self.builder.bitcast(bits, self.value.type))

    def exchanged(self, other: "Lanes", n: int) -> tuple["Lanes", "Lanes"]:
        """Both, but that of each 2 n numbers the latter n of this one and the first n of the other
        have changed places.
        """
        own = [i if not i & n else WIDTH + i - n for i in range(WIDTH)]
        others = [i + n if not i & n else WIDTH + i for i in range(WIDTH)]
        return self._chosen(other, own), self._chosen(other, others)

    def _chosen(self, other: "Lanes", places: list[int]) -> "Lanes":
        """Numbers by their places among those of both."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), places)
        return self._of(self.builder.shuffle_vector(self.value, other.value, mask))

    @classmethod
    def load(cls, builder: Any, address: Any) -> "Lanes":
        """Those at an address, which is an integer."""
        pointer = builder.inttoptr(address, VECTOR.as_pointer())
        return cls(builder, builder.load(pointer, align=4))

    def store(self, address: Any) -> None:
        """Write them to an address."""
        pointer = self.builder.inttoptr(address, VECTOR.as_pointer())
        self.builder.store(self.value, pointer, align=4)

    def _of(self, value: Any) -> "Lanes":
        return Lanes(self.builder, value)

    def _like(self, other: "Lanes | float") -> Any:
        return other.value if isinstance(other, Lanes) else _same(self.value.type, other)


class Sum:
    """A vector that a loop adds to; it stays in a register."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.place = cgutils.alloca_once(builder, VECTOR)
        builder.store(_same(VECTOR, 0.0), self.place)

    def add(self, more: Lanes) -> None:
        """Add to it."""
        self.builder.store((self.value + more).value, self.place)

    @property
    def value(self) -> Lanes:
        """What it is by now."""
        return Lanes(self.builder, self.builder.load(self.place))


@contextmanager
def each(builder: Any, count: Any, step: Any) -> Iterator[Any]:
    """A loop in the code: the offset of pixel 0, 1, ..., count - 1, step bytes apart."""
    with cgutils.for_range(builder, count) as loop:
        yield builder.mul(loop.index, step)


def _same(kind: Any, number: float) -> Any:
    """The constant of that type; in all lanes of a vector."""
    return ir.Constant(kind, [number] * WIDTH if isinstance(kind, ir.VectorType) else number)
