"""Discrete schedules: alpha_bar_t = prod_{i <= t} (1 - beta_i), times 0..T.

x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (Ho et al. 2020, eq. 4). Tables are float64
and made in the log domain, so that 1 - alpha_bar and the posterior variance keep their last digits
at t = 1 and at t = T; the cast to an array's dtype is the last operation.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .._arrays import (
    Array,
    Host,
    constant,
    gather,
    is_array,
    is_number,
    namespace,
    require_floating,
    require_library,
    visible,
)
from .level import Level, Posterior


class Tables(NamedTuple):
    """A discrete schedule's tables as arrays of shape (T + 1,) in one library, dtype and device.

    A pytree, so it goes through `jit`, or into a module's buffers. It answers like the schedule.
    `log_snr + log_snr_rest` carries log SNR in twice the precision; both are at least float32.
    """

    alpha: Any
    sigma: Any
    beta: Any
    log_snr: Any
    log_snr_rest: Any
    posterior_mean_x_0: Any
    posterior_mean_x_t: Any
    posterior_variance: Any
    posterior_log_variance_clipped: Any

    @property
    def T(self) -> int:
        """The number of steps; times run from 0 (data) to T (noise)."""
        return _last(self.beta)

    def __call__(self, t: Any, like: Array | None = None) -> Level:
        t = checked(t, _last(self.beta))
        return Level(look_up(self.alpha, t, like), look_up(self.sigma, t, like))

    def at(self, name: str, t: Any, like: Array | None = None) -> Any:
        """The entry of the table of that name at time t, cast to `like`'s dtype."""
        return look_up(getattr(self, name), checked(t, _last(self.beta)), like)

    def log_snr_at(self, t: Any, like: Array | None = None) -> Any:
        return self.at("log_snr", t, like)

    def log_snr_gap(self, s: Any, t: Any, like: Array | None = None) -> Any:
        last = _last(self.beta)
        s, t = checked(s, last, "s"), checked(t, last)
        wide = None if isinstance(self.log_snr, tuple) else self.log_snr
        high = [look_up(self.log_snr, time, wide) for time in (s, t)]
        rest = [look_up(self.log_snr_rest, time, wide) for time in (s, t)]
        return (high[0] - high[1]) + (rest[0] - rest[1])

    def posterior_step(self, t: Any, like: Array | None = None) -> Posterior:
        t = checked(t, _last(self.beta), lowest=1)
        names = ("posterior_mean_x_0", "posterior_mean_x_t", "posterior_variance")
        return Posterior(*(look_up(getattr(self, name), t, like) for name in names))


@dataclass(frozen=True, eq=False, repr=False)
class DiscreteSchedule:
    """A schedule with times 0..T; float64 tables of shape (T + 1,), read-only, index = time.

    Entry 0 is data: beta 0, alpha_bar 1, log SNR +inf. The posterior tables describe
    q(x_{t-1} | x_t, x_0) and hold at entry 0 the point mass at x_0. `origin[t]` is the time that
    time t had in the schedule this one was respaced from, which is what a network trained on that
    schedule wants to be told.
    """

    config: Mapping[str, Any]
    origin: Host
    log_alpha_bar: Host
    beta: Host
    alpha_bar: Host = field(init=False)
    one_minus_alpha_bar: Host = field(init=False)
    alpha: Host = field(init=False)
    sigma: Host = field(init=False)
    log_snr: Host = field(init=False)
    log_snr_rest: Host = field(init=False)
    posterior_mean_x_0: Host = field(init=False)
    posterior_mean_x_t: Host = field(init=False)
    posterior_variance: Host = field(init=False)
    posterior_log_variance_clipped: Host = field(init=False)
    numbers: Tables = field(init=False)
    """The tables as tuples of Python floats, for a time that is a number.

    They go through torch.compile as constants, where an entry of a NumPy array does not.
    """

    def __post_init__(self) -> None:
        log_alpha_bar, beta = self.log_alpha_bar, self.beta
        rest = 0.0 - np.expm1(log_alpha_bar)
        log_keep = np.diff(log_alpha_bar, prepend=0.0)
        log_rest = _log_one_minus_exp(log_alpha_bar)
        ratio = np.append(0.0, rest[:-1] / rest[1:])
        with np.errstate(divide="ignore"):
            log_beta = np.log(beta)
        log_variance = log_beta[2:] + log_rest[1:-1] - log_rest[2:]
        # Improved DDPM, section 3.1: the variance at t = 1 is 0, so its logarithm is that of t = 2.
        clipped = np.append(log_variance[:1] if self.T > 1 else log_beta[1:], log_variance)
        x_0 = np.append(1.0, np.exp(log_alpha_bar[:-1] / 2) * (beta[1:] / rest[1:]))
        log_snr = log_alpha_bar - log_rest
        with np.errstate(invalid="ignore"):
            log_snr_rest = np.where(np.isinf(log_snr), 0.0, log_snr - log_snr.astype(np.float32))
        tables = {
            "alpha_bar": np.exp(log_alpha_bar),
            "one_minus_alpha_bar": rest,
            "alpha": np.exp(log_alpha_bar / 2),
            "sigma": np.sqrt(rest),
            "log_snr": log_snr,
            "log_snr_rest": log_snr_rest,
            "posterior_mean_x_0": x_0,
            "posterior_mean_x_t": np.exp(log_keep / 2) * ratio,
            "posterior_variance": beta * ratio,
            "posterior_log_variance_clipped": np.append(clipped[:1], clipped),
        }
        for name, table in tables.items():
            object.__setattr__(self, name, table)
        for table in (self.origin, log_alpha_bar, beta, *tables.values()):
            table.setflags(write=False)
        floats = {name: tuple(getattr(self, name).tolist()) for name in Tables._fields}
        floats["log_snr_rest"] = (0.0,) * (self.T + 1)  # log_snr is whole here.
        object.__setattr__(self, "numbers", Tables(**floats))

    @property
    def T(self) -> int:
        """The number of steps; times run from 0 (data) to T (noise)."""
        return len(self.beta) - 1

    def tables(self, like: Array) -> Tables:
        """The tables in the library, dtype and on the device of the floating array `like`."""
        require_floating("like", like)
        xp = namespace(like)
        double = like.dtype == xp.float64
        wide = xp.float64 if double else xp.float32
        rest = 0.0 * self.log_snr_rest if double else self.log_snr_rest
        made = {"log_snr": self.log_snr, "log_snr_rest": rest}
        made = {name: constant(table, like, wide) for name, table in made.items()}
        names = (name for name in Tables._fields if name not in made)
        return Tables(**made, **{name: constant(getattr(self, name), like) for name in names})

    def __call__(self, t: Any, like: Array | None = None) -> Level:
        t = checked(t, self.T)
        return Level(self._entry("alpha", t, like), self._entry("sigma", t, like))

    def at(self, name: str, t: Any, like: Array | None = None) -> Any:
        """The entry of the table of that name at time t, cast to `like`'s dtype."""
        return self._entry(name, checked(t, self.T), like)

    def log_snr_at(self, t: Any, like: Array | None = None) -> Any:
        return self.at("log_snr", t, like)

    def log_snr_gap(self, s: Any, t: Any, like: Array | None = None) -> Any:
        if is_number(s) and is_number(t):
            return self.numbers.log_snr_gap(s, t)
        return self.tables(_floating(like, s, t)).log_snr_gap(s, t)

    def origin_at(self, t: Any, like: Array | None = None) -> Any:
        """What a network calls time `t`: the time it had in the schedule it was trained on."""
        return look_up(self.origin, checked(t, self.T), like)

    def posterior_step(self, t: Any, like: Array | None = None) -> Posterior:
        t = checked(t, self.T, lowest=1)
        names = ("posterior_mean_x_0", "posterior_mean_x_t", "posterior_variance")
        return Posterior(*(self._entry(name, t, like) for name in names))

    def _entry(self, name: str, t: Any, like: Array | None) -> Any:
        return look_up(getattr(self.numbers if is_number(t) else self, name), t, like)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DiscreteSchedule) and self.config == other.config

    def __hash__(self) -> int:
        return hash(json.dumps(self.config, sort_keys=True))

    def __repr__(self) -> str:
        return f"DiscreteSchedule({self.config['kind']}, T={self.T})"


