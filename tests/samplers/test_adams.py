"""Exponential Adams methods: their weights, what every plan of theirs keeps, and their ends."""

import json
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import timed

from diffcore import noise, oracles, plan, schedules, times
from diffcore.samplers._exponential import moments
from diffcore.samplers._predict_correct import order as order_of
from diffcore.samplers.adams import bh1, bh2, exact
from diffcore.samplers.dpm_solver_pp import dpm_solver_pp, dpm_solver_pp_sde, published
from diffcore.samplers.sa_solver import sa_solver
from diffcore.samplers.unipc import unipc

EPS = np.finfo(np.float64).eps
DIGITS = mp.mp.clone()
DIGITS.dps = 40

PLANS = {
    "pp-1": lambda s, t: dpm_solver_pp(s, t, 1),
    "pp-2": lambda s, t: dpm_solver_pp(s, t, 2),
    "pp-3": lambda s, t: dpm_solver_pp(s, t, 3),
    "pp-3-published": lambda s, t: dpm_solver_pp(s, t, 3, formula="published", start="lower"),
    "pp-single-2": lambda s, t: dpm_solver_pp(s, t, 2, "singlestep"),
    "pp-single-3": lambda s, t: dpm_solver_pp(s, t, 3, "singlestep"),
    "pp-single-3-published": lambda s, t: dpm_solver_pp(s, t, 3, "singlestep", "published"),
    "sde-1": lambda s, t: dpm_solver_pp_sde(s, t, 1),
    "sde-2": lambda s, t: dpm_solver_pp_sde(s, t, 2),
    "sde-3-published": lambda s, t: dpm_solver_pp_sde(s, t, 3, "published"),
    "unipc-2": lambda s, t: unipc(s, t, 2),
    "unipc-3": lambda s, t: unipc(s, t, 3, lower_order_end=True),
    "unip-3": lambda s, t: unipc(s, t, 3, "bh1", corrector=False),
    "sa-2-2": lambda s, t: sa_solver(s, t),
    "sa-3-4": lambda s, t: sa_solver(s, t, 3, 4, tau=0.5),
    "sa-3-4-flow": lambda s, t: sa_solver(s, t, 3, 4, tau=0.0),
}


@given(
    h=st.floats(0.01, 8.0),
    steps=st.lists(st.floats(0.2, 3.0), min_size=0, max_size=3),
    ahead=st.booleans(),
    tau=st.sampled_from([0.0, 0.5, 1.0, 1.4]),
)
def test_exact_shares_to_40_digits(h, steps, ahead, tau):
    rate = 1.0 + tau * tau
    nodes = [h] * ahead + [0.0] + [-h * sum(steps[: k + 1]) for k in range(len(steps))]
    shares = exact(h, nodes, rate)
    rows = [[DIGITS.mpf(node) ** n for node in nodes] for n in range(len(nodes))]
    moments = [
        DIGITS.quad(lambda u, n=n: rate * DIGITS.exp(rate * (u - h)) * u**n, [0, h])
        for n in range(len(nodes))
    ]
    wanted = DIGITS.lu_solve(DIGITS.matrix(rows), DIGITS.matrix(moments))
    # Each share is a sum of the polynomial's terms, which are as large as these.
    size = max(abs(float(w)) for w in wanted) + max(float(abs(m)) for m in moments[:1])
    scale = math.prod(1.0 + abs(node) / h for node in nodes)
    for got, want in zip(shares, wanted, strict=True):
        assert got == pytest.approx(float(want), rel=1e-13, abs=1e3 * EPS * size * scale)


