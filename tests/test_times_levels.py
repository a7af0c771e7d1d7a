"""Grids by noise level, by quantiles and by square roots, against papers and published code."""

import math
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from strategies import discrete_schedules

from diffcore import samplers, schedules, times

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers' own.
EPS = np.finfo(np.float64).eps
LINEAR = schedules.scaled_linear()
JOINED = schedules.interpolate(LINEAR)
RULES = {
    "karras": times.karras,
    "exponential": times.exponential,
    "uniform_log_snr": lambda schedule, n: times.uniform_log_snr(schedule, n - 1),
    "quadratic": times.quadratic,
    "beta": times.beta,
}


def levels(schedule, grid):
    """sigma / alpha of each time."""
    return np.array([schedule(t).sigma / schedule(t).alpha for t in grid])


def test_karras_is_equation_5_at_30_digits():
    """Karras et al. 2022, eq. 5, on their schedule, where a time is its noise level."""
    grid = times.karras(schedules.edm(), 18)
    assert len(grid) == 19
    assert (grid[0], grid[-1]) == (80.0, 0.0)
    with mp.workdps(30):
        low, high, rho = mp.mpf("0.002"), mp.mpf(80), mp.mpf(7)
        for i in range(18):
            step = mp.mpf(i) / 17 * (low ** (1 / rho) - high ** (1 / rho))
            assert grid[i] == pytest.approx(float((high ** (1 / rho) + step) ** rho), rel=1e-13)
    assert abs(times.karras(schedules.edm(), 18, rho=5.0)[9] / grid[9] - 1.0) > 0.1


@pytest.mark.parametrize("schedule", [JOINED, schedules.vp_linear(), schedules.flow()])
def test_on_any_schedule_the_levels_are_edms(schedule):
    ends = {"sigma_min": 0.03, "sigma_max": 12.0}
    rules = (
        (times.karras, {"rho": 7.0}),
        (times.karras, {"rho": 3.0}),
        (times.exponential, {}),
        (times.uniform_log_snr, {}),
    )
    for rule, extra in rules:
        wanted = rule(schedules.edm(), 12, **ends, **extra)
        got = levels(schedule, rule(schedule, 12, **ends, **extra))
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_exponential_and_uniform_log_snr():
    """Equal ratios: n levels and data, or n steps between the two ends."""
    grid = np.array(times.exponential(schedules.edm(), 5, 0.01, 100.0 * 0.8))
    np.testing.assert_allclose(grid[1:-1] / grid[:-2], 8000.0 ** (-1 / 4), rtol=1e-13)
    assert grid[-1] == 0.0
    grid = times.uniform_log_snr(JOINED, 5)
    assert len(grid) == 6
    steps = np.diff([JOINED.log_snr_at(t) for t in grid])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-10)
    assert (grid[0], grid[-1]) == (1000.0, pytest.approx(1.0, rel=1e-12))
    # The limit of Karras' rule.
    steep = times.karras(schedules.edm(), 9, rho=1e6)
    np.testing.assert_allclose(steep, times.exponential(schedules.edm(), 9), rtol=1e-4)


@pytest.mark.parametrize("option", ["karras", "exponential", "beta"])
@pytest.mark.parametrize("n", [5, 20])
def test_diffusers_agrees(option, n):
    """EulerDiscreteScheduler's noise levels, and where between its times they lie.

    Its levels are float32, and "beta" there means quantiles between two levels, not times.
    """
    options = {f"use_{option}_sigmas": True, "beta_schedule": "scaled_linear"}
    scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, **options)
    scheduler.set_timesteps(n)
    theirs = scheduler.sigmas.double().numpy()
    low, high = levels(LINEAR, (1, 1000))
    if option == "beta":
        shares = [times.beta_quantile(1.0 - k / (n - 1), 0.6, 0.6) for k in range(n)]
        grid = times.from_sigmas(JOINED, [*(low + (high - low) * q for q in shares), 0.0])
    else:
        grid = RULES[option](JOINED, n)
    np.testing.assert_allclose(levels(JOINED, grid), theirs, rtol=2e-5, atol=1e-6)
    assert len(grid) == n + 1
    if option != "beta":
        # Their time of a level, counted from 0 at our 1, is piecewise linear in its logarithm too.
        timesteps = scheduler.timesteps.double().numpy()
        np.testing.assert_allclose(np.array(grid[:-1]) - 1.0, timesteps, atol=2e-2)
        whole = RULES[option](LINEAR, n)
        if n == 5:
            assert whole[:-1] == tuple(round(t) + 1 for t in timesteps)


