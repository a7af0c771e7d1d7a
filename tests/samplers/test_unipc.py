"""UniPC: its order with and without corrector, and diffusers' scheduler side by side."""

import numpy as np
import pytest
from data_convergence import SCHEDULES, flow_order
from data_diffusers import TOLERANCE, distance, theirs
from diffusers import UniPCMultistepScheduler

from diffcore import oracles, plan, schedules, times
from diffcore.samplers._predict_correct import multistep
from diffcore.samplers.adams import exact
from diffcore.samplers.dpm_solver_pp import dpm_solver_pp
from diffcore.samplers.sa_solver import sa_solver
from diffcore.samplers.unipc import unipc

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # diffusers' own.
EPS = np.finfo(np.float64).eps
CASES = [
    ({"order": order, "solver": solver, "corrector": corrector}, order + corrector)
    for order in (1, 2, 3)
    for solver in ("bh1", "bh2")
    for corrector in (True, False)
]
CASES += [
    ({"order": 3, "start": "lower"}, 3),
    ({"order": 3, "start": "lower", "corrector": False}, 2),
    ({"order": 2, "start": "lower"}, 3),
    ({"order": 3, "lower_order_end": True}, 2),
]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("parameters", "order"), CASES)
def test_the_declared_order_is_measured(parameters, order, name):
    def planner(schedule, grid):
        return unipc(schedule, grid, **parameters)

    assert planner(SCHEDULES[name], (0.5, 0.25)).order == order
    assert flow_order(planner, name) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_order_is_kept_on_uneven_steps(order):
    def planner(schedule, grid):
        return unipc(schedule, grid, order)

    assert flow_order(planner, "edm", long=2.0) == pytest.approx(order + 1, abs=0.15)


def test_the_measure_of_order_rejects_a_wrong_corrector():
    """The newest output 0.1 h^2 too heavy, the one before it too light."""

    def wrong(h, nodes, rate):
        shares = exact(h, nodes, rate)
        tilt = 0.1 * h * h if nodes[0] > 0.0 else 0.0
        return [shares[0] + tilt, *shares[1:-1], shares[-1] - tilt] if tilt else shares

    def planner(rule):
        def plan_of(schedule, grid):
            made = multistep(schedule, grid, predictor=2, corrector=3, rule=rule, start="lower")
            return made.plan("by a rule", 3)

        return plan_of

    assert flow_order(planner(exact), "edm") == pytest.approx(3, abs=0.15)
    assert flow_order(planner(wrong), "edm") == pytest.approx(2, abs=0.15)


def test_the_corrector_costs_no_call():
    schedule = schedules.flow()
    grid = times.trailing(schedule, 10)
    for corrector in (True, False):
        assert unipc(schedule, grid, 2, corrector=corrector, start="lower").evaluations == 10
    # Order 3 and 4 begin with single steps of order 2 and 3, once alpha is above 0.
    assert unipc(schedule, grid, 3, corrector=False).evaluations == 11
    assert unipc(schedule, grid, 3).evaluations == 12


def coefficients(made):
    return [(stage.x, stage.m, stage.z) for stage in made.stages]


def test_relatives():
    """UniP-2 with bh2 is DPM-Solver++(2M); UniPC-3 after its start is SA-Solver without noise."""
    schedule = schedules.linear()
    grid = times.trailing(schedule, 12)
    unip = unipc(schedule, grid, 2, corrector=False)
    assert coefficients(unip) == coefficients(dpm_solver_pp(schedule, grid, 2, formula="published"))
    sa = sa_solver(schedule, grid, 3, 4, tau=0.0)
    assert coefficients(unipc(schedule, grid, 3)) == coefficients(sa)
    assert coefficients(unipc(schedule, grid, 2)) != coefficients(unipc(schedule, grid, 2, "bh1"))


def unipc_of(order, solver, end):
    made = UniPCMultistepScheduler(
        prediction_type="sample", solver_order=order, solver_type=solver, final_sigmas_type=end
    )
    made.set_timesteps(10)
    return made


def published(order, solver):
    def planner(schedule, grid):
        return unipc(schedule, grid, order, solver, start="lower", lower_order_end=True)

    return planner


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(
    ("solver", "end"), [("bh1", "sigma_min"), ("bh2", "sigma_min"), ("bh2", "zero")]
)
def test_unipc_is_that_of_diffusers(order, solver, end):
    last = 0 if end == "zero" else 1
    assert np.max(distance(published(order, solver), unipc_of(order, solver, end), last)) <= (
        TOLERANCE
    )
    other = "bh1" if solver == "bh2" else "bh2"
    apart = distance(published(order, other), unipc_of(order, solver, end), last)
    # UniPC-3 with its start of lower order has a line in the first two steps alone.
    assert np.max(apart) > 100 * TOLERANCE


