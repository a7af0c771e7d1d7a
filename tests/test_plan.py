import json
import math
import weakref

import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from hypothesis import given
from hypothesis import strategies as st

from diffcore import denoisers, noise, oracles, plan, samplers, schedules, times
from diffcore.plan import Denoised, LogRange, Plan, Stage

numbers = st.floats(-3, 3, allow_nan=False)


def test_a_plan_says_no_more_than_it_was_told():
    made = Plan("one", (Stage(1.0, 0.0, (0.5,)),))
    assert (made.order, made.parameters) == (None, {})
    assert made.stages[0] == Stage(1.0, 0.0, (0.5,), m=(), z=0.0, call=True)


@st.composite
def plans(draw):
    """Any plan whatever: tables of random numbers, deep histories, stages without a network."""
    stages = []
    for k in range(draw(st.integers(1, 5))):
        x = draw(st.lists(numbers, min_size=1, max_size=k + 1))
        past = sum(s.calls for s in stages)
        call = draw(st.booleans())
        m = draw(st.lists(numbers, max_size=past + call))
        z = draw(st.just(0.0) | numbers)
        stages.append(Stage(10.0 - k, 9.0 - k, tuple(x), tuple(m), z, call))
    return Plan("random", tuple(stages))


def by_hand(denoise, made, x, noises):
    """The defining sum, every state and output kept."""
    states, outputs = [x], []
    for index, stage in enumerate(made.stages):
        if stage.m and stage.call:
            outputs.append(denoise(states[-1], stage.time))
        new = sum(c * states[-1 - i] for i, c in enumerate(stage.x))
        new = new + sum(c * outputs[-1 - j] for j, c in enumerate(stage.m))
        states.append(new + stage.z * noises[index])
    return states


@given(plans(), st.integers(0, 99))
def test_the_loop_is_the_defining_sum(made, seed):
    rng = np.random.default_rng(seed)
    x, noises = rng.normal(size=(2, 3)), rng.normal(size=(5, 2, 3))
    denoise = lambda x_t, t: np.tanh(x_t) + t  # noqa: E731
    wanted = by_hand(denoise, made, x, noises)
    seen = list(plan.iterate(denoise, made, x, lambda like, step: noises[step - 1]))
    for progress, state in zip(seen, wanted[1:], strict=True):
        np.testing.assert_allclose(progress.x, state, rtol=1e-12, atol=1e-12)
    assert [p.index for p in seen] == list(range(len(made.stages)))
    end = plan.sample(denoise, made, x, lambda like, step: noises[step - 1])
    np.testing.assert_array_equal(end, seen[-1].x)


def test_progress_says_what_was_done():
    made = Plan("three", (Stage(3, 2, (1.0,)), Stage(2, 1, (0.5,), (0.5,)), Stage(1, 0, (2.0,))))
    outputs = []

    def denoise(x_t, t):
        outputs.append(x_t + t)
        return outputs[-1]

    seen = list(plan.iterate(denoise, made, np.ones((1, 2))))
    assert [p.stage for p in seen] == list(made.stages)
    assert seen[0].x_0 is None
    assert seen[1].x_0 is outputs[0]
    assert seen[2].x_0 is outputs[0]
    assert len(outputs) == 1


def test_a_stage_that_weighs_nothing_gives_zeros():
    made = Plan("nothing", (Stage(1, 0, ()),))
    x = np.full((2, 3), 5.0)
    np.testing.assert_array_equal(plan.sample(lambda x_t, t: x_t, made, x), 0.0 * x)


def test_a_plan_without_stages_leaves_what_there_is():
    made, schedule = Plan("empty", ()), schedules.linear(10)
    x = np.ones((2, 3))
    assert plan.sample(lambda x_t, t: x_t, made, x) is x
    assert (made.evaluations, made.stochastic, made.batch) == (0, False, None)
    assert plan.mean_residuals(made, schedule).shape == (0,)
    np.testing.assert_array_equal(plan.variances(made, schedule), [0.0])


@given(plans())
def test_nothing_is_held_that_no_later_stage_reads(made):
    """Counted at each call: the states and outputs that are alive are those still to be read."""
    seen = []  # A weak reference to each state and output, and the last stage that reads it.
    last = {}
    counts = {"x": 0, "m": -1}
    for k, stage in enumerate(made.stages):
        counts["m"] += stage.calls
        for kind, weights in (("x", stage.x), ("m", stage.m)):
            last |= {(kind, counts[kind] - i): k for i, c in enumerate(weights) if c != 0.0}
        counts["x"] += 1
    calling = [k for k, stage in enumerate(made.stages) if stage.calls]
    calls = iter(range(len(calling)))

    def denoise(x_t, t):
        n = next(calls)
        k = calling[n]
        held = [key for key, reference in seen if reference() is not None]
        assert all(last.get(key, -1) >= k for key in held)
        seen.append((("x", k), weakref.ref(x_t)))
        output = np.tanh(x_t)
        seen.append((("m", n), weakref.ref(output)))
        return output

    fresh = lambda like, step: np.ones_like(like)  # noqa: E731
    plan.sample(denoise, made, np.ones((2, 3)), fresh)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            Stage(1, 0, (1.0, 0.0, 0.5)),
            "stage 1 of plan 'bad' weighs more states than there",
        ),
        (
            Stage(1, 0, (1.0,), (0.5, 0.5), call=False),
            "weighs more outputs than there are",
        ),
    ],
)
def test_a_plan_that_reads_what_there_is_not_is_named(stage, message):
    bad = Plan("bad", (Stage(2, 1, (1.0,), (0.5,)), stage))
    with pytest.raises(ValueError, match=message):
        plan.iterate(lambda x, t: x, bad, np.ones((1, 1)))


