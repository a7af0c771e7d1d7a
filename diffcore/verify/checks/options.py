"""Every option of a target does something or says that it does not: none raises by accident."""

from collections.abc import Iterator

from ..outcome import Outcome
from ..subject import Subject


def options(subject: Subject) -> Iterator[Outcome]:
    """Each option, at each value that it accepts, runs once to an end in numbers."""
    for option in subject.options:
        words = ""
        try:
            option.attempt()
        except Exception as error:
            words = f"raises {type(error).__name__}: {error}".strip().splitlines()[0]
        yield Outcome(error=float(bool(words)), bound=0.0, where=option.label, cause=words)
