"""Checks of classifier-free guidance: guided = w conditional + (1 - w) unconditional.

A scale w of 1 is the conditional model, of 0 the unconditional. (The scale of Ho & Salimans 2022 is
w - 1; the convention here is that of the code in use.)
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ..._arrays import Host, to_host
from ..outcome import Outcome
from ..rounding import SAFETY
from ..subject import Subject

SCALES = (1.0, 0.0, 0.5, 2.0, 7.5)

OTHERS: Mapping[str, Callable[[float], tuple[float, float]]] = {
    "its scale counts from 0: it is (1 + w) c - w u": lambda w: (1.0 + w, -w),
    "conditional and unconditional are exchanged": lambda w: (1.0 - w, w),
    "it is u - w (c - u), the difference with the wrong sign": lambda w: (-w, 1.0 + w),
    "it is w (c - u): the model that it starts from is left out": lambda w: (w, -w),
    "it is u + w c: u is not taken off c": lambda w: (w, 1.0),
    "it is w c - u": lambda w: (w, -1.0),
    "it is c + w u": lambda w: (1.0, w),
    "its scale is squared": lambda w: (w * w, 1.0 - w * w),
    "its scale is the root": lambda w: (w**0.5, 1.0 - w**0.5),
    "the scale is not used: it is the conditional": lambda w: (1.0, 0.0),
    "the scale is not used: it is the unconditional": lambda w: (0.0, 1.0),
}
"""The weights of conditional and unconditional that code may have instead."""


def guidance(subject: Subject) -> Iterator[Outcome]:
    """guide(c, u, w) = w c + (1 - w) u, of their shape and dtype, and leaves both as they were."""
    if subject.guide is None:
        return
    rng = np.random.default_rng(subject.seed)
    dtype = subject.dtypes[-1]
    shape = (3, 2, 4, 5, 2)[: subject.ranks[0]]
    made = [subject.make(rng.standard_normal(shape), dtype) for _ in range(2)]
    c, u = (np.array(to_host(x), dtype=np.float64) for x in made)
    size, found = float(np.max(np.abs([c, u]))), []
    for scale in SCALES:
        guided = subject.guide(made[0], made[1], scale)
        out = np.array(to_host(guided), dtype=np.float64)
        where = f"scale {scale:g}"
        if out.shape != shape or guided.dtype != made[0].dtype:
            words = f"makes shape {out.shape} and {guided.dtype} of {shape} and {made[0].dtype}"
            yield Outcome(error=1.0, bound=0.0, where=where, cause=words)
            return
        moved = any(np.any(to_host(x) != y) for x, y in zip(made, (c, u), strict=True))
        yield Outcome(
            error=float(moved), bound=0.0, where=where, cause="changes what it is given in place"
        )
        if moved:
            return
        found.append(out)
    cause = _cause(found, c, u)
    for scale, out in zip(SCALES, found, strict=True):
        yield Outcome(
            error=float(np.max(np.abs(out - _mix(scale, 1.0 - scale, c, u)))),
            bound=SAFETY * float(np.finfo(dtype).eps) * (1.0 + abs(scale)) * size,
            where=f"scale {scale:g}",
            cause=cause,
        )


def _cause(found: list[Host], c: Host, u: Host) -> str:
    """Which other combination of the two it is at every scale."""
    for words, weights in OTHERS.items():
        if all(
            np.allclose(out, _mix(*weights(scale), c, u), rtol=0.0, atol=1e-3)
            for scale, out in zip(SCALES, found, strict=True)
        ):
            return words
    basis = np.stack([c.ravel(), u.ravel()], axis=1)
    if any(np.any(np.linalg.lstsq(basis, out.ravel())[1] > 1e-6 * out.size) for out in found):
        return "it is not linear in conditional and unconditional"
    return ""


def _mix(at_c: float, at_u: float, c: Host, u: Host) -> Host:
    return at_c * c + at_u * u