@given(plans())
def test_json_round_trip(made):
    assert Plan.from_json(made.to_json()) == made
    assert json.loads(made.to_json())["format"] == 1


def test_json_keeps_learned_ranges():
    made = samplers.ddpm(schedules.linear(10), variance="learned")
    again = Plan.from_json(made.to_json())
    assert again == made
    assert isinstance(again.stages[0].z, LogRange)


def test_json_holds_numbers_and_words_alone():
    def made(value):
        return Plan("one", (Stage(1, 0, (1.0,)),), parameters={"value": value})

    for value in (np.float32(0.5), np.int64(3), np.bool_(True)):
        again = Plan.from_json(made(value).to_json()).parameters["value"]
        assert again == value
        assert type(again) is type(value.item())
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            made(value).to_json()
    with pytest.raises(TypeError, match="a plan's parameters must be numbers and words for JSON"):
        made(object()).to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "stages": [{}]}'])
def test_bad_json_is_named(text):
    with pytest.raises(ValueError, match="text must be a plan's JSON"):
        Plan.from_json(text)


def test_evaluations_count_calls_of_the_network():
    calls = []
    made = Plan(
        "two",
        (Stage(2, 1, (1.0,), (0.5,)), Stage(1, 2, (1.0,), z=0.3), Stage(2, 0, (1.0,), (1.0,))),
    )
    plan.sample(
        lambda x, t: calls.append(t) or x, made, np.ones((1, 1)), lambda like, step: 0 * like
    )
    assert calls == [2, 2]
    assert made.evaluations == 2
    assert made.stochastic


def test_every_library_draws_the_same_sample(xp):
    """One seed, one plan, one answer: the portable noise and host coefficients see to it."""
    schedule = schedules.cosine()
    made = samplers.ddpm(schedule, times.trailing(schedule, 20))

    def run(xp, dtype):
        source = noise.as_noise(7)
        start = plan.prior(schedule, 1000, source(make(xp, np.zeros((3, 2)), dtype), 0))
        denoise = oracles.gaussian(schedule, 0.1, 0.5)
        return plan.sample(denoise, made, start, source)

    reference = run(namespace_of("numpy"), "float64")
    got = run(xp, "float32")
    assert got.dtype == xp.float32
    np.testing.assert_allclose(as_numpy(got), reference, rtol=1e-5, atol=1e-5)


def test_a_plan_runs_under_jit():
    jax = pytest.importorskip("jax")
    jnp = namespace_of("jax")
    schedule = schedules.linear()
    made = samplers.ddim(schedule, times.trailing(schedule, 10))
    denoise = oracles.gaussian(schedule, 0.1, 0.5)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), dtype=jnp.float32)
    np.testing.assert_allclose(
        jax.jit(lambda start: plan.sample(denoise, made, start))(x),
        plan.sample(denoise, made, x),
        rtol=1e-5,
    )


def test_a_plan_compiles_whole():
    torch = pytest.importorskip("torch")
    schedule = schedules.linear()
    made = samplers.ddim(schedule, times.trailing(schedule, 5))
    denoise = oracles.gaussian(schedule, 0.1, 0.5)
    x = torch.randn((2, 3), generator=torch.Generator().manual_seed(0))
    run = torch.compile(
        lambda start: plan.sample(denoise, made, start), fullgraph=True, backend="eager"
    )
    assert torch.equal(run(x), plan.sample(denoise, made, x))


def test_learned_variance_interpolates_logarithms():
    made = Plan("one", (Stage(2, 1, (0.0,), (0.0,), LogRange(math.log(0.04), math.log(0.25))),))
    x = np.zeros((2, 1))
    ones = lambda like, step: np.ones_like(like)  # noqa: E731
    fraction = np.array([[0.0], [1.0]])
    out = plan.sample(lambda x_t, t: Denoised(x_t, fraction), made, x, ones)
    np.testing.assert_allclose(out, [[0.2], [0.5]], rtol=1e-14)
    out = plan.sample(lambda x_t, t: Denoised(x_t, fraction * 0 + 0.5), made, x, ones)
    np.testing.assert_allclose(out, math.sqrt(0.1), rtol=1e-14)
    with pytest.raises(ValueError, match="denoise must return Denoised"):
        plan.sample(lambda x_t, t: x_t, made, x, ones)
    never_called = Plan("one", (Stage(2, 1, (1.0,), z=LogRange(-1.0, 1.0)),))
    with pytest.raises(ValueError, match="denoise must return Denoised"):
        plan.sample(lambda x_t, t: Denoised(x_t, fraction), never_called, x, ones)


