"""Values on the command line, checked where they are read, so that the error names the option."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def at_least(low: int) -> Callable[[str], int]:
    """The type of a whole number from `low` on."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"must be a whole number, got {text!r}") from None
        if value < low:
            raise ArgumentTypeError(f"must be at least {low}, got {value}")
        return value

    return whole


def number(text: str) -> float:
    """The type of a number, which may be infinite."""
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"must be a number, got {text!r}") from None
    if value != value:
        raise ArgumentTypeError(f"must be a number, got {text}")
    return value


def share(text: str) -> float:
    """The type of a number in [0, 1]."""
    value = number(text)
    if not 0.0 <= value <= 1.0:
        raise ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return value
