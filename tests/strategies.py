"""Hypothesis strategies: random schedules, times, shapes and data."""

import numpy as np
from hypothesis import strategies as st

from diffcore import schedules


@st.composite
def discrete_schedules(draw, max_T=60):
    """Any discrete schedule: the named ones, random betas, and their transforms."""
    T = draw(st.integers(2, max_T))
    kind = draw(st.sampled_from(["linear", "cosine", "sigmoid", "constant", "from_betas"]))
    if kind == "from_betas":
        betas = draw(st.lists(st.floats(1e-5, 0.9), min_size=T, max_size=T))
        schedule = schedules.from_betas(betas)
    elif kind == "linear":
        start = draw(st.floats(1e-5, 0.01))
        schedule = schedules.linear(T, start, start + draw(st.floats(0.001, 0.5)))
    else:
        schedule = getattr(schedules, kind)(T)
    transform = draw(st.sampled_from(["none", "zero", "shift", "respace"]))
    if transform == "zero":
        return schedules.zero_terminal_snr(schedule)
    if transform == "shift":
        return schedules.shift(schedule, draw(st.floats(0.25, 4.0)))
    if transform == "respace":
        times = draw(st.sets(st.integers(1, T), min_size=2, max_size=T))
        return schedules.respace(schedule, sorted(times))
    return schedule


@st.composite
def continuous_schedules(draw):
    """Any continuous schedule, interpolated ones among them, shifted or not."""
    kinds = ["vp_linear", "sub_vp", "cosine_continuous", "ve", "edm", "flow", "interpolate"]
    kind = draw(st.sampled_from(kinds))
    interpolated = kind == "interpolate"
    schedule = (
        schedules.interpolate(draw(discrete_schedules()))
        if interpolated
        else getattr(schedules, kind)()
    )
    return (
        schedules.shift(schedule, draw(st.floats(0.25, 4.0))) if draw(st.booleans()) else schedule
    )


@st.composite
def timed(draw, count=2, lowest=1):
    """(schedule, increasing times): a schedule of either sort and `count` times of its own."""
    if draw(st.booleans()):
        schedule = draw(discrete_schedules())
        distinct = st.sets(st.integers(lowest, schedule.T), min_size=count, max_size=count)
        if schedule.T - lowest + 1 < count:
            schedule = schedules.linear(count + lowest)
            distinct = st.just(set(range(lowest, lowest + count)))
        return schedule, sorted(draw(distinct))
    schedule = draw(continuous_schedules())
    parts = sorted(draw(st.sets(st.integers(1, 99), min_size=count, max_size=count)))
    return schedule, [schedule.curve.t_max * p / 100 for p in parts]


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def normal(seed, shape, count=1):
    """`count` arrays of standard normal float64 numbers."""
    return np.random.default_rng(seed).standard_normal((count, *shape))
