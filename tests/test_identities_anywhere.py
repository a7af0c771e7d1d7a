"""The identities of the forward process by arrays: any library, dtype, schedule, times and shape.

`verify.identities` measures them on schedules and times of its own; here they are drawn.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import LIBRARIES, as_numpy, namespace_of
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import normal, seeds, shapes, timed

from diffcore import gaussians, predictions, process, schedules

DTYPES = ["float16", "bfloat16", "float32", "float64"]
PREDICTIONS = [*predictions.NAMES.values(), predictions.Edm()]


class Case(NamedTuple):
    """Two times of a schedule, as `source`, `s` and `t` say them to arrays like `x`."""

    xp: Any
    schedule: Any
    levels: tuple[float, float]
    source: Any
    s: Any
    t: Any
    x: Any

    def arrays(self, seed: int, count: int) -> list[Any]:
        drawn = normal(seed, self.x.shape, count)
        return [self.xp.asarray(v, dtype=self.x.dtype) for v in drawn]


def case_of(library, dtype, schedule, times, shape, form):
    """The case; `form` gives the times as numbers, as arrays, or as arrays into the tables."""
    xp = namespace_of(library)
    x = xp.asarray(np.zeros(shape), dtype=getattr(xp, dtype, None) or np.dtype(dtype))
    discrete = isinstance(schedule, schedules.DiscreteSchedule)
    source = schedule.tables(x) if form == "tables" and discrete else schedule
    kind = xp.int64 if discrete else xp.float64
    s, t = (
        time if form == "number" else xp.asarray(np.full(shape[0], time), dtype=kind)
        for time in times
    )
    return Case(xp, schedule, times, source, s, t, x)


@st.composite
def cases(draw, dtypes=DTYPES):
    library = draw(st.sampled_from(LIBRARIES))
    dtype = draw(st.sampled_from(dtypes))
    halves = {"numpy": ["float16"], "dask": ["float16"], "array_api_strict": []}
    assume("16" not in dtype or dtype in halves.get(library, DTYPES))
    schedule, times = draw(timed())
    # What is left of the signal, and its square, must be numbers of the dtype.
    assume(schedule(times[1]).alpha > 1e-2 or "16" not in dtype)
    form = draw(st.sampled_from(["number", "array", "tables"]))
    return case_of(library, dtype, schedule, times, draw(shapes), form)


def unit(x):
    """The epsilon and the least step of x's dtype, which numbers near 0 are rounded to."""
    return {
        "float16": (2.0**-10, 2.0**-24),
        "bfloat16": (2.0**-7, 2.0**-133),
        "float32": (2.0**-23, 2.0**-149),
        "float64": (2.0**-52, 0.0),
    }[str(x.dtype).rpartition(".")[2]]


def error(got, wanted, like, scale=None):
    """The largest difference of two arrays in epsilons of `scale`, by default of the values."""
    eps, least = unit(like)
    a, b = (as_numpy(v).astype(float) for v in (got, wanted))
    scale = np.abs(a) + np.abs(b) if scale is None else scale
    return float(np.max(np.abs(a - b) / (eps * scale + 4 * least + 1e-300)))


def composed(case, seed, transition=process.q_transition):
    """The largest error of a step from x_s after one from x_0, held against one from x_0."""
    (x_0,) = case.arrays(seed, 1)
    there = process.q_mean_variance(case.source, x_0, case.s)
    on = transition(case.source, there.mean, case.s, case.t)
    whole = process.q_mean_variance(case.source, x_0, case.t)
    scale = as_numpy(transition(case.source, x_0 * 0 + 1, case.s, case.t).mean).astype(float)
    spread = scale**2 * as_numpy(there.variance) + as_numpy(on.variance)
    assert on.mean.dtype == on.variance.dtype == whole.variance.dtype == case.x.dtype
    variance = np.broadcast_to(as_numpy(whole.variance).astype(float), case.x.shape)
    return max(error(on.mean, whole.mean, case.x), error(spread, variance, case.x))


@given(cases(), seeds)
def test_a_step_after_a_step_is_one_from_data(case, seed):
    assert composed(case, seed) <= 32


