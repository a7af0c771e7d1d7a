"""DPM-Solver with adaptive steps: the one sampler that is no plan, since its steps answer to x.

    E = max over samples of rms((high - low) / max(atol, rtol max(|low|, |low before|)))
    factor = limit(E_k^-b1 E_{k-1}^-b2 E_{k-2}^-b3),    accept where factor >= accept_safety

Two solutions, of orders p - 1 and p, share their calls of the denoiser. Their difference E decides
whether the step counts, and factor scales the next (Lu et al. 2022, "DPM-Solver", appendix C,
DPM-Solver-12 and -23; PID control after Soederlind 2003, with limit(f) = 1 + atan(f - 1)). Steps
are in lambda = log(alpha / sigma), with b1 = (pcoeff + icoeff + dcoeff) / q,
b2 = -(pcoeff + 2 dcoeff) / q, b3 = dcoeff / q; q is the order p, or 1.5 where noise is drawn.

At alpha = 0 lambda has no beginning. The first step is then in rho = alpha / sigma, w = x / sigma,
where the flow is regular, dw / drho = m, by the pair of Euler and Heun. At sigma = 0 lambda has no
end: the last step, from noise level n_last = sigma / alpha, takes the denoised x_0.
"""

import math
from dataclasses import dataclass, field
from typing import Generic

from ._arguments import function, non_negative, number, one_of, positive
from ._arrays import A, linear_combination, mean_per_sample, namespace, require_floating
from ._step_control import StepControl
from .noise import Noise
from .plan import Denoise, Denoised
from .process import transition
from .samplers.ancestral import log_down
from .schedules import ContinuousSchedule


@dataclass(frozen=True)
class Attempt:
    """A step from time t to time s, its error E, and whether it was accepted."""

    t: float
    s: float
    error: float
    accepted: bool


@dataclass(frozen=True)
class Solution(Generic[A]):
    """The state at the end, every attempted step, and the count of calls of the denoiser."""

    x: A
    attempts: tuple[Attempt, ...]
    evaluations: int

    @property
    def accepted(self) -> int:
        """How many attempts were accepted."""
        return sum(attempt.accepted for attempt in self.attempts)

    @property
    def rejected(self) -> int:
        """How many attempts were rejected."""
        return len(self.attempts) - self.accepted


