"""What a UNet is called with: the shapes that its configuration allows."""

from typing import Any

from .._arrays import is_array, namespace, require_floating
from .config import UNetConfig


def require_inputs(config: UNetConfig, x: Any, t: Any, labels: Any, condition: Any) -> None:
    """ValueError that names the argument whose shape, or presence, the configuration rules out.

    x: (batch, channels, height, width), floating. t: (batch,). labels: integers (batch,), or None.
    condition: (batch, condition_channels, height, width), or None. Arrays of any library.

    Raises TypeError, which names the argument too, for x, t and labels of other kinds.
    """
    require_floating("x", x)
    if not is_array(t):
        raise TypeError(f"t must be an array, got {type(t).__name__}")
    if labels is not None and not _counts(labels):
        kind = f"dtype {labels.dtype}" if is_array(labels) else type(labels).__name__
        raise TypeError(f"labels must be an array of integers, got {kind}")
    shape, batch = tuple(x.shape), tuple(x.shape[:1])
    if len(shape) != 4 or shape[1] != config.channels:
        raise ValueError(
            f"x must have shape (batch, {config.channels}, height, width), got {shape}"
        )
    if shape[2] % config.stride or shape[3] % config.stride:
        raise ValueError(
            f"the height and width of x must be divisible by {config.stride}, "
            f"for {len(config.multipliers)} levels; got {shape}"
        )
    if tuple(t.shape) != batch:
        raise ValueError(f"t must have shape {batch}, got {tuple(t.shape)}")
    if labels is not None and not config.classes:
        raise ValueError("labels must be left out: the network has no classes")
    if labels is None and config.classes and not config.null_class:
        raise ValueError("labels must be given: the network has no null class")
    if labels is not None and tuple(labels.shape) != batch:
        raise ValueError(f"labels must have shape {batch}, got {tuple(labels.shape)}")
    wanted = (shape[0], config.condition_channels, *shape[2:])
    given = None if condition is None else tuple(condition.shape)
    if given != (wanted if config.condition_channels else None):
        raise ValueError(
            f"condition must have shape {wanted}, got {given}"
            if config.condition_channels
            else "condition must be left out: the network has no condition channels"
        )


def _counts(labels: Any) -> bool:
    return is_array(labels) and bool(namespace(labels).isdtype(labels.dtype, "integral"))
