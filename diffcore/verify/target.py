"""Plain functions and tables of a diffusion process, given by name.

    Target(betas=betas, alpha_bar=alpha_bar, q_sample=q_sample)

is held to x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps and to what follows from it.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from .._arrays import is_array, library
from ..predictions import EPS, Prediction, from_config
from ..schedules import Schedule
from . import libraries
from .digits import NAMES
from .subject import RANKS

FUNCTIONS = ("q_sample", "q_mean_variance", "q_posterior", "q_transition", "step", "loss", "guide")
"""The fields of a `Target` that are functions of arrays."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """Any subset of what diffusion code consists of, in one array library.

    beta, or betas: table of 1 - alpha_bar_t / alpha_bar_{t-1}. alpha_bar: table. tables: further
    ones, by the names of `digits.NAMES`, and `sigma2`. A table is a sequence or array over the
    times `first`, `first` + 1, ..., or a function of a native integer array of indices (`T` of
    them), where index i stands for the time `first` + i; functions are told such indices too. On a
    continuous `schedule` times are its own.

    q_sample(x_0, t, eps); q_mean_variance(x_0, t) and q_posterior(x_0, x_t, t), which give mean,
    variance, and more if they like; q_transition(x_s, s, t), likewise, of q(x_t | x_s).
    step: one step down, by the names of its arguments, see `adapters.functions`.
    loss(network, x_0, t, eps): a number or one for each sample; weight(schedule, t): of its squared
    error, by default 1. guide(conditional, unconditional, scale).

    schedule: what the tables claim to be, by default what betas or alpha_bar say. predicts: what
    the network puts out, a prediction or its name. times: "batch" where functions take an array of
    a time for each sample, "scalar" where they take one; one annotated `int` or `float` is told
    one in any case. steps: the numbers of steps to try where `step` takes the next time.
    ranks: of the arrays that functions take, the leading axis the batch, such as (4,) for images
    alone and (2,) for points; `step` is run on images in any case.
    zero_terminal_snr: whether alpha_bar_T = 0 is claimed. library: numpy, torch, jax,
    array_api_strict or cupy; by default found from the functions. epsilon: of tables that
    functions hold themselves, by default that of the tables given here.

    Raises TypeError or ValueError for a field that is none of this.
    """

    name: str = "functions"
    schedule: Schedule | None = None
    beta: Any = None
    betas: Any = None
    alpha_bar: Any = None
    tables: Mapping[str, Any] = field(default_factory=dict)
    q_sample: Callable[..., Any] | None = None
    q_mean_variance: Callable[..., Any] | None = None
    q_posterior: Callable[..., Any] | None = None
    q_transition: Callable[..., Any] | None = None
    step: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    guide: Callable[..., Any] | None = None
    weight: Callable[[Schedule, int], float] | None = None
    predicts: Prediction | str = EPS
    first: int = 1
    T: int | None = None
    times: Literal["batch", "scalar"] = "batch"
    steps: tuple[int, ...] = (1, 2, 5)
    ranks: tuple[int, ...] = RANKS
    zero_terminal_snr: bool = False
    library: str | None = None
    epsilon: float | None = None

    def __post_init__(self) -> None:
        if self.beta is not None and self.betas is not None:
            raise ValueError("give beta or betas, not both: they are the same table")
        for name in FUNCTIONS:
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be a function, got {type(value).__name__}")
        if self.times not in ("batch", "scalar"):
            raise ValueError(f"times must be 'batch' or 'scalar', got {self.times!r}")
        if self.first not in (0, 1):
            raise ValueError(f"first must be 0 or 1, the time of the first entry; got {self.first}")
        if not self.ranks or not set(self.ranks) <= set(RANKS):
            raise ValueError(f"ranks must be some of {sorted(RANKS)}, got {self.ranks}")
        if all(getattr(self, f.name) is None for f in fields(self) if f.name in _CONTENT) and (
            not self.tables
        ):
            raise ValueError(f"give at least one of {', '.join(_CONTENT)}, or tables")
        unknown = set(self.tables) - {*NAMES, "sigma2"}
        if unknown:
            raise ValueError(
                f"tables has no {', '.join(sorted(unknown))}; its names are "
                f"{', '.join(NAMES)} and sigma2"
            )
        if isinstance(self.predicts, str):
            object.__setattr__(self, "predicts", from_config(self.predicts))
        if self.library is None:
            object.__setattr__(self, "library", self._guessed())

    @property
    def given(self) -> Mapping[str, Any]:
        """Every table, by its name."""
        own = {"beta": self.betas if self.beta is None else self.beta, "alpha_bar": self.alpha_bar}
        return {**{k: v for k, v in own.items() if v is not None}, **self.tables}

    def _guessed(self) -> str:
        """The library of the tables, or that of the module which a function is from."""
        for table in self.given.values():
            if is_array(table) and library(table) != "numpy":
                return library(table)
        for name in (*FUNCTIONS, "alpha_bar", "beta", "betas"):
            function = getattr(self, name)
            if inspect.isroutine(function):
                return libraries.guess(function)
        return "numpy"


_CONTENT = ("beta", "betas", "alpha_bar", *FUNCTIONS)