def test_uniform_log_snr_is_diffusers_lu_lambdas():
    scheduler = DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_lu_lambdas=True
    )
    scheduler.set_timesteps(10)
    grid = times.uniform_log_snr(JOINED, 9)
    theirs = scheduler.sigmas.double().numpy()[:-1]
    np.testing.assert_allclose(levels(JOINED, grid), theirs, rtol=2e-5)


def test_quadratic_is_the_papers():
    """tau_i = floor(c i^2) with c such that the last one is T (Song, Meng & Ermon 2021, D.2)."""
    grid = times.quadratic(schedules.linear(), 10)
    assert grid == (*(math.floor(10 * i**2) for i in range(10, 0, -1)), 0)
    assert times.quadratic(schedules.flow(), 4) == (1.0, 0.5625, 0.25, 0.0625, 0.0)
    assert grid != times.trailing(schedules.linear(), 10)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.05, 40.0), st.floats(0.05, 40.0))
@example(p=1e-6, a=15.0, b=0.125)
@example(p=1e-6, a=40.0, b=0.05)
@example(p=0.9999989999999999, a=0.5, b=18.0)
def test_quantiles_have_their_mass_below(p, a, b):
    """To the last digits of x, and of the lesser mass on either side of it."""
    x = times.beta_quantile(p, a, b)
    inside = min(x, 1.0 - EPS)
    # The mass is exp of a sum of these; what is summed is the lesser one, or up to 9 times as much.
    terms = [a * math.log(inside), b * math.log1p(-inside), *map(math.lgamma, (a, b, a + b))]
    slack = 32 * EPS * (1.0 + sum(map(abs, terms))) * min(p, 1.0 - p)
    with mp.workdps(40):
        around = (mp.mpf(x) * (1 - 4 * EPS), min(mp.mpf(x) * (1 + 4 * EPS), 1))
        below, above = (mp.betainc(a, b, 0, v, regularized=True) for v in around)
        assert below - slack <= p <= above + slack


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (0.3, 2.0), (5.0, 1.5), (1.0, 1.0), (80.0, 60.0)])
def test_quantiles_at_30_digits(a, b):
    for p in (0.01, 0.3, 0.5, 0.77, 0.999):
        x = times.beta_quantile(p, a, b)
        with mp.workdps(30):
            assert float(mp.betainc(a, b, 0, x, regularized=True)) == pytest.approx(p, rel=1e-12)
    assert times.beta_quantile(0.0, a, b) == 0.0
    assert times.beta_quantile(1.0, a, b) == 1.0


def test_beta_grids():
    """Lee et al. 2024: the quantiles of evenly spaced probabilities, times T."""
    grid = times.beta(schedules.flow(), 8)
    np.testing.assert_allclose(grid, stats.beta.ppf(1 - np.arange(9) / 8, 0.6, 0.6), rtol=1e-12)
    whole = times.beta(schedules.linear(), 8)
    assert whole == tuple(round(1000 * t) for t in grid)
    np.testing.assert_allclose(times.beta(schedules.edm(), 4, 1.0, 1.0), (80, 60, 40, 20, 0))
    skewed = times.beta(schedules.flow(), 8, 0.5, 2.0)
    assert skewed[1] < grid[1]


@given(discrete_schedules(), st.sampled_from(sorted(RULES)), st.data())
def test_grids_on_discrete_schedules_are_whole_and_distinct(schedule, name, data):
    if schedule.numbers.alpha[-1] == 0.0 and name in ("karras", "exponential", "uniform_log_snr"):
        with pytest.raises(ValueError, match="sigma_max must be given where the schedule ends"):
            RULES[name](schedule, 2)
        return
    least = 2 if name == "uniform_log_snr" else 1
    n = data.draw(st.integers(least, schedule.T))
    grid = RULES[name](schedule, n)
    assert all(isinstance(t, int) for t in grid)
    assert np.all(np.diff(grid) < 0)
    above = [t for t in grid if t > 0]
    assert len(above) == n
    assert 1 <= above[-1] <= above[0] <= schedule.T
    if len(grid) > 1:
        samplers.ddim(schedule, grid)
    # Where no two are rounded to one, each is the nearest.
    joined = RULES[name](schedules.interpolate(schedule), n)
    nearest = [round(t) for t in joined if t > 0]
    if len(set(nearest)) == n and min(nearest) >= 1:
        assert above == nearest


