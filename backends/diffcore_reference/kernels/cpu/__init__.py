"""The kernels of a CPU: Numba's loops, with matrix products by BLAS, on float32.

What is not float32 is left to the definitions.
"""

from .cpu import Cpu

__all__ = ["Cpu"]
