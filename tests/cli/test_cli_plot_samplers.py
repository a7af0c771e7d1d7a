"""`diffcore plot samplers`: every exported sampler, held against exact samples."""

import math

import numpy as np
import pytest
from commands import assert_one_line, good, pixels, run

from diffcore import noise, oracles, plan, samplers, schedules, times
from diffcore.cli import _sampler_figure, _sampler_runs
from diffcore.cli._sampler_runs import exact_samples, law, longest, runs, settings
from diffcore.training.mmd import gaussian, squared_mmd

FLOW = schedules.flow()


@pytest.fixture(scope="module")
def made():
    """Some 200 samples by everything."""
    return runs(FLOW, (4, 20), 200, 0)


def test_every_exported_planner_is_there():
    names = {setting.name for setting in settings()}
    planners = {n for n in samplers.__all__ if _sampler_runs._is_planner(getattr(samplers, n))}
    assert {*samplers.PLANNERS, "restart"} == planners == names
    assert _sampler_runs._is_planner(samplers.restart)
    assert not _sampler_runs._is_planner(plan.Plan)


def test_a_planner_that_nobody_foresaw_is_shown_with_its_defaults(monkeypatch):
    def newest(schedule, times, strength=1.0):
        return samplers.ddim(schedule, times)

    monkeypatch.setattr(samplers, "newest", newest, raising=False)
    monkeypatch.setattr(samplers, "__all__", [*samplers.__all__, "newest"])
    last = list(settings())[-1]
    assert (last.name, last.parameters) == ("newest", "")
    assert last.planner(FLOW, (1.0, 0.0)).name == "ddim"


def test_the_exact_samples_have_the_law():
    weights, means, variances = law()
    x = exact_samples(40_000, 0, 1)
    assert not np.array_equal(exact_samples(40_000, 1, 1), x)
    assert sum(weights) == pytest.approx(1.0, rel=1e-12)
    mean = np.array(weights) @ means
    covariance = np.einsum("k,ki,kj->ij", weights, means, means) - np.outer(mean, mean)
    covariance += np.diag(np.array(weights) @ variances)
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.02)
    nearest = np.linalg.norm(x[:, None] - means, axis=2).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(weights)) / len(x)
    np.testing.assert_allclose(shares, weights, atol=4 * math.sqrt(0.25 / 40_000))


def test_plans_take_as_many_evaluations_as_they_may():
    for setting in settings():
        for evaluations in (5, 10, 20):
            best = longest(setting.planner, FLOW, evaluations)
            if best is None:
                assert setting.name == "restart"
                continue
            assert best.evaluations <= evaluations
            steps = len({stage.time for stage in best.stages})
            more = setting.planner(FLOW, times.trailing(FLOW, steps + 1))
            assert more.evaluations > evaluations or setting.name in ("dpm2", "dpm_solver")
    third = samplers.dpm_solver_pp(FLOW, times.trailing(FLOW, 3), 3, "singlestep")
    found = longest(lambda s, t: samplers.dpm_solver_pp(s, t, 3, "singlestep"), FLOW, 6)
    assert found.evaluations == third.evaluations == 5
    assert longest(lambda s, t: samplers.dpm_solver_pp(s, t, 3, "singlestep"), FLOW, 0) is None


def test_the_cells_are_what_the_plans_give(made):
    rows = {(row.setting.name, row.setting.parameters): row for row in made.rows}
    cell = rows["ddim", ""].cells[1]
    x = noise.portable(0)(np.zeros((200, 2)), 0)
    points = plan.sample(
        oracles.mixture(FLOW, *law()), samplers.ddim(FLOW, times.trailing(FLOW, 20)), x
    )
    np.testing.assert_array_equal(cell.points, points)
    kernel = gaussian(_sampler_runs.BANDWIDTH)
    assert cell.mmd == squared_mmd(kernel, points, exact_samples(200, 0, 1)).value
    assert cell.evaluations == 20
    assert (rows["ddim", ""].order, rows["ddim", ""].stochastic) == (1, False)
    assert (rows["ddpm", ""].order, rows["ddpm", ""].stochastic) == (None, True)
    # Twenty evaluations are better than four, and not as good as the exact samples but close.
    for row in made.rows:
        few, many = row.cells
        if few is not None:
            assert many.mmd < few.mmd
        assert many.distance < 0.35
    assert made.distance < 0.25


def test_a_discrete_schedule_leaves_out_what_it_does_not_define():
    skipped = runs(schedules.cosine(50), (6,), 20, 0).skipped
    assert "s_churn must be 0 on a discrete schedule" in skipped["heun s_churn=4.0"]
    assert "ddim" not in skipped


def test_samples_that_are_not_finite_are_an_error(monkeypatch):
    monkeypatch.setattr(_sampler_runs, "prior", lambda *args: np.full((20, 2), np.nan))
    with pytest.raises(FloatingPointError, match="samples are not finite"):
        runs(FLOW, (4,), 20, 0)


def test_the_picture_and_the_table(capsys, tmp_path):
    path = tmp_path / "new" / "samplers.png"
    words = ("plot", "samplers", "--schedule", "flow", "-n", 40, "--evaluations", 3, 6)
    assert good(capsys, *words, "--out", path) == f"{path}\n{path.with_suffix('.md')}\n"
    assert min(pixels(path).shape[:2]) > 300
    text = path.with_suffix(".md").read_text()
    assert "| `ddim`" in text
    command = "diffcore plot samplers --schedule flow --evaluations 3 6 -n 40 --seed 0"
    assert command in text
    table = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    assert len(table) == 2 * (len(list(settings())) - text.count("Without `"))
    assert text.count("Without `") <= 1
    assert {len(line) for line in table} == {4}
    # The numbers are those of the runs.
    cells = runs(FLOW, (3, 6), 40, 0).rows[0].cells
    assert [cell.strip() for cell in table[0][2:]] == [f"{c.distance:.3f}" for c in cells]
    again = tmp_path / "again.png"
    good(capsys, *words, "--out", again)
    assert again.with_suffix(".md").read_text() == text
    good(capsys, *words, "--seed", 1, "--out", again, "--force")
    assert again.with_suffix(".md").read_text() != text


def test_fewer_evaluations_than_asked_are_in_brackets(made):
    text = _sampler_figure.table(made, (4, 20), "title", ["plot", "samplers"])
    heun = next(line for line in text.splitlines() if line.startswith("| `heun` "))
    assert "(20)" not in heun
    row = next(row for row in made.rows if row.setting.name == "heun")
    for cell, wanted in zip(row.cells, (4, 20), strict=True):
        assert (f"({cell.evaluations})" in heun) == (cell.evaluations != wanted)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--schedule", "parabolic"], "parabolic"),
        (["--out", "picture.bmp"], "picture.bmp"),
        (["-n", "2"], "-n: must be at least 3"),
        (["--evaluations", "0"], "--evaluations"),
    ],
)
def test_errors_name_what_is_wrong(capsys, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    assert_one_line(run(capsys, "plot", "samplers", *words), named)
    assert list(tmp_path.iterdir()) == []


def test_neither_file_is_replaced_unasked(capsys, tmp_path):
    table = tmp_path / "samplers.md"
    table.write_text("precious")
    out = tmp_path / "samplers.png"
    assert_one_line(run(capsys, "plot", "samplers", "--out", out), str(table), "--force")
    assert table.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["samplers.md"]
