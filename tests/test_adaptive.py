"""Adaptive DPM-Solver: its pair, its controller, its ends, its books, on every array library."""

import dataclasses
import math

import numpy as np
import pytest
from conftest import as_numpy, make

from diffcore import noise, oracles, schedules
from diffcore._step_control import StepControl
from diffcore.adaptive import _pair, _Run, dpm_adaptive
from diffcore.plan import Denoised

MEAN, VARIANCE = np.array([0.3, -0.5, 0.1]), np.array([0.2, 0.5, 0.04])
CASES = {
    "vp": (schedules.vp_linear(), 0.9, 0.02),
    "edm": (schedules.edm(), 20.0, 0.05),
    "flow": (schedules.flow(), 0.95, 0.03),
    "ve": (schedules.ve(), 1.0, 0.0),
    "flow, whole": (schedules.flow(), 1.0, 0.0),
    "cosine, whole": (schedules.cosine_continuous(), 1.0, 0.0),
    "vp, whole": (schedules.vp_linear(), 1.0, 0.0),
    "upwards": (schedules.flow(), 0.03, 0.95),
}


def started(schedule, time, batch=20):
    """States of the exact marginal at `time`."""
    alpha, sigma = schedule(time)
    z = np.random.default_rng(0).standard_normal((batch, 3))
    return alpha * MEAN + np.sqrt(alpha**2 * VARIANCE + sigma**2) * z


def solved(case, **arguments):
    """The solution and its largest error against the exact flow."""
    schedule, first, last = CASES[case]
    x = started(schedule, first)
    got = dpm_adaptive(
        schedule, oracles.gaussian(schedule, MEAN, VARIANCE), x, first, last, **arguments
    )
    exact = oracles.gaussian_flow(schedule, MEAN, VARIANCE, x, first, last)
    return got, np.max(np.abs(got.x - exact))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", [2, 3])
def test_the_error_is_the_tolerance_and_its_cost_that_of_the_order(case, order):
    tolerances = (1e-3, 1e-4, 1e-6)
    results = [solved(case, order=order, rtol=t, atol=t) for t in tolerances]
    # Each step's error is under its tolerance, and those of few steps count at the end.
    assert all(error < 15 * t for (_, error), t in zip(results, tolerances, strict=True))
    # Steps go as tolerance^(-1/order).
    ratio = results[2][0].accepted / results[1][0].accepted
    assert ratio == pytest.approx(100 ** (1 / order), rel=0.25)


@pytest.mark.parametrize("order", [2, 3])
def test_the_pair_has_its_two_orders(order):
    """One step's error falls as h^p for the lower solution and h^(p + 1) for the higher."""
    schedule = schedules.vp_linear()
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    t = 0.3
    x = started(schedule, t)
    widths, errors = (0.2, 0.1, 0.05, 0.025), []
    for h in widths:
        s = schedule.time_at(schedule.log_snr_at(t) + 2 * h)
        run = _Run(schedule, denoise, 0.0, 1.0, 1)
        pair = _pair(run, x, t, s, denoise(x, t), order)
        assert run.evaluations == order - 1
        exact = oracles.gaussian_flow(schedule, MEAN, VARIANCE, x, t, s)
        errors.append([np.max(np.abs(state - exact)) for state in pair])
    slopes = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert slopes == pytest.approx([order, order + 1], abs=0.2)


def test_the_controller_is_k_diffusions():
    """Its rule, written out: errs holds this step's inverse error and the last two accepted."""
    gains, order, safety = (0.3, 0.5, 0.1), 3, 0.81
    p, i, d = gains
    b = (p + i + d) / order, -(p + 2 * d) / order, d / order
    control = StepControl(0.05, (p + i + d, -(p + 2 * d), d), order, safety)
    h, errs = 0.05, None
    outcomes = []
    for error in (0.4, 0.9, 3.0, 1.2, 0.02, 1.0, 7.0, 0.5):
        inverse = 1 / (error + 1e-8)
        errs = [inverse] * 3 if errs is None else [inverse, *errs[1:]]
        factor = 1 + math.atan(errs[0] ** b[0] * errs[1] ** b[1] * errs[2] ** b[2] - 1)
        accepted = factor >= safety
        if accepted:
            errs[1:] = errs[0], errs[1]
        h *= factor
        assert control.propose(error) is accepted
        assert control.h == pytest.approx(h, rel=1e-14)
        outcomes.append(accepted)
    assert True in outcomes
    assert False in outcomes


