"""A report as text, JSON and a web page."""

import json
import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import planned
import pytest

from diffcore import samplers, schedules
from diffcore.verify import checks, claim, coefficients
from diffcore.verify.checking import examine
from diffcore.verify.coefficients import Coefficients
from diffcore.verify.outcome import Outcome, Point, Result, Verdict, summarise
from diffcore.verify.report import Report
from diffcore.verify.text import summary

EDM = schedules.edm(20.0)
STEPS = [c for c in checks.CHECKS if c.name in ("mean", "variance", "plan", "tables")]
VOID = {"meta", "br", "link", "img", "hr", "input"}


def examined(planner, **fields):
    fields = {"claim": claim("ddim"), "steps": (1, 4), **fields}
    return examine(planned.subject(planner, EDM, **fields), STEPS)


@pytest.fixture(scope="module")
def right():
    return examined(samplers.ddim)


@pytest.fixture(scope="module")
def wrong():
    return examined(samplers.dpm2)


class Page(HTMLParser):
    """The elements of a page, each closed where it belongs."""

    def __init__(self, written):
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(written)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def count(self, tag, name=None):
        return sum(t == tag and (name is None or name in a.get("class", "")) for t, a in self.seen)


def result(**fields):
    known = {"check": "c", "identity": "a = b", "verdict": Verdict.FAILS, "error": 1.0}
    return Result(**{**known, "bound": 0.1, **fields})


def test_text_is_aligned_and_what_fails_comes_first(wrong, right):
    for report in (wrong, right):
        lines = str(report).splitlines()
        assert max(map(len, lines)) == 100
        assert lines[0].startswith("ddim" if report is right else "dpm2")
    words = str(wrong)
    assert words.index("FAILS") < words.index("holds") < words.index("not applicable: tables")
    assert " at     " in words
    assert "all 3 hold" in str(right)
    assert "FAILS" not in str(right)


def test_long_words_are_wrapped():
    long = result(where="at " + "a long way " * 30, cause="because " * 40, note="n " * 120)
    text = str(Report(target="t" * 95, kind="kind", results=(long,)))
    assert max(map(len, text.splitlines())) <= 103  # The title is one word of 95 letters.
    assert all(len(line) <= 100 for line in text.splitlines()[2:])


def test_why_a_check_is_not_applicable_is_told_where_its_name_does_not():
    """A process that is walked time by time has no order to be measured."""
    made = planned.subject(samplers.ddim, EDM, steps=(2,))
    only = [c for c in checks.CHECKS if c.name in ("order", "tables", "few steps", "mean")]
    report = examine(replace(made, with_steps=None), only)
    said = "not applicable: tables, few steps (needs a number of steps to choose), order (needs"
    assert said in " ".join(str(report).split())
    assert "order (needs a number of steps to choose)" in report.to_html()
    assert Report.from_json(report.to_json()) == report
    assert "needs" not in str(examine(made, only))


@pytest.mark.parametrize(
    ("failed", "held", "words"),
    [
        (0, 0, "nothing to check"),
        (0, 1, "1 holds"),
        (0, 2, "all 2 hold"),
        (1, 0, "1 fails, none holds"),
        (1, 1, "1 fails, 1 holds"),
        (2, 3, "2 fail, 3 hold"),
    ],
)
def test_the_summary_counts(failed, held, words):
    assert summary(failed, held) == words


def test_json_comes_back_the_same(wrong, right):
    for report in (wrong, right, Report(target="none", kind="k", results=())):
        written = report.to_json()
        again = Report.from_json(written)
        assert again == report
        assert again.to_json() == written
        assert json.loads(written)["ok"] is report.ok


def test_numbers_that_are_not_finite_come_back():
    table = Coefficients(
        label="l",
        rows=("inf", "end"),
        columns=("x_T",),
        found=((math.inf,), (-math.inf,)),
        exact=((1.0,), (2.0,)),
        bounds=(0.0, math.inf),
        size=(2, 1),
    )
    found = result(
        error=math.inf, curves=(("nan", (Point(1, math.inf, 0.1),)),), coefficients=table
    )
    report = Report(target="t", kind="k", results=(found,))
    assert Report.from_json(report.to_json()) == report
    nan = Report(target="t", kind="k", results=(result(error=math.nan),))
    assert json.loads(nan.to_json())["results"][0]["error"] == "nan"
    assert math.isnan(Report.from_json(nan.to_json()).results[0].error)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "results": 3}'])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="text must be a report's JSON"):
        Report.from_json(text)


