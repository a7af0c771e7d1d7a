"""Classifier-free guidance, its interval, autoguidance and classifier guidance, on Gaussians."""

import math

import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import continuous_schedules, normal, timed

from diffcore import guidance, oracles, plan, predictions, samplers, schedules
from diffcore.denoisers import Clip, thresholded
from diffcore.plan import Denoised

EPS = np.finfo(np.float64).eps
MEAN_C, V_C = 0.8, 0.3
MEAN_U, V_U = -0.4, 0.9


def pair(schedule):
    return (
        oracles.gaussian(schedule, MEAN_C, V_C),
        oracles.gaussian(schedule, MEAN_U, V_U),
    )


def tilted(schedule, t, x, w):
    """The denoiser of p_c(x_t)^w p_u(x_t)^(1-w), by its precision and Tweedie's formula."""
    alpha, sigma = schedule(t)
    at_c, at_u = (alpha**2 * v + sigma**2 for v in (V_C, V_U))
    precision = w / at_c + (1 - w) / at_u
    shift = alpha * (w * MEAN_C / at_c + (1 - w) * MEAN_U / at_u)
    score = shift - precision * x
    return (x + sigma**2 * score) / alpha


@given(case=timed(count=1), w=st.floats(-2.0, 8.0), seed=st.integers(0, 99))
def test_guiding_two_gaussians_is_the_gaussian_of_their_weighted_product(case, w, seed):
    schedule, (t,) = case
    alpha, sigma = schedule(t)
    if alpha < 1e-3:
        return
    x = normal(seed, (3, 2))[0] * math.hypot(alpha, sigma)
    conditional, unconditional = pair(schedule)
    wanted = tilted(schedule, t, x, w)
    size = (1 + abs(w)) * (1 + np.abs(x).max()) * (1 + sigma**2) / alpha
    bound = 64 * EPS * size

    def error(got):
        return np.abs(got - wanted).max()

    assert error(guidance.two_pass(conditional, unconditional, w)(x, t)) <= bound
    c, u = conditional(x, t), unconditional(x, t)
    if abs(w) > 0.01 and np.abs(c - u).max() > 1e-3:
        # Ho & Salimans count the weight from the conditional model: c + w (c - u) is w + 1 here.
        assert error(c + w * (c - u)) > bound
        assert error(u + w * c) > bound or np.abs(u).max() < 1e-3


@pytest.mark.parametrize("w", [3.0, -0.5])
@pytest.mark.parametrize(
    "predicts",
    [
        predictions.EPS, predictions.X_0, predictions.V, predictions.SCORE, predictions.VELOCITY,
        predictions.Edm(),
    ],
    ids=lambda p: p.name,
)  # fmt: skip
def test_guiding_any_prediction_is_the_same(predicts, w):
    schedule, t = schedules.linear(100), 40
    x = normal(0, (3, 4))[0]
    conditional, unconditional = pair(schedule)
    on_x_0 = guidance.two_pass(conditional, unconditional, w)(x, t)
    rule = guidance.on_outputs(guidance.Linear(w), schedule, predicts)
    got = guidance.two_pass(conditional, unconditional, rule)(x, t)
    np.testing.assert_allclose(got, on_x_0, rtol=0, atol=256 * EPS)
    rescaled = guidance.Rescaled(w, 1.0)
    other = guidance.on_outputs(rescaled, schedule, predicts)
    differs = np.abs(
        guidance.two_pass(conditional, unconditional, other)(x, t)
        - guidance.two_pass(conditional, unconditional, rescaled)(x, t)
    ).max()
    assert (differs > 1e-3) == (predicts.name != "x_0")


def test_w_1_is_the_conditional_model_and_w_0_the_other_to_the_bit(xp):
    schedule = schedules.cosine(50)
    x = make(xp, normal(1, (4, 3))[0], "float32")
    conditional, unconditional = pair(schedule)
    c, u = as_numpy(conditional(x, 20)), as_numpy(unconditional(x, 20))
    for rule in (1.0, guidance.Rescaled(1.0), guidance.Projected(1.0, radius=0.1)):
        got = guidance.two_pass(conditional, unconditional, rule)(x, 20)
        np.testing.assert_array_equal(as_numpy(got), c)
        assert got.dtype == xp.float32
    got = guidance.two_pass(conditional, unconditional, 0.0)(x, 20)
    np.testing.assert_array_equal(as_numpy(got), u)