def dpm_adaptive(
    schedule: ContinuousSchedule,
    denoise: Denoise,
    x: A,
    t_start: float,
    t_end: float,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
    noise: Noise | None = None,
    n_last: float | None = None,
    max_attempts: int = 10_000,
) -> Solution[A]:
    """Solve the flow from `x` at t_start to t_end, either way, within rtol and atol a step.

    x: floating array (batch, ...), whose library, dtype and device are kept; all samples take the
    same steps, which the hardest one sets. Each step's E is read on the host, so a lazy library
    computes there. order: 2 or 3, that many calls a step, one less where
    the step before was rejected. h_init: the first step in lambda, at alpha = 0 in rho. eta > 0,
    towards data only: each accepted step goes down too far and is noised back up, as in
    `samplers.euler_ancestral`, by `noise(x, k)` in the k-th, k from 1; the first step from
    alpha = 0 and the last draw none. n_last: defaults to `atol`, and is asked for only where sigma
    is 0 at t_end.

    Raises TypeError on a discrete schedule, TypeError or ValueError that names a bad argument, and
    FloatingPointError where the state is not a number, the step vanishes or `max_attempts` is
    reached.
    """
    require_floating("x", x)
    if not isinstance(schedule, ContinuousSchedule):
        raise TypeError(f"schedule must be continuous, got {type(schedule).__name__}")
    if x.ndim == 0 or x.shape[0] == 0:
        raise ValueError(f"x must have shape (batch, ...), batch above 0, got {tuple(x.shape)}")
    t_start, t_end = number("t_start", t_start), number("t_end", t_end)
    order = one_of("order", order, 2, 3)
    atol, h_init = positive("atol", atol), positive("h_init", h_init)
    n_last = atol if n_last is None else positive("n_last", n_last)
    rtol, eta = non_negative("rtol", rtol), non_negative("eta", eta)
    s_noise = non_negative("s_noise", s_noise)
    for name, gain in (("pcoeff", pcoeff), ("icoeff", icoeff), ("dcoeff", dcoeff)):
        if not math.isfinite(number(name, gain)):
            raise ValueError(f"{name} must be finite, got {gain}")
    if not 0.0 < number("accept_safety", accept_safety) < 1.0:
        raise ValueError(f"accept_safety must be in (0, 1), got {accept_safety}")
    if not number("max_attempts", max_attempts) >= 1.0:
        raise ValueError(f"max_attempts must be 1 or more, got {max_attempts}")
    if eta and noise is None:
        raise ValueError(f"noise must be given where eta > 0, got eta = {eta}")
    function("denoise", denoise)
    if noise is not None:
        function("noise", noise)
    up = _upwards(schedule, t_start, t_end, eta)
    run = _Run(schedule, denoise, rtol, atol, max_attempts)
    goal = t_end
    if schedule(t_end).sigma == 0.0:
        goal = schedule.time_at(min(-2.0 * math.log(n_last), schedule.log_snr_at(0.0)))
        goal = max(goal, t_end)
    t = t_start
    gains = (pcoeff + icoeff + dcoeff, -(pcoeff + 2.0 * dcoeff), dcoeff)
    if schedule(t).alpha == 0.0 and goal < t:
        x, t = _open(run, x, t, goal, StepControl(h_init, gains, 2.0, accept_safety))
    control = StepControl(-h_init if up else h_init, gains, 1.5 if eta else order, accept_safety)
    before, m = x, None
    while t > goal if not up else t < goal:
        s = run.time_after(t, control.h, goal)
        control.h = 0.5 * schedule.log_snr_gap(s, t)
        down = s
        if eta and s != goal:
            drop = 2.0 * log_down(schedule, t, s, eta)
            log_snr = min(schedule.log_snr_at(s) - drop, schedule.log_snr_at(goal))
            down = min(schedule.time_at(log_snr), s)
        m = run(x, t) if m is None else m
        low, high = _pair(run, x, t, down, m, order)
        if run.attempt(control, t, s, low, high, before):
            x, t, before, m = high, s, low, None
            if down < s and noise is not None:
                scale, variance = transition(schedule, down, s)
                fresh = noise(x, sum(attempt.accepted for attempt in run.attempts))
                x = linear_combination((scale, s_noise * math.sqrt(variance)), (x, fresh))
    if t != t_end:
        x = run(x, t)
    return Solution(x, tuple(run.attempts), run.evaluations)


def _upwards(schedule: ContinuousSchedule, t_start: float, t_end: float, eta: float) -> bool:
    if t_start == t_end:
        raise ValueError(f"t_end must differ from t_start, got {t_end} for both")
    if t_end < t_start:
        return False
    if eta:
        raise ValueError(f"eta must be 0 where t_end is above t_start, got {eta}")
    if schedule(t_start).sigma == 0.0 or schedule(t_end).alpha == 0.0:
        raise ValueError(
            "t_start must have noise and t_end signal where t_end is above t_start, "
            f"got t_start = {t_start}, t_end = {t_end}"
        )
    return True


