"""Rules that make one x_0 of a conditional c and an unconditional u.

    Linear       w c + (1 - w) u
    Rescaled     g (1 - phi + phi std(c) / std(g)),   g = w c + (1 - w) u
    Projected    c + (w - 1) (d_perp + eta d_par),    d = c - u split along c

Ho & Salimans 2022; Lin et al. 2024, "Common diffusion noise schedules and sample steps are flawed",
section 3.4; Sadat et al. 2024, "Eliminating oversaturation and artifacts of high guidance scales in
diffusion models", algorithm 1.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

from .._arguments import function, number
from .._arrays import beside, expand, is_number, linear_combination, namespace, visible
from ..predictions import Prediction, require_prediction
from ..process import level
from ..schedules import Schedule


class Rule(Protocol):
    """rule(c, u, x_t, t) -> x_0; c, u and x_t of one shape (batch, ...), t as a denoiser's."""

    def __call__(self, conditional: Any, unconditional: Any, x_t: Any, t: Any, /) -> Any: ...


@dataclass(frozen=True)
class Linear:
    """w c + (1 - w) u; weight: a number, or an array (batch,) beside the data, of their dtype."""

    weight: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _checked(self.weight))

    def __call__(self, conditional: Any, unconditional: Any, x_t: Any, t: Any, /) -> Any:
        return _mixed(self.weight, conditional, unconditional)


@dataclass(frozen=True)
class Rescaled:
    """`Linear`, brought a share phi of the way back to the standard deviation of c, per sample.

    phi: 0 for none of it, 1 for all; in [0, 1]. Not affine: other predictions than x_0 give other
    answers. Published with v, which at zero terminal SNR's start is -x_0 (see `on_outputs`).
    """

    weight: Any
    phi: float = 0.7

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _checked(self.weight))
        object.__setattr__(self, "phi", number("phi", self.phi))
        if not 0.0 <= self.phi <= 1.0:
            raise ValueError(f"phi must be in [0, 1], got {self.phi}")

    def __call__(self, conditional: Any, unconditional: Any, x_t: Any, t: Any, /) -> Any:
        guided = _mixed(self.weight, conditional, unconditional)
        if guided.ndim == 1:
            return guided  # A single number has no deviation.
        xp = namespace(guided)
        axes = tuple(range(1, guided.ndim))
        wanted, got = (xp.std(x, axis=axes, keepdims=True) for x in (conditional, guided))
        flat = got == 0.0
        ratio = xp.where(flat, xp.ones_like(got), wanted / xp.where(flat, xp.ones_like(got), got))
        return guided * (1.0 + self.phi * (ratio - 1.0))


