"""Where a scheduler's states are, and what its network is told, once its timesteps are set.

| states | told by | levels at call k |
| --- | --- | --- |
| variance preserving, by whole times | alphas_cumprod, no sigmas | alpha_bar of timesteps[k] |
| variance preserving, by sigma / alpha | sigmas, init_noise_sigma = 1 | sigmas[k] |
| x / alpha | sigmas, init_noise_sigma > 1 | sigmas[k], alpha = 1 |
| EDM's | sigmas and sigma_data | sigmas[k], alpha = 1, network preconditioned |
| flow | sigmas alone, or use_flow_sigmas | alpha = 1 - sigmas[k] |

What the network is told, timesteps[k], becomes a level too: see `told`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...._arrays import Host, to_host
from ....predictions import EPS, VELOCITY, Prediction
from ....schedules import Schedule, edm, flow, from_alpha_bar
from ...levels import noise_ratio
from .outputs import of_ratio, preconditioned, prediction
from .shape import setting
from .told import heard, snapped


class Track(NamedTuple):
    """The levels that a scheduler goes through.

    grid: times of `schedule`, each once, the start first. used, told: at each call the time of the
    state, and the one that the network hears. gains: what a state is of the network's input.
    """

    schedule: Schedule
    grid: tuple[float, ...]
    used: tuple[float, ...]
    told: tuple[float, ...]
    gains: tuple[float, ...]
    predicts: Prediction
    epsilon: float


def track(scheduler: Any) -> Track:
    """The track of a scheduler whose timesteps are set.

    Raises ValueError where it has no table that says what its levels are, or goes up.
    """
    require_levels(scheduler)
    sigmas, table = numbers(scheduler, "sigmas"), numbers(scheduler, "alphas_cumprod")
    told = [float(t) for t in np.ravel(to_host(scheduler.timesteps))]
    if sigmas is not None and len(sigmas) > len(told):
        return _by_sigmas(scheduler, sigmas.tolist(), told, table)
    if table is not None:
        return _by_alpha_bar(scheduler, table, told)
    raise ValueError("timesteps must have a level each: sigmas are too few")


def require_levels(scheduler: Any) -> None:
    """ValueError for what is no sampler from noise to data by levels that it holds."""
    name = type(scheduler).__name__
    if numbers(scheduler, "sigmas") is None and numbers(scheduler, "alphas_cumprod") is None:
        raise ValueError(f"target must have sigmas or alphas_cumprod; {name} has neither")
    if hasattr(scheduler, "get_scalings_for_boundary_condition"):
        raise ValueError(f"target must be a sampler; {name} is a consistency model's, of one call")
    told = [float(t) for t in np.ravel(to_host(scheduler.timesteps))]
    if len(told) > 1 and all(a < b for a, b in pairwise(told)):
        raise ValueError(
            f"timesteps must fall; those of {name} rise: what inverts, or counts "
            "from noise at 0, is not read"
        )


def numbers(scheduler: Any, name: str) -> Host | None:
    """A table of the scheduler as float64; None where it has none."""
    found = getattr(scheduler, name, None)
    if found is None or callable(found):
        return None
    host = np.atleast_1d(np.asarray(to_host(found), dtype=np.float64))
    return host if host.ndim == 1 else None


def epsilon(scheduler: Any, *names: str) -> float:
    """That of the coarsest table of these names, float64's where there is none."""
    found = [to_host(getattr(scheduler, n)) for n in names if hasattr(scheduler, n)]
    floats = [t.dtype for t in found if np.issubdtype(t.dtype, np.floating)]
    return float(max((np.finfo(d).eps for d in floats), default=np.finfo(np.float64).eps))


def schedule_of(table: Host) -> Schedule:
    """The discrete schedule of an alpha_bar table, as it is."""
    return from_alpha_bar(table)


