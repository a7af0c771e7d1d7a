"""Moments by exact propagation, against simulation, recursion and the marginals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import timed

from diffcore import oracles, plan, samplers, schedules, times
from diffcore.moments import marginals, moments

EPS = np.finfo(np.float64).eps
MEAN, VARIANCE = np.array([0.3, -0.5, 0.0]), np.array([0.2, 1.0, 0.0])
PLANS = {
    "ddpm": lambda s, g: samplers.ddpm(s, g),
    "ddim": lambda s, g: samplers.ddim(s, g),
    "ddim-0.7": lambda s, g: samplers.ddim(s, g, eta=0.7),
    "heun": lambda s, g: samplers.heun(s, g),
    "heun-churn": lambda s, g: samplers.heun(s, g, s_churn=2.0),
    "dpm2": lambda s, g: samplers.dpm2(s, g),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_big_batch_agrees(name):
    """Every state's mean and variance within five standard errors of 40,000 samples."""
    schedule = schedules.flow()
    made = PLANS[name](schedule, (0.9, 0.6, 0.35, 0.1, 0.0))
    got = moments(made, schedule, MEAN, VARIANCE)
    rng, n = np.random.default_rng(0), 40_000
    x = got.mean[0] + np.sqrt(got.variance[0]) * rng.standard_normal((n, 3))
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    source = lambda like, step: rng.standard_normal(like.shape)  # noqa: E731
    states = [x, *(p.x for p in plan.iterate(denoise, made, x, source))]

    def outside(mean, variance):
        spread = np.sqrt(variance / n) + 1e-12
        off = [abs(s.mean(0) - m) > 5 * d for s, m, d in zip(states, mean, spread, strict=True)]
        wide = [
            abs(s.var(0) - v) > 5 * math.sqrt(2 / n) * v + 1e-12
            for s, v in zip(states, variance, strict=True)
        ]
        return np.any(off) or np.any(wide)

    assert not outside(*got)
    assert outside(got.mean + 0.02, got.variance)
    assert outside(got.mean, 1.08 * got.variance)
    # The marginals are not the plan's moments: four steps have an error of their own.
    assert outside(*marginals(made, schedule, MEAN, VARIANCE))


