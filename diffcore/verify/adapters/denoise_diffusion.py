"""A DenoiseDiffusion object, which holds its network: `p_sample(xt, t)`, `loss(x0, noise=None)`.

Its tables `beta`, `alpha_bar` and `sigma2` are native, of whatever dtype; indices are 0..T-1. With
sigma2 = beta its step is DDPM's with the large variance. Its loss draws its times. The network is
an attribute, which is replaced while something runs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..._arrays import Host, to_host
from ...predictions import EPS, X_0, Prediction, from_config
from ..checks.weightings import posterior_mean
from ..claims import Claim
from ..claims import claim as claim_of
from ..integers import integers
from ..libraries import Library
from ..subject import Answer, Loss, Sampler, Subject, Table
from .indexed import Indexed, schedule_of

SHAPE = ("beta", "alpha_bar", "p_sample", "loss")

NETWORKS = ("eps_model", "x0_model", "x_0_model", "denoise_model", "model", "network")
"""What the network's attribute may be called."""


def matches(target: Any) -> bool:
    """Whether the target has the tables and methods, by name, and a network."""
    if isinstance(target, type) or not all(hasattr(target, name) for name in SHAPE):
        return False
    return _attribute(target) is not None


def subject(
    target: Any,
    *,
    library: Library,
    claim: Claim | None = None,
    order: int | None = None,
    predicts: Prediction | str | None = None,
    objective: str | None = None,
    ranks: Sequence[int] = (4,),
) -> Subject:
    """The object with its network replaced.

    claim: of `p_sample`, by default DDPM with the variance that sigma2 is. predicts: what the
    network puts out, by default x_0 where its name says so, else eps. objective: "simple", or
    "posterior_mean" for the KL of the posteriors, by default that of the prediction. ranks: of the
    arrays that it takes, by default images alone.
    """
    name = _attribute(target)
    assert name is not None
    if predicts is None:
        predicts = X_0 if name.startswith("x") else EPS
    predicts = from_config(predicts) if isinstance(predicts, str) else predicts
    if objective is None:
        objective = "posterior_mean" if predicts is X_0 else "simple"
    if objective not in ("simple", "posterior_mean"):
        raise ValueError(f"objective must be 'simple' or 'posterior_mean', got {objective!r}")
    schedule = schedule_of(target.alpha_bar, target.beta)
    told = np.arange(schedule.T, dtype=np.float64)
    steps = Indexed(schedule=schedule, told=told, library=library)
    tables = {
        ours: Table(to_host(table).astype(np.float64), 1, _epsilon(table))
        for ours in ("beta", "alpha_bar", "sigma2")
        if (table := getattr(target, ours, None)) is not None
    }
    epsilon = max(library.epsilon, *(table.epsilon for table in tables.values()))
    claimed = claim or _claimed(tables)
    weight = posterior_mean if objective == "posterior_mean" else None
    q_sample, q_mean_variance = (getattr(target, n, None) for n in ("q_sample", "q_xt_x0"))
    return Subject(
        name=type(target).__name__,
        kind="DenoiseDiffusion",
        make=library.make,
        dtypes=library.dtypes,
        ranks=tuple(ranks),
        epsilon=epsilon,
        schedule=schedule,
        tables=tables,
        q_sample=q_sample and (lambda x_0, t, eps: q_sample(x_0, steps.index(t), eps)),
        q_mean_variance=q_mean_variance and (lambda x_0, t: q_mean_variance(x_0, steps.index(t))),
        losses={
            "simple": Loss(
                of=_loss(target, name, steps),
                predicts=predicts,
                weight=weight,
                own_eps=True,
                own_times=True,
            ),
            "times": Loss(of=_times(target, name, steps)),
        },
        samplers=tuple(_samplers(target, name, steps, predicts, claimed, epsilon)),
    )


def _attribute(target: Any) -> str | None:
    return next((n for n in NETWORKS if callable(getattr(target, n, None))), None)


def _epsilon(table: Any) -> float:
    return float(np.finfo(to_host(table).dtype).eps)


def _claimed(tables: dict[str, Table]) -> Claim:
    """DDPM with the variance that sigma2 is; the large one unless it is nearer the small."""
    beta, bar = tables["beta"].values, tables["alpha_bar"].values
    sigma2 = tables["sigma2"].values if "sigma2" in tables else beta
    small = beta[1:] * (1.0 - bar[:-1]) / (1.0 - bar[1:])
    off = [np.sum(np.abs(sigma2[1:] - v)) for v in (beta[1:], small)]
    return claim_of("ddpm", variance="small" if off[1] < off[0] else "large")


@contextmanager
def network_of(target: Any, name: str, network: Any) -> Iterator[None]:
    """The target with another network, and afterwards its own again."""
    # A module of PyTorch keeps its parts aside and refuses what is no module.
    held = getattr(target, "_modules", {})
    place = held if name in held else vars(target)
    own = place[name]
    place[name] = network
    try:
        yield
    finally:
        place[name] = own


def _samplers(
    target: Any,
    name: str,
    steps: Indexed,
    predicts: Prediction,
    claimed: Claim,
    epsilon: float,
) -> Iterator[Sampler]:
    def step(network: Any, x: Any, index: Any) -> Any:
        with network_of(target, name, network):
            return target.p_sample(x, index)

    def raw(answer: Answer) -> Answer:
        return steps.output(predicts, answer)

    for grid in steps.windows():
        whole = len(grid) > steps.schedule.T
        yield Sampler(
            label="p_sample" + ("" if whole else f" from time {grid[0]}"),
            schedule=steps.schedule,
            grid=grid,
            launch=steps.walk(step, grid, raw),
            epsilon=epsilon,
            claim=claimed,
            predicts=predicts,
        )


def _loss(target: Any, name: str, steps: Indexed) -> Callable[..., Any]:
    """The loss at times of ours, which are handed out in place of those that it draws."""

    def loss(network: Any, x_0: Any, times: Sequence[float], eps: Any) -> Any:
        def model(x_t: Any, told: Any) -> Any:
            return network(x_t, tuple(steps.time(float(t)) for t in to_host(told).reshape(-1)))

        index = np.asarray(times, dtype=np.int64) - 1
        with network_of(target, name, model), integers(lambda shape: index):
            return target.loss(x_0, eps)

    return loss


def _times(target: Any, name: str, steps: Indexed) -> Callable[[int, int], Host]:
    """Times that the loss draws, by what the network is told."""

    def times(n: int, seed: int) -> Host:
        told: list[Host] = []

        def model(x_t: Any, t: Any) -> Any:
            told.append(to_host(t).reshape(-1))
            return x_t

        steps.library.seed(seed)
        x_0 = steps.library.make(np.zeros((n, 1, 1, 1)), steps.library.dtypes[0])
        with network_of(target, name, model):
            target.loss(x_0)
        return np.concatenate(told).astype(np.float64) + 1.0

    return times
