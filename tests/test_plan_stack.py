"""Plans stacked into one, whose samples have their own times and samplers."""

import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import timed

from diffcore import noise, oracles, plan, predictions, samplers, schedules, times
from diffcore.denoisers import denoiser
from diffcore.plan import Plan, Stage, stack, unstack

EPS = np.finfo(np.float64).eps
SCHEDULES = {
    "linear": schedules.linear(),
    "zero_terminal_snr": schedules.zero_terminal_snr(schedules.linear()),
    "flow": schedules.flow(),
    "edm": schedules.edm(),
}


def mixed(schedule):
    """Three samplers with grids of their own, one of them with noise, one without its last step."""
    grids = [times.trailing(schedule, n)[:6] for n in (5, 6, 9)]
    return [
        samplers.ddim(schedule, grids[0]),
        samplers.ddim(schedule, grids[1], eta=0.7),
        samplers.euler(schedule, grids[2]),
    ]


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_sample_comes_out_as_under_its_own_plan(name, xp):
    schedule = SCHEDULES[name]
    plans = mixed(schedule)
    together = stack(plans)
    assert together.batch == 3
    source = noise.portable(3)
    eps = source(make(xp, np.zeros((3, 2, 2))), 0)
    denoise = oracles.gaussian(schedule, 0.2, 0.5)
    start = plan.prior(schedule, together.stages[0].time, eps)
    got = as_numpy(plan.sample(denoise, together, start, source))
    for b, own in enumerate(plans):
        start = plan.prior(schedule, own.stages[0].time, eps)
        # Row b of the noise does not depend on how many rows there are.
        alone = as_numpy(plan.sample(denoise, own, start, source))
        np.testing.assert_allclose(got[b], alone[b], rtol=64 * EPS, atol=64 * EPS)
        others = [alone[c] for c in range(3) if c != b]
        assert all(np.max(np.abs(got[b] - other)) > 1e-2 for other in others)


def test_float32_times_are_no_worse_than_float32_states():
    schedule = schedules.vp_linear()
    plans = [samplers.heun(schedule, times.trailing(schedule, 4)) for _ in range(2)]
    x = np.array([[0.4], [-1.3]], dtype=np.float32)
    denoise = oracles.gaussian(schedule, 0.2, 0.5)
    got, want = plan.sample(denoise, stack(plans), x), plan.sample(denoise, plans[0], x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=16 * np.finfo(np.float32).eps)


def test_a_network_is_told_each_samples_time():
    seen = []

    def network(x, t):
        seen.append(t)
        return 0.5 * x

    schedule = schedules.respace(schedules.linear(), range(100, 1001, 100))
    plans = [samplers.ddim(schedule, grid) for grid in ((10, 5, 0), (8, 2, 1))]
    x = np.ones((2, 1, 2, 2))
    for timestep in ("time", "index"):
        denoise = denoiser(network, schedule, predictions.EPS, timestep=timestep)
        got = plan.sample(denoise, stack(plans), x)
        for b, own in enumerate(plans):
            np.testing.assert_allclose(got[b], plan.sample(denoise, own, x)[b], rtol=1e-13)
    np.testing.assert_array_equal(seen[0], [1000.0, 800.0])
    np.testing.assert_array_equal(seen[1], [500.0, 200.0])
    np.testing.assert_array_equal(seen[6], [999.0, 799.0])


def test_learned_variances_stack():
    schedule = schedules.linear()
    grids = ((1000, 600, 100, 0), (900, 400, 50, 0))
    plans = [samplers.ddpm(schedule, grid, variance="learned") for grid in grids]
    together = stack(plans)
    assert Plan.from_json(together.to_json()) == together
    assert unstack(together) == tuple(plans)
    exact = oracles.gaussian(schedule, 0.2, 0.5)

    def denoise(x, t):
        return plan.Denoised(exact(x, t), 0.0 * x + 0.3)

    x = np.random.default_rng(0).standard_normal((2, 3))
    got = plan.sample(denoise, together, x, noise.portable(0))
    for b, own in enumerate(plans):
        alone = plan.sample(denoise, own, x, noise.portable(0))
        np.testing.assert_allclose(got[b], alone[b], rtol=64 * EPS)