@pytest.mark.parametrize("rate", [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("h", [1e-6, 0.3, 5.0, 14.9, 29.9, 30.0, 30.1, 64.0, 700.0])
def test_moments_are_incomplete_gamma_functions(h, rate):
    """int_0^1 exp(-a u) u^n du = gamma(n + 1, a) / a^(n + 1), and Kummer's 1F1 where it grows."""
    a = DIGITS.mpf(abs(rate) * h)
    for n, got in enumerate(moments(h, 5, rate)):
        if rate < 0.0:
            wanted = DIGITS.gammainc(n + 1, 0, a) / a ** (n + 1)
        else:
            wanted = DIGITS.exp(-a) * DIGITS.hyp1f1(n + 1, n + 2, a) / (n + 1)
        assert got == pytest.approx(float(h * wanted), rel=32 * EPS, abs=0.0)


@given(h=st.floats(0.01, 3.0), before=st.floats(0.1, 3.0), rate=st.sampled_from([1.0, 2.0]))
def test_published_shares_are_the_papers_formulas(h, before, rate):
    """2M: (1 - e^-h) (m_0 + (m_0 - m_1) h / (2 h_0)); UniC-1: (m_1 - m_0) B / 2; 3M as coded."""
    B = -math.expm1(-rate * h)
    behind, ahead = [0.0, -before], [h, 0.0]
    slope = h / before
    np.testing.assert_allclose(
        bh2(h, behind, rate), [B + B * slope / 2, -B * slope / 2], rtol=64 * EPS
    )
    np.testing.assert_allclose(bh2(h, ahead, rate), [B / 2, B / 2], rtol=64 * EPS)
    w = rate * h / 2
    np.testing.assert_allclose(bh1(h, ahead, rate), [w, B - w], rtol=64 * EPS, atol=64 * EPS)
    np.testing.assert_allclose(
        bh1(h, behind, rate), [B + w * slope, -w * slope], rtol=64 * EPS, atol=64 * EPS
    )
    # D1 and D2 of DPM-Solver++(3M), from outputs at 0, -h_0 and -h_0 - h_1 that are unit vectors.
    nodes = [0.0, -before, -2.5 * before]
    m = np.eye(3)
    r0, r1 = before / h, 1.5 * before / h
    first, second = (m[0] - m[1]) / r0, (m[1] - m[2]) / r1
    D1 = first + r0 / (r0 + r1) * (first - second)
    D2 = (first - second) / (r0 + r1)
    a = mp.mpf(rate) * mp.mpf(h)
    phi_2 = float(1 - (1 - mp.exp(-a)) / a)
    phi_3 = float(mp.mpf(1) / 2 - (a - 1 + mp.exp(-a)) / a**2)
    wanted = B * m[0] + phi_2 * D1 + phi_3 * D2
    size = np.sum(np.abs(wanted)) + 1.0 / (r0 * (r0 + r1))
    np.testing.assert_allclose(published(h, nodes, rate), wanted, rtol=0, atol=1e4 * EPS * size)
    assert np.max(np.abs(exact(h, nodes, rate) - (wanted + phi_3 * D2))) <= 1e4 * EPS * size


@pytest.mark.parametrize("rule", [exact, bh1, bh2, published])
def test_a_constant_counts_in_full_and_a_line_up_to_order_2(rule):
    for rate in (1.0, 2.0):
        for h in (0.4, 0.2, 0.1):
            for nodes in ([0.0], [0.0, -0.3 * h], [h, 0.0], [0.0, -h, -1.5 * h]):
                shares = rule(h, nodes, rate)
                assert math.fsum(shares) == pytest.approx(-math.expm1(-rate * h), rel=1e-13)
                line = math.fsum(w * node for w, node in zip(shares, nodes, strict=True))
                wanted = h - -math.expm1(-rate * h) / rate
                assert len(nodes) == 1 or abs(line - wanted) <= 1.1 * rate**2 * h**3 / 6


@pytest.mark.parametrize("name", PLANS)
@given(case=timed(count=6), to_data=st.booleans())
def test_mean_and_marginal_variance_are_kept(name, case, to_data):
    """For a point mass every stage, inner ones too, has the mean and variance of its time."""
    schedule, grid = case
    grid = [*grid[::-1], 0] if to_data else grid[::-1]
    made = PLANS[name](schedule, grid)
    assert made.stages[0].time == grid[0]
    assert made.stages[-1].time_next == grid[-1]
    residuals = plan.mean_residuals(made, schedule)
    for stage, residual in zip(made.stages, residuals, strict=True):
        size = schedule(stage.time).alpha + sum(abs(w) for w in stage.m)
        assert abs(residual) <= 512 * EPS * size
    reached = [schedule(s.time_next).sigma ** 2 for s in made.stages]
    got = plan.variances(made, schedule)[1:]
    np.testing.assert_allclose(got, reached, rtol=4096 * EPS, atol=1e-300)


def test_the_checks_reject_wrong_tables():
    schedule = schedules.linear()
    made = PLANS["sa-3-4"](schedule, times.trailing(schedule, 20))
    stages = list(made.stages)
    third = stages[7]
    for change in ({"m": (1.001 * third.m[0], *third.m[1:])}, {"z": 0.99 * third.z}):
        stages[7] = plan.Stage(**{**vars(third), **change})
        wrong = plan.Plan("wrong", tuple(stages))
        reached = [schedule(s.time_next).sigma ** 2 for s in stages]
        off = np.abs(plan.variances(wrong, schedule)[1:-1] / reached[:-1] - 1.0)
        residual = np.abs(plan.mean_residuals(wrong, schedule))
        assert max(np.max(off), np.max(residual)) > 1e-4


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
    for n in (1, 2, 3, 10):
        made = PLANS[name](schedule, times.trailing(schedule, n))
        assert made.stages[-1].m == (1.0,)
        assert made.stages[-1].z == 0.0
        start = plan.prior(schedule, made.stages[0].time, np.ones((1, 2)))
        end = plan.sample(oracles.point_mass(schedule, target), made, start, noise.portable(0))
        np.testing.assert_array_equal(end, target)


def test_declared_orders():
    assert [order_of(p) for p in (1, 2, 3)] == [1, 2, 3]
    assert [order_of(p, p + 1) for p in (1, 2, 3)] == [2, 3, 4]
    assert order_of(3, start="lower") == 2
    assert order_of(3, 4, start="lower") == 3
    assert order_of(3, 4, lower=True) == 2
    schedule = schedules.flow()
    assert sa_solver(schedule, (0.9, 0.5, 0.1), tau=0.5).order is None
    assert dpm_solver_pp_sde(schedule, (0.9, 0.5, 0.1)).order is None


def test_plans_survive_json():
    schedule = schedules.linear()
    for name, planner in PLANS.items():
        made = planner(schedule, times.trailing(schedule, 9))
        assert plan.Plan.from_json(made.to_json()) == made, name
    made = sa_solver(schedule, (900, 300, 0), tau=lambda t: t / 1000)
    assert json.loads(made.to_json())["parameters"]["tau"] == [0.9, 0.3]
