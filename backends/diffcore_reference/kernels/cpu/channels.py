"""Passes over the pixels of sixteen channels, sums and factors in registers; `norm` says what for.

Arguments are addresses: x, y, dy, dz, dx those of the first pixel's channels, `step` bytes from
pixel to pixel; the others those of sixteen numbers, `sums` of twice sixteen.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from .exponential import logistic
from .lanes import BYTES, LONG, Lanes, Sum, each


def _void(arguments: int) -> Any:
    return types.void(*[types.int64] * arguments)


def _next(builder: Any, address: Any, k: int) -> Any:
    return builder.add(address, LONG(k * BYTES))


@intrinsic
def moments(typing_context, x, step, pixels, sums):  # type: ignore[no-untyped-def]
    """sums: the sum of x - x[0], then that of its square."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, step, pixels, sums = arguments
        origin, total, square = Lanes.load(builder, x), Sum(builder), Sum(builder)
        with each(builder, pixels, step) as offset:
            v = Lanes.load(builder, builder.add(x, offset)) - origin
            total.add(v)
            square.add(v * v)
        total.value.store(sums)
        square.value.store(_next(builder, sums, 1))
        return context.get_dummy_value()

    return _void(4), generate


def _bend(curved: bool) -> Any:
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, step, pixels, a, d, y = arguments
        factor, offset = Lanes.load(builder, a), Lanes.load(builder, d)
        with each(builder, pixels, step) as at:
            z = Lanes.load(builder, builder.add(x, at)) * factor + offset
            (z * logistic(z) if curved else z).store(builder.add(y, at))
        return context.get_dummy_value()

    return _void(6), generate


@intrinsic
def straight(typing_context, x, step, pixels, a, d, y):  # type: ignore[no-untyped-def]
    """y = a x + d."""
    return _bend(curved=False)


@intrinsic
def curved(typing_context, x, step, pixels, a, d, y):  # type: ignore[no-untyped-def]
    """y = silu(a x + d)."""
    return _bend(curved=True)


@intrinsic
def straight_sums(typing_context, dz, x, step, pixels, off, sums):  # type: ignore[no-untyped-def]
    """sums: the sum of dz, then that of dz (x + off)."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        dz, x, step, pixels, off, sums = arguments
        plain, weighted, add = Sum(builder), Sum(builder), Lanes.load(builder, off)
        with each(builder, pixels, step) as at:
            slope = Lanes.load(builder, builder.add(dz, at))
            plain.add(slope)
            weighted.add(slope * (Lanes.load(builder, builder.add(x, at)) + add))
        plain.value.store(sums)
        weighted.value.store(_next(builder, sums, 1))
        return context.get_dummy_value()

    return _void(6), generate


@intrinsic
def curved_sums(  # type: ignore[no-untyped-def]
    typing_context, dy, x, step, pixels, a, d, off, dz, sums
):
    """dz = dy silu'(a x + d), and the sums of it."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        dy, x, step, pixels, a, d, off, dz, sums = arguments
        plain, weighted = Sum(builder), Sum(builder)
        factor, offset, add = (Lanes.load(builder, v) for v in (a, d, off))
        with each(builder, pixels, step) as at:
            value = Lanes.load(builder, builder.add(x, at))
            z = value * factor + offset
            s = logistic(z)
            slope = Lanes.load(builder, builder.add(dy, at)) * s * (z * (1.0 - s) + 1.0)
            slope.store(builder.add(dz, at))
            plain.add(slope)
            weighted.add(slope * (value + add))
        plain.value.store(sums)
        weighted.value.store(_next(builder, sums, 1))
        return context.get_dummy_value()

    return _void(9), generate


@intrinsic
def combined(typing_context, dz, x, step, pixels, a, b, d, dx):  # type: ignore[no-untyped-def]
    """dx = a dz + b x + d."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        dz, x, step, pixels, *numbers, dx = arguments
        one, other, offset = (Lanes.load(builder, v) for v in numbers)
        with each(builder, pixels, step) as at:
            slope = Lanes.load(builder, builder.add(dz, at))
            value = Lanes.load(builder, builder.add(x, at))
            (slope * one + (value * other + offset)).store(builder.add(dx, at))
        return context.get_dummy_value()

    return _void(8), generate