@given(case=timed(count=4), eta=st.floats(0.0, 1.0))
def test_json_checks_and_unstacking(case, eta):
    schedule, grid = case
    plans = [samplers.ddim(schedule, grid[::-1], eta), samplers.ddim(schedule, grid[::-1])]
    together = stack(plans)
    assert Plan.from_json(together.to_json()) == together
    assert unstack(together) == tuple(plans)
    assert unstack(plans[0]) == (plans[0],)
    for check in (plan.mean_residuals, plan.variances):
        found = check(together, schedule)
        for b, own in enumerate(plans):
            np.testing.assert_array_equal(found[:, b], check(own, schedule))
    assert together.stochastic == plans[0].stochastic
    # The noise's weight, eta times a fraction, is 0 for the eta at which it underflows.
    if eta == 0.0 or eta >= np.finfo(np.float64).tiny:
        assert together.stochastic == (eta > 0.0)
    assert together.order == (1 if eta == 0.0 else None)
    assert together.evaluations == 3


def test_shorter_histories_are_filled_up():
    a = Plan("a", (Stage(3.0, 2.0, (1.0,), (0.5,)), Stage(2.0, 1.0, (0.5, 0.25), (0.5, 0.5))))
    b = Plan("b", (Stage(9.0, 8.0, (0.9,), (0.1,)), Stage(8.0, 7.0, (), (1.0,))), order=2)
    together = stack([a, b])
    assert together.name == "a+b"
    assert together.stages[1].x == ((0.5, 0.0), (0.25, 0.0))
    assert together.stages[1].m == ((0.5, 1.0), (0.5, 0.0))
    x = np.array([[1.5], [-0.5]])
    denoise = lambda x_t, t: x_t / (1.0 + np.reshape(t, (-1, 1)))  # noqa: E731
    got = plan.sample(denoise, together, x)
    want = [plan.sample(denoise, own, x)[k] for k, own in enumerate((a, b))]
    np.testing.assert_array_equal(got, want)


def test_a_stack_of_one_is_that_plan():
    own = samplers.ddpm(SCHEDULES["linear"], (1000, 500, 0))
    together = stack([own])
    assert together.batch == 1
    assert unstack(together) == (own,)


def test_stages_without_a_call_stay_so():
    """A stage may weigh earlier outputs and call for none of its own."""
    first, second = Stage(3.0, 2.0, (1.0,), (0.5,)), Stage(2.0, 1.0, (1.0,), (0.25,), call=False)
    own = Plan("own", (first, second))
    together = stack([own, own, own])
    assert [stage.calls for stage in together.stages] == [True, False]
    assert unstack(together) == (own, own, own)
    x = np.ones((3, 1))
    denoise = lambda x_t, t: x_t + np.reshape(t, (-1, 1))  # noqa: E731
    # m = 1 + 3, x_1 = 1 + m / 2, x_2 = x_1 + m / 4.
    np.testing.assert_array_equal(plan.sample(denoise, together, x), 4.0 * x)


@pytest.mark.parametrize("batch", [2, 3])
def test_json_tells_a_stack_of_scales_from_a_range(batch):
    plans = [samplers.ddim(SCHEDULES["linear"], (1000, 500 - b, 0), eta=0.5) for b in range(batch)]
    together = Plan.from_json(stack(plans).to_json())
    assert type(together.stages[0].z) is tuple
    assert unstack(together) == tuple(plans)


