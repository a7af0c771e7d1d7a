"""Euler and Heun along the velocity in the schedule's own time."""

import math

import level_diffusers as peer
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from level_convergence import SCHEDULES, fitted_order, flow_errors
from strategies import continuous_schedules

from diffcore import oracles, plan, samplers, schedules, times
from diffcore.predictions import VELOCITY
from diffcore.samplers._rates import Dual, Duals, rates
from diffcore.samplers.ancestral import euler_ancestral
from diffcore.samplers.flow import flow_euler, flow_heun
from diffcore.schedules.curves import _sigmoid

EPS = np.finfo(np.float64).eps
PLANNERS = {"euler": (flow_euler, 1), "heun": (flow_heun, 2)}
MEAN, VARIANCE = np.array([[0.3, -0.5]]), np.array([0.2, 0.5])
CURVES = {
    "vp_linear": lambda t: (
        mp.exp(-(0.1 * t + mp.mpf(19.9) * t * t / 2) / 2),
        mp.sqrt(1 - mp.exp(-(0.1 * t + mp.mpf(19.9) * t * t / 2))),
    ),
    "sub_vp": lambda t: (
        mp.exp(-(0.1 * t + mp.mpf(19.9) * t * t / 2) / 2),
        1 - mp.exp(-(0.1 * t + mp.mpf(19.9) * t * t / 2)),
    ),
    "cosine_continuous": lambda t: (mp.cos(mp.pi * t / 2), mp.sin(mp.pi * t / 2)),
    "flow": lambda t: (1 - t, t),
    "ve": lambda t: (mp.mpf(1), mp.mpf(0.01) * mp.power(5000, t)),
    "edm": lambda t: (mp.mpf(1), t),
}
mp.mp.dps = 50


def shifted_flow(factor):
    """The straight line through a shifted time (Esser et al. 2024, eq. 23)."""
    return lambda t: (1 - factor * t / (1 + (factor - 1) * t), factor * t / (1 + (factor - 1) * t))


@pytest.mark.parametrize("kind", CURVES)
def test_rates_are_the_derivatives(kind):
    schedule = getattr(schedules, kind)()
    for part in (0.001, 0.3, 0.7, 0.999):
        t = part * schedule.curve.t_max
        got = rates(schedule, t)
        for i in (0, 1):
            want = float(mp.diff(lambda u, i=i: CURVES[kind](u)[i], mp.mpf(t)))
            assert got[i] == pytest.approx(want, rel=64 * EPS, abs=8 * EPS)
    wrong = [-r for r in rates(schedule, 0.5)]
    assert wrong != pytest.approx(rates(schedule, 0.5), rel=1e-3)


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_rates_of_a_shifted_schedule_are_found_at_alpha_0_too(factor):
    schedule = schedules.shift(schedules.flow(), factor)
    for t, rel in ((0.2, 64 * EPS), (0.9, 64 * EPS), (1.0, 2.0**-36)):
        want = float(mp.diff(lambda u: shifted_flow(mp.mpf(factor))(u)[1], mp.mpf(t)))
        assert rates(schedule, t) == pytest.approx((-want, want), rel=rel)


@pytest.mark.parametrize(
    ("name", "exactly", "at"),
    [
        ("exp", mp.exp, (-2.0, 0.0, 0.7)),
        ("expm1", mp.expm1, (-2.0, 0.0, 0.7)),
        ("log", mp.log, (0.3, 1.0, 9.0)),
        ("log1p", mp.log1p, (-0.5, 0.0, 2.0)),
        ("sqrt", mp.sqrt, (0.25, 1.0, 7.0)),
        ("sin", mp.sin, (-1.0, 0.0, 2.0)),
        ("abs", abs, (-1.5, 0.5)),
        ("ones_like", lambda x: x**0, (-1.0, 0.0, 3.0)),
    ],
)
def test_dual_numbers_carry_the_derivative(name, exactly, at):
    for x in at:
        got = getattr(Duals, name)(Dual(x, 2.0))
        assert got.value == pytest.approx(float(exactly(mp.mpf(x))), rel=4 * EPS)
        assert got.slope == pytest.approx(2.0 * float(mp.diff(exactly, mp.mpf(x))), rel=8 * EPS)


def test_dual_numbers_at_the_ends():
    assert math.isinf(Duals.log(Dual(0.0, 1.0)).slope)
    assert Duals.log(Dual(0.0, -1.0)).slope == -math.inf
    assert Duals.sqrt(Dual(0.0, 2.0)).slope == math.inf
    assert math.isnan(Duals.sqrt(Dual(0.0, 0.0)).slope)
    # A sigmoid is made of two branches, which meet at 0 with slope 1/4.
    for x in (0.0, -1e-9, 1e-9):
        assert _sigmoid(Duals, Dual(x, 1.0)).slope == pytest.approx(0.25, rel=1e-9)


