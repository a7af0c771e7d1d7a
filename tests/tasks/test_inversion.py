"""DDIM inversion on Gaussian data: its order, and that of the round trip."""

import itertools

import numpy as np
import pytest
from conftest import as_numpy, make
from hypothesis import given
from strategies import timed

from diffcore import oracles, plan, samplers, schedules, tasks, times

EPS = np.finfo(np.float64).eps
MEAN, VARIANCE = 0.2, 0.3
X_0 = np.array([[1.3], [-0.4], [0.1]])
COUNTS = (64, 128, 256)
SCHEDULES = {
    "cosine": (schedules.cosine_continuous(), 0.0, 0.95),
    "flow": (schedules.flow(), 0.0, 0.95),
    "edm": (schedules.edm(), 0.0, 5.0),
    "vp_linear": (schedules.vp_linear(), 0.0, 0.9),
    "vp_linear, inside": (schedules.vp_linear(), 0.02, 0.9),
}


def order(errors):
    return -np.polyfit(np.log(COUNTS), np.log(errors), 1)[0]


def measured(name, iterations=0, planner=tasks.invert):
    """The errors of the inverted image against the exact flow's, and of the round trip."""
    schedule, low, high = SCHEDULES[name]
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    start = schedule(low).alpha * X_0
    exact = oracles.gaussian_flow(schedule, MEAN, VARIANCE, start, low, high)
    inversions, round_trips = [], []
    for n in COUNTS:
        grid = np.linspace(low, high, n + 1).tolist()
        latent = plan.sample(denoise, planner(schedule, grid, iterations), start)
        back = plan.sample(denoise, samplers.ddim(schedule, grid[::-1]), latent)
        inversions.append(np.abs(latent - exact).max())
        round_trips.append(np.abs(back - start).max())
    return inversions, round_trips


@pytest.mark.parametrize("name", SCHEDULES)
def test_inversion_and_its_round_trip_are_of_order_1(name):
    for errors in measured(name):
        assert order(errors) == pytest.approx(1.0, abs=0.15)


def test_one_iteration_makes_the_round_trip_of_order_2_and_each_one_more():
    trips = [measured("vp_linear, inside", k)[1] for k in range(4)]
    assert [round(order(errors)) for errors in trips] == [1, 2, 3, 4]
    assert [errors[-1] for errors in trips] == sorted((t[-1] for t in trips), reverse=True)
    solved = measured("vp_linear, inside", 40)
    assert max(solved[1][1:]) < 1e-9
    assert order(solved[0]) == pytest.approx(1.0, abs=0.15)  # It is DDIM that it undoes.


def without_the_root(schedule, grid, iterations):
    """The step with the ratio of the SNR in place of its root."""
    stages = []
    for stage in tasks.invert(schedule, grid, iterations).stages:
        gap = schedule.log_snr_gap(stage.time, stage.time_next)
        wrong = schedule(stage.time_next).alpha * -np.expm1(gap)
        stages.append(plan.Stage(stage.time, stage.time_next, stage.x, (wrong,)))
    return plan.Plan("wrong", tuple(stages))


def test_a_wrong_weight_is_rejected():
    inversions, round_trips = measured("vp_linear, inside", planner=without_the_root)
    assert order(inversions) < 0.5
    assert order(round_trips) < 0.5


@given(case=timed(count=5, lowest=0))
def test_the_mean_is_kept_and_each_step_is_ddims_formula(case):
    schedule, grid = case
    made = tasks.invert(schedule, grid)
    up = samplers.ddim(schedule, grid).stages
    assert [(stage.x, stage.m) for stage in made.stages] == [(stage.x, stage.m) for stage in up]
    weights = np.array([sum(map(abs, (*stage.x, *stage.m))) for stage in made.stages])
    scale = np.array([1.0 + abs(stage.x[0]) for stage in made.stages])
    residuals = plan.mean_residuals(made, schedule)
    assert np.all(np.abs(residuals) <= 64 * EPS * (scale + weights))
    for stage, (s, t) in zip(made.stages, itertools.pairwise(grid), strict=True):
        source, target = schedule(s), schedule(t)
        if source.sigma == 0.0:
            assert (stage.x, stage.m) == ((target.alpha / source.alpha,), ())
            continue
        # x = x_s and m = 1: alpha_t m + sigma_t eps, by the textbook.
        x_s = 0.75
        eps = (x_s - source.alpha) / source.sigma
        wanted = target.alpha + target.sigma * eps
        got = stage.x[0] * x_s + stage.m[0]
        size = abs(stage.x[0]) + abs(stage.m[0]) + 1.0
        assert abs(got - wanted) <= 64 * EPS * size