def test_as_many_levels_as_there_are_times():
    schedule = schedules.cosine(12)
    for rule in (times.karras, times.exponential, times.quadratic, times.beta):
        assert rule(schedule, 12) == times.every(schedule)
    assert times.karras(schedules.linear(), 1) == (1000, 0)


def test_from_sigmas():
    sigmas = [14.0, 3.0, 0.5, 0.0]
    for schedule in (JOINED, schedules.vp_linear(), schedules.flow(), schedules.edm()):
        grid = times.from_sigmas(schedule, sigmas)
        np.testing.assert_allclose(levels(schedule, grid), sigmas, rtol=1e-13)
        assert grid[-1] == 0.0
    rounded = times.from_sigmas(LINEAR, sigmas)
    assert rounded == tuple(round(t) for t in times.from_sigmas(JOINED, sigmas))
    flow = schedules.flow()
    assert times.from_sigmas(flow, [math.inf, 1.0]) == (1.0, pytest.approx(0.5, rel=1e-15))
    zero = schedules.zero_terminal_snr(LINEAR)
    assert times.from_sigmas(zero, [math.inf, 1.0, 0.0])[0] == 1000
    for grid in (times.every(LINEAR)[::97], times.trailing(LINEAR, 10)):
        assert times.from_sigmas(LINEAR, levels(LINEAR, grid)) == grid


def test_explicit_lists():
    assert times.explicit(LINEAR, [999.6, 500.4, 0.2]) == (1000, 500, 1)
    assert times.explicit(LINEAR, [10.2, 10.1, 9.9, 0]) == (12, 11, 10, 0)
    assert times.explicit(schedules.linear(3), [2.9, 2.8, 2.7, 0.0]) == (3, 2, 1, 0)
    assert times.explicit(JOINED, [999.6, 0]) == (999.6, 0.0)
    assert times.explicit(schedules.edm(), (80, 1)) == (80.0, 1.0)


def test_interpolated_schedules_keep_the_rules_of_discrete_ones():
    assert times.trailing(JOINED, 3) == (1000.0, 2000 / 3, 1000 / 3, 0.0)
    assert times.linspace(JOINED, 3) == (1000.0, 500.5, 1.0, 0.0)
    assert times.linspace(LINEAR, 3) == (1000, 501, 1, 0)
    assert times.linspace(JOINED, 1) == (1000.0, 0.0)
    quadratic = times.quadratic(JOINED, 3)
    assert quadratic == (1000.0, pytest.approx(4000 / 9), pytest.approx(1000 / 9), 0.0)


