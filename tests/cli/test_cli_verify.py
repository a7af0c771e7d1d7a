"""`diffcore verify`: what holds, what fails, what cannot run, and the files it writes."""

import json
import sys

import pytest
from commands import assert_one_line, good, run, start

from diffcore.verify import Report
from diffcore.verify.checks import CHECKS

CODE = """
import numpy as np
from diffcore import verify


def sample_euler(model, x, sigmas, factor=1.0):
    for i in range(len(sigmas) - 1):
        slope = (x - model(x, sigmas[i])) / sigmas[i]
        x = x + factor * slope * (sigmas[i + 1] - sigmas[i])
    return x


def wrong(model, x, sigmas):
    return sample_euler(model, x, sigmas, 0.99)


def noisy(x_0, t, eps, alpha_bar=0.5):
    return alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * eps


betas = np.linspace(0.01, 0.2, 20)
table = verify.Target(beta=betas, alpha_bar=np.cumprod(1 - betas))
bad_table = verify.Target(beta=betas, alpha_bar=np.cumprod(1 - betas)[::-1])


def make(first, last=0.2):
    betas = np.linspace(first, last, 20)
    return verify.Target(beta=betas, alpha_bar=np.cumprod(1 - betas))


class Holder:
    table = table


def sample_adaptive(model, x, sigma_min, sigma_max, rtol=0.05):
    return x


def leaving():
    raise SystemExit(0)


class Nothing:
    pass


number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the module `theirs`; modules of that name are forgotten afterwards."""
    (tmp_path / "theirs.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("raise RuntimeError('no way\\nat all')")
    (tmp_path / "leaves.py").write_text("import sys; sys.exit('bye')")
    (tmp_path / "needs.py").write_text("import a_package_that_is_not_there")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("theirs", "broken", "leaves", "needs"):
        sys.modules.pop(name, None)


def test_what_holds(folder, capsys):
    out = good(capsys, "verify", "theirs:sample_euler", "--claims", "euler")
    assert "sample_euler (sampler function)" in out
    assert "FAILS" not in out
    assert "plan" in out


def test_what_fails(folder, capsys):
    result = run(capsys, "verify", "theirs:wrong", "--claims", "euler")
    assert result.status == 1
    assert result.err == ""
    assert "FAILS  plan" in result.out
    assert "weight of the start" in result.out


def test_the_module_is_found_in_a_folder(folder, capsys, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert_one_line(run(capsys, "verify", "theirs:sample_euler"), "theirs")
    before = list(sys.path)
    assert "all" in good(capsys, "verify", "theirs:table", "--path", folder)
    assert sys.path == before


@pytest.mark.parametrize(
    "words",
    [
        ["theirs:table"],
        ["theirs:Holder.table"],
        ["theirs:make", "--kwargs", '{"first": 0.01}'],
        ["theirs:make", "--kwargs", '{"first": 0.01, "last": 0.3}', "--library", "numpy"],
        ["theirs:sample_euler", "--kwargs", '{"factor": 1.0}', "--seed", "3"],
        ["theirs:sample_euler", "--order", "1", "--epsilon", "1e-14"],
        ["theirs:sample_euler", "--claims", "ddim:eta=0.0"],
        ["theirs:sample_euler", "--kwargs", '{"steps": [1, 3]}'],
    ],
)
def test_targets_of_all_kinds_and_options(folder, capsys, words):
    assert "FAILS" not in good(capsys, "verify", *words)


@pytest.mark.parametrize(
    "words",
    [
        ["theirs:bad_table"],
        ["theirs:sample_euler", "--kwargs", '{"factor": 0.9}'],
        ["theirs:sample_euler", "--order", "2"],
        ["theirs:sample_euler", "--claims", "heun"],
    ],
)
def test_wrong_ones_fail(folder, capsys, words):
    result = run(capsys, "verify", *words)
    assert (result.status, result.err) == (1, "")
    assert "FAILS" in result.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["TARGET must be given"]),
        (["theirs"], ["TARGET must be module:Name", "'theirs'"]),
        (["theirs:"], ["TARGET must be module:Name"]),
        ([":wrong"], ["TARGET must be module:Name"]),
        (["nowhere_to_be:found"], ["No module named 'nowhere_to_be'"]),
        (["needs:x"], ["a_package_that_is_not_there"]),
        (["broken:x"], ["importing broken raises RuntimeError: no way at all"]),
        (["leaves:x"], ["importing leaves ends the program"]),
        (["theirs:absent"], ["there is no absent in theirs"]),
        (["theirs:Holder.absent"], ["there is no absent"]),
        (["theirs:number"], ["target must be one of", "int has the shape of none"]),
        (["theirs:Nothing"], ["target must be one of", "Nothing has the shape of none"]),
        (["theirs:noisy"], ["theirs:noisy", "--kwargs"]),
        (["theirs:sample_adaptive"], ["sample_adaptive", "adaptive samplers are not verified"]),
        (["theirs:leaving"], ["TARGET theirs:leaving", "ends the program"]),
        (["theirs:make"], ["theirs:make", "first"]),
        (["theirs:make", "--kwargs", '{"other": 1}'], ["theirs:make", "--kwargs"]),
        (["theirs:wrong", "--kwargs", "{"], ["--kwargs", "must be JSON"]),
        (["theirs:wrong", "--kwargs", "[1]"], ["--kwargs", "must be an object"]),
        (["theirs:wrong", "--kwargs", '{"other": 1}'], ["--kwargs", "'other'"]),
        (["theirs:wrong", "--kwargs", '{"seed": 1}'], ["--kwargs", "'seed'"]),
        (["theirs:wrong", "--kwargs", '{"library": "numpy"}'], ["--kwargs", "'library'"]),
        (["theirs:wrong", "--claims", "magic"], ["--claims", "magic"]),
        (["theirs:wrong", "--claims", "lms:width=3"], ["--claims", "width=3"]),
        (["theirs:wrong", "--claims", "lms:order=9"], ["--claims lms", "order", "9"]),
        (["theirs:wrong", "--order", "0"], ["--order", "at least 1"]),
        (["theirs:wrong", "--seed", "-1"], ["--seed"]),
        (["theirs:wrong", "--epsilon", "0"], ["--epsilon", "above 0"]),
        (["theirs:wrong", "--library", "fortran"], ["--library", "fortran"]),
        (["theirs:wrong", "--path", "nowhere"], ["--path nowhere", "not a folder"]),
        (["theirs:wrong", "--json", "a", "--html", "a"], ["--json and --html"]),
    ],
)
def test_what_cannot_run_says_so_in_one_line(folder, capsys, words, named):
    result = run(capsys, "verify", *words)
    assert_one_line(result, *named)
    assert result.out == ""
    assert not list(folder.glob("a*"))


