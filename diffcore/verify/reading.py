"""The whole linear map of a sampler, read off in one scripted run.

A sampler is linear in the state it starts from, in each denoised x_0 and in each noise. One run
over a batch of basis vectors, a row for each of these, gives every weight at once: row i of a
state is the weight of thing i. Where the denoiser is that of Gaussian data,

    m(x, t) = (sigma^2 mu + alpha v x) / (alpha^2 v + sigma^2),

the loop is closed, and the weights are those of the start, of mu and of the noises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .._arrays import Host, to_host
from ..plan import Plan, iterate
from ..schedules import Schedule
from .as_often import as_often
from .script import normals
from .subject import Answer, Sampler


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The weights of every observed state: the one at each call of the network, then the end.

    states: shape (observations, columns); columns are the start, then `outputs` denoised x_0 (of a
    closed loop: mu, once), then each noise that weighs more than rounding. constant: what is left
    where all of these are 0; shape (observations,). times: what the network was told. silent: how
    many noises were drawn that have no weight. shapes: those that were drawn, for a state `shape`.
    """

    states: Host
    constant: Host
    outputs: int
    times: tuple[float, ...]
    silent: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def start(self) -> Host:
        """The weights of the state it starts from; shape (observations,)."""
        return self.states[:, 0]

    @property
    def means(self) -> Host:
        """The weights of the denoised x_0; shape (observations, outputs)."""
        return self.states[:, 1 : 1 + self.outputs]

    def mean(self, alpha: float) -> Host:
        """The weight of x_0 in each state where the start holds `alpha` of it."""
        held: Host = self.start * alpha + np.sum(self.means, axis=1)
        return held

    def deviation(self, sigma: float) -> Host:
        """The standard deviation of each state where the start's is `sigma` and x_0 has none."""
        spread: Host = np.sqrt((self.start * sigma) ** 2 + np.sum(self.noises**2, axis=1))
        return spread

    def newest_noises(self) -> Host:
        """The weight of each noise in the first state that holds it."""
        return np.array([column[np.flatnonzero(column)[0]] for column in self.noises.T])

    @property
    def noises(self) -> Host:
        """The weights of the noises; shape (observations, noises)."""
        return self.states[:, 1 + self.outputs :]


def open_loop(sampler: Sampler, make: Callable[[Any, str], Any], dtype: str) -> Reading:
    """The weights on every denoised x_0, whatever the state."""

    def answer(basis: Host) -> Answer:
        return lambda x_t, t, k: np.broadcast_to(_column(basis[:, 1 + k], x_t), x_t.shape)

    return _remembered(sampler, dtype, None, lambda: _read(sampler, make, dtype, answer, None))


def closed_loop(
    sampler: Sampler, make: Callable[[Any, str], Any], dtype: str, variance: float
) -> Reading:
    """The weights on the mean of data N(mu, variance) with their exact denoiser."""

    def answer(basis: Host) -> Answer:
        return lambda x_t, t, k: gaussian(
            sampler.schedule, _column(basis[:, 1], x_t), variance, x_t, t
        )

    return _remembered(sampler, dtype, variance, lambda: _read(sampler, make, dtype, answer, 1))


_READINGS: WeakKeyDictionary[Sampler, dict[tuple[str, float | None], Reading]] = WeakKeyDictionary()


def _remembered(
    sampler: Sampler, dtype: str, variance: float | None, read: Callable[[], Reading]
) -> Reading:
    """The reading, which many checks ask for, taken once for each sampler."""
    known = _READINGS.setdefault(sampler, {})
    if (dtype, variance) not in known:
        known[dtype, variance] = read()
    return known[dtype, variance]


def gaussian(schedule: Schedule, mean: Any, variance: float, x_t: Host, t: float) -> Host:
    """E[x_0 | x_t] for N(mean, variance); the mean itself for variance 0, at sigma = 0 too."""
    if variance == 0.0:
        return np.broadcast_to(np.asarray(mean, dtype=np.float64), x_t.shape)
    alpha, sigma = schedule(t)
    total = alpha * alpha * variance + sigma * sigma
    result: Host = (sigma * sigma / total) * mean + (alpha * variance / total) * x_t
    return result