def published(denoise, x, first, last, order, tolerance):
    """DPM-Solver-12 and -23 on EDM, t = sigma = exp(-lambda), with k-diffusion's I controller."""
    level, end, h = -math.log(first), -math.log(last), 0.05
    x_prev, accepted, rejected = x, [], 0

    def eps(x, at):
        return (x - denoise(x, math.exp(-at))) / math.exp(-at)

    while level < end - 1e-5:
        to = min(end, level + h)
        step, sigma = to - level, math.exp(-to)
        e = eps(x, level)
        r_1 = 0.5 if order == 2 else 1 / 3
        u = x - math.exp(-level - r_1 * step) * math.expm1(r_1 * step) * e
        e_1 = eps(u, level + r_1 * step)
        one = x - sigma * math.expm1(step) * e
        two = one - sigma / (2 * r_1) * math.expm1(step) * (e_1 - e)
        low, high = one, two
        if order == 3:
            r_2 = 2 / 3
            at, phi = level + r_2 * step, math.expm1(r_2 * step)
            u = x - math.exp(-at) * phi * e
            u = u - math.exp(-at) * (r_2 / r_1) * (phi / (r_2 * step) - 1) * (e_1 - e)
            bend = sigma / r_2 * (math.expm1(step) / step - 1)
            low, high = two, one - bend * (eps(u, at) - e)
        delta = np.maximum(tolerance, tolerance * np.maximum(abs(low), abs(x_prev)))
        error = np.linalg.norm((low - high) / delta) / math.sqrt(x.size)
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / order) - 1)
        if factor >= 0.81:
            x_prev, x, level = low, high, to
            accepted.append(sigma)
        else:
            rejected += 1
        h *= factor
    return x, accepted, rejected


@pytest.mark.parametrize("order", [2, 3])
def test_on_edm_it_is_the_published_algorithm(order):
    """For one sample, of which the largest error is the mean one."""
    schedule, first, last = CASES["edm"]
    denoise = oracles.gaussian(schedule, MEAN, VARIANCE)
    x = started(schedule, first, 1)
    got = dpm_adaptive(schedule, denoise, x, first, last, order=order, rtol=1e-3, atol=1e-3)
    state, times, rejected = published(denoise, x, first, last, order, 1e-3)
    assert (got.accepted, got.rejected) == (len(times), rejected)
    assert rejected > 0
    # E is a small difference, which hands its rounding on to the next step's width.
    assert [a.s for a in got.attempts if a.accepted] == pytest.approx(times, rel=1e-9)
    np.testing.assert_allclose(got.x, state, rtol=0, atol=1e-11)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("case", ["vp", "flow, whole"])
def test_the_books_are_kept(case, order):
    """Every call is counted, and a rejected step gives its first output to the next try."""
    schedule, first, last = CASES[case]
    calls = []
    exact = oracles.gaussian(schedule, MEAN, VARIANCE)

    def denoise(x, t):
        calls.append(t)
        return exact(x, t)

    x = started(schedule, first)
    got = dpm_adaptive(
        schedule, denoise, x, first, last, order=order, rtol=1e-3, atol=1e-3, h_init=2.0
    )
    assert got.evaluations == len(calls)
    assert got.rejected > 0
    assert got.accepted + got.rejected == len(got.attempts)
    whole = case != "vp"
    opening = [a for a in got.attempts if a.t == first] if whole else []
    rest = got.attempts[len(opening) :]
    taken = sum(a.accepted for a in rest)
    # Opening: one call and one more a try. After: `order` a step, one less a try in vain. The end.
    expected = len(opening) + whole + taken * order + (len(rest) - taken) * (order - 1) + whole
    assert got.evaluations == expected
    times = [first, *(a.s for a in got.attempts if a.accepted)]
    assert [a.t for a in got.attempts if a.accepted] == times[:-1]
    assert all(a.s < a.t for a in got.attempts)
    # accept_safety = 0.81, turned back through the limiter; the opening pair is of order 2.
    for attempt in got.attempts:
        bound = (1 + math.tan(0.81 - 1)) ** -(2 if attempt in opening else order)
        assert attempt.accepted is (attempt.error <= bound)
    with pytest.raises(dataclasses.FrozenInstanceError):
        got.x = x


def test_a_step_in_vain_onto_the_end_is_not_repeated():
    """Where the end cuts a step short, what failed is the short step, and the next is shorter."""
    got, _ = solved("edm", order=2, rtol=1e-6, atol=1e-6, h_init=50.0)
    first = [a for a in got.attempts if a.t == 20.0]
    assert first[0].s == CASES["edm"][2]
    assert len({a.s for a in first}) == len(first) > 2