def test_infinite_rates_are_refused():
    class Root:
        kind, t_max = "root", 1.0

        def level(self, xp, t):
            return schedules.Level(1.0 - t, xp.sqrt(t * t * t - t * t * t))

    with pytest.raises(ValueError, match=r"schedule must be differentiable in t at 0\.5"):
        rates(schedules.ContinuousSchedule(Root()), 0.5)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("planner", PLANNERS)
def test_the_declared_order_is_reached(name, planner):
    function, order = PLANNERS[planner]
    assert function(SCHEDULES[name][0], SCHEDULES[name][1:]).order == order
    found = fitted_order(function, name, (96, 192, 384), measure=flow_errors)
    assert found == pytest.approx(order, abs=0.15)


def test_a_velocity_without_the_change_of_alpha_does_not_converge():
    def wrong(schedule, grid):
        stages = []
        for stage in flow_euler(schedule, grid).stages:
            lost = (stage.time_next - stage.time) * rates(schedule, stage.time)[0]
            stages.append(
                plan.Stage(stage.time, stage.time_next, stage.x, (stage.m[0] - 0.1 * lost,))
            )
        return plan.Plan("wrong", tuple(stages))

    assert fitted_order(wrong, "vp_linear", (96, 192, 384), measure=flow_errors) < 0.3


@pytest.mark.parametrize("kind", CURVES)
def test_it_is_edm_algorithm_1_in_general(kind):
    """d = (sigma'/sigma + s'/s) x - sigma' s / sigma D(x / s; sigma), with s = alpha, sigma = n."""
    schedule = getattr(schedules, kind)()
    top = schedule.curve.t_max
    grid = [0.8 * top, 0.5 * top, 0.3 * top, 0.1 * top]
    x = np.random.default_rng(0).standard_normal((3, 2))
    plain = schedules.edm(1e6)
    denoise = oracles.gaussian(plain, MEAN, VARIANCE)

    def slope(x, t):
        s = float(CURVES[kind](mp.mpf(t))[0])
        n, of_s, of_n = (
            float(f)
            for f in (
                CURVES[kind](mp.mpf(t))[1] / CURVES[kind](mp.mpf(t))[0],
                mp.diff(lambda u: CURVES[kind](u)[0], mp.mpf(t)),
                mp.diff(lambda u: CURVES[kind](u)[1] / CURVES[kind](u)[0], mp.mpf(t)),
            )
        )
        return (of_n / n + of_s / s) * x - of_n * s / n * denoise(x / s, n)

    euler = heun = x
    for i in range(3):
        h = grid[i + 1] - grid[i]
        euler = euler + h * slope(euler, grid[i])
        d = slope(heun, grid[i])
        heun = heun + h * (d + slope(heun + h * d, grid[i + 1])) / 2
    for planner, want in ((flow_euler, euler), (flow_heun, heun)):
        got = plan.sample(oracles.gaussian(schedule, MEAN, VARIANCE), planner(schedule, grid), x)
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", ["flow", "edm"])
def test_on_straight_schedules_euler_is_ddim(kind):
    schedule = getattr(schedules, kind)()
    grid = times.trailing(schedule, 9)
    pairs = zip(
        flow_euler(schedule, grid).stages, samplers.ddim(schedule, grid).stages, strict=True
    )
    for a, b in pairs:
        assert (sum(a.x), *a.m) == pytest.approx((*b.x, *b.m), rel=32 * EPS, abs=4 * EPS)


def test_elsewhere_it_is_not_and_keeps_the_mean_only_to_its_order():
    for schedule in (schedules.cosine_continuous(), schedules.shift(schedules.flow(), 3.0)):
        residuals = [
            np.abs(plan.mean_residuals(flow_euler(schedule, (0.8, 0.8 - h)), schedule))[0]
            for h in (0.1, 0.05)
        ]
        assert residuals[0] > 1e-4
        assert math.log2(residuals[0] / residuals[1]) == pytest.approx(2.0, abs=0.2)
    exact = flow_euler(schedules.flow(), times.trailing(schedules.flow(), 10))
    assert np.max(np.abs(plan.mean_residuals(exact, schedules.flow()))) <= 16 * EPS


def test_heun_in_t_is_heun_in_n_on_edm_alone():
    schedule, grid = schedules.edm(), (80.0, 20.0, 3.0, 0.2, 0.0)
    pairs = zip(flow_heun(schedule, grid).stages, samplers.heun(schedule, grid).stages, strict=True)
    for a, b in pairs:
        assert (*a.x, *a.m) == pytest.approx((*b.x, *b.m), rel=256 * EPS, abs=16 * EPS)
    straight = schedules.flow()
    a, b = (f(straight, (0.9, 0.4)).stages[1] for f in (flow_heun, samplers.heun))
    assert a.m != pytest.approx(b.m, rel=1e-2)