def test_noise_is_asked_for():
    made = samplers.ddpm(schedules.linear(10))
    with pytest.raises(ValueError, match="noise must be given: plan 'ddpm' draws noise"):
        plan.iterate(lambda x, t: x, made, np.ones((1, 1)))
    with pytest.raises(TypeError, match="x must be a real floating"):
        plan.sample(lambda x, t: x, made, np.ones((1, 1), dtype=int), lambda like, step: like)


def test_what_is_not_asked_for_is_named():
    made, x = samplers.ddpm(schedules.linear(10)), np.ones((2, 3), dtype="float32")
    same, fresh = lambda x, t: x, noise.portable(0)
    for denoise, asked, error, said in (
        ("net", fresh, TypeError, "denoise must be callable, got 'net'"),
        (lambda x, t: None, fresh, TypeError, "denoise's x_0 must be an array, got NoneType"),
        (lambda x, t: x[:1], fresh, ValueError, "denoise's x_0 must have the shape of x"),
        (lambda x, t: x[:, :1], fresh, ValueError, "denoise's x_0 must have the shape of x"),
        (lambda x, t: x.astype("f8"), fresh, TypeError, "must leave x its dtype, float32, got fl"),
        (same, 0, TypeError, r"^noise must be a function such as noise\.as_noise\(0\), got 0$"),
        (same, lambda x, k: None, TypeError, "noise must be an array, got NoneType"),
        (same, lambda x, k: x[0], ValueError, "noise must have the shape of x"),
        (same, lambda x, k: x.astype("f8"), TypeError, "must leave x its dtype, float32, got fl"),
    ):
        with pytest.raises(error, match=said):
            plan.sample(denoise, made, x, asked)
    with pytest.raises(TypeError, match="denoise's x_0 must be a real floating-point array"):
        plan.sample(lambda x, t: x.astype(int), made, x.astype("f8"), fresh)
    other = make(namespace_of("array_api_strict"), x, "float32")
    with pytest.raises(TypeError, match="denoise's x_0 must be an array of x's library, numpy"):
        plan.sample(lambda x, t: other, made, x, fresh)
    for call in (
        lambda: plan.iterate(same, None, x),
        lambda: plan.mean_residuals([made], schedules.linear(10)),
        lambda: plan.variances("ddpm", schedules.linear(10)),
    ):
        with pytest.raises(TypeError, match="plan must be a Plan, got"):
            call()
    with pytest.raises(TypeError, match="schedule must be a schedule or its tables, got None"):
        plan.mean_residuals(made, None)
    with pytest.raises(TypeError, match="eta must be a number, got 'a'"):
        samplers.ddim(schedules.linear(10), (10, 0), "a")
    with pytest.raises(TypeError, match="schedule must be a schedule or its tables"):
        plan.prior(None, 10, x)
    with pytest.raises(TypeError, match="eps must be an array"):
        plan.prior(schedules.linear(10), 10, None)
    with pytest.raises(ValueError, match="time must be one for each of 2 samples, got 3"):
        plan.prior(schedules.linear(10), (10, 9, 8), x)


def test_numpys_numbers_leave_the_dtype():
    half, x = np.float64(0.5), np.ones((2, 3), dtype="float32")
    made = [Plan("one", (Stage(2.0, 1.0, (half,), (half,), half),))]
    made += [samplers.ddim(schedules.linear(10), np.array([10, 5, 0]), np.float64(0.5))]
    for one in made:
        assert plan.sample(lambda x, t: x, one, x, noise.portable(0)).dtype == np.float32
    assert type(made[1].parameters["eta"]) is float


def test_dynamic_threshold_is_the_quantile():
    x_0 = 3.0 * np.random.default_rng(0).standard_normal((4, 3, 5))
    for quantile in (0.5, 0.9, 0.995, 1.0):
        limit = np.quantile(np.abs(x_0).reshape(4, -1), quantile, axis=1)[:, None, None]
        got = denoisers.DynamicThreshold(quantile)(x_0)
        np.testing.assert_allclose(got, np.clip(x_0, -limit, limit) / limit, rtol=1e-12)
    inside = 0.9 * x_0 / np.abs(x_0).max()
    np.testing.assert_array_equal(denoisers.DynamicThreshold()(inside), inside)
    capped = denoisers.DynamicThreshold(1.0, maximum=1.5)(x_0)
    np.testing.assert_allclose(capped, np.clip(x_0, -1.5, 1.5) / 1.5)
