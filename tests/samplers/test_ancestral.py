"""Ancestral samplers: the solver's step down too far, and the noise that makes up for it."""

import functools
import itertools
import math

import level_diffusers as peer
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from level_convergence import SCHEDULES, fitted_order, flow_errors
from strategies import timed

from diffcore import noise, oracles, plan, samplers, schedules, times
from diffcore.samplers.ancestral import dpm2_ancestral, euler_ancestral
from diffcore.samplers.heun import dpm2

EPS = np.finfo(np.float64).eps
mp.mp.dps = 50
PLANNERS = {"euler": euler_ancestral, "dpm2": dpm2_ancestral}
MEAN, VARIANCE = np.array([[0.3, -0.5]]), np.array([0.2, 0.5])


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("planner", "order"), [("euler", 1), ("dpm2", 2)])
def test_the_marginals_converge_at_the_order_of_the_solver(planner, order, name, eta):
    function = functools.partial(PLANNERS[planner], eta=eta)
    assert fitted_order(function, name, (96, 192, 384)) == pytest.approx(order, abs=0.15)
    assert function(SCHEDULES[name][0], SCHEDULES[name][1:]).order is None


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("planner", "order"), [("euler", 1), ("dpm2", 2)])
def test_without_noise_the_declared_order_is_reached(planner, order, name):
    function = functools.partial(PLANNERS[planner], eta=0.0)
    assert function(SCHEDULES[name][0], SCHEDULES[name][1:]).order == order
    assert fitted_order(function, name, measure=flow_errors) == pytest.approx(order, abs=0.15)


def test_noise_on_top_of_the_whole_step_is_rejected():
    """A step to n_s, not n_down, with the noise all the same: the marginals do not converge."""

    def wrong(schedule, grid):
        right = euler_ancestral(schedule, grid)
        whole = samplers.euler(schedule, grid)
        pairs = zip(whole.stages, right.stages, strict=True)
        return plan.Plan(
            "wrong", tuple(plan.Stage(a.time, a.time_next, a.x, a.m, b.z) for a, b in pairs)
        )

    assert fitted_order(wrong, "edm") < 0.3


@given(case=timed(count=4), eta=st.floats(0.0, 1.0), to_data=st.booleans())
def test_euler_ancestral_is_ddim_with_the_same_eta(case, eta, to_data):
    schedule, grid = case
    grid = [*grid[::-1], 0] if to_data else grid[::-1]
    pairs = zip(
        euler_ancestral(schedule, grid, eta=eta).stages,
        samplers.ddim(schedule, grid, eta=eta).stages,
        strict=True,
    )
    for a, b in pairs:
        assert sum(a.x) == pytest.approx(b.x[0], rel=16 * EPS, abs=1e-300)
        assert a.m[0] == pytest.approx(b.m[0], rel=16 * EPS)
        # eta sqrt(1 - r) there, the root of 1 - exp(log(1 - eta^2 (1 - r))) here.
        assert a.z == pytest.approx(b.z, rel=1e-7, abs=16 * EPS * schedule(a.time_next).sigma)


def test_eta_1_is_ddpm():
    schedule = schedules.linear()
    grid = (1000, 700, 300, 50, 2)
    pairs = zip(
        euler_ancestral(schedule, grid).stages, samplers.ddpm(schedule, grid).stages, strict=True
    )
    for a, b in pairs:
        assert (*a.x, *a.m, a.z) == pytest.approx((*b.x, *b.m, b.z), rel=1e-12)


@pytest.mark.parametrize("planner", PLANNERS)
@given(case=timed(count=4), eta=st.floats(0.0, 3.0), to_data=st.booleans())
def test_mean_and_marginal_variance_are_kept(planner, case, eta, to_data):
    schedule, grid = case
    grid = [*grid[::-1], 0] if to_data else grid[::-1]
    made = PLANNERS[planner](schedule, grid, eta=eta)
    gain = np.cumprod([max(1.0, sum(map(abs, stage.x))) for stage in made.stages])
    weights = np.array([sum(map(abs, (*stage.x, *stage.m))) for stage in made.stages])
    assert np.all(np.abs(plan.mean_residuals(made, schedule)) <= 64 * EPS * (1.0 + weights))
    states = [made.stages[0].time, *(stage.time_next for stage in made.stages)]
    wanted = np.array([schedule(t).sigma ** 2 for t in states])
    error = np.abs(plan.variances(made, schedule) - wanted)[1:]
    assert np.all(error <= 256 * EPS * (wanted[0] + wanted[1:]) * gain**2)


