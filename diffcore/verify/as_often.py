"""A network that is called as often in one run as in another, whatever the states.

Adaptive samplers choose their steps by the states they meet, and no weights can be read of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from .._arrays import Host
from .subject import Answer

ADAPTIVE = (
    "the network is called another number of times for another state: adaptive samplers, whose "
    "steps depend on the states they meet, are not verified"
)
"""What is said of them."""


@contextmanager
def as_often(answer: Answer, calls: int) -> Iterator[Answer]:
    """The answer, which must be asked for so many times; else ValueError."""
    asked = 0

    def counted(x_t: Host, t: float, k: int) -> Host:
        nonlocal asked
        asked += 1
        if asked > calls:
            raise ValueError(ADAPTIVE)
        return answer(x_t, t, k)

    yield counted
    if asked < calls:
        raise ValueError(ADAPTIVE)
