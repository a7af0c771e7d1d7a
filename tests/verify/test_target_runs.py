"""Plain functions as people write them: images or points alone, generators, DDPM's large noise."""

from dataclasses import replace

import numpy as np
import pytest

from diffcore import schedules, verify
from diffcore.verify import Target, Verdict, checks, examine, libraries
from diffcore.verify.adapters import functions

SCHEDULE = schedules.linear(100)
BETA, BAR = SCHEDULE.beta[1:], SCHEDULE.alpha_bar[1:]
BEFORE = np.append(1.0, BAR[:-1])
STEPS = ("runs", "linear", "mean", "variance", "exactness", "draws")


def sampled(column):
    """q_sample that shapes its coefficients so."""

    def q_sample(x_0, t, eps):
        alpha, sigma = (column(c[t].astype(x_0.dtype)) for c in (np.sqrt(BAR), np.sqrt(1 - BAR)))
        return alpha * x_0 + sigma * eps

    return q_sample


images = sampled(lambda c: c[:, None, None, None])
points = sampled(lambda c: c[:, None])


def squared(model, x_0, t, eps):
    return np.mean((eps - model(points(x_0, t, eps), t)) ** 2, axis=1)


@pytest.mark.parametrize(
    ("q_sample", "ranks", "other"), [(images, (4,), (2,)), (points, (2,), (4,))]
)
def test_functions_hold_at_the_ranks_that_they_take(q_sample, ranks, other):
    checks = ("q_sample", "batches", "arrays")
    report = verify.check(Target(alpha_bar=BAR, q_sample=q_sample, ranks=ranks))
    assert [report[name].verdict for name in checks] == [Verdict.HOLDS] * 3, str(report)
    wrong = verify.check(Target(alpha_bar=BAR, q_sample=q_sample, ranks=other))
    assert wrong["batches"].verdict is Verdict.FAILS


def test_a_loss_of_points():
    report = verify.check(Target(alpha_bar=BAR, q_sample=points, loss=squared, ranks=(2,)))
    assert report.ok, str(report)


def test_every_rank_is_tried_unless_told_otherwise():
    assert Target(alpha_bar=BAR).ranks == (4, 2, 3, 5, 1)
    unbatched = sampled(lambda c: c.reshape(-1, 1, 1, 1) if len(c) > 1 else c)
    assert verify.check(Target(alpha_bar=BAR, q_sample=unbatched)).ok is False
    with pytest.raises(ValueError, match=r"ranks must be some of \[1, 2, 3, 4, 5\], got \(6,\)"):
        Target(alpha_bar=BAR, ranks=(6,))
    with pytest.raises(ValueError, match=r"ranks must be some of"):
        Target(alpha_bar=BAR, ranks=())


def test_a_single_axis_is_tried_like_the_others():
    def scrambles(x_0, t, eps):
        out = sampled(lambda c: c.reshape(-1, *[1] * (x_0.ndim - 1)))(x_0, t, eps)
        return out[::-1] if x_0.ndim == 1 else out

    report = verify.check(Target(alpha_bar=BAR, q_sample=scrambles))
    assert "shape (4,)" in report["batches"].where
    several = verify.check(Target(alpha_bar=BAR, q_sample=scrambles, ranks=(4, 2, 3, 5)))
    assert several["batches"].verdict is Verdict.HOLDS


def deviation(name):
    """The deviation of the noise of the step from t."""
    small = BETA * (1.0 - BEFORE) / (1.0 - BAR)
    return np.sqrt({"small": small, "large": BETA}[name])


def stepped(draw, noise="small", last=0.0):
    """DDPM's step with noise of its own; `last` is what the last step adds of it."""

    def step(x, t, output, **given):
        mean = (x - BETA[t] / np.sqrt(1.0 - BAR[t]) * output) / np.sqrt(1.0 - BETA[t])
        return mean + deviation(noise)[t] * draw(x, **given) * (1.0 if t else last)

    return step