def _by_alpha_bar(scheduler: Any, table: Host, told: Sequence[float]) -> Track:
    schedule = schedule_of(table)
    for t in told:
        if t != math.floor(t) or not 0 <= t < len(table):
            raise ValueError(f"timesteps must be whole, from 0 to {len(table) - 1}; got {t:g}")
    times = [int(t) + 1 for t in told]
    visited = times
    called = numbers(scheduler, "_timesteps")
    if called is not None and len(times) > len(set(times)):
        # Runge-Kutta calls inside the steps; the grid itself is kept aside.
        visited = sorted({int(t) + 1 for t in called}, reverse=times[0] > times[-1])
    one = setting(scheduler, "set_alpha_to_one", None)
    return Track(
        schedule=schedule,
        grid=_distinct([*visited, _end(scheduler, one)]),
        used=tuple(times),
        told=tuple(times),
        gains=(1.0,) * len(times),
        predicts=prediction(scheduler, EPS),
        epsilon=epsilon(scheduler, "alphas_cumprod"),
    )


def _end(scheduler: Any, one: bool | None) -> int:
    """The time of the last state: 0, or 1 where the last level is the first of the table."""
    outputs = _outputs(scheduler)
    if "denoised" in outputs.split():
        return 0  # A consistency model's last step is its denoised x_0.
    # A trajectory consistency model's last step ends at timestep 0.
    return 1 if one is False or "pred_noised_sample" in outputs else 0


def _outputs(scheduler: Any) -> str:
    """The names of what `step` returns, by its annotation."""
    made = getattr(type(scheduler).step, "__annotations__", {}).get("return", "")
    names = [f for kind in (getattr(made, "__args__", None) or (made,)) for f in _fields(kind)]
    return " ".join(names)


def _fields(kind: Any) -> list[str]:
    return list(getattr(kind, "__annotations__", {}))


def _by_sigmas(
    scheduler: Any, sigmas: Sequence[float], times: Sequence[float], table: Host | None
) -> Track:
    data = setting(scheduler, "sigma_data", None)
    flowing = bool(setting(scheduler, "use_flow_sigmas", False)) or (table is None and data is None)
    used = [_called(scheduler, sigmas, k) for k in range(len(times))]
    schedule: Schedule
    if flowing:
        schedule, predicts = flow(), prediction(scheduler, VELOCITY)
        gains = [1.0] * len(used)
        count = setting(scheduler, "num_train_timesteps", 1000)
        told = [snapped(t / count, t / count, u) for t, u in zip(times, used, strict=True)]
    else:
        top = 2.0 * max([s for s in sigmas if math.isfinite(s)], default=1.0)
        level = heard(times, used, table)
        told = [level(t, u) for t, u in zip(times, used, strict=True)]
        if data is not None:
            schedule, predicts = edm(top), preconditioned(scheduler, float(data))
            gains = [math.hypot(u, float(data)) for u in used]
        elif float(getattr(scheduler, "init_noise_sigma", 1.0)) > 1.001:
            schedule, predicts = edm(top), of_ratio(prediction(scheduler, EPS))
            gains = [math.hypot(u, 1.0) for u in used]
        else:
            schedule, predicts = noise_ratio(top), prediction(scheduler, EPS)
            gains = [1.0] * len(used)
    if not hasattr(scheduler, "scale_model_input"):
        gains = [1.0] * len(used)
    rounding = epsilon(scheduler, "sigmas", "alphas_cumprod")
    return Track(
        schedule=schedule,
        grid=_distinct(sigmas, rounding),
        used=tuple(used),
        told=tuple(told),
        gains=tuple(gains),
        predicts=predicts,
        epsilon=rounding,
    )


def _called(scheduler: Any, sigmas: Sequence[float], k: int) -> float:
    """The noise level at call k: a table entry, or between two where every other call is."""
    if hasattr(scheduler, "mid_point_sigma") and k % 2:
        return math.sqrt(sigmas[k - 1] * sigmas[k])
    inner = numbers(scheduler, "sigmas_interpol")
    if inner is None or k % 2 == 0:
        return sigmas[k]
    return float(inner[k - 1 if hasattr(scheduler, "sigmas_down") else k])


def _distinct(levels: Sequence[float], epsilon: float = 0.0) -> tuple[float, ...]:
    """Each level once, where two next to each other are one but for rounding."""
    slack = 4.0 * epsilon
    kept = [b for a, b in pairwise(levels) if not math.isclose(a, b, rel_tol=slack, abs_tol=0.0)]
    return (levels[0], *kept)
