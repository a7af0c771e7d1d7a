"""Products of float32 matrices by BLAS, within Numba's loops: each thread calls it for itself.

C = A B + beta C through SciPy's table of BLAS functions, which takes addresses and row lengths:
parts of arrays need no copy, and sums go on where they stand. Products are cut so that they stay
under LARGEST multiplications: OpenBLAS computes small ones in place, near the peak, and first
copies the operands of larger ones.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

LARGEST = 1_000_000
SGEMM = get_cython_function_address("scipy.linalg.cython_blas", "sgemm")
"""Where BLAS is in this process: handed to kernels, for a cached kernel outlives the process."""
FAST = {"fastmath": True, "cache": True}


@intrinsic
def _sgemm(  # type: ignore[no-untyped-def]
    typing_context, sgemm, turned_a, turned_b, m, n, k, a, width_a, b, width_b, beta, c, width_c
):
    """C (m, n) = A B + beta C of matrices in rows: addresses, and bytes / 4 from row to row."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        address, *values = arguments
        kinds = [ir.IntType(8)] * 2 + [ir.IntType(32)] * 3
        kinds += [ir.FloatType(), None, ir.IntType(32), None, ir.IntType(32)]
        kinds += [ir.FloatType(), None, ir.IntType(32)]
        flag_a, flag_b, m, n, k, a, width_a, b, width_b, beta, c, width_c = values
        letters = [
            builder.select(
                builder.icmp_signed("!=", flag, flag.type(0)),
                ir.Constant(ir.IntType(8), ord("t")),
                ir.Constant(ir.IntType(8), ord("n")),
            )
            for flag in (flag_b, flag_a)
        ]
        # BLAS counts by columns: it is told C' = B' A'.
        one = ir.Constant(ir.FloatType(), 1.0)
        given = [*letters, n, m, k, one, b, width_b, a, width_a, beta, c, width_c]
        byte = ir.IntType(8).as_pointer()
        pointers = []
        for kind, value in zip(kinds, given, strict=True):
            if kind is None:
                pointers.append(builder.inttoptr(value, byte))
                continue
            if isinstance(kind, ir.IntType) and kind.width == 32:
                value = builder.trunc(value, kind)
            place = cgutils.alloca_once(builder, kind)
            builder.store(value, place)
            pointers.append(builder.bitcast(place, byte))
        shape = ir.FunctionType(ir.VoidType(), [byte] * len(pointers))
        builder.call(builder.inttoptr(address, shape.as_pointer()), pointers)
        return context.get_dummy_value()

    long, number = types.int64, types.float32
    return types.void(
        long, long, long, long, long, long, long, long, long, long, number, long, long
    ), generate


@njit(**FAST)
def product(  # type: ignore[no-untyped-def]
    sgemm, turned_a, turned_b, m, n, k, a, width_a, b, width_b, beta, c, width_c
):
    """C (m, n) = A B + beta C; A is (m, k) or, if turned, kept as (k, m), B likewise.

    a, b, c: addresses. width: the numbers from row to row. C is computed by parts, see LARGEST.
    """
    columns = min(n, max(32, LARGEST // (k * min(m, 64)) // 16 * 16))
    rows = min(m, max(8, LARGEST // (k * columns)))
    for i in range(0, m, rows):
        for j in range(0, n, columns):
            _sgemm(
                sgemm,
                turned_a,
                turned_b,
                min(rows, m - i),
                min(columns, n - j),
                k,
                a + 4 * (i if turned_a else i * width_a),
                width_a,
                b + 4 * (j * width_b if turned_b else j),
                width_b,
                beta,
                c + 4 * (i * width_c + j),
                width_c,
            )