@dataclass
class _Run:
    """The denoiser, counted, and the attempts so far."""

    schedule: ContinuousSchedule
    denoise: Denoise
    rtol: float
    atol: float
    max_attempts: int
    attempts: list[Attempt] = field(default_factory=list)
    evaluations: int = 0

    def __call__(self, x: A, t: float) -> A:
        self.evaluations += 1
        output = self.denoise(x, t)
        x_0: A = output.x_0 if isinstance(output, Denoised) else output
        return x_0

    def time_after(self, t: float, h: float, goal: float) -> float:
        """The time at which lambda is h further than at t, `goal` where that comes first."""
        gap = 0.5 * self.schedule.log_snr_gap(goal, t)
        if abs(h) >= abs(gap):
            return goal
        s = self.schedule.time_at(self.schedule.log_snr_at(t) + 2.0 * h)
        if s == t:
            raise FloatingPointError(f"the step vanished at time {t}: raise rtol or atol")
        return s

    def attempt(self, control: StepControl, t: float, s: float, low: A, high: A, before: A) -> bool:
        """Measure the step from t to s and write it down; whether it is accepted."""
        if len(self.attempts) >= self.max_attempts:
            raise FloatingPointError(f"max_attempts = {self.max_attempts} reached at time {t}")
        xp = namespace(low)
        scale = self.rtol * xp.maximum(xp.abs(low), xp.abs(before))
        scaled = (high - low) / xp.clip(scale, self.atol, None)
        error = math.sqrt(float(xp.max(mean_per_sample(scaled * scaled))))
        if math.isnan(error):
            raise FloatingPointError(f"denoise led to a state that is not a number at time {s}")
        accepted = control.propose(error)
        self.attempts.append(Attempt(t, s, error, accepted))
        return accepted


def _open(run: _Run, x: A, t: float, goal: float, control: StepControl) -> tuple[A, float]:
    """The first step from alpha = 0, of the width in rho that the tolerance allows."""
    schedule = run.schedule
    m = run(x, t)
    while True:
        s = schedule.time_at(min(2.0 * math.log(control.h), schedule.log_snr_at(goal)))
        s = max(s, goal)
        control.h = math.exp(0.5 * schedule.log_snr_at(s))
        low = _ddim(schedule, x, t, s, m)
        half = 0.5 * schedule(s).alpha
        high = linear_combination((1.0, half, -half), (low, run(low, s), m))
        if run.attempt(control, t, s, low, high, x):
            return high, s


def _pair(run: _Run, x: A, t: float, s: float, m: A, order: int) -> tuple[A, A]:
    """The states at s by DPM-Solver of orders `order` - 1 and `order`, which share their calls."""
    schedule = run.schedule
    h = 0.5 * schedule.log_snr_gap(s, t)
    start = _eps(schedule, x, t, m)

    def inside(share: float) -> tuple[float, float]:
        time = schedule.time_at(schedule.log_snr_at(t) + 2.0 * share * h)
        if time in (t, s):
            raise FloatingPointError(f"the step vanished at time {t}: raise rtol or atol")
        return time, 0.5 * schedule.log_snr_gap(time, t) / h

    def change(state: A, time: float) -> A:
        there = _eps(schedule, state, time, run(state, time))
        return linear_combination((1.0, -1.0), (there, start))

    sigma = schedule(s).sigma
    base = _ddim(schedule, x, t, s, m)
    time, r_1 = inside(1 / 2 if order == 2 else 1 / 3)
    first = change(_ddim(schedule, x, t, time, m), time)
    second_order = linear_combination((1.0, -sigma * math.expm1(h) / (2.0 * r_1)), (base, first))
    if order == 2:
        return base, second_order
    time, r_2 = inside(2 / 3)
    bend = -schedule(time).sigma * (r_2 / r_1) * _curvature(r_2 * h)
    state = linear_combination((1.0, bend), (_ddim(schedule, x, t, time, m), first))
    bend = -sigma / r_2 * _curvature(h)
    return second_order, linear_combination((1.0, bend), (base, change(state, time)))


def _curvature(h: float) -> float:
    """(exp(h) - 1) / h - 1."""
    return math.expm1(h) / h - 1.0


def _ddim(schedule: ContinuousSchedule, x: A, t: float, s: float, m: A) -> A:
    """DPM-Solver-1: sigma_s / sigma_t x + alpha_s (1 - exp(-h)) m; defined at alpha_t = 0 too."""
    alpha, sigma = schedule(s)
    share = -math.expm1(-0.5 * schedule.log_snr_gap(s, t))
    return linear_combination((sigma / schedule(t).sigma, alpha * share), (x, m))


def _eps(schedule: ContinuousSchedule, x: A, t: float, m: A) -> A:
    alpha, sigma = schedule(t)
    return linear_combination((1.0 / sigma, -alpha / sigma), (x, m))
