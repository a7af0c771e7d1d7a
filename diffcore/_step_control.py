"""Step sizes from errors: a PID controller (Soederlind 2003, "Digital filters in ODE solving").

    factor = limit(E_k^-b1 E_{k-1}^-b2 E_{k-2}^-b3),    limit(f) = 1 + atan(f - 1)

with E the error of a step over its tolerance, the gains b over the order q of the error, and limit
a smooth clamp to (0.21, 2.57). A step counts where its factor reaches accept_safety.
"""

import math
from dataclasses import dataclass, field


@dataclass
class StepControl:
    """The step `h` to try next, and the inverse errors of the last two accepted steps."""

    h: float
    gains: tuple[float, float, float]
    order: float
    accept_safety: float
    past: list[float] = field(default_factory=list)

    def propose(self, error: float) -> bool:
        """Scale the step by what `error` says; whether it was good enough."""
        inverse = 1.0 / (error + 1e-8)
        past = self.past or [inverse, inverse]
        factor = 1.0
        for gain, value in zip(self.gains, (inverse, *past), strict=True):
            factor *= value ** (gain / self.order)
        factor = 1.0 + math.atan(factor - 1.0)
        accepted = factor >= self.accept_safety
        if accepted:
            self.past = [inverse, past[0]]
        self.h *= factor
        return accepted
