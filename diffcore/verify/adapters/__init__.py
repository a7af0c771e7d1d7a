"""Adapters: what turns a target of each kind into a `Subject`.

Each module has `matches(target)`, whether the target is of its kind by its shape, and
`subject(target, **options)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..subject import Subject
from . import function, scheduler


class Adapter(NamedTuple):
    """A kind of target: how it is recognised, and how it becomes a subject."""

    kind: str
    matches: Callable[[Any], bool]
    subject: Callable[..., Subject]


ADAPTERS = (
    Adapter("step scheduler", scheduler.matches, scheduler.subject),
    Adapter("sampler function", function.matches, function.subject),
)
"""Every kind; the first that matches is taken."""
