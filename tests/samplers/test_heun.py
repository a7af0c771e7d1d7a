"""Euler, Heun and the midpoint rule in the noise level, with churn and without."""

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
from strategies import continuous_schedules, timed

from diffcore import noise, oracles, plan, samplers, schedules, times
from diffcore.moments import marginals, moments
from diffcore.samplers._trace import Trace

EPS = np.finfo(np.float64).eps
mp.mp.dps = 50
PLANNERS = {"euler": (samplers.euler, 1), "heun": (samplers.heun, 2), "dpm2": (samplers.dpm2, 2)}
MEAN, VARIANCE = np.array([[0.3, -0.5]]), np.array([0.2, 0.5])


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("planner", PLANNERS)
def test_the_declared_order_is_reached(name, planner):
    function, order = PLANNERS[planner]
    assert function(SCHEDULES[name][0], SCHEDULES[name][1:]).order == order
    assert fitted_order(function, name, measure=flow_errors) == pytest.approx(order, abs=0.15)


def uneven_heun(schedule, grid):
    """Heun's method with unequal weights: what the order test must reject."""
    trace = Trace(schedule, grid[0])
    for s in grid[1:]:
        x, slope, level = trace.x, trace.eps(m := trace.denoise()), trace.level
        alpha, sigma = schedule(s)
        trace.ddim(s, m)
        slope = 0.45 * slope + 0.55 * trace.eps(trace.denoise())
        rise = sigma - alpha / level.alpha * level.sigma
        trace.move(s, (alpha / level.alpha) * x + rise * slope)
    return trace.plan("uneven")


def test_unequal_weights_lose_an_order():
    assert fitted_order(uneven_heun, "edm", (192, 384, 768), flow_errors) < 1.5


def edm_algorithm_2(denoise, x, grid, normals, s_churn, s_tmin, s_tmax, s_noise, order=2):
    """Karras et al. 2022, algorithm 2, as written; order 1 leaves its correction out."""
    steps = len(grid) - 1
    for i, (t, s) in enumerate(itertools.pairwise(grid)):
        gamma = min(s_churn / steps, math.sqrt(2) - 1) if s_tmin <= t <= s_tmax else 0.0
        t_hat = t + gamma * t
        x_hat = x + math.sqrt(t_hat**2 - t**2) * s_noise * normals[i]
        d = (x_hat - denoise(x_hat, t_hat)) / t_hat
        x = x_hat + (s - t_hat) * d
        if order == 2 and s != 0:
            x = x_hat + (s - t_hat) * (0.5 * d + 0.5 * (x - denoise(x, s)) / s)
    return x