@pytest.mark.parametrize("planner", PLANNERS)
@given(schedule=continuous_schedules())
def test_a_point_mass_is_recovered_exactly(schedule, planner):
    """From alpha = 0 where the schedule has it, down to sigma = 0 where it has that."""
    target = np.array([[0.3, -0.7]])
    made = PLANNERS[planner][0](schedule, times.trailing(schedule, 4))
    start = plan.prior(schedule, schedule.curve.t_max, np.array([[1.5, -0.2]]))
    end = plan.sample(oracles.point_mass(schedule, target), made, start)
    if schedule(0.0).sigma == 0.0:
        np.testing.assert_array_equal(end, target)
    else:
        assert np.all(np.isfinite(end))


def test_the_first_step_of_a_flow_is_its_networks_output():
    """x + (s - t) v at alpha = 0, with v as a network of velocities puts it out."""
    schedule = schedules.flow()
    x = np.array([[0.4, -1.1]])
    velocity = np.array([[0.7, 0.2]])
    m = VELOCITY.x_0(schedule, velocity, x, 1.0)
    got = plan.sample(lambda x_t, t: m, flow_euler(schedule, (1.0, 0.8)), x)
    np.testing.assert_allclose(got, x - 0.2 * velocity, rtol=0, atol=4 * EPS)


@pytest.mark.parametrize("planner", PLANNERS)
def test_bad_arguments_are_named(planner):
    with pytest.raises(TypeError, match="schedule must be continuous, with alpha and sigma"):
        PLANNERS[planner][0](schedules.linear(), (9, 1))
    with pytest.raises(ValueError, match="times must change at each step, got"):
        PLANNERS[planner][0](schedules.flow(), (0.1, 0.1))
    with pytest.raises(ValueError, match="t must be in"):
        PLANNERS[planner][0](schedules.flow(), (1.5, 0.5))


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("heun", [False, True])
def test_diffusers_agrees(shift, heun):
    """Its shift moves the times, not the schedule: the grid of the plain flow is shifted."""
    name = f"FlowMatch{'Heun' if heun else 'Euler'}DiscreteScheduler"
    theirs = peer.scheduler(name, 12, shift=shift)
    schedule = schedules.flow()
    grid = peer.times(theirs)
    denoise = oracles.gaussian(schedule, peer.MEAN, peer.VARIANCE)
    made = (flow_heun if heun else flow_euler)(schedule, grid)
    assert made.evaluations == len(theirs.timesteps)
    y = peer.torch.randn(5, generator=peer.torch.Generator().manual_seed(0))
    got = plan.sample(denoise, made, y.double().numpy()[:, None])[:, 0]
    for k, t in enumerate(theirs.timesteps):
        stage = made.stages[k]
        x = y.double().numpy()[:, None]
        velocity = (x - denoise(x, stage.time)) / stage.time
        y = theirs.step(peer.torch.from_numpy(velocity[:, 0]).float(), t, y).prev_sample
    np.testing.assert_allclose(got, y.double().numpy(), rtol=0, atol=64 * peer.EPS32)


def test_diffusers_stochastic_sampling_is_ancestral_sampling_with_all_noise_afresh():
    """x_s = (1 - s) x_0 + s z: its steps do not shrink to a process, whatever their number."""
    theirs = peer.scheduler("FlowMatchEulerDiscreteScheduler", 6, stochastic_sampling=True)
    schedule, grid = schedules.flow(), peer.times(theirs)
    made = euler_ancestral(schedule, grid, eta=1e6)
    x_0 = peer.torch.tensor([0.3, -0.2])
    x = peer.torch.randn(2, generator=peer.torch.Generator().manual_seed(0))
    step = theirs.step(
        (x - x_0) / grid[0], theirs.timesteps[0], x, generator=peer.torch.Generator().manual_seed(1)
    )
    z = peer.torch.randn(2, generator=peer.torch.Generator().manual_seed(1))
    first = made.stages[0]
    want = first.m[0] * x_0 + first.z * z
    np.testing.assert_allclose(step.prev_sample, want, rtol=0, atol=8 * peer.EPS32)


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_way_up_from_data_goes_on(planner):
    function, calls = PLANNERS[planner]
    made = function(schedules.flow(), (0.0, 0.3, 0.6, 0.9))
    assert made.stages[-1].time_next == 0.9
    assert made.evaluations == 2 * calls
    np.testing.assert_allclose(plan.mean_residuals(made, schedules.flow()), 0.0, atol=8 * EPS)
