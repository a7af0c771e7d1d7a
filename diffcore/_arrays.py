"""What the core needs of an array library, in one place.

The Python Array API standard gives arithmetic and `take`; this module adds the four things every
formula wants: the namespace, a constant beside an array, a per-sample value broadcast against a
batch, and a linear combination. No other module imports `array_api_compat`.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import array_api_compat as aac
import numpy as np
import numpy.typing as npt


class Array(Protocol):
    """An array of any library that follows the Python Array API standard."""

    @property
    def shape(self) -> Any: ...
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def device(self) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __neg__(self, /) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...


A = TypeVar("A", bound=Array)
Host: TypeAlias = npt.NDArray[np.float64]
Scalar: TypeAlias = float | Array
"""A coefficient: a Python float, or an array that broadcasts against the data."""


_NUMBERS = (int, float, np.integer, np.floating)


def is_number(value: Any) -> bool:
    """Whether `value` is a host number: a Python or NumPy scalar, not a bool and not an array."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def is_array(value: Any) -> bool:
    """Whether `value` looks like an array; told by its attributes, which compilers can trace."""
    if is_number(value):
        return False
    return hasattr(value, "dtype") and hasattr(value, "ndim") and hasattr(value, "shape")


def namespace(*arrays: Any) -> Any:
    """The array namespace that all `arrays` share; Python numbers and None are passed over."""
    for a in arrays:
        if _is_torch(a):
            if len(arrays) == 1 or all(_is_torch(b) or b is None or is_number(b) for b in arrays):
                # torch.compile warns when it traces through array_api_compat's cached look-up.
                import array_api_compat.torch as xp

                return xp
            break
    return aac.array_namespace(*(a for a in arrays if a is not None and not is_number(a)))


