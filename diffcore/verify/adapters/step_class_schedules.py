"""Noise schedules that a class is run on which comes without one.

The straight line of a flow, exploding noise, and one whose alpha is neither 1 nor of unit norm with
sigma: each ends above sigma = 0, where many a formula divides by it.
"""

from collections.abc import Callable, Mapping
from typing import Any

NativeSchedule = Callable[[Any], tuple[Any, Any]]
"""From a native time, or an array of them, to native alpha and sigma."""


def straight(t: Any) -> tuple[Any, Any]:
    """alpha = 1 - 0.99 t, sigma = 0.01 + 0.99 t."""
    return 1.0 - 0.99 * t, 0.01 + 0.99 * t


def exploding(t: Any) -> tuple[Any, Any]:
    """alpha = 1, sigma = 0.01 1000^t."""
    return t * 0.0 + 1.0, 0.01 * 1000.0**t


def loud(t: Any) -> tuple[Any, Any]:
    """alpha = 3 - 2.9 t^2, sigma = 0.05 + t + t^2."""
    return 3.0 - 2.9 * t**2, 0.05 + t + t**2


SCHEDULES: Mapping[str, NativeSchedule] = {
    "straight": straight,
    "exploding": exploding,
    "loud": loud,
}
