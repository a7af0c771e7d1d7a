"""What a sampler is instead of the plan that it claims: the rival whose weights are its own.

Both are read off as linear maps; see `reading`. The rivals are those of `causes`.
"""

import numpy as np

from ..plan import Plan
from . import causes, reading
from .reading import Reading
from .rounding import SAFETY
from .subject import Sampler


def diagnosed(found: Reading, exact: Plan, sampler: Sampler) -> str:
    """What the sampler is instead of what it claims to be, in words; empty if nothing known.

    It is another plan only where that is far nearer than the plan claimed, and the noise is to
    blame only where nothing else is as far off.
    """
    wanted = reading.exact(exact, sampler)
    if wanted.states.shape != found.states.shape:
        return ""
    off = np.abs(found.states - wanted.states)
    near: list[tuple[float, str]] = []
    for words, plan in causes.rivals(sampler):
        states = reading.exact(plan, sampler).states
        if states.shape == found.states.shape:
            distance = np.max(np.abs(found.states - states)) / np.max(np.abs(states))
            near.append((float(distance), words))
    nearest = min((distance for distance, _ in near), default=np.inf)
    own = float(np.max(off) / np.max(np.abs(wanted.states)))
    if nearest <= min(causes.CLOSE, causes.FAR_NEARER * own):
        # Some are the same plan, told apart by rounding alone: the first of these is meant.
        return next(words for d, words in near if d <= 2.0 * nearest + SAFETY * sampler.epsilon)
    rest, noise = np.split(off, [1 + found.outputs], axis=1)
    if np.max(rest) > causes.FAR_NEARER * np.max(noise, initial=0.0):
        return ""
    return causes.of_noise(sampler, found.newest_noises())