def joint(case, seed, posterior=process.q_posterior):
    """The largest error of Bayes' rule in log densities, over its condition |x| / deviation."""
    x_0, eps, more = case.arrays(seed, 3)
    x_s = process.q_sample(case.source, x_0, case.s, eps)
    hop = process.q_transition(case.source, x_s, case.s, case.t)
    x_t = hop.mean + case.xp.sqrt(hop.variance) * more
    back = posterior(case.source, x_0, x_t, case.t, case.s)
    first, second = (process.q_mean_variance(case.source, x_0, time) for time in (case.s, case.t))
    left = gaussians.log_density(x_s, *back) + gaussians.log_density(x_t, *second)
    right = gaussians.log_density(x_t, *hop) + gaussians.log_density(x_s, *first)
    sizes = [
        np.max(np.abs(as_numpy(x)) / np.sqrt(as_numpy(v)))
        for x, v in ((x_t, hop.variance), (x_s, back.variance))
    ]
    scale = 10.0 + np.max(np.abs(as_numpy(left)))
    return error(left, right, case.x, scale * max(1.0, *sizes))


@given(cases(["float32", "float64"]), seeds)
def test_bayes_rule(case, seed):
    assert joint(case, seed) <= 128


def product(case, seed, posterior=process.q_posterior):
    """The largest error of the posterior against q(x_t | x_s) q(x_s | x_0), by precisions."""
    x_0, x_t = case.arrays(seed, 2)
    prior = process.q_mean_variance(case.source, x_0, case.s)
    hop = process.q_transition(case.source, x_0 * 0 + 1, case.s, case.t)
    precision = 1.0 / prior.variance + hop.mean * hop.mean / hop.variance
    parts = prior.mean / prior.variance, hop.mean * x_t / hop.variance
    got = posterior(case.source, x_0, x_t, case.t, case.s)
    variance = np.broadcast_to(as_numpy(got.variance), case.x.shape)
    scale = sum(np.abs(as_numpy(part)) for part in parts) / as_numpy(precision)
    return max(
        error(got.mean, sum(parts) / precision, case.x, scale),
        error(variance, 1.0 / precision, case.x),
    )


@given(cases(["float32", "float64"]), seeds)
def test_the_posterior_is_the_product(case, seed):
    assert product(case, seed) <= 64


def round_trip(case, seed, predicts):
    """The largest error of x_0 and of eps from the target, over the equations' condition."""
    x_0, eps = case.arrays(seed, 2)
    x_t = process.q_sample(case.source, x_0, case.t, eps)
    output = predicts.target(case.source, x_0, case.t, eps)
    got = predicts.pivot(case.source, output, x_t, case.t)
    alpha, sigma = case.schedule(case.levels[1])
    p, q = predicts.mix(case.schedule, case.levels[1], case.x)
    determinant = abs(alpha * q - sigma * p)
    size = 1.0 + max(np.max(np.abs(as_numpy(v))) for v in (x_0, eps))
    scale = float(size) * max(1.0, (abs(p) + abs(q)) * (alpha + sigma) / determinant)
    assert got.x_0.dtype == got.eps.dtype == case.x.dtype
    return max(error(got.x_0, x_0, case.x, scale), error(got.eps, eps, case.x, scale))


@given(cases(), seeds, st.sampled_from(PREDICTIONS))
def test_every_prediction_gives_back_its_pair(case, seed, predicts):
    discrete = isinstance(case.schedule, schedules.DiscreteSchedule)
    assume(discrete or predicts is not predictions.MEAN)
    alpha, sigma = case.schedule(case.levels[1])
    p, q = predicts.mix(case.schedule, case.levels[1], case.x)
    assume(min(alpha, sigma, abs(alpha * q - sigma * p)) > 1e-2)
    assert round_trip(case, seed, predicts) <= 32


@pytest.mark.parametrize("library", LIBRARIES)
def test_wrong_formulas_are_rejected(library):
    case = case_of(library, "float32", schedules.linear(), [300, 600], (2, 3), "array")

    def beta_alone(schedule, x_s, s, t):
        mean, variance = process.q_transition(schedule, x_s, s, t)
        return process.Gaussian(mean, variance * variance)

    def of_the_transition(schedule, x_0, x_t, t, s):
        mean, _ = process.q_posterior(schedule, x_0, x_t, t, s)
        return process.Gaussian(mean, process.q_transition(schedule, x_0, s, t).variance)

    assert composed(case, 0) <= 32 < composed(case, 0, beta_alone)
    assert joint(case, 0) <= 128 < joint(case, 0, of_the_transition)
    assert product(case, 0) <= 64 < product(case, 0, of_the_transition)

    class Flipped(predictions.Prediction):
        def x_0(self, schedule, output, x_t, t):
            return super().x_0(schedule, -output, x_t, t)

    assert round_trip(case, 0, predictions.V) <= 32
    assert round_trip(case, 0, Flipped("v", predictions.V.mix)) > 1e3
