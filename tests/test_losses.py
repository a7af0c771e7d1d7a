"""L_simple, the learned variance and the hybrid loss."""

import math

import mpmath as mp
import numpy as np
import pytest
from conftest import as_numpy, make, namespace_of
from estimates import PREDICTIONS, compiled
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal, seeds, shapes, timed

from diffcore import gaussians, losses, plan, process, samplers, schedules
from diffcore.predictions import EPS, X_0, V

EPSILON = np.finfo(np.float64).eps


@given(timed(count=1), shapes, seeds, st.sampled_from(PREDICTIONS), st.booleans())
def test_simple_is_the_mean_over_each_samples_elements(case, shape, seed, predicts, batched):
    schedule, (t,) = case
    x_0, eps, noise = normal(seed, shape, 3)
    output = predicts.target(schedule, x_0, t, eps) + noise
    time = np.full(shape[0], t) if batched else t
    got = losses.simple(schedule, predicts, output, x_0, time, eps)
    wanted = [math.fsum(row.ravel() ** 2) / max(1, row.size) for row in np.asarray(noise)]
    assert got.shape == shape[:1]
    # Targets are large where the score's 1 / sigma is; noise is what is left of their difference.
    size = 1.0 + np.max(np.abs(output))
    np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=32 * EPSILON * size * (1 + size))
    right = predicts.target(schedule, x_0, time, eps)
    assert np.all(losses.simple(schedule, predicts, right, x_0, time, eps) == 0.0)


def mean_squares(axis):
    """Per-sample losses of EPS by means over `axis`, against L_simple: the largest error."""
    x_0, eps, output = normal(0, (4, 4, 4), 3)
    got = losses.simple(schedules.linear(), EPS, output, x_0, 10, eps)
    return np.max(np.abs(got - np.mean((output - eps) ** 2, axis=axis)))


def test_simple_rejects_other_axes():
    assert mean_squares((1, 2)) < 1e-14
    assert mean_squares((0, 1)) > 0.1
    assert mean_squares((0, 2)) > 0.1


@given(timed(count=1), seeds, st.sampled_from([EPS, X_0, V]))
def test_a_weight_multiplies(case, seed, predicts):
    schedule, (t,) = case
    if schedule(t).alpha == 0.0:
        return
    x_0, eps, output = normal(seed, (3, 2), 3)
    weighting = losses.min_snr()
    weight = weighting.weight(schedule, t, x_0, predicts)
    plain = losses.simple(schedule, predicts, output, x_0, t, eps)
    weighted = losses.simple(schedule, predicts, output, x_0, t, eps, weighting)
    np.testing.assert_allclose(weighted, weight * plain, rtol=8 * EPSILON)