@given(
    case=timed(count=5),
    eta=st.floats(0.0, 1.0),
    mu=st.floats(-2.0, 2.0),
    v=st.floats(0.0, 4.0),
)
def test_one_step_methods_follow_the_recursion(case, eta, mu, v):
    """mean' = x mean + m E[m], variance' = (x + m gain)^2 variance + z^2, stage by stage."""
    schedule, grid = case
    made = samplers.ddim(schedule, grid[::-1], eta=eta)
    got = moments(made, schedule, mu, v)
    alpha, sigma = schedule(grid[-1])
    mean, variance = alpha * mu, alpha**2 * v + sigma**2
    for k, stage in enumerate(made.stages):
        alpha, sigma = schedule(stage.time)
        gain = alpha * v / (alpha**2 * v + sigma**2)
        output = gain * mean + (1.0 - alpha * gain) * mu
        mean = stage.x[0] * mean + stage.m[0] * output
        variance = (stage.x[0] + stage.m[0] * gain) ** 2 * variance + stage.z**2
        assert got.mean[k + 1] == pytest.approx(mean, rel=1e-12, abs=1e-13)
        assert got.variance[k + 1] == pytest.approx(variance, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("kind", ["vp_linear", "edm", "flow"])
def test_a_point_mass_keeps_every_marginal(name, kind):
    """With v = 0 the denoiser is constant, and every one of these is exact at every stage."""
    schedule = getattr(schedules, kind)()
    grid = [schedule.curve.t_max * p for p in (0.8, 0.5, 0.2, 0.05)]
    made = PLANS[name](schedule, grid)
    got, want = moments(made, schedule, 0.7, 0.0), marginals(made, schedule, 0.7, 0.0)
    size = want.variance[0] + np.max(want.variance)
    np.testing.assert_allclose(got.mean, want.mean, rtol=0, atol=256 * EPS * math.sqrt(size + 1))
    np.testing.assert_allclose(got.variance, want.variance, rtol=0, atol=256 * EPS * size)
    loud = samplers.ddpm(schedule, grid, variance="large")
    wrong = moments(loud, schedule, 0.7, 0.0).variance
    assert np.max(np.abs(wrong - want.variance[:4])) > 1e-3 * size


def test_standard_normal_data_keeps_every_marginal_under_ddpm_with_the_large_variance():
    schedule = schedules.linear(T=100)
    made = samplers.ddpm(schedule, variance="large")
    got, want = moments(made, schedule, 0.0, 1.0), marginals(made, schedule, 0.0, 1.0)
    np.testing.assert_allclose(got.variance[:-1], want.variance[:-1], rtol=256 * EPS)
    # The last step, which draws no noise, gives the variance of the denoised x_0 instead.
    assert got.variance[-1] == pytest.approx(schedule(1).alpha ** 2, rel=256 * EPS)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_approaches_the_marginals(eta):
    """Weak order 1 in mean and variance, whatever the noise."""
    schedule = schedules.flow()
    found = []
    for n in (100, 200, 400):
        grid = times.trailing(schedule, n)
        made = samplers.ddim(schedule, grid, eta=eta)
        got, want = (f(made, schedule, MEAN[:2], VARIANCE[:2]) for f in (moments, marginals))
        found.append(max(np.max(np.abs(a[-1] - b[-1])) for a, b in zip(got, want, strict=True)))
    assert -np.polyfit(np.log([100, 200, 400]), np.log(found), 1)[0] == pytest.approx(1.0, abs=0.15)


def test_outputs_reused_without_a_call_count():
    """Stages that call no denoiser combine the outputs there are, newest first."""
    schedule = schedules.edm()
    made = plan.Plan(
        "reuse",
        (
            plan.Stage(4.0, 2.0, x=(0.5,), m=(0.5,)),
            plan.Stage(2.0, 3.0, x=(0.25, 0.5), m=(0.75,), z=0.1, call=False),
            plan.Stage(3.0, 1.0, x=(0.5,), m=(0.25, 0.25)),
        ),
    )
    mu, v = 0.3, 0.2
    got = moments(made, schedule, mu, v)

    def gain(t):
        return v / (v + t * t)

    # Rows over (1, start, z): mean, weight of the start's normal, weight of the second stage's.
    start = np.array([mu, math.sqrt(v + 16.0), 0.0])
    first = gain(4.0) * start + (1 - gain(4.0)) * np.array([mu, 0, 0])
    one = 0.5 * start + 0.5 * first
    two = 0.25 * one + 0.5 * start + 0.75 * first + np.array([0, 0, 0.1])
    second = gain(3.0) * two + (1 - gain(3.0)) * np.array([mu, 0, 0])
    three = 0.5 * two + 0.25 * second + 0.25 * first
    for k, row in enumerate((start, one, two, three)):
        assert got.mean[k] == pytest.approx(row[0], rel=8 * EPS)
        assert got.variance[k] == pytest.approx(row[1] ** 2 + row[2] ** 2, rel=16 * EPS)


def test_shapes_and_starts():
    schedule = schedules.cosine_continuous()
    made = samplers.ddim(schedule, (1.0, 0.5, 0.0))
    got = moments(made, schedule, np.zeros((2, 1)), np.ones(3))
    assert got.mean.shape == got.variance.shape == (3, 2, 3)
    assert moments(made, schedule, 0.0, 1.0).mean.shape == (3,)
    # At alpha = 0 the prior is the marginal; elsewhere it is not.
    sigma = schedule(1.0).sigma
    from_prior = moments(made, schedule, 0.4, 0.2, start=(0.0, sigma**2))
    np.testing.assert_allclose(from_prior, moments(made, schedule, 0.4, 0.2), rtol=8 * EPS)
    short = samplers.ddim(schedule, (0.5, 0.0))
    shifted = moments(short, schedule, 0.4, 0.2, start=(0.0, 1.0))
    assert shifted.mean[-1] != pytest.approx(moments(short, schedule, 0.4, 0.2).mean[-1], rel=1e-2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, p: moments(p, s, 0.0, -1.0), "variance must be non-negative, got -1.0"),
        (lambda s, p: moments(p, s, 0.0, 1.0, start=(0.0, -2.0)), "start's variance must be"),
        (
            lambda s, p: moments(samplers.ddpm(s, (9, 5, 2), "learned"), s, 0.0, 1.0),
            "plan must have its noise in numbers",
        ),
        (lambda s, p: moments(plan.Plan("empty", ()), s, 0.0, 1.0), "plan must have stages"),
        (lambda s, p: moments(p, s, 0.0, math.nan), "variance must be non-negative, got nan"),
        (lambda s, p: moments(p, s, [0, 1], [1, 2, 3]), "variance must broadcast against mean"),
        (lambda s, p: moments(p, s, 0.0, 1.0, start=3), "start must be a mean and a variance"),
        (lambda s, p: moments(p, s, 0.0, 1.0, start=(0.0,)), "start must be a mean and a varia"),
    ],
)
def test_bad_arguments_are_named(call, message):
    schedule = schedules.linear()
    with pytest.raises(ValueError, match=message):
        call(schedule, samplers.ddim(schedule, (9, 5)))
