"""What every exported planner must satisfy, with its defaults."""

import inspect
import math

import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from hypothesis import given
from hypothesis import strategies as st
from identities import assert_keeps_marginals
from noise_convergence import SCHEDULES, error, grid, mixture_error, order
from strategies import timed

from diffcore import noise, oracles, plan, samplers, schedules, times
from diffcore.plan import Plan, Stage
from diffcore.samplers import Interval, restart
from diffcore.samplers._predict_correct import multistep


def restarted(schedule, grid):
    """`restart` around Heun's method, once over the second step and twice over the last but one."""
    intervals = {Interval(t_min=grid[2], t_max=grid[1])} if len(grid) > 3 else set()
    if len(grid) > 5:
        intervals.add(Interval(t_min=grid[-2], t_max=grid[-3], repetitions=2))
    return restart(schedule, samplers.heun, grid, *intervals)


PLANNERS = {**samplers.PLANNERS, "restart": restarted}
DETERMINISTIC = [n for n, f in PLANNERS.items() if f(schedules.flow(), (0.9, 0.7, 0.4, 0.1)).order]
# These take steps in the schedule's own time, or in an angle, in which a point mass does not move
# along a straight line: on others than straight schedules its mean is kept to their order alone.
IN_TIME = ["flow_euler", "flow_heun"]
CURVED = [*IN_TIME, "runge_kutta"]
STRAIGHT = [name for name in PLANNERS if name not in CURVED]
KINDS = {
    "linear": schedules.linear(),
    "zero_terminal_snr": schedules.zero_terminal_snr(schedules.linear()),
    "interpolated": schedules.interpolate(schedules.zero_terminal_snr(schedules.linear())),
    "vp_linear": schedules.vp_linear(),
    "cosine": schedules.cosine_continuous(),
    "flow": schedules.flow(),
    "edm": schedules.edm(),
}
DISCRETE = ["linear", "zero_terminal_snr"]
CASES = [(n, kind) for n in PLANNERS for kind in KINDS if n not in CURVED or kind not in DISCRETE]


def planned(name, kind, n):
    """A plan of n steps to data."""
    return PLANNERS[name](KINDS[kind], times.trailing(KINDS[kind], n))


def test_planners_are_all_that_are_exported():
    functions = [n for n in samplers.__all__ if inspect.isfunction(getattr(samplers, n))]
    assert sorted(PLANNERS) == sorted(functions)
    for name, function in samplers.PLANNERS.items():
        assert function is getattr(samplers, name)
        assert list(inspect.signature(function).parameters)[:2] == ["schedule", "times"]


@pytest.mark.parametrize("name", STRAIGHT)
@given(case=timed(count=6), to_data=st.booleans())
def test_mean_and_marginal_variance_are_kept(name, case, to_data):
    schedule, found = case
    found = [*found[::-1], 0] if to_data else found[::-1]
    assert_keeps_marginals(PLANNERS[name](schedule, found), schedule)


@pytest.mark.parametrize("name", IN_TIME)
@given(parts=st.sets(st.integers(0, 100), min_size=3, max_size=6), kind=st.booleans())
def test_steps_in_time_keep_them_where_the_way_is_straight(name, parts, kind):
    schedule = schedules.flow() if kind else schedules.edm()
    found = [schedule.curve.t_max * p / 100 for p in sorted(parts, reverse=True)]
    assert_keeps_marginals(PLANNERS[name](schedule, found), schedule)


@pytest.mark.parametrize("name", CURVED)
def test_elsewhere_they_keep_them_to_their_order(name):
    schedule, target, errors = SCHEDULES["vp_linear"], np.array([[0.7]]), []
    for n in (32, 64):
        visited = grid(schedule, n)
        made = PLANNERS[name](schedule, visited)
        start, end = (schedule(t).alpha * target for t in (visited[0], visited[-1]))
        got = plan.sample(oracles.point_mass(schedule, target), made, start)
        errors.append(np.max(np.abs(got - end)))
    assert errors[1] > 1e-12
    assert math.log2(errors[0] / errors[1]) == pytest.approx(made.order, abs=0.15)