def exact(
    plan: Plan,
    sampler: Sampler,
    *,
    variance: float | None = None,
    blur: float = 0.0,
    seed: int = 0,
) -> Reading:
    """What `open_loop` reads of a plan of ours; given the data's variance, what `closed_loop` does.

    blur: the epsilon of an arithmetic that finds the denoised x_0 from the network's output, to be
    imitated by errors in directions of `seed`.
    """
    rng = np.random.default_rng(seed)
    outputs = plan.evaluations if variance is None else 1
    basis = np.eye(1 + outputs + sum(stage.draws for stage in plan.stages))
    seen = {"calls": 0, "draws": 0}
    largest = np.zeros(len(basis))

    def denoise(x_t: Any, t: Any) -> Any:
        seen["calls"] += 1
        if variance is None:
            m = basis[:, seen["calls"]]
        else:
            m = gaussian(sampler.schedule, basis[:, 1], variance, x_t, t)
        if not blur:
            return m
        # Rounding of a state is felt as an error of its x_0 is, for they are subtracted.
        np.maximum(largest, np.abs(x_t), out=largest)
        size = largest + lost(sampler, np.abs(x_t), np.abs(m), t)
        return m + blur * rng.uniform(-1.0, 1.0) * size

    def noise(like: Any, step: int) -> Any:
        seen["draws"] += 1
        return basis[:, outputs + seen["draws"]]

    observed, times = [], []
    state = basis[:, 0]
    for progress in iterate(denoise, plan, state, noise):
        if progress.stage.calls:
            observed.append(state)
            times.append(float(progress.stage.time))
        state = progress.x
    return Reading(
        states=np.stack([*observed, state]),
        constant=np.zeros(len(observed) + 1),
        outputs=outputs,
        times=tuple(times),
    )


def lost(sampler: Sampler, x_t: Host, x_0: Host, t: float) -> Host:
    """The size of what cancels when x_0 is found from the network's output at (x_t, t)."""
    alpha, sigma = sampler.schedule(t)
    p, q = (float(part) for part in sampler.predicts.mix(sampler.schedule, t, x_t))
    if q == 0.0 or sigma == 0.0:
        return np.zeros_like(x_t)
    determinant = alpha * q - sigma * p
    output = np.abs(p) * x_0 + np.abs(q) * (x_t + alpha * x_0) / sigma
    size: Host = (np.abs(q) * x_t + sigma * output) / np.abs(determinant)
    return size


def _read(
    sampler: Sampler,
    make: Callable[[Any, str], Any],
    dtype: str,
    answer: Callable[[Host], Answer],
    outputs: int | None,
) -> Reading:
    """Two trial runs count the calls and the draws, the third runs the basis."""
    calls, draws = _count(sampler, make, dtype)
    columns = calls if outputs is None else outputs
    rows = 2 + columns + draws
    basis = np.eye(rows, rows - 1, k=0)  # The last row is all zeros: the constant.
    shape = (rows, *SAMPLE)

    def script(k: int, drawn: tuple[int, ...]) -> Host:
        values = np.zeros(drawn)
        if drawn[:1] == (rows,):
            values[1 + columns + k] = 1.0
        return values

    start = make(np.reshape(basis[:, 0], (-1, *SAMPLE)), dtype)
    with normals(script) as seen, as_often(answer(basis), calls) as asked:
        run = sampler.launch(asked, start, 0)
    states = np.stack([_first(to_host(x), rows) for x in run.states])
    constant = states[:, -1]
    weights = states[:, :-1] - constant[:, None]
    noisy = 1 + columns
    heard = [j for j in range(noisy, rows - 1) if np.any(np.abs(weights[:, j]) > sampler.epsilon)]
    return Reading(
        states=weights[:, [*range(noisy), *heard]],
        constant=constant,
        outputs=columns,
        times=run.times,
        silent=draws - len(heard),
        shapes=tuple(seen.shapes),
        shape=shape,
    )


SAMPLE = (1, 1, 1)
"""The shape of one sample in a reading: an image of one pixel, which all code takes."""


def _count(sampler: Sampler, make: Callable[[Any, str], Any], dtype: str) -> tuple[int, int]:
    calls = 0

    def zero(x_t: Host, t: float, k: int) -> Host:
        nonlocal calls
        calls += 1
        return np.zeros_like(x_t)

    def silence(k: int, shape: tuple[int, ...]) -> Host:
        return np.zeros(shape)

    with normals(silence) as drawn:
        sampler.launch(zero, make(np.zeros((3, *SAMPLE)), dtype), 0)
    return calls, len(drawn.shapes)


def _column(values: Host, like: Host) -> Host:
    return np.reshape(values, (-1, *(1,) * (like.ndim - 1)))


def _first(x: Host, rows: int) -> Host:
    """Each sample's value as float64; shape (rows,)."""
    if x.shape != (rows, *SAMPLE):
        raise ValueError(f"a state of shape {(rows, *SAMPLE)} became one of shape {x.shape}")
    result: Host = np.reshape(x.astype(np.float64), (rows,))
    return result
