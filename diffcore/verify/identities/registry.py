"""The identities that tie the formulas of diffusion to each other.

Each is a function of an example array `like` that returns its largest error, computed in like's
library, dtype and device by the public functions of this package. Both sides of an identity come
from different formulas, so that an error in either shows. Errors are relative to the largest value
compared, unless it says otherwise; bounds are multiples of the dtype's epsilon.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .densities import bins, bound, density, divergence
from .forward import bayes, composition, pivot, product, steps
from .sampling import ancestral, marginals, recovery, same_noise


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A statement, how to measure its error, and the error it may have in units of epsilon."""

    name: str
    statement: str
    error: Callable[[Any], float]
    bound: float


IDENTITIES = (
    Identity(name="composition", statement="q(s|0) q(t|s) = q(t|0)", error=composition, bound=16),
    Identity(name="Bayes", statement="q(s|t,0) q(t|0) = q(t|s) q(s|0)", error=bayes, bound=64),
    Identity(name="product", statement="q(s|t,0) ~ q(t|s) q(s|0)", error=product, bound=32),
    Identity(name="one step", statement="tables = posterior at s = t-1", error=steps, bound=8),
    Identity(name="pivot", statement="target -> (x_0, eps)", error=pivot, bound=32),
    Identity(name="density", statement="integral of q = 1", error=density, bound=32),
    Identity(name="KL", statement="KL = E[log p - log q]", error=divergence, bound=256),
    Identity(name="bins", statement="256 levels sum to 1", error=bins, bound=32),
    Identity(name="bound", statement="sum of L_t = -log p(x_0)", error=bound, bound=256),
    Identity(name="DDIM(1)", statement="DDIM, eta = 1, is DDPM", error=ancestral, bound=64),
    Identity(name="marginals", statement="var x_t = sigma_t^2, any eta", error=marginals, bound=64),
    Identity(name="recovery", statement="a point mass comes back", error=recovery, bound=0),
    Identity(name="noise", statement="bits equal NumPy's", error=same_noise, bound=0),
)