@pytest.mark.parametrize("planner", PLANNERS)
@given(case=timed(count=2), s_noise=st.floats(0.0, 2.0))
def test_louder_noise_shows_in_the_variance(planner, case, s_noise):
    """By (s_noise^2 - 1) n_up^2, which at eta = 1 is n_s^2 (1 - SNR_t / SNR_s)."""
    schedule, (s, t) = case
    made = PLANNERS[planner](schedule, (t, s), s_noise=s_noise)
    gain = np.prod([max(1.0, sum(map(abs, stage.x))) for stage in made.stages])
    before, after = (schedule(u).sigma ** 2 for u in (t, s))
    drawn = after * -math.expm1(-schedule.log_snr_gap(s, t))
    got = plan.variances(made, schedule)[-1]
    error = abs(got - (after + (s_noise**2 - 1.0) * drawn))
    assert error <= 256 * EPS * (before + (1.0 + s_noise**2) * after) * gain**2
    if s_noise > 0.1 and abs(s_noise - 1.0) > 0.1 and drawn > 0.5 * after:
        not_squared = after + (s_noise - 1.0) * drawn
        assert abs(got - not_squared) > 1e-3 * after


@pytest.mark.parametrize("eta", [0.2, 0.9, 1.0, 1.3])
@pytest.mark.parametrize("planner", PLANNERS)
def test_on_edm_it_is_the_published_formula_to_50_digits(planner, eta):
    """sigma_up, sigma_down and the step as k-diffusion's users know them, on any width of step."""
    schedule = schedules.edm(100.0)
    for t, s in [(80.0, 20.0), (1.0, 0.9), (0.5, 0.4999), (2.0, 1e-3)]:
        a, b = mp.mpf(t), mp.mpf(s)
        up = min(b, eta * mp.sqrt(b**2 * (a**2 - b**2) / a**2))
        down = mp.sqrt(b**2 - up**2)
        stage = PLANNERS[planner](schedule, (t, s), eta=eta).stages[-1]
        assert stage.z == pytest.approx(float(up), rel=1e-11)
        if planner == "euler" or down == 0:
            wanted = 1 + (down - a) / a, -(down - a) / a
            assert (*stage.x, *stage.m) == pytest.approx(
                [float(w) for w in wanted if w], rel=1e-11, abs=1e-15
            )
            continue
        middle = mp.sqrt(a * down)
        assert stage.time == pytest.approx(float(middle), rel=1e-11)
        wanted = (down - a) / middle, 1, -(down - a) / middle
        assert (*stage.x, *stage.m) == pytest.approx([float(w) for w in wanted], rel=1e-10)


def test_with_eta_1_the_second_call_is_at_the_end_of_the_step():
    schedule = schedules.linear()
    made = dpm2_ancestral(schedule, (900, 500, 100))
    assert [(s.time, s.time_next) for s in made.stages] == [
        (900, 500),
        (500, 500),
        (500, 100),
        (100, 100),
    ]


def test_without_noise_dpm2_ancestral_is_dpm2():
    for schedule, grid in ((schedules.vp_linear(), (0.9, 0.4, 0.1)), (schedules.edm(), (9, 1, 0))):
        pairs = zip(
            dpm2_ancestral(schedule, grid, eta=0.0).stages, dpm2(schedule, grid).stages, strict=True
        )
        for a, b in pairs:
            assert (*a.x, *a.m) == pytest.approx((*b.x, *b.m), rel=1e-12)


def test_a_large_eta_draws_all_noise_afresh():
    schedule = schedules.flow()
    for stage in euler_ancestral(schedule, (0.9, 0.5, 0.2), eta=1e6).stages:
        alpha, sigma = schedule(stage.time_next)
        assert (sum(stage.x), stage.m, stage.z) == (0.0, (alpha,), sigma)


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("kind", ["linear", "zero_terminal_snr", "flow", "cosine_continuous", "ve"])
def test_every_schedule_and_both_ends(kind, eta, planner):
    schedule = (
        schedules.zero_terminal_snr(schedules.linear())
        if kind == "zero_terminal_snr"
        else getattr(schedules, kind)()
    )
    target = np.array([[0.3, -0.7]])
    for n in (1, 2, 5):
        made = PLANNERS[planner](schedule, times.trailing(schedule, n), eta=eta)
        start = plan.prior(schedule, made.stages[0].time, np.array([[1.5, -0.2]]))
        end = plan.sample(oracles.point_mass(schedule, target), made, start, noise.portable(0))
        if kind == "ve":  # Time 0 is sigma_min: as far off as that noise.
            assert np.max(np.abs(end - target)) < 6 * schedule(0.0).sigma
        else:
            np.testing.assert_array_equal(end, target)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, s: f(s, (9.0, 1.0), eta=-0.1), "eta must be non-negative and finite, got -0.1"),
        (lambda f, s: f(s, (9.0, 1.0), eta=math.inf), "eta must be non-negative and finite"),
        (lambda f, s: f(s, (9.0, 1.0), s_noise=math.nan), "s_noise must be non-negative"),
        (lambda f, s: f(s, (1.0, 9.0)), "times must descend strictly"),
    ],
)
@pytest.mark.parametrize("planner", PLANNERS)
def test_bad_arguments_are_named(planner, call, message):
    with pytest.raises(ValueError, match=message):
        call(PLANNERS[planner], schedules.edm())