FLOW = schedules.flow()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: times.karras(FLOW, 5), "sigma_max must be given where the schedule ends without"),
        (lambda: times.karras(LINEAR, 0), r"n must be a whole number of steps in 1..1000, got 0"),
        (lambda: times.karras(LINEAR, 5, rho=0.0), "rho must be positive and finite, got 0.0"),
        (
            lambda: times.karras(LINEAR, 5, sigma_max=99.0),
            "sigma_max must be in .0, 14.6.*, got 99",
        ),
        (
            lambda: times.exponential(schedules.ve(), 5, 1e-3),
            "sigma_min must be in .0.01, 50., got",
        ),
        (lambda: times.exponential(LINEAR, 5, 3.0, 2.0), "sigma_min must be positive and below"),
        (lambda: times.exponential(LINEAR, 5, -1.0), "sigma_min must be positive and below"),
        (lambda: times.uniform_log_snr(LINEAR, 1000), "n must be below T = 1000, since the grid"),
        (lambda: times.uniform_log_snr(LINEAR, 2.5), "n must be a whole number of steps"),
        (lambda: times.quadratic(LINEAR, 1001), "n must be a whole number of steps"),
        (
            lambda: times.from_sigmas(LINEAR, [1.0, 2.0]),
            "sigmas must descend strictly, got 1.0 then",
        ),
        (lambda: times.from_sigmas(LINEAR, [99.0, 2.0]), "sigmas must be in .0, 14.6.*, got 99"),
        (lambda: times.from_sigmas(LINEAR, [1.0, -2.0]), "sigmas must be one or more from 0 on"),
        (lambda: times.from_sigmas(LINEAR, []), "sigmas must be one or more from 0 on"),
        (lambda: times.explicit(LINEAR, [5, 5]), "times must descend strictly, got 5.0 then 5.0"),
        (lambda: times.explicit(LINEAR, [1001, 5]), "times must be one or more in .0, 1000."),
        (
            lambda: times.explicit(schedules.linear(2), [2, 1.5, 1, 0]),
            "n must be a whole number of steps in 1..2, got 3",
        ),
        (lambda: times.beta(LINEAR, 5, a=0.0), "a must be positive and finite, got 0.0"),
        (lambda: times.beta(LINEAR, 5, b=math.inf), "b must be positive and finite, got inf"),
        (lambda: times.beta_quantile(1.5, 1.0, 1.0), r"p must be in \[0, 1\], got 1.5"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: times.karras(LINEAR, 5, rho="7"), "rho must be a number, got '7'"),
        (lambda: times.karras(LINEAR, 5, sigma_max=True), "sigma_max must be a number, got True"),
        (lambda: times.exponential(LINEAR, 5, "1"), "sigma_min must be a number, got '1'"),
        (lambda: times.beta(LINEAR, 5, a=None), "a must be a number, got None"),
        (lambda: times.beta_quantile("p", 1.0, 1.0), "p must be a number, got 'p'"),
        (lambda: times.explicit(LINEAR, 5), "times must be a sequence of numbers, got 5"),
        (lambda: times.explicit(LINEAR, "54"), "times must be a sequence of numbers, got '54'"),
        (lambda: times.explicit(LINEAR, [[5], [4]]), "times must be a sequence of numbers, got"),
        (lambda: times.explicit(LINEAR, [1, False]), "times must be a sequence of numbers, got"),
        (lambda: times.from_sigmas(LINEAR, 5), "sigmas must be a sequence of numbers, got 5"),
        (lambda: times.every(FLOW), "schedule must be discrete, got ContinuousSchedule"),
        *(
            (lambda f=f: f(schedules.linear, 5), "schedule must be a schedule, got <function lin")
            for f in (times.linspace, times.trailing, times.quadratic, times.karras)
        ),
        *(
            (lambda f=f: f(None, [0.5]), "schedule must be a schedule, got None")
            for f in (times.explicit, times.from_sigmas)
        ),
    ],
)
def test_bad_types_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_arrays_of_times_and_levels_are_lists_of_them():
    assert times.explicit(LINEAR, np.array([5.0, 2.0])) == (5, 2)
    assert times.from_sigmas(schedules.edm(), np.array([5.0, 0.0])) == (5.0, 0.0)


def test_extreme_exponents_and_shapes():
    """The least rho stays near the top, as (1 - k / (n - 1))^rho; narrow quantiles are found."""
    made = times.karras(schedules.edm(), 4, rho=1e-3)
    wanted = [80.0 * (1.0 - k / 3) ** 1e-3 for k in range(3)]
    assert made == pytest.approx((*wanted, 0.002, 0.0), rel=1e-12)
    # Beta(a, 1) has the distribution x^a, Beta(1, b) has 1 - (1 - x)^b.
    for a in (1e6, 1e8):
        assert times.beta_quantile(0.25, a, 1.0) == pytest.approx(0.25 ** (1 / a), rel=1e-15)
        assert times.beta_quantile(0.25, 1.0, a) == pytest.approx(-math.expm1(math.log(0.75) / a))
    with pytest.raises(ValueError, match="a and b must leave 4 times apart, got a = 1e-08"):
        times.beta(FLOW, 4, a=1e-8)


@pytest.mark.parametrize("grid", [times.karras, times.exponential])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_schedule_that_starts_with_noise_is_walked_to_its_start(grid, n):
    made = grid(schedules.ve(), n)
    assert len(made) == n + 1
    assert made[-1] == 0.0
    assert all(t > s for t, s in pairwise(made))