def test_files_are_written_and_not_overwritten_unasked(folder, capsys):
    words = ["verify", "theirs:wrong", "--claims", "euler"]
    files = ["--json", "out/r.json", "--html", "out/r.html"]
    result = run(capsys, *words, *files)
    assert result.status == 1
    assert result.out.splitlines()[-2:] == ["out/r.json", "out/r.html"]
    report = Report.from_json((folder / "out/r.json").read_text())
    assert not report.ok
    assert str(report) in result.out
    assert (folder / "out/r.html").read_text() == report.to_html()
    (folder / "out/r.json").write_text("mine")
    assert_one_line(run(capsys, *words, *files), "out/r.json exists already", "--force")
    assert (folder / "out/r.json").read_text() == "mine"
    assert run(capsys, *words, *files, "--force").status == 1
    assert json.loads((folder / "out/r.json").read_text())["ok"] is False
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["r.html", "r.json"]


def test_a_page_needs_matplotlib_before_anything_runs(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(capsys, "verify", "theirs:wrong", "--html", "r.html")
    assert_one_line(result, "diffcore[plot]")
    assert result.out == ""
    assert not (folder / "r.html").exists()


def test_the_checks_are_listed(capsys):
    lines = good(capsys, "verify", "--list").splitlines()
    assert [line.split("  ")[0] for line in lines] == [check.name for check in CHECKS]
    assert all(line.endswith(check.identity) for line, check in zip(lines, CHECKS, strict=True))


def test_the_command_in_its_own_process(folder):
    with start("verify", "theirs:bad_table") as process:
        out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (1, "")
    assert "FAILS" in out
