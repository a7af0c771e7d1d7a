"""DDPM and DDIM as tables of numbers, and what those numbers must satisfy."""

import math

import exact
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import timed

from diffcore import noise, oracles, plan, process, samplers, schedules, times
from diffcore.samplers._first_order import first_order, log_kept
from diffcore.samplers._trace import Trace

EPS = np.finfo(np.float64).eps
PLANS = {
    "ddpm": lambda schedule, grid: samplers.ddpm(schedule, grid),
    "ddim": lambda schedule, grid: samplers.ddim(schedule, grid),
    "ddim-0.6": lambda schedule, grid: samplers.ddim(schedule, grid, eta=0.6),
    "ddim-1": lambda schedule, grid: samplers.ddim(schedule, grid, eta=1.0),
}


@pytest.mark.parametrize("name", PLANS)
@given(case=timed(count=5), to_data=st.booleans())
def test_mean_and_marginal_variance_are_kept(name, case, to_data):
    schedule, grid = case
    grid = [*grid[::-1], 0] if to_data else grid[::-1]
    made = PLANS[name](schedule, grid)
    size = max(schedule(t).alpha + schedule(t).sigma for t in grid)
    assert np.max(np.abs(plan.mean_residuals(made, schedule))) <= 16 * EPS * size
    wanted = np.array([schedule(t).sigma ** 2 for t in grid])
    # Each step rounds; what rounds early is carried on.
    np.testing.assert_allclose(plan.variances(made, schedule), wanted, rtol=256 * EPS, atol=1e-300)


def test_the_checks_reject_wrong_tables():
    schedule = schedules.linear()
    grid = times.trailing(schedule, 20)
    right = samplers.ddim(schedule, grid, eta=0.6)

    def changed(**change):
        stages = list(right.stages)
        values = {name: f(getattr(stages[7], name)) for name, f in change.items()}
        stages[7] = plan.Stage(**{**vars(stages[7]), **values})
        return plan.Plan("wrong", tuple(stages))

    eta_outside_the_root = changed(z=lambda z: z * 0.6)
    assert (
        np.max(np.abs(plan.mean_residuals(changed(m=lambda m: (1.001 * m[0],)), schedule))) > 1e-5
    )
    wanted = np.array([schedule(t).sigma ** 2 for t in grid])
    for wrong in (eta_outside_the_root, changed(x=lambda x: (1.001 * x[0],))):
        error = np.abs(plan.variances(wrong, schedule) - wanted) / np.maximum(wanted, 1e-9)
        assert error[8] > 1e-4
    large = samplers.ddpm(schedule, grid, variance="large")
    assert np.max(np.abs(plan.variances(large, schedule) - wanted)) > 1e-3


