"""Where a sampler goes: n steps are n levels that fall, from the start's noise to the end's.

sigma_T <= deviation of what it starts from <= sqrt(alpha_T^2 + sigma_T^2)   (x_0 of variance 1)
"""

from collections.abc import Iterator

from ..outcome import Outcome
from ..subject import Subject


def spacing(subject: Subject) -> Iterator[Outcome]:
    """What the target's own kind can be asked of where it goes."""
    if subject.visits is not None:
        yield from subject.visits()