@pytest.mark.parametrize("s_churn", [0.0, 3.0, 40.0])
@pytest.mark.parametrize(("planner", "order"), [("euler", 1), ("heun", 2)])
def test_on_edm_it_is_the_published_algorithm(planner, order, s_churn):
    schedule = schedules.edm(200.0)
    grid = [(80 ** (1 / 7) + k / 11 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for k in range(12)]
    grid = [*grid, 0.0]
    churn = {"s_churn": s_churn, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.007}
    rng = np.random.default_rng(0)
    x, normals = 80.0 * rng.standard_normal((4, 2)), rng.standard_normal((12, 4, 2))
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    made = PLANNERS[planner][0](schedule, grid, **churn)
    # The plan's draws are numbered by its stages, the algorithm's by its steps.
    draws = iter(normals[[i for i, t in enumerate(grid[:-1]) if 0.05 <= t <= 50.0]])
    got = plan.sample(denoise, made, x, lambda like, step: next(draws))
    want = edm_algorithm_2(denoise, x, grid, normals, **churn, order=order)
    # time_at finds a raised time to the last digit, which the exact denoiser does not enlarge.
    np.testing.assert_allclose(got, want, rtol=0, atol=64 * EPS * 80)
    other = {**churn, "s_noise": 1.1 if s_churn else 1.007, "s_tmin": 0.05}
    wrong = edm_algorithm_2(denoise, x, grid, normals, **other, order=3 - order)
    assert np.max(np.abs(wrong - want)) > 1e-3


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("name", ["vp_linear", "cosine_continuous", "flow", "sub_vp"])
def test_any_alpha_is_edm_scaled(name, planner):
    """y = x / alpha follows the EDM schedule through n = sigma / alpha."""
    schedule = getattr(schedules, name)()
    grid = [0.9, 0.6, 0.3, 0.1]
    levels = [schedule(t) for t in grid]
    ours, plain = schedules.edm(1000.0), [sigma / alpha for alpha, sigma in levels]
    made, scaled = (PLANNERS[planner][0](s, g) for s, g in ((schedule, grid), (ours, plain)))
    x = np.random.default_rng(0).standard_normal((3, 2))
    got = plan.sample(oracles.gaussian(schedule, MEAN, VARIANCE), made, x)
    want = plan.sample(oracles.gaussian(ours, MEAN, VARIANCE), scaled, x / levels[0].alpha)
    largest = 1.0 / levels[0].alpha
    np.testing.assert_allclose(got / levels[-1].alpha, want, rtol=0, atol=256 * EPS * largest)


@pytest.mark.parametrize("planner", PLANNERS)
@given(case=timed(count=5), to_data=st.booleans())
def test_mean_and_marginal_variance_are_kept(planner, case, to_data):
    schedule, grid = case
    grid = [*grid[::-1], 0] if to_data else grid[::-1]
    made = PLANNERS[planner][0](schedule, grid)
    assert_keeps_marginals(made, schedule)


@given(
    schedule=continuous_schedules(),
    planner=st.sampled_from(sorted(PLANNERS)),
    s_churn=st.floats(0.01, 100.0),
)
def test_churn_keeps_mean_and_marginal_variance(schedule, planner, s_churn):
    grid = [schedule.curve.t_max * p for p in (0.8, 0.5, 0.2, 0.05)]
    made = PLANNERS[planner][0](schedule, grid, s_churn=s_churn)
    assert made.stochastic
    assert made.order is None
    assert_keeps_marginals(made, schedule)
    wrong = PLANNERS[planner][0](schedule, grid, s_churn=s_churn, s_noise=1.1)
    with pytest.raises(AssertionError):
        assert_keeps_marginals(wrong, schedule)


def assert_keeps_marginals(made, schedule):
    """For a point mass every state has mean alpha x_0 and variance sigma^2.

    Terms of opposite sign, as large as a stage's weights, cancel; so the tolerance goes with them.
    """
    gain = np.cumprod([max(1.0, sum(map(abs, stage.x))) for stage in made.stages])
    weights = [sum(map(abs, (*stage.x, *stage.m))) for stage in made.stages]
    residuals = plan.mean_residuals(made, schedule)
    assert np.all(np.abs(residuals) <= 64 * EPS * (1.0 + np.array(weights)))
    states = [made.stages[0].time, *(stage.time_next for stage in made.stages)]
    wanted = np.array([schedule(t).sigma ** 2 for t in states])
    error = np.abs(plan.variances(made, schedule) - wanted)
    assert np.all(error[1:] <= 256 * EPS * (wanted[0] + wanted[1:]) * gain**2)


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("kind", ["linear", "zero_terminal_snr", "vp", "flow", "cosine", "edm"])
def test_a_point_mass_is_recovered_exactly(kind, planner):
    schedule = {
        "linear": schedules.linear,
        "zero_terminal_snr": lambda: schedules.zero_terminal_snr(schedules.linear()),
        "vp": schedules.vp_linear,
        "flow": schedules.flow,
        "cosine": schedules.cosine_continuous,
        "edm": schedules.edm,
    }[kind]()
    target = np.array([[0.3, -0.7]])
    for n in (1, 2, 10):
        made = PLANNERS[planner][0](schedule, times.trailing(schedule, n))
        start = plan.prior(schedule, made.stages[0].time, np.array([[1.5, -0.2]]))
        end = plan.sample(oracles.point_mass(schedule, target), made, start)
        np.testing.assert_array_equal(end, target)


def test_calls_of_the_denoiser():
    schedule = schedules.flow()
    grid = times.trailing(schedule, 10)
    assert samplers.euler(schedule, grid).evaluations == 10
    # One call for the step from alpha = 0, but for its state, and one for the step to sigma = 0.
    assert samplers.heun(schedule, grid).evaluations == 18
    assert samplers.dpm2(schedule, grid).evaluations == 18
    assert samplers.heun(schedule, grid[1:]).evaluations == 17


@pytest.mark.parametrize("gap", [1e-9, 1e-4, 0.2])
def test_heun_coefficients_to_50_digits(gap):
    """x_s = alpha_s (y + (n_s - n_t) (eps_t + eps_s) / 2), narrow steps included."""
    schedule = schedules.flow()
    t, s = 0.5, 0.5 - gap
    first, second = samplers.heun(schedule, (t, s)).stages
    a, b = mp.mpf(t), mp.mpf(s)
    keep, rise = (1 - b) / (1 - a), b - (1 - b) / (1 - a) * a
    # eps = (x - alpha m) / sigma: weights of the predicted state, the first, and their outputs.
    wanted = rise / 2 / b, keep + rise / 2 / a, -rise / 2 * (1 - b) / b, -rise / 2 * (1 - a) / a
    for got, want in zip((*second.x, *second.m), wanted, strict=True):
        # log SNR rounds to an eps or two, of which a narrow step's weight keeps gap^-1.
        assert got == pytest.approx(float(want), rel=16 * EPS / gap)
    assert first.time_next == second.time == second.time_next == s


def test_on_a_discrete_schedule_the_midpoint_rule_keeps_its_order():
    """Steps of three times have none in the middle; plain midpoint weights fall to order 1."""
    counts, found = (40, 80, 160, 320), {"plain": [], "right": []}
    for n in counts:
        schedule = schedules.linear(4 * n, 0.05 / n, 5.0 / n)
        made = samplers.dpm2(schedule, range(3 * n + n // 2, n // 2 - 1, -3))
        plain = list(made.stages)
        for k in range(1, len(plain), 2):
            t, u, s = plain[k - 1].time, plain[k].time, plain[k].time_next
            (start, before), (inner, between), (alpha, sigma) = map(schedule, (t, u, s))
            rise = sigma - alpha / start * before
            plain[k] = plan.Stage(
                u, s, x=(rise / between, alpha / start), m=(-rise * inner / between,)
            )
        found["right"].append(flow_errors(made, schedule))
        found["plain"].append(flow_errors(plan.Plan("plain", tuple(plain)), schedule))
    orders = {k: -np.polyfit(np.log(counts), np.log(v), 1)[0] for k, v in found.items()}
    assert orders["right"] == pytest.approx(2.0, abs=0.15)
    assert orders["plain"] < 1.3


def test_a_step_without_whole_times_between_is_eulers():
    schedule = schedules.linear()
    made = samplers.dpm2(schedule, (10, 9))
    assert made.stages == samplers.euler(schedule, (10, 9)).stages


def test_euler_is_ddim():
    schedule = schedules.vp_linear()
    grid = times.trailing(schedule, 7)
    pairs = zip(
        samplers.euler(schedule, grid).stages, samplers.ddim(schedule, grid).stages, strict=True
    )
    for a, b in pairs:
        assert (sum(a.x), *a.m) == pytest.approx((*b.x, *b.m), rel=4 * EPS)


def test_churn_stays_in_its_range_and_under_its_cap():
    schedule = schedules.edm()
    grid = (80.0, 40.0, 10.0, 1.0, 0.1, 0.01, 0.0)
    made = samplers.heun(schedule, grid, s_churn=1e9, s_tmin=0.1, s_tmax=10.0)
    raised = [(s.time, s.time_next) for s in made.stages if s.z]
    assert [t for t, _ in raised] == [10.0, 1.0, 0.1]
    assert [b / a for a, b in raised] == pytest.approx([math.sqrt(2)] * 3, rel=8 * EPS)
    # At the schedule's top there is nowhere to go, just below it less far than asked.
    assert not samplers.heun(schedule, (80.0, 40.0), s_churn=1.0).stochastic
    top = samplers.euler(schedule, (79.0, 40.0), s_churn=1.0).stages[0]
    assert (top.time, top.time_next) == (79.0, 80.0)
    # Where no step churns the plan is the deterministic one.
    quiet = samplers.heun(schedule, grid, s_churn=1.0, s_tmin=200.0)
    assert quiet.order == 2
    assert quiet.stages == samplers.heun(schedule, grid).stages


def test_churn_keeps_the_order_of_the_marginals():
    """With a fixed total of churn the marginals of Heun's method converge at its order."""
    planner = functools.partial(samplers.heun, s_churn=2.0)
    assert fitted_order(planner, "edm") == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: samplers.heun(s, (3.0, 1.0), s_churn=-1), "s_churn must be non-negative"),
        (lambda s: samplers.euler(s, (3.0, 1.0), s_churn=math.nan), "s_churn must be non-negative"),
        (lambda s: samplers.dpm2(s, (3.0, 1.0), s_tmin=2, s_tmax=1), r"s_tmin must be in \[0, s_t"),
        (lambda s: samplers.heun(s, (3.0, 1.0), s_noise=-1), "s_noise must be non-negative"),
        (lambda s: samplers.heun(s, (3.0, 1.0), s_noise=math.inf), "s_noise must be non-negative"),
        (lambda s: samplers.heun(s, (3.0, 1.0), s_tmin=-0.1), r"s_tmin must be in \[0, s_tmax\]"),
        (lambda s: samplers.heun(s, (1.0, 3.0), s_churn=1.0), "times must descend strictly"),
        (
            lambda s: samplers.heun(schedules.linear(), (9, 1), s_churn=1.0),
            "s_churn must be 0 on a discrete schedule",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(schedules.edm())


PEERS = {
    "EulerDiscreteScheduler": samplers.euler,
    "HeunDiscreteScheduler": samplers.heun,
    "KDPM2DiscreteScheduler": samplers.dpm2,
}


@pytest.mark.parametrize("spacing", peer.SPACINGS)
@pytest.mark.parametrize("name", PEERS)
def test_diffusers_agrees(name, spacing):
    for steps in (1, 4, 20):
        theirs = peer.scheduler(name, steps, **peer.SPACINGS[spacing])
        schedule, denoise = peer.edm(theirs)
        made = PEERS[name](schedule, peer.times(theirs))
        assert made.evaluations == len(theirs.timesteps)
        y = peer.start(theirs)
        got = plan.sample(denoise, made, y.double().numpy()[:, None])[:, 0]
        want = peer.run(theirs, y, denoise)[-1]
        np.testing.assert_allclose(got, want, rtol=0, atol=8 * peer.EPS32 * float(abs(y).max()))


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_diffusers_agrees_on_ddpm_betas_to_its_tables(name):
    """In x, on whole times of a discrete schedule, its float32 betas and all."""
    theirs = peer.scheduler(name, 20, beta_start=1e-4, beta_end=0.02, timestep_spacing="trailing")
    schedule = schedules.linear()
    grid = [*(int(t) + 1 for t in dict.fromkeys(theirs.timesteps.tolist())), 0]
    made = PEERS[name](schedule, grid)
    levels = [schedule(t) for t in grid[:-1]]
    table = [
        sigma / alpha / n for (alpha, sigma), n in zip(levels, peer.times(theirs), strict=False)
    ]
    off = np.max(np.abs(np.array(table) - 1.0))
    assert off < 1e-4
    y = peer.start(theirs)
    x = levels[0].alpha * y.double().numpy()[:, None]
    got = plan.sample(oracles.gaussian(schedule, peer.MEAN, peer.VARIANCE), made, x)[:, 0]
    want = peer.run(theirs, y, peer.edm(theirs)[1])[-1]
    np.testing.assert_allclose(got, want, rtol=0, atol=4 * off + 8 * peer.EPS32 * abs(y).max())


def test_diffusers_edm_euler_agrees():
    theirs = peer.scheduler("EDMEulerScheduler", 18)
    schedule, denoise = peer.edm(theirs)
    y = peer.start(theirs)
    made = samplers.euler(schedule, peer.times(theirs))
    got = plan.sample(denoise, made, y.double().numpy()[:, None])[:, 0]
    want = peer.run(theirs, y, denoise)[-1]
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * peer.EPS32 * float(abs(y).max()))


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "EDMEulerScheduler"])
def test_churn_belongs_before_the_call_of_the_denoiser(name):
    """EDM's algorithm 2 denoises the noisier state; diffusers the one before its noise.

    For a point mass the first keeps the standard deviation at n_s, the second does not: with its
    usual betas it ends an order of magnitude too wide.
    """
    theirs = peer.scheduler(name, 20)
    schedule, _ = peer.edm(theirs)
    grid = peer.times(theirs)
    denoise = oracles.point_mass(schedule, 0.0)
    y = peer.start(theirs, 20_000)
    states = peer.run(theirs, y, denoise, s_churn=8.0, generator=peer.torch.manual_seed(1))
    made = samplers.euler(schedule, grid, s_churn=8.0)
    ours = [
        p.x for p in plan.iterate(denoise, made, y.double().numpy()[:, None], noise.portable(0))
    ]
    ends = [k for k, stage in enumerate(made.stages) if not stage.z]
    ratios = [np.std(ours[k]) / grid[i + 1] for i, k in enumerate(ends[:-1])]
    # Four standard errors of a standard deviation from 20,000 draws.
    np.testing.assert_allclose(ratios, 1.0, atol=4 / math.sqrt(40_000))
    assert np.std(states[-2]) / grid[-2] > 3.0
    got, exact = moments(made, schedule, 0.0, 0.0), marginals(made, schedule, 0.0, 0.0)
    np.testing.assert_allclose(got.variance, exact.variance, rtol=256 * EPS, atol=1e-300)


def test_diffusers_rounds_the_times_of_karras_levels():
    """Its DPM2 steps at one noise level and tells the network the whole time next to it."""
    theirs = peer.scheduler("KDPM2DiscreteScheduler", 10, use_karras_sigmas=True)
    table = ((1 - theirs.alphas_cumprod) / theirs.alphas_cumprod).sqrt().numpy()
    told = np.append(theirs.timesteps[:1], theirs.timesteps[2::2])
    assert np.array_equal(told, np.round(told))
    assert np.max(np.abs(table[told.astype(int)] / peer.times(theirs)[:-1] - 1.0)) > 1e-3


def test_a_churned_plan_is_strict_json():
    import json

    schedule = schedules.edm()
    made = samplers.heun(schedule, (20.0, 5.0, 1.0, 0.0), s_churn=2.0)

    def refuse(word):
        raise AssertionError(word)

    assert json.loads(made.to_json(), parse_constant=refuse)["parameters"]["s_churn"] == 2.0
    assert plan.Plan.from_json(made.to_json()) == made
