"""Grids that go up as well as down: noising, inversion, and what keeps to the way down."""

import math

import exact
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from level_convergence import SCHEDULES, fitted_order, flow_errors, grid
from strategies import timed

from diffcore import noise, oracles, plan, process, samplers, schedules, tasks

EPS = np.finfo(np.float64).eps
BOTH_WAYS = {"ddim": 1, "euler": 1, "heun": 2, "dpm2": 2, "flow_euler": 1, "flow_heun": 2}
ONE_WAY = sorted(set(samplers.PLANNERS) - set(BOTH_WAYS) - {"ddpm", "runge_kutta"})


@given(case=timed(count=5), order=st.permutations(range(5)), eta=st.floats(0.0, 1.0))
def test_any_walk_over_times_keeps_mean_and_marginal_variance(case, order, eta):
    schedule, times = case
    walk = [times[k] for k in order]
    for made in (samplers.ddim(schedule, walk, eta), samplers.ddpm(schedule, walk)):
        # Going down again over noise that was scaled up magnifies what was rounded.
        gain = np.cumprod([1.0, *(max(1.0, *stage.x) for stage in made.stages)])
        size = max(schedule(t).alpha + schedule(t).sigma for t in walk)
        assert np.all(np.abs(plan.mean_residuals(made, schedule)) <= 32 * EPS * size * gain[1:])
        wanted = np.array([schedule(t).sigma ** 2 for t in walk])
        error = np.abs(plan.variances(made, schedule) - wanted)
        assert np.all(error <= 512 * EPS * (wanted + wanted[0] * gain**2 + 1e-300))


def test_the_identities_reject_a_way_up_with_the_noise_of_the_way_down():
    schedule, walk = schedules.linear(), (300, 700, 0)
    made = samplers.ddim(schedule, walk, eta=0.5)
    stage = made.stages[0]
    wrong = 0.5 * schedule(300).sigma * math.sqrt(-math.expm1(-schedule.log_snr_gap(300, 700)))
    wrong = plan.Plan("wrong", (plan.Stage(**{**vars(stage), "z": wrong}), *made.stages[1:]))
    assert abs(plan.variances(made, schedule)[1] - schedule(700).sigma ** 2) < 8 * EPS
    assert abs(plan.variances(wrong, schedule)[1] - schedule(700).sigma ** 2) > 1e-3


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize("eta", [0.0, 0.3, 0.999])
def test_coefficients_upward_to_50_digits(kind, eta):
    """x_s = alpha_s m + sqrt(sigma_s^2 - c^2) eps + c z, with c^2 = eta^2 sigma_s^2 (1 - r)."""
    schedule, bar = getattr(schedules, kind)(), exact.reference(kind)["alpha_bar"]
    for stage in samplers.ddim(schedule, (1, 2, 3, 10, 100, 499, 500, 999), eta).stages:
        t, s = bar[stage.time], bar[stage.time_next]
        r = s / (1 - s) / (t / (1 - t))
        c = exact.DIGITS(eta) * mp.sqrt((1 - s) * (1 - r))
        keep = mp.sqrt(1 - s - c * c) / mp.sqrt(1 - t)
        wanted = keep, mp.sqrt(s) - keep * mp.sqrt(t), c
        for got, want in zip((stage.x[0], stage.m[0], stage.z), wanted, strict=True):
            assert got == pytest.approx(float(want), rel=2e-12, abs=1e-15)


@given(timed(count=3))
def test_ddpm_upward_is_the_transition_and_so_is_ddim_with_eta_1(case):
    schedule, (s, _, t) = case
    scale, variance = process.transition(schedule, s, t)
    for made in (samplers.ddpm(schedule, (s, t)), samplers.ddim(schedule, (s, t), eta=1.0)):
        (stage,) = made.stages
        assert made.evaluations == 0
        assert stage.x == (scale,)
        assert stage.z == pytest.approx(math.sqrt(variance), rel=4 * EPS)


def test_from_data_and_to_pure_noise():
    schedule = schedules.zero_terminal_snr(schedules.linear())
    data = np.array([[0.3, -0.7]])
    denoise = oracles.gaussian(schedule, 0.1, 0.4)
    for name in ("ddim", "euler", "heun", "dpm2"):
        made = samplers.PLANNERS[name](schedule, (0, 400))
        assert made.stages[0].x == (schedule(400).alpha,)
        assert made.evaluations == 0
        np.testing.assert_array_equal(plan.sample(denoise, made, data), schedule(400).alpha * data)
        # At alpha = 0 the state is the noise alone, eps = (x - alpha m) / sigma.
        alpha, sigma = schedule(400)
        eps = (data - alpha * denoise(data, 400)) / sigma
        up = plan.sample(denoise, samplers.PLANNERS[name](schedule, (400, 1000)), data)
        np.testing.assert_allclose(up, eps, rtol=8 * EPS)
    stage = samplers.ddpm(schedule, (0, 1000)).stages[0]
    assert (stage.x, stage.z) == ((0.0,), 1.0)
    flow = schedules.flow()
    for name in ("flow_euler", "flow_heun"):
        up = plan.sample(
            oracles.gaussian(flow, 0.1, 0.4), samplers.PLANNERS[name](flow, (0, 0.4)), data
        )
        np.testing.assert_array_equal(up, 0.6 * data)