def test_unipc_without_corrector_is_that_of_diffusers():
    def planner(schedule, grid):
        return unipc(schedule, grid, 3, corrector=False, start="lower", lower_order_end=True)

    scheduler = unipc_of(3, "bh2", "zero")
    scheduler.disable_corrector = list(range(10))
    assert np.max(distance(planner, scheduler, 0)) <= TOLERANCE


@pytest.mark.parametrize("order", [1, 2, 3])
def test_bh1_in_diffusers_is_not_a_number_at_sigma_0(order):
    """Theirs multiplies B(h) = infinity by 0; the limit is the denoised x_0, which ours gives."""
    states, _ = theirs(unipc_of(order, "bh1", "zero"))
    assert np.all(np.isnan(states[-1]))
    apart = distance(published(order, "bh1"), unipc_of(order, "bh1", "zero"), 0)
    assert np.max(apart[:-1]) <= TOLERANCE
    schedule = schedules.linear()
    made = published(order, "bh1")(schedule, times.trailing(schedule, 10))
    assert made.stages[-1].m == (1.0,)
    assert made.stages[-1].x in ((), (0.0,))


def test_an_end_of_lower_order_costs_digits():
    """On a grid that ends above sigma = 0, UniPC-3 gains by keeping its order to the end."""
    schedule = schedules.vp_linear()
    steps = np.linspace(-1.0, 4.0, 21)
    grid = [schedule.time_at(float(s)) for s in steps]
    denoise = oracles.gaussian(schedule, 0.3, 0.2)
    x = np.linspace(-2.0, 2.0, 5)[:, None]
    exact = oracles.gaussian_flow(schedule, 0.3, 0.2, x, grid[0], grid[-1])
    errors = [
        np.max(
            np.abs(plan.sample(denoise, unipc(schedule, grid, 3, lower_order_end=end), x) - exact)
        )
        for end in (False, True)
    ]
    assert errors[0] < 0.05 * errors[1]


def test_a_corrected_run_is_the_paper_s_algorithm():
    """x^c_i from x^c_{i-1}, the prediction thrown away, in arrays: algorithm 1 and 2 as written."""
    schedule = schedules.vp_linear()
    grid = [schedule.time_at(v) for v in (-3.0, -1.5, 0.0, 1.0, 2.5)]
    denoise = oracles.gaussian(schedule, 0.3, 0.2)
    x = np.linspace(-2.0, 2.0, 5)[:, None]
    lam = [0.5 * schedule.log_snr_at(t) for t in grid]

    def update(start, i, j, nodes):
        """sigma_j / sigma_i x - alpha_j (exp(-h) - 1) m_i - alpha_j B sum_k rho_k D_k / r_k."""
        (_, sigma_i), (alpha_j, sigma_j) = schedule(grid[i]), schedule(grid[j])
        h = lam[j] - lam[i]
        r = np.array([(lam[k] - lam[i]) / h for k in nodes])
        phi, phis = (np.exp(-h) - 1.0) / -h, []
        for n in range(1, len(nodes) + 1):
            phi = (phi - 1.0 / float(np.prod(range(1, n + 1)))) / -h
            phis.append(phi)
        B = np.expm1(-h)
        factorials = np.cumprod(np.arange(1.0, len(nodes) + 1))
        b = -h * np.array(phis) * factorials / B
        rho = np.linalg.solve(np.vander(r, increasing=True).T, b) if len(nodes) else b
        if len(nodes) == 1:
            rho = np.array([0.5])
        total = sum(
            (p * (m[k] - m[i]) / q for p, k, q in zip(rho, nodes, r, strict=True)), 0.0 * start
        )
        return sigma_j / sigma_i * start - alpha_j * B * m[i] - alpha_j * B * total

    m, corrected, predicted = {0: denoise(x, grid[0])}, x, update
    for i in range(4):
        behind = [k for k in (i - 1,) if k >= 0]
        predicted = update(corrected, i, i + 1, behind)
        m[i + 1] = denoise(predicted, grid[i + 1])
        if i < 3:
            corrected = update(corrected, i, i + 1, [*behind, i + 1])
    made = unipc(schedule, grid, 2, start="lower")
    np.testing.assert_allclose(plan.sample(denoise, made, x), predicted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: unipc(s, (9, 0), 4), "order must be 1, 2 or 3, got 4"),
        (lambda s: unipc(s, (9, 0), solver="bh3"), "solver must be 'bh1' or 'bh2', got 'bh3'"),
        (lambda s: unipc(s, (9, 0), start="none"), "start must be 'singlestep' or 'lower'"),
        (lambda s: unipc(s, (9,)), "times must be at least two numbers"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(schedules.linear())