def of_generator(noise="small", last=0.0):
    inner = stepped(lambda x, rng: rng.standard_normal(x.shape), noise, last)
    return lambda x, t, output, rng: inner(x, t, output, rng=rng)


def check(step):
    return verify.check(Target(alpha_bar=BAR, step=step, times="scalar"))


@pytest.mark.parametrize("noise", ["small", "large"])
def test_a_generator_that_is_given_goes_on_from_step_to_step(noise):
    report = check(of_generator(noise))
    assert [report[name].verdict for name in STEPS] == [Verdict.HOLDS] * 6, str(report)
    assert ("variance beta" in report["variance"].note) is (noise == "large")
    assert report["mean"].note == ""


def test_each_step_has_a_key_of_its_own():
    jax = pytest.importorskip("jax")
    beta, bar, deviations = map(jax.numpy.asarray, (BETA, BAR, deviation("small")))

    def step(x, t, output, key):
        mean = (x - beta[t] / (1.0 - bar[t]) ** 0.5 * output) / (1.0 - beta[t]) ** 0.5
        return mean + deviations[t] * jax.random.normal(key, x.shape) * (t > 0)

    target = Target(betas=beta, alpha_bar=bar, step=step, times="scalar", library="jax")
    made = functions.subject(target, library=libraries.of("jax"))
    few = replace(made, samplers=made.samplers[-1:])  # Each shape is compiled for.
    found = examine(few, [c for c in checks.CHECKS if c.name == "draws"])["draws"]
    assert found.verdict is Verdict.HOLDS


def in_float32(variance, wrong=lambda weight: weight):
    """DDPM's step as tutorials have it: the posterior mean from three tables, each float32."""
    torch = pytest.importorskip("torch")
    betas = torch.tensor(schedules.linear().beta[1:], dtype=torch.float32)
    bars = torch.cumprod(1.0 - betas, 0)
    before = torch.cat([torch.ones(1), bars[:-1]])

    def step(model, x, t):
        eps = model(x, torch.full((len(x),), t))
        x_0 = x / bars[t].sqrt() - (1.0 / bars[t] - 1.0).sqrt() * eps
        mean = betas[t] * before[t].sqrt() / (1.0 - bars[t]) * x_0
        mean = mean + wrong((1.0 - betas[t]).sqrt() * (1.0 - before[t]) / (1.0 - bars[t])) * x
        return mean + variance(betas, bars, before)[t].sqrt() * torch.randn(x.shape) * (t > 0)

    return Target(betas=betas, alpha_bar=bars, step=step, times="scalar")


def small(betas, bars, before):
    return betas * (1.0 - before) / (1.0 - bars)


def test_float32_tables_that_fit_each_other_to_a_few_digits_are_right():
    report = verify.check(in_float32(small))
    assert report.ok, str(report)
    # At T the two variances are one, but elsewhere the noise is not beta's.
    assert report["variance"].note == ""
    assert "variance beta" in verify.check(in_float32(lambda betas, *_: betas))["variance"].note
    wrong = verify.check(in_float32(small, wrong=lambda weight: weight**1.001))
    assert wrong["mean"].verdict is Verdict.FAILS


def test_the_large_noise_of_the_last_step_is_found():
    report = check(of_generator("large", last=1.0))
    assert report["variance"].verdict is Verdict.FAILS
    assert report["variance"].where.startswith("end, 8 to 0: deviation 0.01 for 0")


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_noise_of_another_size_than_ddpms_is_found(factor):
    def step(x, t, output, rng):
        mean = of_generator()(x, t, output, rng) if t == 0 else None
        zero = stepped(lambda x: 0.0)(x, t, output)
        noise = factor * deviation("large")[t] * rng.standard_normal(x.shape)
        return zero + noise if mean is None else mean

    assert check(step)["variance"].verdict is Verdict.FAILS


def test_a_generator_that_cannot_be_set_is_said():
    held = np.random.default_rng(0)
    report = check(stepped(lambda x: held.standard_normal(x.shape)))
    assert [failure.check for failure in report.failures] == ["runs"]
    assert "draws from a generator of its own" in report["runs"].cause