@pytest.mark.parametrize("case", ["flow, whole", "cosine, whole", "vp, whole"])
def test_a_point_mass_is_recovered_exactly(case):
    schedule, first, last = CASES[case]
    target = np.array([[0.3, -0.7]])
    start = np.array([[1.5, -0.2]]) * schedule(first).sigma
    got = dpm_adaptive(schedule, oracles.point_mass(schedule, target), start, first, last)
    np.testing.assert_array_equal(got.x, target)


def test_the_last_step_leaves_from_the_noise_level_that_is_asked_for():
    schedule = CASES["flow, whole"][0]
    for n_last in (0.1, 0.001):
        got, _ = solved("flow, whole", n_last=n_last)
        alpha, sigma = schedule(got.attempts[-1].s)
        assert sigma / alpha == pytest.approx(n_last, rel=1e-12)


@pytest.mark.parametrize("case", ["vp", "edm", "flow, whole", "ve"])
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_with_noise_the_marginal_is_reached(case, eta):
    """Mean and variance within five standard errors, and the tolerance, of the exact ones."""
    schedule, first, last = CASES[case]
    n = 4000
    got = dpm_adaptive(
        schedule,
        oracles.gaussian(schedule, MEAN, VARIANCE),
        started(schedule, first, n),
        first,
        last,
        eta=eta,
        noise=noise.portable(0),
        rtol=1e-3,
        atol=1e-3,
    )
    alpha, sigma = schedule(last)
    variance = alpha**2 * VARIANCE + sigma**2
    off = np.abs(got.x.mean(0) - alpha * MEAN)
    assert np.all(off < 5 * np.sqrt(variance / n) + 5e-3)
    assert np.all(np.abs(got.x.var(0) / variance - 1) < 5 * math.sqrt(2 / n) + 2e-2)


def test_noise_is_drawn_once_for_each_accepted_step_but_the_last():
    schedule, first, last = CASES["edm"]
    drawn = []

    def source(like, step):
        drawn.append(step)
        return noise.portable(0)(like, step)

    got = dpm_adaptive(
        schedule,
        oracles.gaussian(schedule, MEAN, VARIANCE),
        started(schedule, first),
        first,
        last,
        eta=1.0,
        noise=source,
        h_init=1.0,
    )
    assert drawn == list(range(1, len(drawn) + 1))
    assert got.accepted - 2 <= len(drawn) < got.accepted


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_every_library_takes_the_same_steps(xp, dtype, eta):
    schedule, first, last = CASES["flow, whole"]
    host = started(schedule, first, 3)
    arguments = {"eta": eta, "noise": noise.portable(0) if eta else None, "rtol": 0.1, "atol": 0.02}
    want = dpm_adaptive(
        schedule, oracles.gaussian(schedule, MEAN, VARIANCE), host, first, last, **arguments
    )
    x = make(xp, host, dtype)
    got = dpm_adaptive(
        schedule, oracles.gaussian(schedule, MEAN, VARIANCE), x, first, last, **arguments
    )
    assert got.x.dtype == x.dtype
    assert tuple(got.x.shape) == (3, 3)
    assert [a.accepted for a in got.attempts] == [a.accepted for a in want.attempts]
    # A small E keeps fewer digits than x, and sets the next step, whose width the result shows.
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(as_numpy(got.x), want.x, rtol=0, atol=10_000 * eps)


def test_the_hardest_sample_sets_the_steps():
    """Not the mean over the batch, which would let one sample go wrong among many easy ones."""
    schedule, first, last = CASES["vp"]
    denoise = oracles.gaussian(schedule, 0.0, 1.0)
    easy, hard = np.full((9, 1), 0.01), np.array([[3.0]])
    errors = [
        dpm_adaptive(schedule, denoise, x, first, last).attempts[0].error
        for x in (easy, hard, np.concatenate([easy, hard]))
    ]
    assert 10 * errors[0] < errors[1] == errors[2]


