"""The checks acquit every planner, in each library, and say what they find of wrong plans."""

from dataclasses import replace

import numpy as np
import planned
import pytest

from diffcore import samplers, schedules, times
from diffcore.predictions import EPS
from diffcore.verify import checks, claim, libraries
from diffcore.verify.checking import examine
from diffcore.verify.checks import convergence
from diffcore.verify.outcome import Verdict

EDM = schedules.edm(20.0)
GRIDS = {
    "edm": (EDM, planned.edm_grid),
    "discrete": (schedules.linear(100), times.trailing),
    "zero_terminal_snr": (schedules.zero_terminal_snr(schedules.linear(60)), times.trailing),
    "flow": (schedules.flow(), times.trailing),
    "cosine": (schedules.cosine_continuous(), times.trailing),
}
CONTINUOUS = ["flow_euler", "flow_heun", "runge_kutta"]
TESTED = ("exactness", "few steps", "order", "invariance", "draws")
CHECKS = [c for c in checks.CHECKS if c.name in TESTED]
MANY = (*[c for c in checks.CHECKS if c.name in ("mean", "variance", "plan")], *CHECKS)


def examined(planner, kind, only=CHECKS, **fields):
    schedule, grid = GRIDS[kind]
    return examine(planned.subject(planner, schedule, grid, **fields), only)


@pytest.mark.parametrize("kind", ["edm", "zero_terminal_snr", "flow", "cosine"])
@pytest.mark.parametrize("name", samplers.PLANNERS)
def test_planners_pass_as_what_they_claim_to_be(name, kind):
    if name in CONTINUOUS and kind == "zero_terminal_snr":
        pytest.skip("steps in the schedule's own time")
    report = examined(samplers.PLANNERS[name], kind, claim=claim(name), steps=(1, 2, 6))
    assert report.ok, str(report)
    assert all(r.verdict is Verdict.HOLDS for r in report.results), str(report)


@pytest.mark.parametrize("name", [n for n in samplers.PLANNERS if n not in CONTINUOUS])
@pytest.mark.parametrize("kind", ["edm", "discrete"])
def test_planners_pass_with_no_claim_but_their_order(name, kind):
    schedule, grid = GRIDS[kind]
    planner = samplers.PLANNERS[name]
    order = planner(schedule, grid(schedule, 3)).order
    only = [c for c in CHECKS if c.name != "invariance"]
    for declared in {order, None}:
        report = examined(planner, kind, only, order=declared, steps=(1, 4))
        assert report.ok, str(report)


@pytest.mark.parametrize("library", ["numpy", "torch", "array_api_strict", "jax"])
@pytest.mark.parametrize("name", ["ddpm", "heun", "dpm_solver_pp"])
def test_planners_pass_in_any_library(name, library):
    planner = samplers.PLANNERS[name]
    # JAX compiles each shape anew, and other checks than that of draws need many.
    only = [c for c in MANY if library != "jax" or c.name == "draws"]
    report = examined(planner, "edm", only, claim=claim(name), library=library, steps=(2,))
    assert report.ok, str(report)


def test_float32_networks_that_predict_noise_pass():
    schedule, grid = GRIDS["discrete"]
    subject = planned.subject(samplers.ddim, schedule, grid, claim=claim("ddim"))

    def with_steps(n):
        numpy = libraries.of("numpy")
        made = samplers.ddim(schedule, grid(schedule, n))
        return planned.sampler(
            made,
            schedule,
            grid(schedule, n),
            library=numpy,
            predicts=EPS,
            dtype="float32",
            claim=claim("ddim"),
        )

    single = replace(
        subject,
        dtypes=("float32",),
        samplers=tuple(map(with_steps, (1, 2, 8))),
        with_steps=with_steps,
    )
    report = examine(single, MANY)
    assert report.ok, str(report)


def scaled(of):
    """A planner whose later stages are changed by of(stage), as somebody's error would."""

    def planner(schedule, grid):
        made = samplers.dpm_solver_pp(schedule, grid)
        return replace(made, stages=tuple(of(stage) for stage in made.stages))

    return planner


def test_an_order_that_is_not_kept_is_told():
    def first_order(schedule, grid):
        return samplers.ddim(schedule, grid)

    report = examined(first_order, "edm", order=2)
    assert [r.check for r in report.failures] == ["order"]
    assert "it is of order 1" in report["order"].cause
    assert report["order"].error == pytest.approx(1.0, abs=0.1)
    assert examined(samplers.heun, "edm", order=3)["order"].verdict is Verdict.FAILS
    assert examined(samplers.lms, "edm", order=4)["order"].verdict is Verdict.HOLDS
    more = examined(samplers.ddim, "edm", claim=claim("ddim"), order=2)
    assert [r.check for r in more.failures] == ["order"]


def test_weights_that_are_off_do_not_converge():
    planner = scaled(lambda stage: replace(stage, m=tuple(1.01 * c for c in stage.m)))
    report = examined(planner, "edm", order=2)
    assert "does not converge" in report["order"].cause
    assert report["exactness"].verdict is Verdict.FAILS
    assert "the state is 1.01" in report["exactness"].cause
    assert report["few steps"].verdict is Verdict.FAILS


def test_a_count_of_steps_that_raises_is_a_finding():
    def planner(schedule, grid):
        if len(grid) == 3:
            raise ValueError("no two steps")
        return samplers.ddim(schedule, grid)

    report = examined(planner, "edm", steps=(1, 4))
    assert report["few steps"].where == "2 steps"
    assert "no two steps" in report["few steps"].cause
    assert report["order"].verdict is Verdict.HOLDS


def test_orders_are_those_of_known_powers():
    counts = np.array([4.0, 8.0, 16.0, 32.0])
    assert convergence.fit(counts, 3.0 * counts**-2.5) == pytest.approx(2.5)


def test_the_flow_of_a_reading_is_exact_for_the_exact_flow():
    """A reading made of the exact flow itself has no error, at the end or on the way."""
    schedule, grid = GRIDS["cosine"]
    sampler = planned.subject(samplers.ddim, schedule, grid).with_steps(32)
    start = schedule(grid(schedule, 32)[0])
    visited = grid(schedule, 32)[:-1]
    rows = []
    for t in (*visited, grid(schedule, 32)[-1]):
        level = schedule(t)
        total = convergence.VARIANCE * level.alpha**2 + level.sigma**2
        kept = (total / (convergence.VARIANCE * start.alpha**2 + start.sigma**2)) ** 0.5
        rows.append([kept, level.alpha - kept * start.alpha])
    found = convergence.Reading(
        states=np.array(rows), constant=np.zeros(33), outputs=1, times=tuple(visited)
    )
    assert np.max(np.abs(convergence.errors_at_end(found, sampler, False))) < 1e-15
    assert convergence.errors_on_the_way(found, sampler) < 1e-15
    rows = np.array(rows)
    rows[20:] *= 1.001
    wrong = replace(found, states=rows)
    assert np.max(np.abs(convergence.errors_at_end(wrong, sampler, False))) > 1e-4
    assert convergence.errors_on_the_way(wrong, sampler) > 1e-4