def test_one_call_on_a_doubled_batch_is_two_calls(xp):
    schedule = schedules.cosine(50)
    conditional, unconditional = pair(schedule)
    sizes = []

    def both(x_t, t):
        sizes.append(x_t.shape[0])
        n = x_t.shape[0] // 2
        parts = [conditional(x_t[:n, ...], t), unconditional(x_t[n:, ...], t)]
        return xp.concat(parts, axis=0)

    x = make(xp, normal(2, (3, 2, 2))[0], "float32")
    for rule in (2.5, guidance.Rescaled(2.5), guidance.Projected(2.5)):
        got = guidance.batched(both, rule)(x, 20)
        wanted = guidance.two_pass(conditional, unconditional, rule)(x, 20)
        np.testing.assert_array_equal(as_numpy(got), as_numpy(wanted))
    assert sizes == [6, 6, 6]
    with pytest.raises(ValueError, match="both must return 6 samples for 6, got 3"):
        guidance.batched(lambda x_t, t: x_t[:3, ...], 2.0)(x, 20)


def test_a_learned_variance_is_the_conditional_ones():
    conditional, unconditional = pair(schedules.cosine(50))

    def with_fraction(denoise, fraction):
        return lambda x, t: Denoised(denoise(x, t), np.full_like(x, fraction))

    x = normal(3, (2, 2))[0]
    c, u = with_fraction(conditional, 0.25), with_fraction(unconditional, 0.75)
    got = guidance.two_pass(c, u, 2.0)(x, 20)
    plain = guidance.two_pass(conditional, unconditional, 2.0)(x, 20)
    np.testing.assert_array_equal(got.x_0, plain)
    np.testing.assert_array_equal(got.variance_fraction, 0.25)

    def both(x_t, t):
        parts = c(x_t[:2], t), u(x_t[2:], t)
        return Denoised(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    twice = guidance.batched(both, 2.0)(x, 20)
    np.testing.assert_array_equal(twice.x_0, plain)
    np.testing.assert_array_equal(twice.variance_fraction, 0.25)
    clipped = thresholded(guidance.two_pass(c, u, 2.0), Clip(-0.1, 0.1))(x, 20)
    np.testing.assert_array_equal(clipped.x_0, np.clip(plain, -0.1, 0.1))
    np.testing.assert_array_equal(clipped.variance_fraction, 0.25)


def test_a_weight_for_each_sample():
    schedule = schedules.cosine(50)
    x = normal(4, (3, 2, 2))[0]
    weights = np.array([0.0, 1.0, 4.0])
    got = guidance.two_pass(*pair(schedule), weights)(x, 20)
    for i, w in enumerate(weights):
        one = guidance.two_pass(*pair(schedule), w)(x, 20)
        np.testing.assert_allclose(got[i], one[i], rtol=0, atol=8 * EPS)
    with pytest.raises(TypeError, match="weight must have the dtype of x_t, float32"):
        guidance.two_pass(*pair(schedule), weights)(x.astype(np.float32), 20)
    with pytest.raises(ValueError, match=r"weight .* one for each of 2 samples, got 3"):
        guidance.two_pass(*pair(schedule), weights)(x[:2], 20)
    projected = guidance.two_pass(*pair(schedule), guidance.Projected(weights))(x, 20)
    np.testing.assert_array_equal(projected[1], pair(schedule)[0](x, 20)[1])


def test_numpys_numbers_promote_nothing(xp):
    """Python's floats and np.float64, which NumPy would carry into a float32 array's dtype."""
    schedule = schedules.cosine(50)
    x = make(xp, normal(10, (3, 2))[0], "float32")
    conditional, unconditional = pair(schedule)
    weight, half = np.float64(2.5), np.float64(0.5)
    for made in (
        lambda w, h: guidance.two_pass(conditional, unconditional, w),
        lambda w, h: guidance.batched(conditional, guidance.Rescaled(w, h)),
        lambda w, h: guidance.two_pass(
            conditional,
            unconditional,
            guidance.Projected(w, eta=h, radius=h, momentum=h),
        ),
        lambda w, h: guidance.classifier(conditional, schedule, lambda x, t: 0.5 * x, w),
    ):
        got, wanted = made(weight, half)(x, 20), made(2.5, 0.5)(x, 20)
        assert got.dtype == xp.float32
        np.testing.assert_array_equal(as_numpy(got), as_numpy(wanted))


def test_rules_of_several_weights_compile_whole():
    """The compiler takes a float that changes between calls for one it does not know."""
    torch = pytest.importorskip("torch")
    schedule = schedules.cosine(50)
    x = torch.from_numpy(normal(10, (3, 2))[0].astype(np.float32))
    conditional, unconditional = pair(schedule)
    kinds = (
        guidance.Linear,
        guidance.Rescaled,
        lambda w: guidance.Projected(w, eta=0.1 * w, radius=0.1 * w),
        lambda w: guidance.Projected(w, radius=0.1 * w, momentum=-0.1 * w),
    )
    for kind in kinds:
        torch.compiler.reset()

        compiled = torch.compile(lambda f, x: f(x, 20), fullgraph=True, backend="eager")
        for w in (2.0, np.float64(3.0), 4.5):
            guided = guidance.two_pass(conditional, unconditional, kind(w))
            expected = guidance.two_pass(conditional, unconditional, kind(float(w)))(x, 20)
            np.testing.assert_allclose(compiled(guided, x), expected, rtol=0, atol=2**-20)


def flow_end(x, w, mean, sigma_max, sigma_min):
    """The guided flow on EDM's schedule where both laws have one mean: dx / dsigma is linear.

    d(x - mean) / dsigma = sigma (w / (v_c + sigma^2) + (1 - w) / (v_u + sigma^2)) (x - mean).
    """

    def scale(v):
        return (v + sigma_min**2) / (v + sigma_max**2)

    return mean + (x - mean) * scale(V_C) ** (w / 2) * scale(V_U) ** ((1 - w) / 2)


def order(errors, counts):
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


def test_the_guided_flow_of_two_gaussians_ends_where_it_must():
    """And so samplers keep their order under guidance."""
    schedule, w, mean = schedules.edm(), 3.0, 0.25
    denoise = guidance.two_pass(
        oracles.gaussian(schedule, mean, V_C), oracles.gaussian(schedule, mean, V_U), w
    )
    x = np.linspace(-2.0, 2.0, 5)[:, None]
    wanted = flow_end(x, w, mean, 5.0, 0.1)
    counts = (64, 128, 256)
    for planner, declared in ((samplers.euler, 1), (samplers.heun, 2)):
        errors = [
            np.abs(plan.sample(denoise, planner(schedule, grid), x) - wanted).max()
            for grid in (np.geomspace(5.0, 0.1, n + 1).tolist() for n in counts)
        ]
        assert order(errors, counts) == pytest.approx(declared, abs=0.15)
        wrong = flow_end(x, w + 1.0, mean, 5.0, 0.1)
        assert np.abs(wrong - wanted).max() > 10 * errors[0]


def test_guidance_with_equal_variances_moves_the_mean_beyond_the_conditional_one():
    schedule, w = schedules.vp_linear(), 2.5
    c, u = (oracles.gaussian(schedule, mean, 0.4) for mean in (0.5, -0.3))
    beyond = oracles.gaussian(schedule, w * 0.5 + (1 - w) * -0.3, 0.4)
    x = normal(5, (3, 2))[0]
    np.testing.assert_allclose(
        guidance.two_pass(c, u, w)(x, 0.4), beyond(x, 0.4), rtol=0, atol=32 * EPS
    )


@given(schedule=continuous_schedules(), part=st.floats(0.0, 0.95), w=st.floats(0.0, 5.0))
def test_a_classifier_that_is_bayes_rule_guides_as_the_conditional_model_does(schedule, part, w):
    t = part * schedule.curve.t_max
    alpha, sigma = schedule(t)
    conditional, unconditional = pair(schedule)

    def scores(x_t):
        at_c, at_u = (alpha**2 * v + sigma**2 for v in (V_C, V_U))
        return -(x_t - alpha * MEAN_C) / at_c, -(x_t - alpha * MEAN_U) / at_u

    def gradient(x_t, t):
        """log p(y | x_t) = log p(x_t | y) - log p(x_t) + constant, differentiated."""
        of_c, of_u = scores(x_t)
        return of_c - of_u

    x = math.hypot(alpha, sigma) * normal(6, (4, 2))[0]
    got = guidance.classifier(unconditional, schedule, gradient, w)(x, t)
    wanted = guidance.two_pass(conditional, unconditional, w)(x, t)
    # The scores nearly cancel where alpha is small: their own size is what rounding acts on.
    rounded = sigma**2 / alpha * max(np.abs(score).max() for score in scores(x))
    size = (1 + w) * (1 + np.abs(x).max() + rounded)
    assert np.abs(got - wanted).max() <= 64 * EPS * size
    towards = w * gradient(x, t)
    for wrong in (sigma**2 * towards, sigma / alpha * towards, -(sigma**2) / alpha * towards):
        differs = np.abs(wrong - sigma**2 / alpha * towards).max()
        if differs > 1e-6:
            assert np.abs(unconditional(x, t) + wrong - wanted).max() > 64 * EPS * size


def test_a_classifier_at_the_ends_of_time(xp):
    x = make(xp, normal(7, (3, 2))[0], "float32")
    denoise = oracles.gaussian(schedules.flow(), 0.0, 1.0)
    guided = guidance.classifier(denoise, schedules.flow(), lambda x, t: x, 2.0)
    np.testing.assert_array_equal(as_numpy(guided(x, 0.0)), as_numpy(denoise(x, 0.0)))
    assert guided(x, 0.5).dtype == xp.float32
    with pytest.raises(ValueError, match=r"alpha > 0 for a classifier to guide, got t = 1\.0"):
        guided(x, 1.0)
    wrong = guidance.classifier(denoise, schedules.flow(), lambda x, t: x[:1, ...])
    with pytest.raises(ValueError, match="gradient must have the shape of x_t"):
        wrong(x, 0.5)


def test_ddpm_with_a_classifier_is_dhariwal_and_nichols_shift_to_first_order():
    """Algorithm 1 shifts the mean by variance * gradient: beta_t, where this has one more root."""
    schedule, t = schedules.linear(100, 0.001, 0.2), 50
    quiet = oracles.point_mass(schedule, 0.0)
    guided = guidance.classifier(quiet, schedule, lambda x, t: 1.0 + 0.0 * x, 1.0)
    step = samplers.ddpm(schedule, (t, t - 1)).stages[0]
    x = np.zeros((1, 1))
    shift = float(step.m[0] * (guided(x, t) - quiet(x, t))[0, 0])
    beta = schedule.beta[t]
    assert shift == pytest.approx(beta / math.sqrt(1.0 - beta), rel=64 * EPS)
    assert shift == pytest.approx(beta, rel=beta)


def test_guidance_within_an_interval():
    schedule = schedules.edm()
    calls = []

    def named(name):
        return lambda x, t: calls.append(name) or x

    denoise = guidance.interval(named("guided"), named("plain"), schedule, 0.3, 5.0)
    for t in (80.0, 5.0001, 5.0, 1.0, 0.3001, 0.3, 0.01):
        denoise(np.zeros((1, 1)), t)
    assert calls == ["plain"] * 2 + ["guided"] * 3 + ["plain"] * 2
    calls.clear()
    for low, high in ((0.0, math.inf), (1.0, math.inf), (0.0, 1.0)):
        everywhere = guidance.interval(named("guided"), named("plain"), schedules.flow(), low, high)
        for t in (1.0, 0.9, 0.1):
            everywhere(np.zeros((1, 1)), t)
    assert calls == ["guided"] * 3 + ["guided", "guided", "plain"] + ["plain", "plain", "guided"]


def test_an_interval_of_the_flow():
    """Guided above a level and plain below it: one closed form after the other."""
    schedule, w = schedules.edm(), 3.0
    c, u = (oracles.gaussian(schedule, 0.0, v) for v in (V_C, V_U))
    denoise = guidance.interval(guidance.two_pass(c, u, w), c, schedule, 1.0, math.inf)
    x = np.linspace(-2.0, 2.0, 5)[:, None]
    halfway = flow_end(x, w, 0.0, 5.0, 1.0)
    wanted = flow_end(halfway, 1.0, 0.0, 1.0, 0.1)
    grid = [*np.geomspace(5.0, 1.0, 129), *np.geomspace(1.0, 0.1, 129)[1:]]
    got = plan.sample(denoise, samplers.dpm2(schedule, grid), x)
    assert np.abs(got - wanted).max() < 1e-3
    assert np.abs(flow_end(x, w, 0.0, 5.0, 0.1) - wanted).max() > 1e-2


def test_autoguidance_is_guidance_away_from_the_worse_model():
    schedule = schedules.edm()
    good, worse = (oracles.gaussian(schedule, 0.2, v) for v in (0.3, 0.5))
    x = normal(8, (3, 2))[0]
    d, bad = good(x, 1.0), worse(x, 1.0)
    got = guidance.autoguidance(good, worse, 2.0)(x, 1.0)
    np.testing.assert_allclose(got, bad + 2.0 * (d - bad), rtol=0, atol=8 * EPS)
    np.testing.assert_array_equal(guidance.autoguidance(good, worse, 1.0)(x, 1.0), d)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_in_a_stack_of_plans_each_sample_is_guided_as_alone(library):
    xp = namespace_of(library)
    schedule = schedules.edm()
    c, u = pair(schedule)
    x = 3.0 * normal(9, (3, 2))[0]

    def both(x_t, t):
        n = x_t.shape[0] // 2
        first, last = (t[:n], t[n:]) if not isinstance(t, float) else (t, t)
        return xp.concat([c(x_t[:n, ...], first), u(x_t[n:, ...], last)], axis=0)

    def guided():
        projected = guidance.Projected(3.0, eta=0.5, momentum=-0.5)
        return (
            guidance.batched(both, 3.0),
            guidance.two_pass(c, u, projected),
            guidance.interval(guidance.two_pass(c, u, 3.0), c, schedule, 0.5, 2.0),
            guidance.classifier(c, schedule, lambda x, t: -0.1 * x, 2.0),
        )

    grids = [np.geomspace(top, 0.1, 7).tolist() for top in (3.0, 1.0, 8.0)]
    plans = [samplers.euler(schedule, grid) for grid in grids]
    for k, together in enumerate(guided()):
        got = as_numpy(plan.sample(together, plan.stack(plans), make(xp, x)))
        for i, made in enumerate(plans):
            alone = plan.sample(guided()[k], made, make(xp, x[i : i + 1]))
            np.testing.assert_allclose(got[i : i + 1], as_numpy(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: guidance.two_pass(d, d, math.nan), ValueError, "weight must be finite"),
        (lambda d: guidance.two_pass(d, d, None), TypeError, "weight must be a number or an array"),
        (lambda d: guidance.batched(d, np.ones((2, 2))), TypeError, r"shape \(batch,\)"),
        (lambda d: guidance.Rescaled(2.0, 1.5), ValueError, r"phi must be in \[0, 1\], got 1\.5"),
        (lambda d: guidance.Projected(2.0, radius=0.0), ValueError, "radius must be positive"),
        (lambda d: guidance.Projected(2.0, momentum=1.0), ValueError, "momentum must be in"),
        (lambda d: guidance.Projected(2.0, eta=math.inf), ValueError, "eta must be finite"),
        (
            lambda d: guidance.interval(d, d, schedules.edm(), 2.0, 1.0),
            ValueError,
            "low and high must be 0 <= low < high, got 2.0 and 1.0",
        ),
        (
            lambda d: guidance.classifier(d, schedules.edm(), d, math.inf),
            ValueError,
            "weight must be a finite number",
        ),
        (lambda d: guidance.two_pass(d, d, 2.0)([1.0], 1.0), TypeError, "x_t must be an array"),
        (lambda d: guidance.Rescaled(2.0, "a"), TypeError, "phi must be a number, got 'a'"),
        (lambda d: guidance.Projected(2.0, None), TypeError, "eta must be a number, got None"),
        (lambda d: guidance.Projected(2.0, radius=True), TypeError, "radius must be a number"),
        (lambda d: guidance.Projected(2.0, momentum="a"), TypeError, "momentum must be a number"),
        (
            lambda d: guidance.interval(d, d, schedules.edm(), 0.0, None),
            TypeError,
            "high must be a number, got None",
        ),
        (lambda d: guidance.two_pass(None, d, 2.0), TypeError, "^conditional must be a function"),
        (lambda d: guidance.two_pass(d, 3.0, 2.0), TypeError, "unconditional must be a function"),
        (lambda d: guidance.batched(None, 2.0), TypeError, "both must be a function, got None"),
        (
            lambda d: guidance.interval(d, None, schedules.edm(), 0.0, 1.0),
            TypeError,
            "plain must be a function",
        ),
        (
            lambda d: guidance.classifier(d, schedules.edm(), None),
            TypeError,
            "gradient must be a function, got None",
        ),
        (
            lambda d: guidance.on_outputs(2.0, schedules.edm(), predictions.V),
            TypeError,
            "rule must be a function",
        ),
        (
            lambda d: guidance.on_outputs(guidance.Linear(2.0), schedules.edm(), "v"),
            TypeError,
            "predicts must be a Prediction such as EPS, got 'v'",
        ),
        (
            lambda d: guidance.two_pass(d, lambda x, t: x[:1], 2.0)(np.zeros((2, 3)), 1.0),
            ValueError,
            r"unconditional x_0 must have the shape of the conditional one, \(2, 3\), got \(1, 3\)",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(oracles.point_mass(schedules.edm(), 0.0))