@pytest.mark.parametrize("name", STRAIGHT)
def test_the_identities_reject_a_wrong_weight(name):
    schedule = schedules.vp_linear()
    made = PLANNERS[name](schedule, times.trailing(schedule, 6))
    assert_keeps_marginals(made, schedule)
    k = next(k for k in reversed(range(len(made.stages) - 1)) if made.stages[k].m)
    stages = list(made.stages)
    for change in ({"m": tuple(1.001 * m for m in stages[k].m)}, {"z": stages[k].z + 1e-3}):
        stages[k] = Stage(**{**vars(made.stages[k]), **change})
        with pytest.raises(AssertionError):
            assert_keeps_marginals(Plan("wrong", tuple(stages)), schedule)


@pytest.mark.parametrize("kind", DISCRETE)
@pytest.mark.parametrize("name", CURVED)
def test_a_continuous_schedule_is_asked_for(name, kind):
    with pytest.raises((TypeError, ValueError), match=r"must be continuous|on a discrete schedule"):
        planned(name, kind, 5)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_last_step_takes_the_denoised_data(name, kind):
    """A point mass comes out exactly, from any start, pure noise too; the last x_0 is the state."""
    schedule, target = KINDS[kind], np.array([[0.3, -0.7]])
    for n in (1, 2, 6):
        made = planned(name, kind, n)
        numbers = [c for s in made.stages for c in (*s.x, *s.m, s.z)]
        assert np.all(np.isfinite(numbers))
        last = made.stages[-1]
        assert last.time_next == 0
        assert not any(last.x)
        assert (last.m[0], any(last.m[1:]), last.z) == (1.0, False, 0.0)
        start = plan.prior(schedule, made.stages[0].time, np.array([[0.4, -1.1]]))
        end = plan.sample(oracles.point_mass(schedule, target), made, start, noise.portable(0))
        np.testing.assert_array_equal(end, target)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_json_keeps_every_bit(name, kind):
    made = planned(name, kind, 6)
    assert Plan.from_json(made.to_json()) == made
    assert made.name.removeprefix("restart_") in samplers.PLANNERS


