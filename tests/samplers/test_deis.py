"""DEIS: its integrals to 1e-14, the methods it equals, and diffusers' scheduler."""

import math

import mpmath as mp
import numpy as np
import pytest
from diffusers import DEISMultistepScheduler
from noise_convergence import MIXTURE, SCHEDULES, grid
from noise_diffusers import LINEAR, levels, relative, states, whole_times

from diffcore import oracles, plan, schedules
from diffcore.samplers import _integrals
from diffcore.samplers.deis import deis
from diffcore.samplers.lms import lms

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
EPS = np.finfo(np.float64).eps
X = np.linspace(-2.0, 2.0, 9)[:, None]
VP = SCHEDULES["vp_linear"]
INTEGRALS = {
    "t": _integrals.in_time,
    "rho": _integrals.in_noise_level,
    "log_rho": _integrals.in_half_log_snr,
}


def noise_level(kind, t):
    """n = sigma / alpha from the schedules' papers, and its derivative in t, at 40 digits."""
    formulas = {
        "vp_linear": lambda u: mp.sqrt(mp.expm1(mp.mpf("0.1") * u + mp.mpf("9.95") * u * u)),
        "cosine_continuous": lambda u: mp.tan(mp.pi / 2 * u),
        "flow": lambda u: u / (1 - u),
        "edm": lambda u: u,
    }
    return formulas[kind](t), mp.diff(formulas[kind], t)


def by_quadrature(kind, variable, t, s, times):
    """int_t^s l_j dn / dt dt by tanh-sinh quadrature."""

    def at(u):
        n = noise_level(kind, u)[0]
        return {"t": u, "rho": n, "log_rho": mp.log(n)}[variable]

    nodes = [at(mp.mpf(u)) for u in times]

    def share(j):
        def integrand(u):
            rest = [v for i, v in enumerate(nodes) if i != j]
            value = mp.fprod((at(u) - v) / (nodes[j] - v) for v in rest)
            return value * noise_level(kind, u)[1]

        return mp.quad(integrand, [mp.mpf(t), mp.mpf(s)])

    with mp.workdps(40):
        return [float(share(j)) for j in range(len(times))]


@pytest.mark.parametrize("kind", ["vp_linear", "cosine_continuous", "flow", "edm"])
@pytest.mark.parametrize("variable", INTEGRALS)
@pytest.mark.parametrize(
    ("s", "times"),
    [(0.01, (0.5, 0.8, 0.9)), (0.3, (0.5, 0.7, 0.8, 0.95)), (0.499, (0.5, 0.501, 0.503))],
)
def test_the_integrals_are_exact(kind, variable, s, times):
    schedule = getattr(schedules, kind)()
    found = INTEGRALS[variable](schedule, times[0], s, times)
    wanted = by_quadrature(kind, variable, times[0], s, times)
    top = noise_level(kind, mp.mpf(times[0]))[0]
    size = sum(map(abs, wanted)) + float(top)
    assert np.max(np.abs(np.array(found) - wanted)) <= 1e-13 * size
    others = set(INTEGRALS) - {variable} - ({"rho", "t"} if kind == "edm" else set())
    for other in others:
        wrong = INTEGRALS[other](schedule, times[0], s, times)
        assert np.max(np.abs(np.array(wrong) - wanted)) > 1e-9 * size


def test_the_integrals_near_data_are_exact():
    """n grows like the square root of the time there, on which one rule of any order would fail."""
    found = _integrals.in_time(VP, 0.1, 1e-6, (0.1, 0.2, 0.4))
    wanted = by_quadrature("vp_linear", "t", mp.mpf(0.1), mp.mpf(1e-6), (0.1, 0.2, 0.4))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_in_rho_it_is_lms(kind):
    schedule = SCHEDULES[kind]
    visited = grid(schedule, 7)
    for p in (1, 2, 3):
        for start in ("singlestep", "lower"):
            a = deis(schedule, visited, order=p, variable="rho", start=start)
            assert a.stages == lms(schedule, visited, order=p, start=start).stages