def test_a_number_in_a_stack_is_every_samples():
    """As in a stack written by hand, which does not say what plans it was made of."""
    stages = (Stage((4.0, 3.0), 1.0, (0.5,), ((0.25, 0.75),)), Stage(1.0, 0.0, (2.0,), (1.0,)))
    together = Plan("hand", stages)
    assert together.batch == 2
    own = tuple(
        Plan("hand", (Stage(t, 1.0, (0.5,), (m,)), Stage(1.0, 0.0, (2.0,), (1.0,))))
        for t, m in ((4.0, 0.25), (3.0, 0.75))
    )
    assert unstack(together) == own
    told = []

    def denoise(x_t, t):
        told.append(t)
        return x_t + np.reshape(t, (-1, 1))

    x = np.array([[1.0], [-2.0]])
    got = plan.sample(denoise, together, x)
    np.testing.assert_array_equal(told[0], [4.0, 3.0])
    assert told[1] == 1.0
    for b, one in enumerate(own):
        np.testing.assert_array_equal(got[b], plan.sample(denoise, one, x)[b])


@pytest.mark.parametrize(
    ("state", "told"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_times_are_told_in_at_least_float32(state, told):
    """1/3 in half precision is another time by 8e-5."""
    grids = ((0.9, 1 / 3, 0.1), (0.8, 2 / 3, 0.2))
    together = stack([samplers.ddim(SCHEDULES["flow"], grid) for grid in grids])
    seen = []
    plan.sample(lambda x, t: seen.append(t) or x, together, np.ones((2, 1), dtype=state))
    assert all(t.dtype == told for t in seen)
    np.testing.assert_array_equal(seen[1], np.array([1 / 3, 2 / 3], dtype=told))


def test_a_stack_compiles_whole():
    torch = pytest.importorskip("torch")
    schedule = schedules.linear()
    together, denoise = stack(mixed(schedule)), oracles.gaussian(schedule, 0.1, 0.5)
    draws = torch.randn((7, 3, 2), generator=torch.Generator().manual_seed(0))

    def run(start):
        return plan.sample(denoise, together, start, lambda like, step: draws[step])

    compiled = torch.compile(run, fullgraph=True, backend="eager")
    assert torch.equal(compiled(draws[0]), run(draws[0]))


def test_a_stack_runs_under_jit():
    jax = pytest.importorskip("jax")
    jnp = namespace_of("jax")
    schedule = schedules.flow()
    together, denoise = stack(mixed(schedule)), oracles.gaussian(schedule, 0.1, 0.5)
    draws = jnp.asarray(np.random.default_rng(0).standard_normal((7, 3, 2)), dtype=jnp.float32)

    def run(start):
        return plan.sample(denoise, together, start, lambda like, step: draws[step])

    np.testing.assert_allclose(jax.jit(run)(draws[0]), run(draws[0]), rtol=1e-5, atol=1e-6)


SCHEDULE = schedules.linear(10)


@pytest.mark.parametrize(
    ("plans", "message"),
    [
        ([], "plans must be one or more, got none"),
        ([(5, 0), (5, 3, 0)], "plans must have the same number of stages, got 1 and 2"),
    ],
)
def test_bad_plans_are_named(plans, message):
    with pytest.raises(ValueError, match=message):
        stack([samplers.ddim(SCHEDULE, grid) for grid in plans])


def test_what_is_no_plan_is_named():
    one = samplers.ddim(SCHEDULE, (5, 0))
    for wrong in (one, None, 3):
        with pytest.raises(TypeError, match="plans must be a sequence of plans, got "):
            stack(wrong)
    with pytest.raises(TypeError, match="plans must be a sequence of plans, got 3 among them"):
        stack([one, 3])


def test_unlike_plans_are_named():
    one = samplers.ddim(SCHEDULE, (5, 0))
    with pytest.raises(ValueError, match="plans must not be stacks, got one of 2 plans"):
        stack([one, stack([one, one])])
    silent = Plan("silent", (Stage(5, 0, (1.0,)),))
    with pytest.raises(ValueError, match="plans must call the denoiser in the same stages"):
        stack([one, silent])
    grid = (9, 5, 0)
    learned = samplers.ddpm(SCHEDULE, grid, variance="learned")
    with pytest.raises(ValueError, match="plans must learn the variance in the same stages"):
        stack([learned, samplers.ddpm(SCHEDULE, grid)])
    with pytest.raises(ValueError, match="x must have one sample for each of 2 plans, got 3"):
        plan.sample(lambda x, t: x, stack([one, one]), np.ones((3, 1)))
