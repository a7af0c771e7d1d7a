"""What is done to the denoised x_0 before a step: clipping to [-1, 1], or a function of it.

    run with the change, x_0 denoised  =  run without, change(x_0) denoised

A clipped sampler is not linear in x_0, but the plain one is, and the change stands between.
"""

from collections.abc import Iterator

import numpy as np

from ... import samplers
from ..._arrays import Host, to_host
from .. import reading
from ..outcome import Outcome
from ..rounding import open_bound
from ..script import normals
from ..subject import Clipped, Run, Sampler, Subject

INSIDE = 6
"""Samples whose x_0 is always within [-1, 1]; they come first."""

ROWS = 12


def clipping(subject: Subject) -> Iterator[Outcome]:
    """A run that changes x_0 is the plain run on the changed x_0."""
    for clipped in subject.clipped:
        yield from _compared(subject, clipped)


def _compared(subject: Subject, clipped: Clipped) -> Iterator[Outcome]:
    sampler, plain, change = clipped
    rng = np.random.default_rng(subject.seed)
    x = 3.0 * rng.standard_normal((ROWS, *reading.SAMPLE))
    calls = reading.open_loop(plain, subject.make, subject.dtypes[-1]).outputs
    x_0 = 2.0 * rng.standard_normal((calls, *x.shape))
    x_0[:, :INSIDE] = rng.uniform(-1.0, 1.0, (calls, INSIDE, *reading.SAMPLE))
    z = rng.standard_normal((2 * calls, *x.shape))

    def run(which: Sampler, values: Host) -> Run:
        with normals(lambda k, shape: z[k] if shape == z[k].shape else np.zeros(shape)):
            start = subject.make(x, subject.dtypes[-1])
            return which.launch(lambda x_t, t, k: values[k], start, subject.seed)

    has, wanted = run(sampler, x_0).states, run(plain, change(x_0)).states
    plan = plain.plan() or samplers.ddim(plain.schedule, plain.grid)
    # Each weight may be off by the bound, and each thing weighed is no larger than these together.
    size = np.max(np.abs(x)) + np.sum(np.max(np.abs(x_0), axis=(1, 2, 3, 4))) + np.max(np.abs(z))
    bounds = size * open_bound(plan, plain)
    for k, (a, b) in enumerate(zip(has, wanted, strict=True)):
        error = np.abs(to_host(a) - to_host(b)).reshape(ROWS)
        worst = int(np.argmax(error))
        yield Outcome(
            error=float(error[worst]),
            bound=float(bounds[min(k, len(bounds) - 1)]),
            where=f"state {k}, {sampler.label}",
            cause="it changes an x_0 within [-1, 1], too"
            if np.max(error[:INSIDE]) > bounds[min(k, len(bounds) - 1)]
            else "it changes an x_0 beyond [-1, 1] otherwise",
            at=k,
            axis=sampler.label,
        )