@pytest.mark.parametrize("name", PLANNERS)
def test_every_library_draws_the_same_sample(name, xp):
    schedule = KINDS["cosine"]
    made = PLANNERS[name](schedule, times.trailing(schedule, 4))

    def run(xp, dtype):
        eps = noise.portable(7)(make(xp, np.zeros((2, 3)), dtype), 0)
        denoise = oracles.gaussian(schedule, 0.1, 0.5)
        return plan.sample(denoise, made, plan.prior(schedule, 1.0, eps), noise.portable(7))

    got, wanted = run(xp, "float32"), run(namespace_of("numpy"), "float64")
    assert got.dtype == xp.float32
    np.testing.assert_allclose(as_numpy(got), wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", PLANNERS)
def test_it_compiles_whole(name):
    torch = pytest.importorskip("torch")
    schedule = KINDS["flow"]
    made = PLANNERS[name](schedule, times.trailing(schedule, 4))
    denoise = oracles.gaussian(schedule, 0.1, 0.5)
    draws = torch.randn((40, 2, 3), generator=torch.Generator().manual_seed(0))

    def run(start):
        return plan.sample(denoise, made, start, lambda like, step: draws[step])

    compiled = torch.compile(run, fullgraph=True, backend="eager")
    assert torch.equal(compiled(draws[0]), run(draws[0]))


@pytest.mark.parametrize("name", PLANNERS)
def test_it_runs_under_jit(name):
    jax = pytest.importorskip("jax")
    jnp = namespace_of("jax")
    schedule = KINDS["edm"]
    made = PLANNERS[name](schedule, times.trailing(schedule, 4))
    denoise = oracles.gaussian(schedule, 0.1, 0.5)
    draws = jnp.asarray(np.random.default_rng(0).standard_normal((40, 2, 3)))

    def run(start):
        return plan.sample(denoise, made, start, lambda like, step: draws[step])

    np.testing.assert_allclose(jax.jit(run)(draws[0]), run(draws[0]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_declared_order_is_reached(name, kind):
    """On Gaussian data against the exact flow, on a mixture of two against SciPy's DOP853."""
    schedule = SCHEDULES[kind]
    made = PLANNERS[name](schedule, grid(schedule, 8))
    counts = (48, 64, 96) if made.order > 3 else (64, 96, 128)
    for measure in (error, mixture_error):
        measured = order(PLANNERS[name], schedule, counts, measure)
        assert made.order - 0.15 <= measured <= made.order + 0.5


def test_the_measure_of_order_tells_orders_apart():
    """A step of order 1 among those of order 2, or 3 among 4, is found out."""
    schedule = SCHEDULES["vp_linear"]

    def spoilt(planner, first):
        def made(schedule, visited):
            a, b = first(schedule, visited[:2]), planner(schedule, visited[1:])
            return Plan("spoilt", a.stages + b.stages)

        return made

    heun, ddim = samplers.heun, samplers.ddim
    kutta = lambda schedule, visited: samplers.runge_kutta(schedule, visited, order=2)  # noqa: E731
    for measure in (error, mixture_error):
        assert order(ddim, schedule, (64, 96, 128), measure) < 1.5
        assert order(spoilt(samplers.runge_kutta, kutta), schedule, (48, 64, 96), measure) < 3.5
        assert order(spoilt(heun, ddim), schedule, (64, 96, 128), measure) < 2.15


GRID = (0.95, 0.8, 0.6, 0.4, 0.2, 0.05)
TAIL = {"lower_order_end": False}
START = {"start": "singlestep", **TAIL}
CHURN = {"s_churn": 1.0, "s_tmin": 1.0, "s_tmax": 5.0, "s_noise": 1.1}
DEFAULTS = {
    "ddpm": {"variance": "small"},
    "ddim": {"eta": 0.0},
    "euler_ancestral": {"eta": 1.0, "s_noise": 1.0},
    "dpm2_ancestral": {"eta": 1.0, "s_noise": 1.0},
    "runge_kutta": {"order": 4},
    "dpm_solver": {"order": 2, "variant": "singlestep", "formula": "exact", **TAIL},
    "dpm_solver_pp": {"order": 2, "variant": "multistep", "formula": "exact", **START},
    "dpm_solver_pp_sde": {"order": 2, "formula": "exact", **TAIL},
    "unipc": {"order": 2, "solver": "bh2", "corrector": True, **START},
    "deis": {"order": 3, "variable": "log_rho", **START},
    "lms": {"order": 4, **START},
    "plms": {"start": "lower"},
    "sa_solver": {"predictor": 2, "corrector": 2, "tau": 1.0, "formula": "exact", **START},
}
MULTI = {"order": 3, "variant": "multistep"}
SINGLE = {"order": 3, "variant": "singlestep"}
FLOW = {"predictor": 3, "corrector": 4, "tau": 0.0}


@pytest.mark.parametrize(
    ("name", "changed", "order", "calls"),
    [
        ("ddpm", {}, None, 5),
        ("ddpm", {"variance": "large"}, None, 5),
        ("ddim", {}, 1, 5),
        ("ddim", {"eta": 0.5}, None, 5),
        ("euler", {}, 1, 5),
        ("euler", CHURN, None, 5),
        ("heun", {}, 2, 10),
        ("heun", CHURN, None, 10),
        ("dpm2", {}, 2, 10),
        ("dpm2", CHURN, None, 10),
        ("euler_ancestral", {}, None, 5),
        ("euler_ancestral", {"eta": 0.5, "s_noise": 0.9}, None, 5),
        ("euler_ancestral", {"eta": 0.0}, 1, 5),
        ("dpm2_ancestral", {}, None, 10),
        ("dpm2_ancestral", {"eta": 0.5, "s_noise": 0.9}, None, 10),
        ("dpm2_ancestral", {"eta": 0.0}, 2, 10),
        ("flow_euler", {}, 1, 5),
        ("flow_heun", {}, 2, 10),
        *(("runge_kutta", {"order": p}, p, 5 * p) for p in (1, 2, 4)),
        ("dpm_solver", {"order": 1}, 1, 5),
        ("dpm_solver", {"order": 2, "r1": 0.3}, 2, 10),
        ("dpm_solver", {"order": 3, "r1": 0.3, "r2": 0.7}, 3, 15),
        ("dpm_solver", {"order": 3, "r1": 0.3, "r2": 0.7, "formula": "published"}, 2, 15),
        ("dpm_solver", {"order": 3, "r1": 0.3, "r2": 2 / 3, "formula": "published"}, 3, 15),
        ("dpm_solver", {"order": 3, "r1": 0.3, "r2": 0.7, "lower_order_end": True}, 2, 12),
        # A first step by the method of one order less takes one call more, or two of three.
        ("dpm_solver", {**MULTI, **START}, 3, 6),
        ("dpm_solver", {**MULTI, **START, "order": 2}, 2, 5),
        ("dpm_solver", {**MULTI, **START, "formula": "published"}, 2, 6),
        ("dpm_solver", {**MULTI, **START, "start": "lower"}, 2, 5),
        ("dpm_solver", {**MULTI, **START, "lower_order_end": True}, 2, 6),
        ("dpm_solver_pp", {}, 2, 5),
        ("dpm_solver_pp", {"order": 1}, 1, 5),
        ("dpm_solver_pp", MULTI, 3, 6),
        ("dpm_solver_pp", {**MULTI, "start": "lower"}, 2, 5),
        ("dpm_solver_pp", {**MULTI, "lower_order_end": True}, 2, 6),
        ("dpm_solver_pp", {**MULTI, "formula": "published"}, 2, 6),
        ("dpm_solver_pp", SINGLE, 3, 15),
        ("dpm_solver_pp", {**SINGLE, "order": 2}, 2, 10),
        ("dpm_solver_pp", {**SINGLE, "formula": "published"}, 3, 15),
        ("dpm_solver_pp", {**SINGLE, "lower_order_end": True}, 2, 12),
        ("dpm_solver_pp_sde", {}, None, 5),
        ("dpm_solver_pp_sde", {"order": 3, "formula": "published"}, None, 5),
        ("dpm_solver_pp_sde", {"order": 3, "lower_order_end": True}, None, 5),
        ("unipc", {}, 3, 6),
        ("unipc", {"solver": "bh1"}, 3, 6),
        ("unipc", {"order": 1}, 2, 5),
        ("unipc", {"order": 3}, 4, 7),
        ("unipc", {"order": 3, "corrector": False}, 3, 6),
        ("unipc", {"order": 3, "corrector": False, "start": "lower"}, 2, 5),
        ("unipc", {"order": 3, "start": "lower"}, 3, 5),
        ("unipc", {"order": 3, "lower_order_end": True}, 2, 7),
        ("deis", {}, 3, 6),
        ("deis", {"order": 1}, 1, 5),
        ("deis", {"order": 2}, 2, 5),
        ("deis", {"variable": "rho"}, 3, 6),
        ("deis", {"variable": "t"}, 3, 6),
        ("deis", {"start": "lower"}, 2, 5),
        ("deis", {"lower_order_end": True}, 2, 6),
        ("lms", {}, 4, 9),
        ("lms", {"order": 3}, 3, 6),
        ("lms", {"order": 2}, 2, 5),
        ("lms", {"order": 1}, 1, 5),
        ("lms", {"start": "lower"}, 2, 5),
        ("lms", {"lower_order_end": True}, 2, 9),
        ("plms", {}, 2, 6),
        ("plms", {"start": "singlestep"}, 2, 14),
        ("sa_solver", {}, None, 5),
        ("sa_solver", {"tau": 0.5, "formula": "published"}, None, 5),
        ("sa_solver", {"tau": 0.0}, 2, 5),
        ("sa_solver", {"predictor": 1, "corrector": 3, "tau": 0.0}, 2, 5),
        ("sa_solver", FLOW, 4, 7),
        ("sa_solver", {**FLOW, "predictor": 4}, 4, 7),
        ("sa_solver", {**FLOW, "corrector": 0}, 3, 6),
        ("sa_solver", {**FLOW, "start": "lower"}, 3, 5),
        ("sa_solver", {**FLOW, "lower_order_end": True}, 2, 7),
    ],
)
def test_parameters_orders_and_calls_are_those_said(name, changed, order, calls):
    """Of five steps; every parameter that is not the default's changes the plan."""
    schedule = KINDS["vp_linear"]
    made = samplers.PLANNERS[name](schedule, GRID, **changed)
    assert made.name == name
    said = DEFAULTS.get(name, {}) | changed
    if said.get("variant") == "singlestep":
        said.pop("start", None)  # It has none to start from.
    assert made.parameters == said
    assert (made.order, made.evaluations) == (order, calls)
    ends = {stage.time_next for stage in made.stages}
    assert ends.issuperset(GRID[1:])
    plain = inspect.signature(samplers.PLANNERS[name]).parameters
    for key in changed:
        # Order 2 takes no r2, and 2 / 3 is what order 3 has by itself.
        if changed[key] in (plain[key].default, 2 / 3) or (key == "order" and "r2" in changed):
            continue
        without = {k: v for k, v in changed.items() if k != key}
        assert samplers.PLANNERS[name](schedule, GRID, **without).stages != made.stages
    assert Plan.from_json(made.to_json()) == made


@pytest.mark.parametrize("name", [n for n in samplers.PLANNERS if n != "ddpm"])
def test_defaults_are_those_said(name):
    made = samplers.PLANNERS[name](KINDS["vp_linear"], GRID)
    own = {"r1": 0.5} if name == "dpm_solver" else {}
    assert made.parameters == DEFAULTS.get(name, {}) | own


def test_the_midpoint_rules_are_one_without_noise():
    """On a discrete schedule too, where each takes the nearest whole time and its own weights."""
    for schedule in (KINDS["linear"], schedules.linear(50), KINDS["vp_linear"]):
        visited = times.trailing(schedule, 8)[:-1]
        wanted = samplers.dpm2(schedule, visited).stages
        for name, parameters in (
            ("dpm2_ancestral", {"eta": 0.0}),
            ("dpm_solver", {"order": 2, "formula": "published"}),
        ):
            made = samplers.PLANNERS[name](schedule, visited, **parameters).stages
            assert [s.time_next for s in made] == pytest.approx([s.time_next for s in wanted])
            for a, b in zip(made, wanted, strict=True):
                np.testing.assert_allclose(weights_of(a), weights_of(b), rtol=1e-10, atol=1e-12)


def weights_of(stage):
    """Two states and two outputs, and the noise."""
    pad = lambda c: (*c, *[0.0] * (2 - len(c)))  # noqa: E731
    return [*pad(stage.x), *pad(stage.m), stage.z]


@pytest.mark.parametrize(("share", "calls"), [(0.55, 3), (0.61, 2)])
def test_a_first_call_too_late_in_the_step_stays_alone(share, calls):
    """At 2/3 of the step in lambda the last output would weigh nothing."""
    half_log_snr = np.array([2.0, -2.0 + 4 * 0.67, -2.0 + 4 * share, -2.0])
    schedule = schedules.from_alpha_bar(1.0 / (1.0 + np.exp(-2.0 * half_log_snr)))
    for name in ("dpm_solver", "dpm_solver_pp"):
        made = samplers.PLANNERS[name](schedule, (4, 1), order=3, variant="singlestep")
        assert made.evaluations == calls
        assert [s.time for s in made.stages] == [4, 3, 2][:calls]
        for residual in plan.mean_residuals(made, schedule):
            assert abs(residual) < 1e-14


def test_first_steps_call_inside_at_equal_parts():
    schedule = KINDS["vp_linear"]
    ends = [0.5 * schedule.log_snr_at(t) for t in GRID[:2]]
    cases = (("deis", 3, 2), ("lms", 3, 2), ("lms", 4, 3), ("dpm_solver_pp", 3, 2), ("unipc", 3, 3))
    for name, p, parts in cases:
        made = samplers.PLANNERS[name](schedule, GRID, order=p)
        inside = [0.5 * schedule.log_snr_at(s.time_next) for s in made.stages[:parts]]
        wanted = [ends[0] + (ends[1] - ends[0]) * k / parts for k in range(1, parts + 1)]
        assert inside == pytest.approx(wanted, rel=1e-9)
        # Every output counts in the step.
        assert len(made.stages[parts - 1].m) == parts
        assert all(made.stages[parts - 1].m)


def test_a_lower_last_step_but_one_calls_at_its_own_share():
    """r1 = 0.3 is order 3's; the step of order 2 before the last calls half way."""
    schedule = KINDS["vp_linear"]
    made = samplers.dpm_solver(schedule, GRID, order=3, r1=0.3, lower_order_end=True)
    t, u, s = (0.5 * schedule.log_snr_at(v) for v in (0.4, made.stages[-3].time_next, 0.2))
    assert made.stages[-3].time == 0.4
    assert u == pytest.approx((t + s) / 2, rel=1e-9)
    assert samplers.dpm_solver(schedule, GRID, order=3).parameters["r1"] == 1 / 3
    assert samplers.dpm_solver(schedule, GRID, order=3).parameters["r2"] == 2 / 3


def test_runge_kutta_comes_back_from_where_it_went():
    schedule, walk = KINDS["vp_linear"], (0.1, 0.2, 0.3, 0.4)
    denoise, x = oracles.gaussian(schedule, 0.1, 0.5), np.array([[0.3], [-0.7]])
    up = plan.sample(denoise, samplers.runge_kutta(schedule, walk), x)
    back = plan.sample(denoise, samplers.runge_kutta(schedule, walk[::-1]), up)
    assert np.max(np.abs(up - x)) > 1e-2
    np.testing.assert_allclose(back, x, atol=1e-5)
    for through_data in ((0.0, 0.5), (0.5, 0.0, 0.5), (0.9, 0.5, 0.0, 0.5)):
        with pytest.raises(ValueError, match="times must have sigma above 0 but for the last, got"):
            samplers.runge_kutta(schedule, through_data)


def test_the_published_third_order_leaves_the_second_call_out():
    for name in ("dpm_solver", "dpm_solver_pp"):
        parameters = {"order": 3, "variant": "singlestep"}
        for formula, counts in (("exact", True), ("published", False)):
            made = samplers.PLANNERS[name](KINDS["flow"], GRID, formula=formula, **parameters)
            newest, second, first = made.stages[2].m
            assert newest
            assert first
            assert bool(second) is counts


def test_the_loops_defaults_are_the_plain_methods():
    schedule = KINDS["vp_linear"]
    for p in (1, 2, 3):
        wanted = samplers.dpm_solver_pp(schedule, GRID, p)
        got = multistep(schedule, GRID, predictor=p).plan("dpm_solver_pp")
        assert got.stages == wanted.stages


def test_churn_goes_no_higher_than_the_schedule():
    made = samplers.heun(KINDS["edm"], (80.0, 40.0, 10.0), s_churn=0.4)
    assert [s.time for s in made.stages[:2]] == [80.0, 40.0]
    assert made.stages[0].calls
    assert sum(s.draws for s in made.stages) == 1
    near = samplers.heun(KINDS["edm"], (75.0, 40.0, 10.0), s_churn=0.4)
    assert near.stages[0].time_next == 80.0
    # As far as 80, not 1.2 of 75.
    assert near.stages[0].z == pytest.approx(math.sqrt(80.0**2 - 75.0**2), rel=1e-12)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpm2", 2)])
def test_churn_tells_its_parameters_and_an_order_where_it_draws_nothing(name, order):
    visited = (20.0, 10.0, 1.0, 0.1)
    made = samplers.PLANNERS[name](KINDS["edm"], visited, s_churn=0.4)
    assert (made.name, made.order, made.stochastic) == (name, None, True)
    assert made.parameters == {"s_churn": 0.4, "s_tmin": 0.0, "s_noise": 1.0}
    # gamma is shared out over the three steps, at most sqrt(2) - 1 to each.
    assert made.stages[0].time_next == pytest.approx(20.0 * (1.0 + 0.4 / 3), rel=1e-12)
    most = samplers.PLANNERS[name](KINDS["edm"], visited, s_churn=9.0).stages[0]
    assert most.time_next == pytest.approx(20.0 * math.sqrt(2.0), rel=1e-12)
    beyond = {"s_churn": 0.4, "s_tmin": 60.0, "s_tmax": 70.0, "s_noise": 1.0}
    made = samplers.PLANNERS[name](KINDS["edm"], visited, **beyond)
    assert (made.name, made.order, made.stochastic) == (name, order, False)
    assert made.parameters == beyond
    assert made.stages == samplers.PLANNERS[name](KINDS["edm"], visited).stages


def test_an_ancestral_midpoint_beyond_time_0_is_time_0():
    """VE's data keep sigma_min: a step down past it calls there, at its true share of the step."""
    schedule, t, s, eta = schedules.ve(), 0.1, 0.02, 1.15
    first, second = samplers.dpm2_ancestral(schedule, (t, s), eta=eta).stages
    assert (first.time_next, second.time) == (0.0, 0.0)
    sigma_t, sigma_s, sigma_0 = (schedule(u).sigma for u in (t, s, 0.0))
    up = eta * sigma_s * math.sqrt(1.0 - (sigma_s / sigma_t) ** 2)
    down = math.sqrt(sigma_s**2 - up**2)
    assert down < sigma_0
    share = math.log(sigma_t / sigma_0) / math.log(sigma_t / down)
    assert second.z == pytest.approx(up, rel=1e-12)
    # x_s = x_t + (n_down - n_t) ((1 - w) eps_t + w eps_0), w = 1 / (2 share), eps_0 with -m / n_0.
    wanted = -(down - sigma_t) / sigma_0 * 0.5 / share
    assert second.m[0] == pytest.approx(wanted, rel=1e-9)


def test_the_ends_of_a_parameters_range_belong_to_it():
    edm, visited = KINDS["edm"], (20.0, 10.0, 1.0)
    quiet = samplers.heun(edm, visited, s_churn=0.4, s_noise=0.0)
    assert not quiet.stochastic
    assert quiet.stages[0].time_next > 20.0
    once = samplers.heun(edm, visited, s_churn=0.4, s_tmin=10.0, s_tmax=10.0)
    assert [s.draws for s in once.stages] == [False, False, True, False, False]
    widest = samplers.dpm_solver(KINDS["vp_linear"], GRID, order=3, r1=0.6, r2=0.7)
    assert widest.evaluations == 15
    silent = samplers.euler_ancestral(KINDS["vp_linear"], GRID, s_noise=0.0)
    assert not silent.stochastic
    still = Interval(t_min=0.2, t_max=0.6)
    assert not restart(KINDS["vp_linear"], samplers.ddim, GRID, still, s_noise=0.0).stochastic


def test_a_restart_tells_its_intervals():
    one = Interval(t_min=0.2, t_max=0.6)
    two = Interval(t_min=0.4, t_max=0.8, repetitions=3, times=(0.8, 0.5, 0.4))
    made = restart(KINDS["vp_linear"], samplers.ddim, GRID, one, two, s_noise=1.1, eta=0.5)
    assert made.name == "restart_ddim"
    assert made.parameters == {
        "eta": 0.5,
        "s_noise": 1.1,
        "intervals": [
            {"t_min": 0.2, "t_max": 0.6, "repetitions": 1, "times": [0.6, 0.4, 0.2]},
            {"t_min": 0.4, "t_max": 0.8, "repetitions": 3, "times": [0.8, 0.5, 0.4]},
        ],
    }
    # The planner's parameters hold everywhere: down, and on each way back.
    down = samplers.ddim(KINDS["vp_linear"], GRID[:4], eta=0.5).stages
    back = samplers.ddim(KINDS["vp_linear"], (0.8, 0.5, 0.4), eta=0.5).stages
    assert made.stages[: len(down)] == down
    assert made.stages[len(down) + 1 : len(down) + 1 + len(back)] == back
    assert restart(KINDS["vp_linear"], samplers.ddim, GRID) == samplers.ddim(
        KINDS["vp_linear"], GRID
    )