def _is_torch(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch"


def library(x: Array) -> str:
    """The name of `x`'s array library: numpy, torch, jax, dask, cupy, array_api_strict, ..."""
    name: str = namespace(x).__name__
    return name.removeprefix("array_api_compat.").partition(".")[0]


def is_chunked(x: Array) -> bool:
    """Whether `x` is a lazy array of chunks (Dask)."""
    return library(x) == "dask"


def is_traced(x: Array) -> bool:
    """Whether array `x` stands for values that are not there yet, in a JAX transformation."""
    if library(x) != "jax":
        return False
    import jax

    return isinstance(x, jax.core.Tracer)


def on_host(x: Array) -> bool:
    """Whether array `x` lies in the host's memory now, neither on an accelerator nor traced."""
    if _is_torch(x):
        import torch

        return x.device.type == "cpu" and not torch.compiler.is_compiling()
    name = library(x)
    if name == "jax":
        return not is_traced(x) and bool(x.device.platform == "cpu")
    if name == "array_api_strict":
        default = namespace(x).__array_namespace_info__().default_device()
        return bool(x.device == default)
    return name == "numpy"


def visible(x: Array) -> npt.NDArray[Any] | None:
    """The values of `x` where the host can see them without waiting for a device, else None."""
    if isinstance(x, np.ndarray):
        return x
    return to_host(x) if on_host(x) else None


def placement(like: Array) -> dict[str, Any]:
    """Keyword arguments that put a new array where `like` is."""
    # NumPy and Dask have one device; JAX places a constant where the arrays it meets are, and an
    # array under `jit` has none yet.
    if library(like) in ("numpy", "dask", "jax"):
        return {}
    return {"device": like.device}


def constant(host: Any, like: Array, dtype: Any = None) -> Any:
    """The host value `host` in the library and on the device of `like`.

    The dtype is `like`'s unless given. The cast from float64 is the last operation.
    """
    xp = namespace(like)
    if isinstance(host, np.ndarray) and library(like) == "torch":
        host = host.copy()  # PyTorch warns of read-only memory, which it could write to.
    return xp.asarray(host, dtype=like.dtype if dtype is None else dtype, **placement(like))


def to_host(x: Any) -> npt.NDArray[Any]:
    """Any library's array as NumPy's; waits for it where the library is asynchronous or lazy."""
    if _is_torch(x):
        return x.numpy(force=True)  # type: ignore[no-any-return]
    return np.asarray(x.get() if aac.is_cupy_array(x) else x)


def epsilon(x: Array) -> float:
    """The machine epsilon of `x`'s dtype."""
    return float(namespace(x).finfo(x.dtype).eps)


def expand(values: Any, like: Array) -> Any:
    """Give `values` of shape (batch,) the trailing axes that broadcast it against `like`.

    Numbers and arrays that already broadcast pass through.
    """
    if is_number(values) or values.ndim != 1:
        return values
    return values[(...,) + (None,) * (like.ndim - 1)]


def broadcasts(shape: Sequence[int], onto: Sequence[int]) -> bool:
    """Whether an array of shape `shape` broadcasts against one of shape `onto`, which it keeps."""
    pairs = zip(reversed(shape), reversed(onto), strict=False)
    return len(shape) <= len(onto) and all(n in (1, m) for n, m in pairs)


def beside(name: str, value: Any, like_name: str, like: Array) -> Any:
    """A number as Python's float, which promotes no array; one for each sample as `expand`'s.

    A number that a compiler traces is an array without axes. Raises TypeError or ValueError, naming
    the argument, unless `value` is a finite number or an array of shape (batch,) and of `like`'s
    dtype.
    """
    if is_number(value):
        if not -math.inf < value < math.inf:
            raise ValueError(f"{name} must be finite, got {value}")
        return float(value)
    if not is_array(value) or value.ndim > 1:
        raise TypeError(f"{name} must be a number or an array of shape (batch,), got {value!r}")
    require_library(name, value, like_name, like)
    if value.ndim == 0:
        return namespace(like).astype(value, like.dtype, copy=False)
    if value.dtype != like.dtype:
        raise TypeError(
            f"{name} must have the dtype of {like_name}, {like.dtype}, got {value.dtype}"
        )
    if value.shape[0] != like.shape[0]:
        raise ValueError(
            f"{name} must be one number, or one for each of {like.shape[0]} samples, "
            f"got {value.shape[0]}"
        )
    return expand(value, like)


def gather(table: Any, t: Any) -> Any:
    """`table[t]` for one-dimensional `table` and `t`; shape (batch,)."""
    xp = namespace(table, t)
    if _is_torch(table):
        # array_api_compat's `take` first wraps negative indices, which times never are.
        return table.index_select(0, t)
    if is_chunked(t):
        # Dask mistakes a lone 0 of int64 for an array of its own, and then the result's shape.
        t = xp.astype(t, xp.int32)
    return xp.take(table, t, axis=0)


def linear_combination(coefficients: Sequence[Any], arrays: Sequence[A]) -> A:
    """sum_i coefficients[i] * arrays[i], where a coefficient of 0 leaves its array unread.

    Coefficients are Python floats, which keep the arrays' dtype, or broadcast against the arrays.
    """
    total: Any = None
    fresh = False
    for c, x in zip(coefficients, arrays, strict=True):
        if is_number(c) and c == 0.0:
            continue
        term = x if is_number(c) and c == 1.0 else c * x
        if total is None:
            total, fresh = term, term is not x
        elif fresh and total.shape == term.shape and total.dtype == term.dtype:
            total += term  # In place where the library can, which saves an allocation.
        else:
            total, fresh = total + term, True
    result: A = 0.0 * arrays[0] if total is None else total
    return result


def sum_per_sample(x: Array) -> Any:
    """Sum over every axis but the leading one; shape (batch,)."""
    return x if x.ndim == 1 else namespace(x).sum(x, axis=tuple(range(1, x.ndim)), dtype=x.dtype)


def mean_per_sample(x: Array) -> Any:
    """Mean over every axis but the leading one; shape (batch,)."""
    return x if x.ndim == 1 else namespace(x).mean(x, axis=tuple(range(1, x.ndim)))


def require_floating(name: str, x: Any) -> None:
    """Raise TypeError, naming the argument, unless `x` is a real floating-point array."""
    if not is_array(x):
        raise TypeError(f"{name} must be an array, got {type(x).__name__}")
    # The libraries' own words for two, which cost a tenth of the standard's. A dtype that NumPy
    # itself does not know, such as bfloat16, is of another kind.
    if isinstance(x, np.ndarray):
        floating = x.dtype.kind == "f"
    elif _is_torch(x):
        floating = x.dtype.is_floating_point
    else:
        floating = namespace(x).isdtype(x.dtype, "real floating")
    if not floating:
        raise TypeError(f"{name} must be a real floating-point array, got dtype {x.dtype}")


def require_library(name: str, x: Array, reference_name: str, reference: Array) -> None:
    """Raise TypeError, naming the argument, unless both arrays are of one library."""
    if type(x) is not type(reference) and library(x) != library(reference):
        raise TypeError(
            f"{name} must be an array of {reference_name}'s library, {library(reference)}, "
            f"got one of {library(x)}"
        )


def require_like(name: str, x: Any, reference_name: str, reference: Array) -> None:
    """Raise, naming the argument, unless `x` has the library, shape and dtype of `reference`."""
    require_floating(name, x)
    require_library(name, x, reference_name, reference)
    if tuple(x.shape) != tuple(reference.shape):
        raise ValueError(
            f"{name} must have the shape of {reference_name}, {tuple(reference.shape)}, "
            f"got {tuple(x.shape)}"
        )
    if x.dtype != reference.dtype:
        raise TypeError(
            f"{name} must have the dtype of {reference_name}, {reference.dtype}, got {x.dtype}"
        )