def test_the_gradient_is_that_of_torchs_own_loss():
    torch = pytest.importorskip("torch")
    schedule, t = schedules.cosine(), torch.tensor([3, 500, 1000])
    x_0, eps, output = (torch.as_tensor(a) for a in normal(1, (3, 2, 4, 4), 3))
    output.requires_grad_()
    losses.simple(schedule, V, output, x_0, t, eps, losses.min_snr()).mean().backward()
    bar = torch.as_tensor(schedule.alpha_bar.copy())[t][:, None, None, None]
    snr = bar / (1 - bar)
    twin = output.detach().clone().requires_grad_()
    error = torch.nn.functional.mse_loss(
        twin, bar.sqrt() * eps - (1 - bar).sqrt() * x_0, reduction="none"
    )
    (error * torch.clamp(snr, max=5.0) / (snr + 1)).mean().backward()
    torch.testing.assert_close(output.grad, twin.grad, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_simple_in_every_library(xp, dtype):
    schedule, t = schedules.linear(), np.array([1, 40, 1000])
    host = [a.astype(dtype).astype("float64") for a in normal(2, (3, 2, 5), 3)]
    x_0, eps, output = (make(xp, a, dtype) for a in host)
    times = make(xp, t, "int32")
    for source in (schedule, schedule.tables(x_0)):
        for predicts in PREDICTIONS:
            got = losses.simple(source, predicts, output, x_0, times, eps, losses.edm())
            assert got.dtype == getattr(xp, dtype)
            rows = [
                losses.simple(schedule, predicts, c[None], a[None], int(k), b[None], losses.edm())
                for a, b, c, k in zip(*host, t, strict=True)
            ]
            slack = 256 * np.finfo(dtype).eps
            np.testing.assert_allclose(as_numpy(got), np.concatenate(rows), rtol=slack)


@pytest.mark.parametrize("kind", ["flow", "vp_linear", "edm"])
def test_simple_at_continuous_times(xp, kind):
    schedule, t = getattr(schedules, kind)(), np.array([0.1, 0.5, 0.9])
    host = normal(2, (3, 4), 3)
    x_0, eps, output = (make(xp, a) for a in host)
    weighting = losses.sigmoid(-1.0)
    got = losses.simple(schedule, V, output, x_0, make(xp, t), eps, weighting)
    rows = [
        losses.simple(schedule, V, c[None], a[None], float(k), b[None], weighting)
        for a, b, c, k in zip(*host, t, strict=True)
    ]
    np.testing.assert_allclose(as_numpy(got), np.concatenate(rows), rtol=256 * EPSILON)


@pytest.mark.parametrize(("library", "dtype"), [("torch", "bfloat16"), ("jax", "float16")])
def test_half_precision_is_computed_in_float32(library, dtype):
    xp = namespace_of(library)
    schedule, t = schedules.linear(), make(xp, [1, 40, 1000], "int32")
    half = [xp.astype(make(xp, a, "float32"), getattr(xp, dtype)) for a in normal(4, (3, 50), 3)]

    def loss(x_0, eps, output):
        return losses.simple(schedule, V, output, x_0, t, eps, losses.min_snr())

    got, wide = loss(*half), loss(*(xp.astype(a, xp.float32) for a in half))
    assert got.dtype == half[0].dtype
    np.testing.assert_array_equal(
        as_numpy(got).astype("float32"), as_numpy(xp.astype(wide, got.dtype)).astype("float32")
    )


def learned_at(t, f, T=1000):
    """Nichol & Dhariwal 2021, eq. 15, at 50 digits from the schedule's betas."""
    beta = [mp.mpf(float(b)) for b in schedules.cosine(T).beta]
    bar = mp.mpf(1)
    bars = [bar]
    for b in beta[1:]:
        bar *= 1 - b
        bars.append(bar)
    k = max(t, 2)
    small = beta[k] * (1 - bars[k - 1]) / (1 - bars[k])
    return mp.exp(f * mp.log(beta[t]) + (1 - f) * mp.log(small)), beta[t], small


@pytest.mark.parametrize("t", [1, 2, 30, 50])
def test_the_learned_variance_at_50_digits(t):
    schedule = schedules.cosine(50)
    fractions = np.array([[0.0, 0.25], [0.5, 1.0]])
    for time in (t, np.array([t, t])):
        got = losses.learned_variance(schedule, fractions, time)
        exact = [[float(learned_at(t, f, 50)[0]) for f in row] for row in fractions]
        np.testing.assert_allclose(got, exact, rtol=1e-12)


def test_the_learned_variance_is_neither_linear_nor_the_other_way_round():
    fractions = np.array([[0.25, 0.5]])
    got = losses.learned_variance(schedules.cosine(50), fractions, 2)
    _, large, small = learned_at(2, 0.0, 50)
    linear = float(small) + fractions * float(large - small)
    swapped = [[float(learned_at(2, 1 - f, 50)[0]) for f in fractions[0]]]
    for wrong in (linear, swapped):
        assert np.max(np.abs(got / wrong - 1)) > 0.01


def test_the_range_is_the_samplers():
    schedule = schedules.linear(T=30)
    for stage in samplers.ddpm(schedule, variance="learned").stages[:-1]:
        low, high = losses.log_variances(schedule, int(stage.time), np.empty((1, 1)))
        assert stage.z == pytest.approx(plan.LogRange(low, high), rel=1e-12)
    flow = schedules.flow()
    low, high = losses.log_variances(flow, 0.6, np.empty((1, 1)), 0.4)
    assert math.exp(low) == pytest.approx(process.posterior(flow, 0.6, 0.4).variance)
    assert math.exp(high) == pytest.approx(process.transition(flow, 0.4, 0.6).variance)


@pytest.mark.parametrize(
    ("schedule", "s", "t"), [(schedules.flow(), 0.4, 0.6), (schedules.linear(100), 40, 60)]
)
def test_the_range_is_that_of_the_step_asked_for(schedule, s, t):
    small = process.posterior(schedule, t, s).variance
    large = process.transition(schedule, s, t).variance
    for time, before in ((t, s), (np.array([t]), np.array([s]))):
        for dtype in ("float32", "float64"):
            slack = 64 * np.finfo(dtype).eps
            f = np.array([[0.0, 0.5, 1.0]], dtype=dtype)
            got = losses.learned_variance(schedule, f, time, before)
            assert got.dtype == dtype
            wanted = [[small, math.sqrt(small * large), large]]
            np.testing.assert_allclose(got, wanted, rtol=slack)
            low, high = losses.log_variances(schedule, time, f, before)
            np.testing.assert_allclose(low, math.log(small), rtol=slack)
            np.testing.assert_allclose(high, math.log(large), rtol=slack)
            if time is not t:
                assert low.dtype == high.dtype == dtype
                assert low.shape == high.shape == (1, 1)
                if isinstance(schedule, schedules.DiscreteSchedule):
                    ends = losses.log_variances(schedule, time, f)
                    assert all(end.dtype == dtype and end.shape == (1, 1) for end in ends)


def test_a_split_halves_the_channels():
    for shape in ((2, 4), (2, 4, 3), (2, 4, 3, 5)):
        (host,) = normal(7, shape, 1)
        output, fraction = losses.split(host)
        np.testing.assert_array_equal(output, host[:, :2])
        np.testing.assert_array_equal(fraction, (host[:, 2:] + 1) / 2)


def hybrid_case(seed=6, rows=4):
    schedule = schedules.cosine(T=20)
    x_0, eps, mean, v = normal(seed, (rows, 3, 2, 2), 4)
    output = np.concatenate((mean, np.tanh(v)), axis=1)
    return schedule, output, np.clip(x_0, -1, 1), np.array([1, 2, 11, 19])[:rows], eps


def identity(x):
    return x


def test_the_hybrid_is_the_sum_over_time_on_average():
    schedule, output, x_0, _, eps = hybrid_case(rows=1)
    mean, fraction = losses.split(output)
    total, simple, terms = 0.0, 0.0, []
    for t in range(1, 21):
        total += losses.hybrid(
            schedule, X_0, output, x_0, t, eps, stop_gradient=identity, vlb_weight=0.25
        )
        simple += losses.simple(schedule, X_0, mean, x_0, t, eps)
        x_t = process.q_sample(schedule, x_0, t, eps)
        variance = np.exp(
            fraction * math.log(schedule.beta[t])
            + (1 - fraction) * schedule.posterior_log_variance_clipped[t]
        )
        term = losses.l_0 if t == 1 else losses.l_t
        terms.append(term(schedule, X_0, mean, x_0, x_t, t, variance=variance))
    # Over uniform t: the mean of L_simple, and 0.25 of the sum of the bound's terms.
    np.testing.assert_allclose(total / 20, simple / 20 + 0.25 * sum(terms), rtol=1e-12)
    assert not np.allclose(total / 20, simple / 20 + 0.25 * sum(terms) / 20, rtol=0.01)


def test_the_hybrid_is_made_of_its_parts():
    """L_simple + vlb_weight T L; by default 0.001 (Nichol & Dhariwal 2021, section 3.1)."""
    schedule, output, x_0, t, eps = hybrid_case()
    mean, fraction = losses.split(output)
    x_t = process.q_sample(schedule, x_0, t, eps)

    def hybrid(**options):
        return losses.hybrid(schedule, V, output, x_0, t, eps, stop_gradient=identity, **options)

    def bound(likelihood):
        variance = losses.learned_variance(schedule, fraction, t)
        arguments = {"variance": variance, "likelihood": likelihood}
        return losses.vlb_term(schedule, V, mean, x_0, x_t, t, **arguments)

    simple = losses.simple(schedule, V, mean, x_0, t, eps)
    terms = bound(gaussians.discretised_log_likelihood)
    np.testing.assert_allclose(hybrid(), simple + 0.001 * 20 * terms, rtol=1e-13)
    np.testing.assert_array_equal(hybrid(vlb_weight=0.0), simple)
    density = bound(gaussians.log_density)
    got = hybrid(likelihood=gaussians.log_density, vlb_weight=2.0)
    np.testing.assert_allclose(got, simple + 2.0 * 20 * density, rtol=1e-13)
    assert abs(density[0] - terms[0]) > 0.1
    weighted = losses.simple(schedule, V, mean, x_0, t, eps, losses.min_snr())
    np.testing.assert_array_equal(hybrid(weighting=losses.min_snr(), vlb_weight=0.0), weighted)
    assert not np.allclose(weighted, simple)


def torch_gradient(function, output):
    import torch

    leaf = torch.as_tensor(output).requires_grad_()
    function(leaf).sum().backward()
    return leaf.grad.numpy()


def jax_gradient(function, output):
    import jax

    namespace_of("jax")
    return np.asarray(jax.grad(lambda o: function(o).sum())(jax.numpy.asarray(output)))


def stop_of(library):
    if library == "torch":
        import torch

        return torch.Tensor.detach
    import jax

    return jax.lax.stop_gradient


@pytest.mark.parametrize(("library", "predicts"), [("torch", EPS), ("torch", V), ("jax", V)])
def test_only_simple_moves_the_mean_and_only_the_bound_the_variance(library, predicts):
    xp = namespace_of(library)
    schedule, output, x_0, t, eps = hybrid_case()
    gradient = torch_gradient if library == "torch" else jax_gradient
    x_0_, eps_, t_ = (xp.asarray(a) for a in (x_0, eps, t))

    def hybrid(stop, vlb_weight=0.1):
        return lambda o: losses.hybrid(
            schedule, predicts, o, x_0_, t_, eps_, stop_gradient=stop, vlb_weight=vlb_weight
        )

    def simple(o):
        return losses.simple(schedule, predicts, o[:, :3, ...], x_0_, t_, eps_)

    got, wanted = gradient(hybrid(stop_of(library)), output), gradient(simple, output)
    np.testing.assert_allclose(got[:, :3], wanted[:, :3], rtol=1e-9, atol=1e-15)
    assert np.all(wanted[:, 3:] == 0.0)
    leaking = gradient(hybrid(identity), output)
    assert np.max(np.abs(leaking[:, :3] - wanted[:, :3])) > 1e-3
    np.testing.assert_allclose(leaking[:, 3:], got[:, 3:], rtol=1e-9, atol=1e-15)

    # d KL / d f = (log large - log small) (1 - E (x_s - mean)^2 / variance) / 2, f = (v + 1) / 2.
    x_t = process.q_sample(schedule, x_0, t, eps)
    guess = predicts.x_0(schedule, output[:, :3], x_t, t)
    mean, small = process.q_posterior(schedule, x_0, x_t, t)
    model = process.q_posterior(schedule, guess, x_t, t).mean
    low = schedule.posterior_log_variance_clipped[t][:, None, None, None]
    span = np.log(schedule.beta[t])[:, None, None, None] - low
    variance = np.exp(low + 0.5 * (output[:, 3:] + 1) * span)
    slope = span * (1 - (small + (mean - model) ** 2) / variance) / 2
    exact = 0.1 * 20 * 0.5 * slope / (12 * math.log(2.0))
    np.testing.assert_allclose(got[1:, 3:], exact[1:], rtol=1e-7, atol=1e-14)
    assert np.any(got[0, 3:] != 0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hybrid_in_every_library(xp, dtype):
    schedule, output, x_0, t, eps = hybrid_case()
    host = [a.astype(dtype) for a in (output, x_0, eps)]
    output_, x_0_, eps_ = (make(xp, a, dtype) for a in host)
    times = make(xp, t, "int64")
    source = schedule if dtype == "float64" else schedule.tables(x_0_)
    got = losses.hybrid(source, V, output_, x_0_, times, eps_, stop_gradient=identity)
    assert got.dtype == getattr(xp, dtype)
    host = [a.astype("float64") for a in host]
    for row, time in enumerate(t):
        alone = [a[row : row + 1] for a in host]
        wanted = losses.hybrid(
            schedule, V, alone[0], alone[1], int(time), alone[2], stop_gradient=identity
        )
        np.testing.assert_allclose(as_numpy(got)[row], wanted[0], rtol=2e3 * np.finfo(dtype).eps)


def test_off_the_default_device():
    torch = pytest.importorskip("torch")
    schedule = schedules.linear()
    x, double = (torch.empty((3, c, 2), device="meta") for c in (2, 4))
    t = torch.empty((3,), dtype=torch.int64, device="meta")
    for time in (t, 500):
        loss = losses.simple(schedule, V, x, x, time, x, losses.p2(0.5))
        loss = loss + losses.hybrid(schedule, V, double, x, time, x, stop_gradient=torch.detach)
        assert loss.device.type == "meta"
        assert loss.shape == (3,)


def test_under_jit_and_compile():
    schedule, output, x_0, t, eps = hybrid_case()
    weighting = losses.min_snr()

    def loss(output, x_0, t, eps):
        total = losses.hybrid(schedule, V, output, x_0, t, eps, stop_gradient=identity)
        return total + losses.simple(schedule, EPS, x_0, x_0, t, eps, weighting)

    for got in compiled(loss, output, x_0, t, eps):
        np.testing.assert_allclose(got, loss(output, x_0, t, eps), rtol=1e-10)


def test_bad_arguments_are_named():
    schedule, output, x_0, t, eps = hybrid_case()
    with pytest.raises(ValueError, match="output must have an even number of channels"):
        losses.split(x_0)
    with pytest.raises(ValueError, match="output must have the shape of x_0"):
        losses.simple(schedule, EPS, output, x_0, t, eps)
    with pytest.raises(TypeError, match="eps must have the dtype of x_0"):
        losses.simple(schedule, EPS, x_0, x_0, t, eps.astype("float32"))
    with pytest.raises(TypeError, match="predicts must be a Prediction such as EPS, got 'eps'"):
        losses.simple(schedule, "eps", x_0, x_0, t, eps)
    for weighting in ("min_snr", losses.min_snr, None):
        with pytest.raises(TypeError, match="weighting must be a weighting such as"):
            losses.simple(schedule, EPS, x_0, x_0, t, eps, weighting)
    with pytest.raises(ValueError, match="t must be a number or have shape"):
        losses.simple(schedule, EPS, x_0, x_0, t[:1], eps)
    with pytest.raises(TypeError, match="x_0 must be an array, got float"):
        losses.simple(schedule, EPS, x_0, 1.0, t, eps)
    for change, error, said in (
        ({"schedule": schedules.flow()}, TypeError, "schedule must be discrete"),
        ({"stop_gradient": None}, TypeError, "stop_gradient must be callable"),
        ({"weighting": "min_snr"}, TypeError, "weighting must be a weighting such as"),
        ({"predicts": "v"}, TypeError, "predicts must be a Prediction such as EPS"),
        ({"likelihood": None}, TypeError, "likelihood must be callable"),
        ({"output": output[:, :2]}, ValueError, "output's first half must have the shape of x_0"),
        ({"vlb_weight": -1.0}, ValueError, "vlb_weight must be a non-negative number"),
    ):
        arguments = {"schedule": schedule, "predicts": V, "output": output, "x_0": x_0, "t": t}
        arguments |= {"eps": eps, "stop_gradient": identity} | change
        with pytest.raises(error, match=said):
            losses.hybrid(**arguments)


def test_all_is_what_there_is():
    assert len(set(losses.__all__)) == len(losses.__all__)
    for name in losses.__all__:
        assert getattr(losses, name).__doc__
