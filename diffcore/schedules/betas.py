"""The discrete schedules of the literature, each by its betas or its alpha_bar.

log alpha_bar_t = sum_{i <= t} log1p(-beta_i) is summed with compensation, and a schedule defined by
alpha_bar is written as a difference of logarithms, so beta and 1 - alpha_bar keep full precision.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import is_whole, non_negative, number, numbers, positive
from .._arrays import Host
from .discrete import DiscreteSchedule

STEEPEST = 450.0
"""How many tau a sigmoid may reach from 0: beyond, its hyperbolic functions leave float64."""


def linear(T: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> DiscreteSchedule:
    """beta_t linear from beta_start at t = 1 to beta_end at t = T (Ho et al. 2020, section 4)."""
    T, beta_start, beta_end = _line(T, beta_start, beta_end)
    config = {"kind": "linear", "T": T, "beta_start": beta_start, "beta_end": beta_end}
    return _of_betas(np.linspace(beta_start, beta_end, T), config)


def scaled_linear(
    T: int = 1000, beta_start: float = 0.00085, beta_end: float = 0.012
) -> DiscreteSchedule:
    """sqrt(beta_t) linear in t, with the defaults of latent diffusion (Rombach et al. 2022)."""
    T, beta_start, beta_end = _line(T, beta_start, beta_end)
    config = {"kind": "scaled_linear", "T": T, "beta_start": beta_start, "beta_end": beta_end}
    return _of_betas(_squared_line(T, beta_start, beta_end), config)


def quadratic(T: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> DiscreteSchedule:
    """sqrt(beta_t) linear in t, with DDPM's end points (Song, Meng & Ermon 2021)."""
    T, beta_start, beta_end = _line(T, beta_start, beta_end)
    config = {"kind": "quadratic", "T": T, "beta_start": beta_start, "beta_end": beta_end}
    return _of_betas(_squared_line(T, beta_start, beta_end), config)


def constant(T: int = 1000, beta: float = 0.02) -> DiscreteSchedule:
    """beta_t = beta for every t."""
    T, beta = _steps(T), _beta("beta", beta)
    return _of_betas(np.full(T, beta), {"kind": "constant", "T": T, "beta": beta})