def test_a_denoiser_with_learned_variance_is_welcome():
    schedule, first, last = CASES["vp"]
    exact = oracles.gaussian(schedule, MEAN, VARIANCE)
    x = started(schedule, first)
    got = dpm_adaptive(schedule, lambda x, t: Denoised(exact(x, t), x), x, first, last)
    np.testing.assert_array_equal(got.x, dpm_adaptive(schedule, exact, x, first, last).x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 1}, "order must be 2 or 3, got 1"),
        ({"atol": 0.0}, "atol must be positive and finite, got 0.0"),
        ({"rtol": -1.0}, "rtol must be non-negative and finite, got -1.0"),
        ({"h_init": 0.0}, "h_init must be positive and finite"),
        ({"n_last": -0.1}, "n_last must be positive and finite"),
        ({"accept_safety": 1.0}, "accept_safety must be in"),
        ({"eta": -0.5}, "eta must be non-negative and finite"),
        ({"eta": 1.0}, "noise must be given where eta > 0"),
        ({"t_end": 0.9}, "t_end must differ from t_start, got 0.9"),
        ({"t_start": 0.1, "eta": 1.0, "noise": noise.portable(0)}, "eta must be 0 where t_end is"),
        ({"t_start": 0.0}, "t_start must have noise and t_end signal"),
        ({"t_start": 0.5, "t_end": 1.0}, "t_start must have noise and t_end signal"),
        ({"t_start": 1.5, "t_end": 0.1}, "t must be in"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    schedule = schedules.flow()
    given = {"t_start": 0.9, "t_end": 0.2, **arguments}
    if "t_start" in arguments and "t_end" not in arguments:
        given["t_end"] = 0.9
    with pytest.raises(ValueError, match=message):
        dpm_adaptive(schedule, oracles.point_mass(schedule, 0.0), np.ones((1, 2)), **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            ({name: wrong}, f"{name} must be a number, got {wrong!r}")
            for name in ("rtol", "atol", "h_init", "pcoeff", "icoeff", "dcoeff", "accept_safety")
            for wrong in ("1", True)
        ),
        *(
            ({name: "1"}, f"{name} must be a number, got '1'")
            for name in ("eta", "s_noise", "n_last", "max_attempts", "t_start", "t_end")
        ),
        ({"denoise": None}, "denoise must be a function, got None"),
        ({"eta": 1.0, "noise": 3}, "noise must be a function, got 3"),
        ({"order": 2.0}, "order must be 2 or 3, got 2.0"),
        ({"order": "2"}, "order must be 2 or 3, got '2'"),
        ({"icoeff": math.inf}, "icoeff must be finite, got inf"),
        ({"max_attempts": 0}, "max_attempts must be 1 or more, got 0"),
        ({"max_attempts": math.nan}, "max_attempts must be 1 or more, got nan"),
        ({"x": np.ones((0, 2))}, r"x must have shape \(batch, ...\), batch above 0, got \(0, 2\)"),
        ({"x": np.array(1.0)}, r"x must have shape \(batch, ...\), batch above 0, got \(\)"),
    ],
)
def test_what_is_no_number_or_function_is_named(arguments, message):
    flow = schedules.flow()
    usual = {"denoise": oracles.point_mass(flow, 0.0), "x": np.ones((1, 2))}
    given = {**usual, "t_start": 0.9, "t_end": 0.2, **arguments}
    with pytest.raises((TypeError, ValueError), match=message):
        dpm_adaptive(flow, **given)


def test_numpys_numbers_promote_no_state():
    flow = schedules.flow()
    x = np.ones((2, 3), np.float32)
    denoise = oracles.gaussian(flow, 0.1, 0.5)
    plain = dpm_adaptive(flow, denoise, x, 0.9, 0.2, rtol=0.25)
    numpys = dpm_adaptive(flow, denoise, x, np.float64(0.9), np.float64(0.2), rtol=np.float64(0.25))
    assert numpys.x.dtype == plain.x.dtype == np.float32
    np.testing.assert_array_equal(numpys.x, plain.x)
    assert numpys.attempts == plain.attempts


def test_bad_types_are_named():
    flow = schedules.flow()
    with pytest.raises(TypeError, match="schedule must be continuous, got DiscreteSchedule"):
        dpm_adaptive(schedules.linear(), oracles.point_mass(flow, 0.0), np.ones((1, 2)), 9, 1)
    with pytest.raises(TypeError, match="x must be a real floating-point array"):
        dpm_adaptive(flow, oracles.point_mass(flow, 0.0), np.ones((1, 2), dtype=int), 0.9, 0.1)


def test_a_hopeless_run_ends_with_its_reason():
    flow = schedules.flow()
    x = np.ones((1, 2))
    with pytest.raises(FloatingPointError, match="denoise led to a state that is not"):
        dpm_adaptive(flow, lambda x, t: x * math.nan, x, 0.9, 0.1)
    with pytest.raises(FloatingPointError, match="max_attempts = 7 reached at time"):
        dpm_adaptive(flow, oracles.gaussian(flow, 0.0, 1.0), x, 0.9, 0.1, max_attempts=7)
    rng = np.random.default_rng(0)
    with pytest.raises(FloatingPointError, match="the step vanished at time"):
        dpm_adaptive(
            flow, lambda x, t: 1e9 * rng.standard_normal(x.shape), x, 0.9, 0.1, rtol=0.0, atol=1e-12
        )
