"""Somebody else's diffusion code, in this package's terms.

An adapter (`diffcore.verify.adapters`) turns a target into a `Subject`: its tables, its functions
and its samplers, with times counted as here (t = 0 is data), so that the checks need not know
whose code they run. Arrays that go in and come out are the target's own; the checks make them with
`make` and read them with `to_host`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from .._arrays import Host
from ..plan import Plan
from ..predictions import EPS, Prediction
from ..schedules import Schedule
from .claims import Claim
from .outcome import Outcome

RANKS = (4, 2, 3, 5, 1)
"""Of arrays that code takes which says nothing of them: images first, and all others."""


class Table(NamedTuple):
    """A table that the target holds: float64 values, the time of its first entry, its epsilon."""

    values: Host
    first: int
    epsilon: float


class Answer(Protocol):
    """The data's denoiser, which stands in for a network: x_0 at state x_t and time t, call k.

    x_t and the result are float64 host arrays, t a time of the sampler's schedule.
    """

    def __call__(self, x_t: Host, t: float, k: int, /) -> Host: ...


class Run(NamedTuple):
    """What a run of a sampler showed.

    states: the state at each call of the network, then the end; native arrays. times: what the
    network was told at each call, as times of the sampler's schedule.
    """

    states: tuple[Any, ...]
    times: tuple[float, ...]


class Launch(Protocol):
    """Run a sampler from the native state x; its own randomness follows from `seed`."""

    def __call__(self, answer: Answer, x: Any, seed: int, /) -> Run: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampler:
    """One way to run the target's sampler.

    schedule: the levels that it holds, exact, so that its own tables' rounding is not the
    steps' error. grid: the times that it claims to visit, the start first, one for each step.
    epsilon: of the arithmetic on its coefficients. claim: the planner it claims to be.
    predicts: what its network puts out. order: what it declares, where no claim does.
    stochastic: whether it draws noise. group: samplers that must agree, such as the same one told
    eps and told x_0.
    """

    label: str
    schedule: Schedule
    grid: tuple[float, ...]
    launch: Launch
    epsilon: float
    claim: Claim | None = None
    predicts: Prediction = EPS
    order: int | None = None
    group: str = ""

    def plan(self) -> Plan | None:
        """The exact plan of what it claims to be."""
        return None if self.claim is None else self.claim.planner(self.schedule, self.grid)


class Clipped(NamedTuple):
    """A sampler that changes each denoised x_0, the same one without, and the change itself."""

    sampler: Sampler
    plain: Sampler
    change: Callable[[Host], Host]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A loss of the target; `checks.losses` and `checks.bound` say what `of` takes, by its kind.

    predicts: what its network puts out. weight(schedule, t): of the squared error at time t, by
    default 1. variance: of the bound's p(x_s | x_t): "small", "large", or how far its logarithm is
    from small to large. scale: of the bound's terms. own_eps: whether it draws eps itself where it
    is given None. own_times: whether it draws its times whatever it is given. each: whether it
    claims a value for each sample rather than their mean.
    """

    of: Callable[..., Any]
    predicts: Prediction = EPS
    weight: Callable[[Schedule, int], float] | None = None
    variance: str | float = "small"
    scale: float = 1.0
    own_eps: bool = False
    own_times: bool = False
    each: bool = False

    def __call__(self, *arguments: Any) -> Any:
        return self.of(*arguments)


class Option(NamedTuple):
    """An option of the target: what it is called, and how to make and run it once."""

    label: str
    attempt: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A target by what can be asked of it; None, or nothing, where it has no such part.

    make: a native array from host values and a dtype's name. dtypes: those it can run in.
    q_sample(x_0, times, eps), q_mean_variance(x_0, times), q_posterior(x_0, x_t, times): native
    arrays, times a sequence of this package's times, one for each sample. q_transition(x_s, s, t):
    mean and variance of q(x_t | x_s), s and t as times. guide(conditional, unconditional, scale).
    zero_terminal_snr: whether alpha_bar_T = 0 is claimed. losses: by kind, see
    `checks.losses`. with_steps: the sampler with that many steps. options: each is tried.
    """

    name: str
    kind: str
    make: Callable[[Any, str], Any]
    dtypes: tuple[str, ...] = ("float32", "float64")
    epsilon: float
    schedule: Schedule | None = None
    tables: Mapping[str, Table] = field(default_factory=dict)
    q_sample: Callable[[Any, Sequence[float], Any], Any] | None = None
    q_mean_variance: Callable[[Any, Sequence[float]], tuple[Any, Any]] | None = None
    q_posterior: Callable[[Any, Any, Sequence[float]], tuple[Any, Any]] | None = None
    q_transition: Callable[[Any, Sequence[float], Sequence[float]], tuple[Any, Any]] | None = None
    guide: Callable[[Any, Any, float], Any] | None = None
    zero_terminal_snr: bool = False
    losses: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    samplers: tuple[Sampler, ...] = ()
    clipped: tuple[Clipped, ...] = ()
    with_steps: Callable[[int], Sampler] | None = None
    options: tuple[Option, ...] = ()
    visits: Callable[[], Iterable[Outcome]] | None = None
    """What its kind can be asked of the levels that it goes through."""
    seed: int = 0
    """Of every random number that a check draws."""
    ranks: tuple[int, ...] = RANKS
    """The ranks of arrays that it takes, the leading axis the batch; the first is the one that most
    is tried at."""
