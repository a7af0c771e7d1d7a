"""Discrete schedules joined up, and the time of a log SNR on any continuous schedule."""

import math

import numpy as np
import pytest
from conftest import as_numpy, make
from hypothesis import given
from hypothesis import strategies as st
from strategies import continuous_schedules, discrete_schedules

from diffcore import denoisers, oracles, plan, predictions, samplers, schedules, times
from diffcore.samplers._rates import rates
from diffcore.schedules import interpolate

EPS = np.finfo(np.float64).eps
LINEAR = schedules.linear()
ZERO = schedules.zero_terminal_snr(LINEAR)


@given(discrete_schedules(), st.data())
def test_whole_times_have_the_discrete_levels_to_the_bit(schedule, data):
    joined = interpolate(schedule)
    t = data.draw(st.integers(0, schedule.T))
    assert joined(t) == joined(float(t)) == schedule(t)
    assert joined.log_snr_at(t) == schedule.log_snr_at(t)
    assert joined.origin_at(t) == schedule.origin_at(t) == schedule.origin[t]


@given(discrete_schedules(), st.data())
def test_between_whole_times_log_snr_is_a_straight_line(schedule, data):
    joined = interpolate(schedule)
    i = data.draw(st.integers(0, schedule.T - 1))
    f = data.draw(st.floats(1e-6, 1.0 - 1e-6))
    alpha, sigma = joined(i + f)
    f = (i + f) - i
    (a, b), (c, d) = schedule(i), schedule(i + 1)
    assert alpha**2 + sigma**2 == pytest.approx(1.0, abs=4 * EPS)
    size = 64 * EPS * (1 + abs(schedule.log_snr_at(max(i, 1))))
    if i == 0:
        assert sigma / alpha == pytest.approx(f * d / c, rel=size)
    elif c == 0.0:
        assert alpha / sigma == pytest.approx((1 - f) * a / b, rel=size)
    else:
        # The geometric mean of the noise levels, which a line in alpha_bar does not give.
        assert alpha / sigma == pytest.approx((a / b) ** (1 - f) * (c / d) ** f, rel=size)
        line = math.sqrt((1 - f) * a * a + f * c * c)
        if min(f, 1 - f) > 0.1 and schedule.log_snr_gap(i, i + 1) > 0.5:
            assert abs(line / math.sqrt(1 - line**2) / (alpha / sigma) - 1) > size


@given(discrete_schedules())
def test_log_snr_falls_without_a_jump(schedule):
    joined = interpolate(schedule)
    fine = np.linspace(0.0, schedule.T, 8 * schedule.T + 1)
    log_snr = np.array([joined.log_snr_at(float(t)) for t in fine])
    assert np.all(np.diff(log_snr) < 0)
    for i in range(2, schedule.T):
        below, above = (joined.log_snr_at(i + d) for d in (-1e-9, 1e-9))
        gaps = [schedule.log_snr_gap(i - 1, i), schedule.log_snr_gap(i, i + 1)]
        steepest = max(gap if math.isfinite(gap) else 3.0 for gap in gaps)
        assert 0 < below - above <= 2e-9 * steepest + 64 * EPS * (schedule.T + abs(below))


@pytest.mark.parametrize("schedule", [LINEAR, ZERO, schedules.linear(1, 0.3, 0.3)])
def test_end_points(schedule):
    joined = interpolate(schedule)
    assert joined(0.0) == (1.0, 0.0)
    assert joined.log_snr_at(0.0) == math.inf
    assert joined(schedule.T) == schedule(schedule.T)
    assert joined.curve.t_max == schedule.T


def test_zero_terminal_snr_falls_in_a_straight_line():
    joined = interpolate(ZERO)
    (a, s), last = ZERO(999), 1000
    assert joined.log_snr_at(1000) == -math.inf
    for f in (0.25, 0.5, 0.875):
        alpha, sigma = joined(last - 1 + f)
        assert alpha / sigma == pytest.approx((1 - f) * a / s, rel=64 * EPS)


@given(st.one_of(discrete_schedules().map(interpolate), continuous_schedules()))
def test_described_and_read_back(schedule):
    again = schedules.from_config(schedule.config)
    assert again == schedule
    assert hash(again) == hash(schedule)
    t = 0.37 * schedule.curve.t_max
    assert again(t) == schedule(t)


def test_a_shift_keeps_the_networks_times():
    spaced = schedules.respace(LINEAR, [100, 300, 1000])
    joined = interpolate(spaced)
    assert [joined.origin_at(t) for t in (1.5, 2.5, 3.0)] == [200.0, 650.0, 1000.0]
    moved = schedules.shift(joined, 2.0)
    assert moved.origin_at(1.5) == 200.0
    assert moved.log_snr_at(1.5) == pytest.approx(joined.log_snr_at(1.5) - 2 * math.log(2))
    again = schedules.respace(joined, [0.5, 1.5, 3.0])
    np.testing.assert_array_equal(again.origin, [0.0, 50.0, 200.0, 1000.0])
    assert again(2) == pytest.approx(tuple(joined(1.5)), rel=1e-14)
    assert schedules.flow().origin_at(0.25) == 0.25