def test_up_to_pure_noise_and_from_whole_times():
    flow = schedules.flow()
    made = tasks.invert(flow, (0.0, 0.5, 1.0))
    assert [(s.x, s.m) for s in made.stages] == [((0.5,), ()), ((2.0,), (-1.0,))]
    discrete = schedules.zero_terminal_snr(schedules.cosine(10))
    made = tasks.invert(discrete, times.trailing(discrete, 5)[::-1])
    assert [stage.time for stage in made.stages] == [0, 2, 4, 6, 8]
    assert made.evaluations == 4
    assert made.order == 1
    assert plan.Plan.from_json(made.to_json()).stages == made.stages
    assert all(np.isfinite((*stage.x, *stage.m)).all() for stage in made.stages)


def test_iterations_solve_for_the_state_that_ddim_steps_down_from():
    """On a denoiser that is linear the iterations are those of a geometric series."""
    schedule, s, t = schedules.edm(), 1.0, 1.5
    denoise = oracles.gaussian(schedule, 0.0, 0.5)
    x_s = np.array([[0.8]])
    gain = 0.5 / (0.5 + t * t)
    wanted = x_s / (s / t + (1 - s / t) * gain)
    got = [
        plan.sample(denoise, tasks.invert(schedule, (s, t), k), x_s)[0, 0] - wanted[0, 0]
        for k in range(4)
    ]
    ratios = [b / a for a, b in itertools.pairwise(got)]
    np.testing.assert_allclose(ratios, -(t / s - 1) * gain, rtol=1e-9)


def by_diffusers(n, ahead):
    """(theirs, ours, exact) in n steps; ahead: whether the network is told the time it goes to."""
    torch = pytest.importorskip("torch")
    scheduler = pytest.importorskip("diffusers").DDIMInverseScheduler(
        clip_sample=False, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(n)
    schedule = schedules.from_alpha_bar(scheduler.alphas_cumprod.double().numpy())
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    x = torch.from_numpy(X_0).float()
    for index in map(int, scheduler.timesteps):
        told = index + 1 if ahead else index + 1 - 1000 // n
        state = x.double().numpy()
        alpha, sigma = schedule(told)
        eps = (state - alpha * denoise(state, told)) / sigma if told else 0.0 * state
        x = scheduler.step(torch.from_numpy(eps).float(), index, x).prev_sample
    made = tasks.invert(schedule, range(0, 1001, 1000 // n))
    exact = oracles.gaussian_flow(schedule, MEAN, VARIANCE, X_0, 0, 1000)
    return x.double().numpy(), plan.sample(denoise, made, X_0), exact


@pytest.mark.parametrize("n", [20, 100])
def test_it_is_diffusers_where_the_network_is_told_where_it_is(n):
    theirs, ours, _ = by_diffusers(n, ahead=False)
    assert np.abs(theirs - ours).max() < 32 * np.finfo(np.float32).eps


def test_diffusers_pipelines_tell_the_network_the_time_they_go_to():
    """Another formula than the papers', of the same order: on these data 2.6 times as close."""
    counts, errors = (20, 40, 100, 200), ([], [])
    for n in counts:
        theirs, ours, exact = by_diffusers(n, ahead=True)
        errors[0].append(np.abs(theirs - exact).max())
        errors[1].append(np.abs(ours - exact).max())
    for each in errors:
        assert -np.polyfit(np.log(counts), np.log(each), 1)[0] == pytest.approx(1.0, abs=0.15)
    assert errors[0][-1] == pytest.approx(errors[1][-1] / 2.6, rel=0.05)


def test_every_library_gives_numpys_answer(xp):
    schedule = schedules.cosine(20)
    made = tasks.invert(schedule, range(0, 21, 4), 2)
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    got = plan.sample(denoise, made, make(xp, X_0, "float32"))
    assert got.dtype == xp.float32
    np.testing.assert_allclose(as_numpy(got), plan.sample(denoise, made, X_0), rtol=2**-16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0.5,),), "times must be at least two numbers"),
        (((0.5, 0.2),), "times must ascend strictly, got 0.5 then 0.2 at step 0"),
        (((0.0, 0.5, 0.5),), "times must change at each step, got 0.5 then 0.5"),
        (((0.0, 1.5),), "t must be in"),
        (((0.0, 1.0), -1), "iterations must be a whole number from 0 on, got -1"),
        (((0.0, 1.0), 1.0), r"iterations must be a whole number from 0 on, got 1\.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        tasks.invert(schedules.flow(), *arguments)
