"""Does it run, and is it linear: what the other checks of a sampler stand on."""

from collections.abc import Iterator

import numpy as np

from ..._arrays import Host, to_host
from .. import reading
from ..outcome import Outcome
from ..script import normals
from ..subject import Sampler, Subject


def runs(subject: Subject) -> Iterator[Outcome]:
    """Every configuration runs, keeps the state's shape and ends in numbers."""
    for sampler in subject.samplers:
        yield attempt(subject, sampler)


def attempt(subject: Subject, sampler: Sampler) -> Outcome:
    """The outcome for one sampler; a failure tells what it raised."""
    try:
        found = reading.open_loop(sampler, subject.make, subject.dtypes[-1])
    except Exception as error:
        words = f"raises {type(error).__name__}: {error}".strip().splitlines()[0]
        return Outcome(error=1.0, bound=0.0, where=sampler.label, cause=words)
    wrong = int(np.sum(~np.isfinite(found.states)))
    if not wrong and _draws_unseen(subject, sampler):
        return Outcome(
            error=1.0,
            bound=0.0,
            where=sampler.label,
            cause="cannot be checked: it draws from a generator of its own, which cannot be set; "
            "let it draw from one that it is given (rng, generator, key) or from its library's",
        )
    return Outcome(
        error=float(wrong),
        bound=0.0,
        where=sampler.label,
        cause=f"{wrong} weights are not finite",
    )


def _draws_unseen(subject: Subject, sampler: Sampler) -> bool:
    """Whether it makes of nothing, with every known draw silenced, something else each time."""

    def end() -> Host:
        with normals(lambda k, shape: np.zeros(shape)):
            x = subject.make(np.zeros((1, *reading.SAMPLE)), subject.dtypes[-1])
            return to_host(sampler.launch(lambda x_t, t, k: np.zeros(x_t.shape), x, 0).states[-1])

    first = end()
    return bool(np.any(first != 0.0) and np.any(first != end()))


def linear(subject: Subject) -> Iterator[Outcome]:
    """A random run is the combination of the basis runs that its weights say."""
    for sampler in subject.samplers:
        found = reading.open_loop(sampler, subject.make, subject.dtypes[-1])
        rng = np.random.default_rng(0)
        draws = rng.standard_normal(1 + found.outputs)
        state, outputs = 3.0 * draws[0], 3.0 * draws[1:]

        def answer(x_t: Host, t: float, k: int, outputs: Host = outputs) -> Host:
            return np.full(x_t.shape, outputs[k])

        with normals(lambda k, shape: np.zeros(shape)):
            x = subject.make(np.full((2, *reading.SAMPLE), state), subject.dtypes[-1])
            run = sampler.launch(answer, x, 0)
        wanted = found.states[:, : 1 + found.outputs] @ np.array([state, *outputs])
        wanted = wanted + found.constant
        size = np.abs(found.states[:, : 1 + found.outputs]) @ np.abs([state, *outputs])
        for k, (x, should, scale) in enumerate(zip(run.states, wanted, size, strict=True)):
            has = float(to_host(x).reshape(-1)[0])
            yield Outcome(
                error=abs(has - should),
                # Half of the digits: no clipping is so slight, and no rounding so large.
                bound=sampler.epsilon**0.5 * scale,
                where=f"state {k}, {sampler.label}: {has:.6g} for {should:.6g}",
                cause="clips, thresholds or rescales: it is not linear in the denoised x_0",
                at=k,
                axis=sampler.label,
            )
