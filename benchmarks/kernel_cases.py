"""Every kernel of the reference backend, by a case that calls it, against its definition."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from device_checks import Row
from diffcore_reference.device import on_host
from diffcore_reference.kernels.arrays import SAME, Arrays, Padding, Statistics

Case = Callable[[Any, Callable[..., Any]], Any]
"""case(kernels, normal): arrays by kernels of arrays normal(*shape)."""

DEFINED = Arrays(np)


def _windows(stride: int, pad: Padding) -> dict[str, Case]:
    shape, (w, bias) = (2, 8, 6, 5), ((3, 3, 5, 4), (4,))
    rows, columns = ((side + sum(pad) - 3) // stride + 1 for side in shape[1:3])
    out = (2, rows, columns, 4)

    def weight(k: Any, normal: Any) -> Any:
        dw, db = normal(*w), normal(*bias)
        k.convolve_weight(normal(*shape), normal(*out), dw, db, stride, pad)
        return dw, db

    name = f"stride {stride}, zeros {pad.before} and {pad.after}"
    return {
        f"windows, {name}": lambda k, n: k.windows(n(*shape), stride, pad),
        f"windows_pull, {name}": lambda k, n: k.windows_pull(
            n(2, rows, columns, 45), shape, stride, pad
        ),
        f"convolve, {name}": lambda k, n: k.convolve(
            n(*shape), n(*w), n(*bias), stride, pad, n(*out)
        ),
        f"convolve_input, {name}": lambda k, n: k.convolve_input(
            n(*out), n(*w), shape, stride, pad
        ),
        f"convolve_weight, {name}": weight,
    }


def _norms(added: bool) -> dict[str, Case]:
    shape, wide = (2, 4, 5, 6), (2 if added else 1, 6)

    def statistics(normal: Any) -> Statistics:
        return Statistics(0.1 * normal(2, 3), 1.0 + 0.1 * normal(2, 3))

    def rows(normal: Any) -> Any:
        return (normal(2, 6) if added else None, 1.0 + normal(*wide), normal(*wide))

    def forward(name: str) -> Case:
        def case(k: Any, normal: Any) -> Any:
            y, (mean, rstd) = getattr(k, name)(3.0 + normal(*shape), *rows(normal), 3, 1e-6)
            return y, mean, rstd

        return case

    def pull(k: Any, normal: Any) -> Any:
        plus, gain, _ = rows(normal)
        return k.normalise_pull(normal(*shape), normal(*shape), plus, gain, statistics(normal))

    def silu_pull(k: Any, normal: Any) -> Any:
        dy, x = normal(*shape), normal(*shape)
        return k.normalise_silu_pull(dy, x, *rows(normal), statistics(normal))

    name = "of a sum" if added else "shared"
    return {
        f"normalise, {name}": forward("normalise"),
        f"normalise_silu, {name}": forward("normalise_silu"),
        f"normalise_pull, {name}": pull,
        f"normalise_silu_pull, {name}": silu_pull,
    }


def _attend_pull(k: Any, normal: Any) -> Any:
    dy, qkv = normal(2, 9, 8), normal(2, 9, 24)
    y, kept = k.attend(qkv, 2)
    return k.attend_pull(dy, qkv, 2, y, kept)


def _adamw(k: Any, normal: Any) -> Any:
    w, g, first, second, average = (normal(1000) for _ in range(5))
    second = second * second
    how = {"rate": 0.1, "betas": (0.9, 0.99), "decay": 0.01, "step": 3}
    k.adamw(w, g, first, second, average, **how, ema=0.9, scale=0.5)
    return w, first, second, average


def _filled(method: str, *shapes: tuple[int, ...]) -> Case:
    """A method that adds to its last arrays."""

    def case(k: Any, normal: Any) -> Any:
        arrays = [normal(*shape) for shape in shapes]
        getattr(k, method)(*arrays)
        return arrays[-1]

    return case


CASES: dict[str, Case] = {
    **_windows(1, SAME),
    **_windows(2, SAME),
    **_windows(2, Padding(0, 1)),
    **_norms(True),
    **_norms(False),
    "affine": lambda k, n: k.affine(n(7, 5), n(5, 3), n(3), n(7, 3)),
    "affine_input": lambda k, n: k.affine_input(n(7, 3), n(5, 3)),
    "affine_weight": _filled("affine_weight", (7, 5), (7, 3), (5, 3), (3,)),
    "multiply": lambda k, n: k.multiply(n(2, 7, 5), n(5, 3)),
    "attend": lambda k, n: k.attend(n(2, 9, 24), 2)[0],
    "attend_pull": _attend_pull,
    "silu": lambda k, n: k.silu(20.0 * n(300)),
    "silu_pull": lambda k, n: k.silu_pull(n(300), 5.0 * n(300)),
    "double": lambda k, n: k.double(n(2, 4, 6, 3)),
    "double_pull": lambda k, n: k.double_pull(n(2, 4, 6, 3)),
    "halve": lambda k, n: k.halve(n(2, 4, 6, 3)),
    "halve_pull": lambda k, n: k.halve_pull(n(2, 4, 6, 3)),
    "sum_pixels": lambda k, n: k.sum_pixels(n(2, 4, 6, 3)),
    "join": lambda k, n: k.join(n(2, 4, 6, 3), n(2, 4, 6, 2)),
    "split": lambda k, n: k.split(n(2, 4, 6, 5), 3),
    "increase": lambda k, n: k.increase(n(2, 5), n(2, 5)),
    "gather": _filled("gather", (4, 5), (5,)),
    "zeros": lambda k, n: k.zeros((2, 3), n(1).dtype) + n(2, 3),
    "adamw": _adamw,
}
"""Every operation of `Arrays`, by its name and how."""


def measured(there: Arrays) -> Iterator[Row]:
    """Each kernel against its definition in float64, from the same numbers."""
    for kind in (np.float32, np.float64):
        bound = 256 * float(np.finfo(kind).eps)
        for name, case in CASES.items():
            got = _run(case, there, lambda a, kind=kind: there.xp.asarray(a.astype(kind)))
            wanted = _run(case, DEFINED, lambda a, kind=kind: a.astype(kind).astype(np.float64))
            pairs = zip(got, wanted, strict=True)
            error = max(float(np.abs(g - w).max() / np.abs(w).max()) for g, w in pairs)
            yield Row(f"{name}, {np.dtype(kind).name}", error, bound)


def _run(case: Case, kernels: Arrays, send: Callable[[Any], Any]) -> list[Any]:
    """What a case gives, on the host in float64."""
    rng = np.random.default_rng(0)
    result = case(kernels, lambda *shape: send(rng.standard_normal(shape)))
    arrays = result if isinstance(result, tuple) else (result,)
    return [on_host(array).astype(np.float64) for array in arrays]
