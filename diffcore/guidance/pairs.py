"""A guided denoiser of two denoisers: c = conditional(x_t, t), u = unconditional(x_t, t), a rule.

    two_pass    two calls            batched    one call on x_t twice over, c first
    autoguidance    u is a worse model of the same condition (Karras et al. 2024, "Guiding a
                    diffusion model with a bad version of itself", eq. 3)
    interval    c alone where the noise level lies outside (low, high] (Kynkäänniemi et al. 2024,
                "Applying guidance in a limited interval improves sample and distribution quality")

Where the denoisers give a learned variance too, c's is kept.
"""

import math
from dataclasses import is_dataclass, replace
from typing import Any

from .._arguments import function, number
from .._arrays import (
    constant,
    expand,
    is_number,
    namespace,
    require_floating,
    require_like,
    to_host,
)
from ..plan import Denoise, Denoised
from ..schedules import Schedule
from .rules import Linear, Rule


def two_pass(conditional: Denoise, unconditional: Denoise, rule: Rule | float) -> Denoise:
    """`conditional` guided away from `unconditional`; a number as the rule is `Linear`'s weight."""
    function("conditional", conditional)
    function("unconditional", unconditional)
    combine = _rule(rule)

    def denoise(x_t: Any, t: Any, /) -> Any:
        require_floating("x_t", x_t)
        return _combined(combine, conditional(x_t, t), unconditional(x_t, t), x_t, t)

    return denoise


def batched(both: Denoise, rule: Rule | float) -> Denoise:
    """The same in one call: `both` takes 2 x batch states, and its first half is conditional.

    With a network of labels, it is its denoiser for labels (y_1, ..., y_n, null, ..., null). Raises
    ValueError where it does not return as many samples as it is given.
    """
    function("both", both)
    combine = _rule(rule)

    def denoise(x_t: Any, t: Any, /) -> Any:
        require_floating("x_t", x_t)
        n = x_t.shape[0]
        output = both(_twice(x_t), t if is_number(t) else _twice(t))
        parts = output if isinstance(output, Denoised) else (output,)
        if any(part.shape[0] != 2 * n for part in parts):
            raise ValueError(
                f"both must return {2 * n} samples for {2 * n}, got {parts[0].shape[0]}"
            )
        halves = [(part[:n, ...], part[n:, ...]) for part in parts]
        first, second = zip(*halves, strict=True)
        if isinstance(output, Denoised):
            return _combined(combine, Denoised(*first), Denoised(*second), x_t, t)
        return _combined(combine, first[0], second[0], x_t, t)

    return denoise


def autoguidance(denoise: Denoise, worse: Denoise, weight: Any) -> Denoise:
    """`denoise` guided away from a `worse` model of the same data and the same condition.

    One trained for less time, or with fewer weights: what it gets wrong is what `denoise` gets
    wrong too, but less. weight: a rule, or w: 1 for `denoise` itself.
    """
    return two_pass(denoise, worse, weight)


def interval(
    guided: Denoise, plain: Denoise, schedule: Schedule, low: float, high: float
) -> Denoise:
    """`guided` where the noise level sigma / alpha lies in (low, high], elsewhere `plain`.

    plain: the conditional denoiser, which is what guidance with w = 1 is, at the price of one call.
    low: 0 for all small levels; high: inf for all large ones, alpha = 0 among them. Raises
    ValueError unless 0 <= low < high.
    """
    function("guided", guided)
    function("plain", plain)
    if not 0.0 <= number("low", low) < number("high", high):
        raise ValueError(f"low and high must be 0 <= low < high, got {low} and {high}")
    low, high = float(low), float(high)

    def inside(t: float) -> bool:
        alpha, sigma = schedule(t)
        return low < (sigma / alpha if alpha > 0.0 else math.inf) <= high

    def denoise(x_t: Any, t: Any, /) -> Any:
        if is_number(t):
            return (guided if inside(t) else plain)(x_t, t)
        # In a stack of plans, samples within and samples without may meet in one call.
        some = constant([inside(time) for time in to_host(t).tolist()], t, namespace(t).bool)
        within, without = guided(x_t, t), plain(x_t, t)
        if not isinstance(within, Denoised):
            return _either(some, within, without)
        return Denoised(*(_either(some, *pair) for pair in zip(within, without, strict=True)))

    return denoise


def _either(some: Any, within: Any, without: Any) -> Any:
    return namespace(within).where(expand(some, within), within, without)


def _twice(x: Any) -> Any:
    return namespace(x).concat([x, x], axis=0)


def _rule(rule: Rule | float) -> Rule:
    if not callable(rule):
        return Linear(rule)
    # A rule that remembers, as `Projected` does, is not to remember another denoiser's calls.
    return replace(rule) if is_dataclass(rule) else rule


def _combined(rule: Rule, conditional: Any, unconditional: Any, x_t: Any, t: Any) -> Any:
    c, fraction = conditional if isinstance(conditional, Denoised) else (conditional, None)
    u = unconditional.x_0 if isinstance(unconditional, Denoised) else unconditional
    require_like("unconditional x_0", u, "the conditional one", c)
    x_0 = rule(c, u, x_t, t)
    return x_0 if fraction is None else Denoised(x_0, fraction)