def test_where_time_is_the_noise_level_t_is_rho():
    schedule = SCHEDULES["edm"]
    visited = grid(schedule, 7)
    pairs = zip(
        deis(schedule, visited, variable="t").stages,
        deis(schedule, visited, variable="rho").stages,
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_allclose(a.x, b.x, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(a.m, b.m, rtol=1e-12, atol=1e-14)
    assert deis(schedule, visited, variable="log_rho").stages[3] != b


@pytest.mark.parametrize("p", [1, 2, 3])
def test_diffusers_is_log_rho_with_a_lower_order_start(p):
    """Given our noise levels in float64; its closed forms lose some digits to cancellation."""
    visited = grid(VP, 24)
    denoise = oracles.mixture(VP, *MIXTURE)
    scheduler = levels(DEISMultistepScheduler(solver_order=p), VP, visited)
    found = states(scheduler, VP, visited[:-1], denoise, X)
    made = deis(VP, visited, order=p, start="lower")
    wanted = [progress.x for progress in plan.iterate(denoise, made, X)]
    for k, (got, want) in enumerate(zip(found, wanted, strict=True)):
        assert relative(got, want) < 1e-12, k
    other = deis(VP, visited, order=p, variable="rho", start="lower")
    if p > 1:
        assert relative(found[-1], plan.sample(denoise, other, X)) > 1e-6


@pytest.mark.parametrize(("p", "n"), [(1, 10), (2, 10), (2, 30), (3, 10)])
def test_diffusers_own_tables_are_right_to_float32(p, n):
    """It ends at its first timestep's level, our time 1, below 15 steps with a lower order."""
    denoise = oracles.mixture(LINEAR, *MIXTURE)
    scheduler = DEISMultistepScheduler(solver_order=p)
    scheduler.set_timesteps(n)
    called = whole_times(scheduler)
    found = states(scheduler, LINEAR, called, denoise, X)
    made = deis(LINEAR, (*called, 1), p, start="lower", lower_order_end=n < 15)
    assert relative(found[-1], plan.sample(denoise, made, X)) < 2e-5


def test_diffusers_third_order_loses_digits_over_many_steps():
    """It subtracts values of rho log(rho)^2 at both ends of a step, in float32; ours is exact.

    Our plan run in float32 is right to float32, theirs at 200 steps to three digits.
    """
    denoise = oracles.gaussian(LINEAR, 0.3, 0.2)
    scheduler = DEISMultistepScheduler(solver_order=3)
    scheduler.set_timesteps(200)
    called = whole_times(scheduler)
    found = states(scheduler, LINEAR, called, denoise, X)[-1]
    made = deis(LINEAR, (*called, 1), 3, start="lower")
    wanted = plan.sample(denoise, made, X)
    assert relative(found, wanted) > 3e-4
    assert relative(plan.sample(denoise, made, X.astype(np.float32)), wanted) < 5e-6
    flow = oracles.gaussian_flow(LINEAR, 0.3, 0.2, X, called[0], 1)
    assert relative(wanted, flow) < 0.5 * relative(found, flow)


def test_diffusers_wastes_a_call_on_karras_sigmas():
    """Its last two noise levels are one."""
    scheduler = DEISMultistepScheduler(use_karras_sigmas=True)
    scheduler.set_timesteps(10)
    assert float(scheduler.sigmas[-1]) == float(scheduler.sigmas[-2]) > 0.0


@pytest.mark.parametrize(
    ("f", "low", "high", "wanted", "rel"),
    [
        (lambda v: 1e-3 / (v + 1e-3), 0.0, 1.0, 1e-3 * math.log(1001.0), 1e-13),
        (lambda v: 1e-3 / (1.001 - v), 0.0, 1.0, 1e-3 * math.log(1001.0), 1e-13),
        (lambda v: v**3 / 4, -1.0, 2.0, 15 / 16, 1e-14),
        (math.sqrt, 0.0, 1.0, 2 / 3, 1e-13),
        (lambda v: float(v > 1 / 3), 0.0, 1.0, 2 / 3, 1e-13),
        # Unbounded at an end: 48 halvings leave sqrt(2^-48) of it, times the rule's own error.
        (lambda v: 0.5 / math.sqrt(v), 0.0, 1.0, 1.0, 1e-8),
        (lambda v: 0.5 / math.sqrt(-v), -1.0, 0.0, 1.0, 1e-8),
    ],
)
def test_the_quadrature_halves_where_it_must(f, low, high, wanted, rel):
    assert _integrals._integral(f, low, high) == pytest.approx(wanted, rel=rel)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 0.0)])
def test_the_quadrature_ends_where_there_is_no_integral(low, high):
    """1 / v: 48 halvings towards 0, of log 2 each, and the rule's two halves of what is left."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    wanted = 49 * math.log(2.0) + np.sum(weights / (1.0 + nodes))
    got = _integrals._integral(lambda v: 1.0 / abs(v), low, high)
    assert got == pytest.approx(wanted, rel=1e-12)