def _last(table: Any) -> int:
    """The last time of a table. PyTorch 2.6 compiles this, but not a property of `Tables`."""
    return int(len(table) if isinstance(table, tuple) else table.shape[0]) - 1


def _log_one_minus_exp(x: Host) -> Host:
    """log(1 - exp(x)) for x <= 0, exact to the last digits at both ends."""
    with np.errstate(divide="ignore"):
        return np.where(x > -math.log(2), np.log(0.0 - np.expm1(x)), np.log1p(-np.exp(x)))


def checked(t: Any, last: int, name: str = "t", lowest: int = 0) -> Any:
    """`t` as an index into tables of times 0..`last`, checked where its values can be seen.

    TypeError or ValueError that names the argument unless it is a whole number, or an integer array
    of shape (batch,), in lowest..last.
    """
    if is_number(t):
        if not 0 <= t <= last or t != int(t):
            raise ValueError(f"{name} must be a whole time in 0..{last}, got {t}")
        if t < lowest:
            raise ValueError(f"{name} must be {_range(lowest, last)}, got {t}")
        return int(t)
    if not is_array(t):
        raise TypeError(f"{name} must be an int or an integer array, got {type(t).__name__}")
    if not namespace(t).isdtype(t.dtype, "integral"):
        raise TypeError(f"{name} must be an integer array, got dtype {t.dtype}")
    if t.ndim != 1:
        raise ValueError(f"{name} must have shape (batch,), got {tuple(t.shape)}")
    values = visible(t)
    if values is not None and values.size and not lowest <= values.min() <= values.max() <= last:
        wanted = _range(lowest, last)
        raise ValueError(f"{name} must be {wanted}, got {values.min()}..{values.max()}")
    return t


def _range(lowest: int, last: int) -> str:
    return f"in {lowest}..{last}{' for a posterior' if lowest else ''}"


def look_up(table: Any, t: Any, like: Array | None = None) -> Any:
    """`table[t]`: for a number `t` the entry of a tuple or array, else an array of shape (batch,).

    What an array gives is cast to `like`'s dtype, or to the library's default.
    """
    if is_number(t):
        entry = table[t]
        if is_number(entry):
            return float(entry)
        if like is None:
            return entry
        require_floating("like", like)
        require_library("schedule's tables", entry, "the data", like)
        return namespace(entry).astype(entry, like.dtype, copy=False)
    like = _floating(like, t)
    require_library("t", t, "like", like)
    if isinstance(table, np.ndarray) or table.dtype != like.dtype:
        table = constant(table, like)
    return gather(table, t)


def _floating(like: Array | None, *times: Any) -> Any:
    """`like`, or where there is none an empty array of the times' library's default dtype."""
    if like is not None:
        require_floating("like", like)
        return like
    t = next(time for time in times if not is_number(time))
    xp = namespace(t)
    dtype = xp.__array_namespace_info__().default_dtypes()["real floating"]
    return constant(np.empty(0), t, dtype)