@given(timed(count=4))
def test_ddim_with_eta_1_is_ddpm(case):
    schedule, grid = case
    pairs = zip(
        samplers.ddpm(schedule, grid[::-1]).stages,
        samplers.ddim(schedule, grid[::-1], eta=1.0).stages,
        strict=True,
    )
    for a, b in pairs:
        # One goes by the levels and the other by log SNR, whose rounding is that of r.
        log_snr = [schedule.log_snr_at(t) for t in (a.time, a.time_next)]
        size = sum(abs(v) for v in log_snr if math.isfinite(v))
        assert b.x[0] == pytest.approx(a.x[0], rel=8 * EPS * (1 + size), abs=1e-300)
        assert b.m[0] == pytest.approx(a.m[0], rel=64 * EPS)
        assert b.z == pytest.approx(a.z, rel=64 * EPS)


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid", "zero_terminal_snr"])
@pytest.mark.parametrize("eta", [0.0, 0.3, 0.999, 1.0])
def test_ddim_coefficients_to_50_digits(kind, eta):
    """Wide steps and narrow ones, against eq. 12 of Song, Meng & Ermon as written."""
    schedule = schedules.linear() if kind == "zero_terminal_snr" else getattr(schedules, kind)()
    if kind == "zero_terminal_snr":
        schedule = schedules.zero_terminal_snr(schedule)
    bar = exact.reference(kind)["alpha_bar"]
    for stage in samplers.ddim(schedule, (1000, 700, 500, 499, 100, 10, 3, 2, 1), eta).stages:
        t, s = bar[stage.time], bar[stage.time_next]
        c = exact.DIGITS(eta) * mp.sqrt((1 - s) / (1 - t)) * mp.sqrt(1 - t / s)
        keep = mp.sqrt(1 - s - c * c) / mp.sqrt(1 - t)
        wanted = keep, mp.sqrt(s) - keep * mp.sqrt(t), c
        # 1e-12 is what the tables promise of a gap in log SNR.
        for got, want in zip((stage.x[0], stage.m[0], stage.z), wanted, strict=True):
            assert got == pytest.approx(float(want), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("squared_eta", [0.0, 1e-12, 0.3, 0.5, 0.51, 0.999, 1.0, 1.2, 9.0])
@pytest.mark.parametrize("log_r", [-1e-9, -1e-3, -0.5, -0.7, -1.0, -20.0, -800.0, -math.inf])
def test_what_is_kept_of_the_noise_to_50_digits(squared_eta, log_r):
    kept = 1 - mp.mpf(squared_eta) * -mp.expm1(mp.mpf(log_r))
    wanted = float(mp.log(kept)) if kept > 0 else -math.inf
    # 1 - eta^2 is known to eps of 1, and so is what is left near kept = 0.
    slack = 8 * EPS * (1.0 + float(min(1 / abs(kept), 1e300)) if kept else 0.0)
    if squared_eta * -math.expm1(log_r) < 0.5:
        slack = 8 * EPS * abs(wanted)
    if slack < 1.0:
        assert log_kept(squared_eta, log_r) == pytest.approx(wanted, rel=4 * EPS, abs=slack)


def test_a_step_up_from_data_scales_them():
    schedule = schedules.linear()
    up = first_order(schedule, 0, 400, eta=0.0)
    assert up == (schedule(400).alpha, 0.0, 0.0)
    noised = first_order(schedule, 300, 400, eta=1.0)
    scale, variance = process.transition(schedule, 300, 400)
    assert noised == (scale, 0.0, pytest.approx(math.sqrt(variance), rel=4 * EPS))


def test_a_call_that_a_stage_does_not_weigh_is_made_all_the_same():
    trace = Trace(schedules.flow(), 0.9)
    first = trace.denoise()
    trace.move(0.5, trace.x)
    trace.move(0.5, trace.x + first)
    made = trace.plan("late")
    assert [(s.x, s.m, s.calls) for s in made.stages] == [
        ((1.0,), (0.0,), True),
        ((1.0,), (1.0,), False),
    ]


def test_steps_between_neighbouring_times():
    """Where there is one whole time inside, or the next one down alone."""
    schedule = schedules.linear(10)
    assert samplers.plms(schedule, (9, 7, 5, 3, 1), start="singlestep").evaluations == 3 * 4 + 1
    # The trapezoidal rule where there is none: two calls.
    assert samplers.plms(schedule, (9, 8, 7, 6, 5), start="singlestep").evaluations == 3 * 2 + 1
    low = samplers.dpm2_ancestral(schedule, (2, 1))
    assert low.evaluations == 2
    assert [s.time_next for s in low.stages] == [1, 1]
    np.testing.assert_allclose(
        plan.variances(low, schedule), [schedule(t).sigma ** 2 for t in (2, 1, 1)], rtol=1e-12
    )


class Halfway:
    """A schedule of another class than this package's: flow, between 0 and 1/2."""

    def __init__(self):
        self.inner = schedules.flow()

    def __call__(self, t, like=None):
        return self.inner(0.5 * t, like)

    def log_snr_at(self, t, like=None):
        return self.inner.log_snr_at(0.5 * t, like)

    def log_snr_gap(self, s, t, like=None):
        return self.inner.log_snr_gap(0.5 * s, 0.5 * t, like)

    def posterior_step(self, t, like=None):
        return self.inner.posterior_step(0.5 * t, like)


def test_any_schedule_and_any_numbers_are_planned():
    grid = (0.9, 0.5, 0.2)
    inner = [t / 2 for t in grid]
    for name in ("ddim", "ddpm", "euler", "heun", "euler_ancestral"):
        planner = samplers.PLANNERS[name]
        made, wanted = planner(Halfway(), grid), planner(schedules.flow(), inner)
        assert [s.time for s in made.stages] == [2 * s.time for s in wanted.stages]
        for a, b in zip(made.stages, wanted.stages, strict=True):
            assert a.x == pytest.approx(b.x, rel=64 * EPS)
            assert a.m == pytest.approx(b.m, rel=64 * EPS)
    whole = samplers.ddim(schedules.linear(), (9, 5, 0))
    for times_ in (np.array([9, 5, 0]), [np.asarray(t) for t in (9, 5, 0)], np.array([9.0, 5, 0])):
        made = samplers.ddim(schedules.linear(), times_)
        assert made == whole
        assert all(type(t) is int for s in made.stages for t in (s.time, s.time_next))
    real = samplers.ddim(schedules.edm(), np.array([9, 5, 0]))
    assert all(type(t) is float for s in real.stages for t in (s.time, s.time_next))


def test_ddim_with_eta_near_1_is_not_ddpm():
    schedule = schedules.linear()
    a, b = samplers.ddpm(schedule, (800, 400)), samplers.ddim(schedule, (800, 400), eta=0.99)
    assert b.stages[0].z != pytest.approx(a.stages[0].z, rel=1e-3)


def test_ddpm_steps_are_ho_et_al_algorithm_2():
    """x_{t-1} = (x_t - beta_t / sqrt(1 - alpha_bar_t) eps) / sqrt(1 - beta_t) + sigma_t z."""
    schedule = schedules.linear()
    for variance in ("small", "large"):
        for stage in samplers.ddpm(schedule, variance=variance).stages[::97]:
            t = stage.time
            beta, bar = schedule.beta[t], schedule.alpha_bar[t]
            # With x_0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar):
            at_x = stage.x[0] + stage.m[0] / math.sqrt(bar)
            at_eps = -stage.m[0] * math.sqrt((1 - bar) / bar)
            assert at_x == pytest.approx(1 / math.sqrt(1 - beta), rel=1e-12)
            wanted = -beta / math.sqrt(1 - bar) / math.sqrt(1 - beta)
            assert at_eps == pytest.approx(wanted, rel=1e-11)
            before = schedule.alpha_bar[t - 1]
            square = beta if variance == "large" else beta * (1 - before) / (1 - bar)
            assert stage.z == pytest.approx(0.0 if t == 1 else math.sqrt(square), rel=1e-12)


def test_learned_variance_spans_small_to_large():
    schedule = schedules.linear()
    grid = (1000, 500, 1, 0)
    bounds = [s.z for s in samplers.ddpm(schedule, grid, variance="learned").stages]
    for name, end in (("small", "low"), ("large", "high")):
        fixed = [s.z for s in samplers.ddpm(schedule, grid, variance=name).stages]
        for bound, z in zip(bounds[:-1], fixed[:-1], strict=True):
            assert math.exp(getattr(bound, end) / 2) == pytest.approx(z, rel=1e-14)
    assert bounds[-1] == 0.0
    # A range counts with its upper end.
    learned, large = (
        plan.variances(samplers.ddpm(schedule, grid, variance=v), schedule)
        for v in ("learned", "large")
    )
    np.testing.assert_allclose(learned, large, rtol=32 * np.finfo(np.float64).eps)


@pytest.mark.parametrize("kind", ["linear", "cosine", "zero_terminal_snr", "vp", "flow", "edm"])
@pytest.mark.parametrize("name", PLANS)
def test_a_point_mass_is_recovered_exactly(kind, name):
    schedule = {
        "linear": schedules.linear,
        "cosine": schedules.cosine,
        "zero_terminal_snr": lambda: schedules.zero_terminal_snr(schedules.linear()),
        "vp": schedules.vp_linear,
        "flow": schedules.flow,
        "edm": schedules.edm,
    }[kind]()
    target = np.array([[0.3, -0.7]])
    for n in (1, 2, 10):
        made = PLANS[name](schedule, times.trailing(schedule, n))
        rng = np.random.default_rng(0)
        start = plan.prior(schedule, made.stages[0].time, rng.standard_normal((1, 2)))
        end = plan.sample(oracles.point_mass(schedule, target), made, start, noise.portable(0))
        np.testing.assert_array_equal(end, target)


def slope(schedule, n):
    """The measured order of DDIM on Gaussian data, between n and 2 n steps."""
    errors = []
    for steps in (n, 2 * n):
        made = samplers.ddim(schedule, times.trailing(schedule, steps))
        top = made.stages[0].time
        start = np.linspace(-2.0, 2.0, 5)[:, None] * schedule(top).sigma
        end = plan.sample(oracles.gaussian(schedule, 0.2, 0.09), made, start)
        exact = oracles.gaussian_flow(schedule, 0.2, 0.09, start, top, 0)
        errors.append(np.max(np.abs(end - exact)))
    return math.log2(errors[0] / errors[1])


@pytest.mark.parametrize("kind", ["vp_linear", "flow", "cosine_continuous"])
def test_ddim_reaches_its_declared_order(kind):
    schedule = getattr(schedules, kind)()
    assert samplers.ddim(schedule, (1.0, 0.0)).order == 1
    assert slope(schedule, 400) == pytest.approx(1.0, abs=0.1)


def test_ddpm_with_the_exact_gaussian_reverse_reproduces_the_data():
    """For N(0, 1) data the large variance is the true reverse's: every marginal is N(0, 1)."""
    schedule = schedules.linear(T=50)
    variance = 1.0
    for stage in samplers.ddpm(schedule, variance="large").stages:
        alpha, sigma = schedule(stage.time)
        gain = stage.x[0] + stage.m[0] * alpha / (alpha**2 + sigma**2)
        variance = gain**2 * variance + stage.z**2
        if stage.time_next > 0:
            assert variance == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: samplers.ddim(s, (9, 2, 2)), "times must change at each step, got 2 then 2 at"),
        (lambda s: samplers.ddim(s, (5,)), "times must be at least two numbers"),
        (lambda s: samplers.ddim(s, (1001, 0)), "t must be a whole time in 0..1000, got 1001"),
        (lambda s: samplers.ddim(s, (1000, 0), eta=1.5), r"eta must be in \[0, 1\], got 1.5"),
        (lambda s: samplers.ddim(s, (1000, 0), eta=math.nan), r"eta must be in \[0, 1\], got nan"),
        (lambda s: samplers.ddpm(s, variance="medium"), "variance must be 'small', 'large'"),
        (lambda s: samplers.ddpm(schedules.flow()), "times must be given"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(schedules.linear())