@pytest.mark.parametrize("schedule", [LINEAR, ZERO])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arrays_of_times_in_every_library(schedule, dtype, xp):
    joined = interpolate(schedule)
    host = np.array([0.0, 0.25, 1.0, 17.5, 500.0, 999.25, 1000.0])
    t = make(xp, host, dtype)
    alpha, sigma = joined(t)
    log_snr, origin = joined.log_snr_at(t), joined.origin_at(t)
    tolerance = 16 * float(np.finfo(dtype).eps)
    assert alpha.dtype == sigma.dtype == log_snr.dtype == getattr(xp, dtype)
    for k, time in enumerate(host.tolist()):
        wanted = (*joined(time), joined.log_snr_at(time), time)
        got = [float(as_numpy(v)[k]) for v in (alpha, sigma, log_snr, origin)]
        assert got == pytest.approx(wanted, rel=8 * tolerance, abs=tolerance)


@pytest.mark.parametrize("t", [0.5, 17.25, 17.75, 500.0, 1000.0])
def test_rates_are_those_of_the_piece_before(t):
    joined = interpolate(LINEAR)
    step = 1e-5
    got = rates(joined, t)
    ends = [joined(t - k * step) for k in range(3)]
    for k in range(2):
        # The one-sided difference of second order, whose rounding is eps / step.
        difference = (3 * ends[0][k] - 4 * ends[1][k] + ends[2][k]) / (2 * step)
        assert got[k] == pytest.approx(difference, abs=8 * EPS / step)
    if t == 500.0:
        after = (joined(t + step).sigma - joined(t).sigma) / step
        assert abs(after - got[1]) > 1e-7


@given(continuous_schedules(), st.floats(0.0, 1.0))
def test_time_at_is_the_last_time_with_that_log_snr(schedule, part):
    t = schedule.curve.t_max * part
    log_snr = schedule.log_snr_at(t)
    found = schedule.time_at(log_snr)
    assert schedule.log_snr_at(found) >= log_snr
    if found < schedule.curve.t_max:
        assert schedule.log_snr_at(math.nextafter(found, math.inf)) < log_snr
    if 0.01 < part < 0.99:
        assert found == pytest.approx(t, rel=1e-9)


def test_time_at_of_the_ends_and_beyond():
    for schedule in (schedules.flow(), schedules.edm(), schedules.ve(), interpolate(ZERO)):
        for t in (0.0, schedule.curve.t_max):
            found = schedule.time_at(schedule.log_snr_at(t))
            assert found == pytest.approx(t, rel=0, abs=1e-16)
            assert type(found) is float
    for schedule, log_snr in ((schedules.ve(), 20.0), (schedules.edm(), -20.0)):
        with pytest.raises(ValueError, match="log_snr must be one that the schedule reaches"):
            schedule.time_at(log_snr)


@pytest.mark.parametrize("predicts", [predictions.EPS, predictions.V, predictions.Edm()])
def test_networks_meet_fractional_times(predicts):
    seen = []
    joined = interpolate(LINEAR)
    oracle = oracles.gaussian(joined, 0.2, 0.5)
    t = 40.25

    def network(x, time):
        seen.append(time)
        alpha, sigma = joined(t)
        x_t = x if predicts.name != "edm" else x * math.hypot(sigma, 0.5 * alpha)
        x_0 = oracle(x_t, t)
        return predicts.target(joined, x_0, t, (x_t - alpha * x_0) / sigma)

    x = np.random.default_rng(0).standard_normal((3, 2))
    for timestep in ("time", "index"):
        denoise = denoisers.denoiser(network, joined, predicts, timestep=timestep)
        np.testing.assert_allclose(denoise(x, t), oracle(x, t), rtol=1e-12)
    if predicts.name != "edm":
        assert [times[0] for times in seen] == [40.25, 39.25]
        denoisers.denoiser(network, joined, predicts, timestep="index")(x, 0.75)
        assert seen[-1][0] == 0.0


def test_a_sampler_finds_the_times_inside_its_steps():
    """The midpoint rule, whose midpoints are whole on the discrete schedule, here are exact."""
    joined = interpolate(LINEAR)
    grid = times.trailing(LINEAR, 40)
    denoise, x = oracles.gaussian(joined, 0.2, 0.5), np.array([[0.7]])
    made = samplers.dpm2(joined, grid[:-1])
    middle = 0.5 * (joined.log_snr_at(grid[0]) + joined.log_snr_at(grid[1]))
    assert joined.log_snr_at(made.stages[0].time_next) == pytest.approx(middle, rel=1e-12)
    exact = oracles.gaussian_flow(joined, 0.2, 0.5, x, grid[0], grid[-2])
    rounded = plan.sample(denoise, samplers.dpm2(LINEAR, grid[:-1]), x)
    assert plan.sample(denoise, made, x) == pytest.approx(exact, abs=2e-3)
    assert rounded == pytest.approx(exact, abs=2e-3)


def test_bad_schedules_are_named():
    with pytest.raises(TypeError, match="schedule must be discrete, got ContinuousSchedule"):
        interpolate(schedules.flow())
    with pytest.raises(ValueError, match="schedule must have a time with signal and noise"):
        interpolate(schedules.from_betas([1.0]))
    with pytest.raises(ValueError, match=r"t must be in \[0, 1000\], got 1000.5"):
        interpolate(LINEAR)(1000.5)