@pytest.mark.parametrize("kind", ["linear", "zero_terminal_snr", "edm", "flow"])
def test_ddim_upward_is_ddim_inversion(kind):
    schedule = {
        "linear": schedules.linear(),
        "zero_terminal_snr": schedules.zero_terminal_snr(schedules.linear()),
        "edm": schedules.edm(),
        "flow": schedules.flow(),
    }[kind]
    top = getattr(schedule, "T", None) or schedule.curve.t_max
    up = [
        0,
        *(
            top * k // 10 if kind in ("linear", "zero_terminal_snr") else top * k / 10
            for k in range(1, 11)
        ),
    ]
    made, published = samplers.ddim(schedule, up), tasks.invert(schedule, up)
    x = np.array([[0.3, -0.7]])
    denoise = oracles.gaussian(schedule, 0.1, 0.4)
    got, want = (plan.sample(denoise, p, x) for p in (made, published))
    np.testing.assert_allclose(got, want, rtol=64 * EPS)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("planner", BOTH_WAYS)
def test_the_declared_order_is_reached_on_the_way_up(name, planner):
    function, order = samplers.PLANNERS[planner], BOTH_WAYS[planner]
    up = lambda schedule, times: function(schedule, times[::-1])  # noqa: E731
    assert up(SCHEDULES[name][0], grid(name, 8)).order == order
    measured = fitted_order(up, name, counts=(96, 144, 192), measure=flow_errors)
    assert order - 0.15 <= measured <= order + 0.5


@pytest.mark.parametrize(("planner", "order"), [("ddim", 1), ("heun", 2)])
def test_up_and_down_again_comes_back_at_the_methods_order(planner, order):
    schedule, _, _ = SCHEDULES["vp_linear"]
    x, denoise = np.array([[0.4, -0.9]]), oracles.gaussian(schedule, 0.1, 0.4)
    errors = []
    for n in (64, 128, 256):
        down = grid("vp_linear", n)
        made = samplers.PLANNERS[planner](schedule, (*down[::-1], *down[1:]))
        errors.append(np.max(np.abs(plan.sample(denoise, made, x) - x)))
    fitted = -np.polyfit(np.log([64, 128, 256]), np.log(errors), 1)[0]
    assert order - 0.15 <= fitted <= order + 1.15


def test_time_travel_in_one_list_of_times():
    """RePaint's jumps: down ten steps, up again by the forward process, down again."""
    schedule = schedules.linear()
    walk = (*range(1000, 900, -10), 900, *range(1000, 900, -10), *range(900, -1, -10))
    walk = tuple(t for k, t in enumerate(walk) if k == 0 or walk[k - 1] != t)
    made = samplers.ddpm(schedule, walk)
    jump = next(stage for stage in made.stages if stage.time_next > stage.time)
    assert (jump.time, jump.time_next, jump.calls) == (900, 1000, False)
    assert made.evaluations == len(walk) - 2
    target = np.array([[0.3]])
    end = plan.sample(
        oracles.point_mass(schedule, target), made, np.array([[1.0]]), noise.portable(0)
    )
    np.testing.assert_array_equal(end, target)


@pytest.mark.parametrize("name", ONE_WAY)
def test_the_others_say_that_they_descend(name):
    schedule = schedules.vp_linear()
    for walk, message in (
        ((0.3, 0.6), "times must descend strictly, got 0.3 then 0.6 at step 0"),
        ((0.9, 0.6, 0.6), "times must descend strictly, got 0.6 then 0.6 at step 1"),
    ):
        with pytest.raises(ValueError, match=message.replace(".", r"\.")):
            samplers.PLANNERS[name](schedule, walk)


@pytest.mark.parametrize("name", [*BOTH_WAYS, "ddpm"])
def test_a_step_that_goes_nowhere_is_named(name):
    with pytest.raises(ValueError, match=r"times must change at each step, got 0\.6 then 0\.6 at"):
        samplers.PLANNERS[name](schedules.vp_linear(), (0.9, 0.6, 0.6))
    with pytest.raises(ValueError, match=r"t must be in \[0, 1\], got 1\.5"):
        samplers.PLANNERS[name](schedules.vp_linear(), (0.9, 1.5, 0.6))


def test_times_are_counted_as_the_schedule_counts_them():
    whole = samplers.ddim(schedules.linear(), (np.float64(1000.0), np.int64(500), 0.0))
    assert [type(s.time) for s in whole.stages] == [int, int]
    real = samplers.ddim(schedules.edm(), (80, np.float32(2.5), 0))
    assert [type(s.time_next) for s in real.stages] == [float, float]
    assert real.stages[0].time == 80.0