def cosine(
    T: int = 1000, offset: float = 0.008, max_beta: float = 0.999, min_beta: float = 0.0
) -> DiscreteSchedule:
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2((t / T + offset) / (1 + offset) pi / 2).

    Betas are clipped to [min_beta, max_beta] (Nichol & Dhariwal 2021, eq. 17).
    """
    T, offset = _steps(T), non_negative("offset", offset)
    min_beta, max_beta = _clip(min_beta, max_beta)
    fraction = np.arange(T + 1) / T
    angle = (fraction + offset) / (1.0 + offset) * (math.pi / 2)
    rest = fraction[::-1] / (1.0 + offset) * (math.pi / 2)
    # 1 - cos^2(a) / cos^2(b) = sin(a - b) sin(a + b) / cos^2(b), which does not cancel; the sine is
    # that of the smaller of two angles that make pi.
    both = np.minimum(angle[1:] + angle[:-1], rest[1:] + rest[:-1])
    betas = math.sin(math.pi / 2 / (1.0 + offset) / T) * np.sin(both) / np.sin(rest[:-1]) ** 2
    config = {"kind": "cosine", "T": T, "offset": offset, "max_beta": max_beta}
    return _clipped(betas, np.sin(rest) ** 2, config | {"min_beta": min_beta}, min_beta, max_beta)


def sigmoid(
    T: int = 1000,
    start: float = -3.0,
    end: float = 3.0,
    tau: float = 1.0,
    max_beta: float = 0.999,
) -> DiscreteSchedule:
    """alpha_bar_t = (S(end) - S(start + t / T (end - start))) / (S(end) - S(start)).

    S(a) = 1 / (1 + exp(-a / tau)); betas are clipped to max_beta (Jabri et al. 2023, "Scalable
    Adaptive Computation for Iterative Generation", appendix B).
    """
    T, start, end = _steps(T), number("start", start), number("end", end)
    if not -math.inf < start < end < math.inf:
        raise ValueError(f"end must be above start and finite, got start = {start}, end = {end}")
    tau = positive("tau", tau)
    if max(-start, end) / tau > STEEPEST:
        raise ValueError(
            f"tau must be at least the larger of -start and end over {STEEPEST:g}, got {tau}"
        )
    _, max_beta = _clip(0.0, max_beta)
    low, high = start / tau / 2, end / tau / 2
    fraction, width = np.arange(T + 1) / T, high - low
    at = np.cosh(low + fraction * width)
    # S(2 a) - S(2 b) = sinh(a - b) / (2 cosh(a) cosh(b)), which does not cancel.
    left = np.sinh(fraction[::-1] * width)
    betas = np.sinh(width / T) * np.cosh(high) / (at[1:] * left[:-1])
    config = {"kind": "sigmoid", "T": T, "start": start, "end": end, "tau": tau}
    return _clipped(betas, left / at, config | {"max_beta": max_beta}, 0.0, max_beta)


def from_betas(betas: npt.ArrayLike) -> DiscreteSchedule:
    """The schedule of beta_1..beta_T, each in (0, 1); the last may be 1 (zero terminal SNR)."""
    host = numbers("betas", betas)
    if host.ndim != 1 or host.size == 0:
        raise ValueError(f"betas must have shape (T,) with T >= 1, got {host.shape}")
    bad = np.flatnonzero(
        ~((host > 0) & ((host < 1) | ((host == 1) & (np.arange(host.size) == host.size - 1))))
    )
    if bad.size:
        raise ValueError(
            f"betas must be in (0, 1), the last at most 1, got {host[bad[0]]} at t = {bad[0] + 1}"
        )
    return _of_betas(host, {"kind": "from_betas", "betas": host.tolist()})


def from_alpha_bar(alpha_bar: npt.ArrayLike) -> DiscreteSchedule:
    """The schedule of alpha_bar_1..T, strictly decreasing in (0, 1); the last may be 0.

    Raises ValueError otherwise.
    """
    host = numbers("alpha_bar", alpha_bar)
    if host.ndim != 1 or host.size == 0:
        raise ValueError(f"alpha_bar must have shape (T,) with T >= 1, got {host.shape}")
    bad = np.flatnonzero(~(np.diff(host, prepend=1.0) < 0))
    if bad.size or not host[-1] >= 0.0:
        t = bad[0] + 1 if bad.size else host.size
        raise ValueError(
            "alpha_bar must decrease strictly from below 1 to 0 or above, "
            f"got {host[t - 1]} at t = {t}"
        )
    with np.errstate(divide="ignore"):
        log_alpha_bar = np.log(host)
    config = {"kind": "from_alpha_bar", "alpha_bar": host.tolist()}
    return of_log_alpha_bar(log_alpha_bar, config)


def of_log_alpha_bar(
    log_alpha_bar: Host, config: Mapping[str, Any], origin: Host | None = None
) -> DiscreteSchedule:
    """The schedule whose log alpha_bar at times 1..T is given, strictly decreasing below 0."""
    full = np.append(0.0, log_alpha_bar)
    if not np.all(full[1:] < full[:-1]):
        raise ValueError(
            f"schedule must lose signal at each step, in float64 too, got a {config['kind']} "
            "that does not"
        )
    beta = np.append(0.0, -np.expm1(np.diff(full)))
    times = np.arange(len(full), dtype=np.float64) if origin is None else origin
    return DiscreteSchedule(config=config, origin=times, log_alpha_bar=full, beta=beta)


def _of_betas(betas: Host, config: Mapping[str, Any]) -> DiscreteSchedule:
    with np.errstate(divide="ignore"):
        return _assemble(betas, np.log1p(-betas), config)


def _clipped(
    betas: Host, kept: Host, config: Mapping[str, Any], min_beta: float, max_beta: float
) -> DiscreteSchedule:
    """The schedule of those betas, clipped; `kept` is alpha_bar but for a factor, times 0..T."""
    with np.errstate(divide="ignore"):
        log_steps = np.diff(np.log(kept))
    log_steps = np.where(betas < 0.5, np.log1p(-np.minimum(betas, 0.5)), log_steps)
    log_steps = np.clip(log_steps, math.log1p(-max_beta), math.log1p(-min_beta))
    return _assemble(np.clip(betas, min_beta, max_beta), log_steps, config)


def _assemble(betas: Host, log_steps: Host, config: Mapping[str, Any]) -> DiscreteSchedule:
    return DiscreteSchedule(
        config=config,
        origin=np.arange(len(betas) + 1, dtype=np.float64),
        log_alpha_bar=np.append(0.0, _compensated_cumsum(log_steps)),
        beta=np.append(0.0, betas),
    )


def _squared_line(T: int, start: float, end: float) -> Host:
    line: Host = np.linspace(math.sqrt(start), math.sqrt(end), T) ** 2
    return line


def _compensated_cumsum(values: Host) -> Host:
    """Running sums of numbers of one sign, each correctly rounded but for an ulp (Kahan 1965)."""
    sums, total, lost = [], 0.0, 0.0
    for value in values.tolist():
        new = total + value
        if math.isfinite(new):
            lost += (total - new) + value
        total = new
        sums.append(total + lost)
    return np.array(sums)


def _steps(T: int) -> int:
    if not is_whole(T) or T < 1:
        raise ValueError(f"T must be a positive int, got {T!r}")
    return int(T)


def _line(T: int, beta_start: float, beta_end: float) -> tuple[int, float, float]:
    return _steps(T), _beta("beta_start", beta_start), _beta("beta_end", beta_end)


def _beta(name: str, value: float) -> float:
    if not 0.0 < number(name, value) < 1.0:
        raise ValueError(f"{name} must be in (0, 1), got {value}")
    return float(value)


def _clip(min_beta: float, max_beta: float) -> tuple[float, float]:
    low, high = number("min_beta", min_beta), number("max_beta", max_beta)
    if not 0.0 <= low < high < 1.0:
        raise ValueError(
            f"max_beta must be above min_beta and below 1, got {min_beta} and {max_beta}"
        )
    return low, high