PEERS = {
    "EulerAncestralDiscreteScheduler": euler_ancestral,
    "KDPM2AncestralDiscreteScheduler": dpm2_ancestral,
}


@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("name", PEERS)
def test_diffusers_agrees(name, spacing):
    for steps in (1, 4, 20):
        theirs = peer.scheduler(name, steps, **peer.SPACINGS[spacing])
        schedule, denoise = peer.edm(theirs)
        grid = peer.times(theirs)
        made = PEERS[name](schedule, grid)
        assert made.evaluations == len(theirs.timesteps)
        y = peer.start(theirs)
        x = y.double().numpy()[:, None]
        got = plan.sample(denoise, made, x, peer.normals(1, made))[:, 0]
        want = peer.run(theirs, y, denoise, generator=peer.torch.Generator().manual_seed(1))[-1]
        # Its sigma_down is a difference of squares, which keeps ever fewer digits the longer the
        # step is: n_t^2 / n_s^2 roundings in the square, half in the root.
        ratio = max(a / b for a, b in itertools.pairwise(grid) if b) if steps > 1 else 1.0
        size = peer.EPS32 * (8 * float(abs(y).max()) + ratio**2 * grid[min(1, steps - 1)])
        np.testing.assert_allclose(got, want, rtol=0, atol=size)


@pytest.mark.parametrize(
    ("name", "steps", "config"),
    [
        ("EulerAncestralDiscreteScheduler", 4, {"beta_schedule": "squaredcos_cap_v2"}),
        ("KDPM2AncestralDiscreteScheduler", 2, {"beta_start": 1e-4, "beta_end": 0.02}),
        ("KDPM2AncestralDiscreteScheduler", 8, {"beta_schedule": "squaredcos_cap_v2"}),
    ],
)
def test_a_long_step_does_not_cancel(name, steps, config):
    """sigma_down^2 = n_s^2 - n_up^2 is 0 or negative in float32, and diffusers ends in NaN."""
    theirs = peer.scheduler(name, steps, timestep_spacing="linspace", **config)
    schedule, denoise = peer.edm(theirs)
    grid = peer.times(theirs)
    y = peer.start(theirs)
    states = peer.run(theirs, y, denoise, generator=peer.torch.Generator().manual_seed(1))
    assert np.all(np.isnan(states[-1]))
    made = PEERS[name](schedule, grid)
    end = plan.sample(denoise, made, y.double().numpy()[:, None], noise.portable(0))
    assert np.all(np.isfinite(end))
    # At eta = 1 the step goes down to n_s^2 / n_t, the second call half-way there, at n_s.
    step = made.stages[0] if name.startswith("Euler") else made.stages[1]
    assert step.z == pytest.approx(grid[1] * math.sqrt(1 - (grid[1] / grid[0]) ** 2), rel=1e-12)
    assert step.time == pytest.approx(grid[0] if name.startswith("Euler") else grid[1], rel=1e-12)


def test_zero_terminal_snr_is_met_exactly():
    """diffusers sets alpha_bar to 2^-24 there; at alpha = 0 the state says nothing of x_0."""
    schedule = schedules.zero_terminal_snr(schedules.scaled_linear())
    first = euler_ancestral(schedule, times.trailing(schedule, 5)).stages[0]
    alpha, sigma = schedule(first.time_next)
    assert (sum(first.x), first.m[0], first.z) == (0.0, alpha, sigma)
    theirs = peer.scheduler("EulerAncestralDiscreteScheduler", 5, rescale_betas_zero_snr=True)
    assert peer.times(theirs)[0] == pytest.approx(4096, rel=1e-3)