@dataclass(eq=False)
class Projected:
    """Adaptive projected guidance: the part of d along c, which saturates, weighs eta of the rest.

    eta: 0 for none of it; with 1, and all else left out, `Linear`. radius: the norm that d is
    shortened to, per sample. momentum: beta in the running sum d_k + beta d_{k-1} + ..., negative
    in the paper. w = 1 gives c exactly.

    With momentum the rule remembers its last call, and is for one run at a time; to be compiled, a
    run is compiled as a whole. A call at a noisier time than the last one, or at the time of the
    first, is another run's and starts afresh.
    """

    weight: Any
    eta: float = 0.0
    radius: float = math.inf
    momentum: float = 0.0
    _last: tuple[Any, Any, Any] | None = field(default=None, init=False, repr=False)
    """The times of the run's first call and of the last, and the sum."""

    def __post_init__(self) -> None:
        self.weight = _checked(self.weight)
        self.eta, self.radius = number("eta", self.eta), number("radius", self.radius)
        self.momentum = number("momentum", self.momentum)
        if not -math.inf < self.eta < math.inf:
            raise ValueError(f"eta must be finite, got {self.eta}")
        if not self.radius > 0.0:
            raise ValueError(f"radius must be positive, got {self.radius}")
        if not -1.0 < self.momentum < 1.0:
            raise ValueError(f"momentum must be in (-1, 1), got {self.momentum}")

    def __call__(self, conditional: Any, unconditional: Any, x_t: Any, t: Any, /) -> Any:
        d = self._shortened(self._accumulated(conditional - unconditional, t))
        xp = namespace(d)
        square = _per_sample(conditional * conditional)
        none = square == 0.0
        share = _per_sample(d * conditional) / xp.where(none, xp.ones_like(square), square)
        along = xp.where(none, xp.zeros_like(square), share) * conditional
        further = beside("weight", self.weight, "x_t", d) - 1.0
        return linear_combination(
            (1.0, further, further * (self.eta - 1.0)), (conditional, d, along)
        )

    def _accumulated(self, d: Any, t: Any) -> Any:
        if self.momentum == 0.0:
            return d
        first = t
        if self._last is not None and _alike(self._last[1:], (t, d)):
            began, last, total = self._last
            going_on = (last >= t) & (t < began)
            if not is_number(t):
                xp = namespace(d)
                first = xp.where(going_on, began, t)
                d = d + self.momentum * xp.where(expand(going_on, d), total, 0.0 * d)
            elif going_on:
                first, d = began, d + self.momentum * total
        self._last = first, t, d
        return d

    def _shortened(self, d: Any) -> Any:
        if self.radius == math.inf:
            return d
        xp = namespace(d)
        norm = xp.sqrt(_per_sample(d * d))
        long = norm > self.radius
        one = xp.ones_like(norm)
        return d * xp.where(long, self.radius / xp.where(long, norm, one), one)


def on_outputs(rule: Rule, schedule: Schedule, predicts: Prediction) -> Rule:
    """`rule` applied to what a network that `predicts` would put out, rather than to x_0.

    The same for `Linear`, not for the others. Only for times with sigma > 0, and alpha > 0 but for
    the predictions that tell x_0 where it is 0. Raises ValueError elsewhere.
    """
    function("rule", rule)
    require_prediction(predicts)

    def apply(conditional: Any, unconditional: Any, x_t: Any, t: Any, /) -> Any:
        alpha, sigma = level(schedule, t, x_t)
        if has_zero(sigma):
            raise ValueError(f"t must have sigma > 0 to tell x_t's noise, got t = {t}")

        def output(x_0: Any) -> Any:
            eps = linear_combination((1.0 / sigma, -alpha / sigma), (x_t, x_0))
            return predicts.target(schedule, x_0, t, eps)

        guided = rule(output(conditional), output(unconditional), x_t, t)
        return predicts.x_0(schedule, guided, x_t, t)

    return apply


def _mixed(weight: Any, conditional: Any, unconditional: Any) -> Any:
    w = beside("weight", weight, "x_t", conditional)
    # As two weights rather than a difference, so that w = 1 gives c and w = 0 gives u exactly.
    return linear_combination((w, 1.0 - w), (conditional, unconditional))


def has_zero(values: Any) -> bool:
    """Whether a number, or one of an array that the host can see, is 0."""
    if is_number(values):
        return bool(values == 0.0)
    seen = visible(values)
    return seen is not None and bool((seen == 0.0).any())


def _alike(a: tuple[Any, Any], b: tuple[Any, Any]) -> bool:
    """Whether two pairs of times and states may be of one run."""
    return (
        is_number(a[0]) == is_number(b[0])
        and type(a[1]) is type(b[1])
        and (a[1].shape == b[1].shape and a[1].dtype == b[1].dtype)
    )


def _per_sample(x: Any) -> Any:
    """The sum over all axes but the first, which broadcasts against x."""
    return namespace(x).sum(x, axis=tuple(range(1, x.ndim)), keepdims=True) if x.ndim > 1 else x


def _checked(weight: Any) -> Any:
    """A number as Python's, where compilers would take NumPy's for an array."""
    if is_number(weight):
        if not -math.inf < weight < math.inf:  # which compilers trace, not isfinite
            raise ValueError(f"weight must be finite, got {weight}")
        return float(weight)
    if getattr(weight, "ndim", None) != 1:
        raise TypeError(f"weight must be a number or an array of shape (batch,), got {weight!r}")
    return weight