def test_the_page_is_whole_and_needs_nothing(wrong):
    written = wrong.to_html()
    page = Page(written)
    assert page.count("article", "bad") == len(wrong.failures)
    assert page.count("svg") >= 2
    assert page.count("script") == page.count("link") == page.count("img") == 0
    names = {"src", "href"}
    for tag, attributes in page.seen:
        for name in names & set(attributes):
            assert attributes[name].startswith("#"), (tag, attributes)
        for name, value in attributes.items():
            # Every id that is pointed at is there.
            for pointed in re.findall(r"url\(#([^)]*)\)", value or ""):
                assert f'id="{pointed}"' in written
            if name in ("xlink:href", "href"):
                assert f'id="{value[1:]}"' in written
    assert "url(http" not in written
    assert "@import" not in written
    words = " ".join(page.words)
    first = wrong.failures[0]
    assert first.where in words
    assert words.index("What fails") < words.index("Every check")


def test_all_is_escaped():
    nasty = "<script>alert('x & y')</script>"
    table = Coefficients(
        label=nasty,
        rows=(nasty,),
        columns=(nasty,),
        found=((1.0,),),
        exact=((2.0,),),
        bounds=(0.0,),
        size=(1, 1),
    )
    found = result(
        check=nasty,
        identity=nasty,
        where=nasty,
        cause=nasty,
        note=nasty,
        curves=((nasty, (Point(1.0, 1.0, 0.1), Point(2.0, 0.1, 0.2))),),
        coefficients=table,
    )
    none = result(check=nasty, verdict=Verdict.NOT_APPLICABLE, error=None, bound=None)
    report = Report(target=nasty, kind=nasty, results=(found, none))
    written = report.to_html()
    page = Page(written)
    assert page.count("script") == 0
    assert nasty not in written
    assert " ".join(page.words).count(nasty) >= 9


def test_the_same_report_is_the_same_page(wrong):
    assert wrong.to_html() == wrong.to_html()


def test_plots_take_any_numbers():
    points = tuple(Point(k, e, 0.5) for k, e in enumerate([0.0, math.nan, math.inf, 1e-300, 2.0]))
    nothing = (Point(0.0, 0.0, 0.0),)
    slope = tuple(Point(n, n**-2.0, math.inf) for n in (4, 8, 16))
    fields = [points, nothing, slope, ()]
    curves = [(("c", p),) if p else () for p in fields]
    report = Report(target="t", kind="k", results=tuple(result(curves=c) for c in curves))
    assert Page(report.to_html()).count("svg") == 2


def test_a_page_without_matplotlib_says_what_to_install(wrong, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"diffcore\[plot\]"):
        wrong.to_html()


def test_the_first_wrong_weight_is_marked(wrong):
    def off(schedule, grid):
        return samplers.ddim(schedule, [*grid[:2], *(1.02 * t for t in grid[2:])])

    found = examined(off)
    table = found["plan"].coefficients
    row, column = table.first_wrong
    assert table.rows[row] == "x at call 2"
    assert table.wrong(row, column)
    page = Page(found.to_html())
    assert page.count("td", "first") == 1
    assert page.count("td", "off") > 1
    # dpm2 has more calls than ddim: nothing to lay beside.
    other = wrong["plan"].coefficients
    assert other.exact == ()
    assert other.first_wrong is None


def test_a_table_that_holds_has_no_wrong_weight(right):
    table = right["plan"].coefficients
    assert table.first_wrong is None
    assert table.size == (len(table.rows), len(table.columns)) == (5, 5)


def test_large_tables_are_cut_about_the_first_wrong_weight():
    exact = np.arange(40.0 * 60).reshape(40, 60)
    found = exact.copy()
    found[20, 30], found[20, 33], found[30, 0] = 0.0, exact[20, 33] + 1.0, -1.0
    table = coefficients.beside("l", found, exact, [0.5] * 40, 20)
    assert table.size == (40, 60)
    assert (len(table.rows), len(table.columns)) == (coefficients.ROWS, coefficients.COLUMNS)
    row, column = table.first_wrong
    assert (table.rows[row], table.columns[column]) == ("x at call 20", "noise 9")
    assert table.exact[row][column] == exact[20, 30]
    same = coefficients.beside("l", exact, exact, [0.5] * 40, 20)
    assert same.first_wrong is None
    not_a_number = exact.copy()
    not_a_number[3, 3] = math.nan
    assert coefficients.beside("l", not_a_number, exact, [0.5] * 40, 20).first_wrong[0] == 3


def test_a_summary_keeps_the_table_of_the_first_failure():
    def table(label, size):
        rows, columns = size
        values = ((0.0,) * columns,) * rows
        return Coefficients(
            label=label,
            rows=("r",) * rows,
            columns=("c",) * columns,
            found=values,
            exact=values,
            bounds=(0.0,) * rows,
            size=size,
        )

    small, large = table("small", (1, 1)), table("large", (2, 2))
    outcomes = [Outcome(error=0.0, bound=1.0, coefficients=t) for t in (small, large)]
    assert summarise("c", "i", outcomes).coefficients is large
    failing = Outcome(error=2.0, bound=1.0, coefficients=small)
    assert summarise("c", "i", [*outcomes, failing]).coefficients is small
    assert summarise("c", "i", [Outcome(error=2.0, bound=1.0)]).coefficients is None
