"""A report as one web page that needs nothing else: no script, no fonts, no files, no network."""

from collections.abc import Sequence
from html import escape
from string import Template

from . import plots
from .coefficients import Coefficients
from .outcome import Result, Verdict
from .text import error, sizes, summary, unasked

WORDS = {
    Verdict.FAILS: ("fails", "bad"),
    Verdict.HOLDS: ("holds", "good"),
    Verdict.NOT_APPLICABLE: ("not applicable", "none"),
}

STYLE = """
:root { color-scheme: light; --ink: #1d2329; --soft: #5d6671; --line: #e1e4e8; --paper: #fff;
  --good: #1a7f4b; --good-paper: #e8f5ee; --bad: #b3261e; --bad-paper: #fdecea; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .8rem; }
h3 { font-size: 1.05rem; margin: 0; }
p { margin: .35rem 0; }
.soft { color: var(--soft); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 1rem 1.2rem; margin: 0 0 1rem; }
.top { border-left: 6px solid var(--good); }
.top.bad, .card.bad { border-left: 6px solid var(--bad); }
.top.none { border-left-color: var(--soft); }
.sum { font-size: 1.25rem; font-weight: 650; margin-top: .6rem; }
.sum.bad { color: var(--bad); } .sum.good { color: var(--good); }
.bar { display: flex; height: 8px; border-radius: 4px; overflow: hidden; background: var(--line);
  margin-top: .8rem; }
.bar i { display: block; } .bar .bad { background: var(--bad); }
.bar .good { background: var(--good); }
.mark { display: inline-block; padding: 0 .55em; border-radius: 1em; font-size: .82rem;
  font-weight: 600; white-space: nowrap; }
.mark.good { color: var(--good); background: var(--good-paper); }
.mark.bad { color: var(--bad); background: var(--bad-paper); }
.mark.none { color: var(--soft); background: #eceef1; }
.head { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: baseline; }
dl { display: grid; grid-template-columns: 5rem 1fr; gap: .25rem .8rem; margin: .7rem 0 .2rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.cause { font-weight: 600; }
td.num { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .9em; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(27rem, 100%), 1fr));
  gap: 1rem; align-items: start; } .grid .card { margin: 0; min-width: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-size: .82rem; color: var(--soft); font-weight: 600; }
td.num, th.num { text-align: right; white-space: nowrap; padding-right: 1.2rem; }
.weights { font-size: .82rem; width: auto; min-width: 50%; }
.weights td, .weights th { padding: .25rem .6rem; white-space: nowrap; }
.weights tbody th { position: sticky; left: 0; background: var(--paper); }
.weights td.off { background: var(--bad-paper); color: var(--bad); }
.weights td.first { outline: 2px solid var(--bad); outline-offset: -2px; font-weight: 700; }
.weights small { display: block; color: var(--soft); font-weight: 400; }
.weights td.zero { color: #b4bac2; }
svg { width: 100%; height: auto; max-width: 44rem; display: block; margin-top: .6rem; }
details { margin-top: .6rem; } summary { cursor: pointer; color: var(--soft); }
footer { color: var(--soft); font-size: .85rem; margin-top: 2.5rem; }
@media (max-width: 40rem) {
  main { padding: 1rem .7rem 3rem; } .card { padding: .8rem .85rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dt { margin-top: .45rem; font-size: .85rem; }
  .verdicts thead { display: none; } .verdicts tr { display: block; padding: .5rem 0;
    border-bottom: 1px solid var(--line); }
  .verdicts td { display: block; border: 0; padding: .05rem 0; text-align: left !important; }
}
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<header class="card top $look">
<h1>$target</h1>
<p class="soft">$kind, held against the exact arithmetic of diffusion</p>
<p class="sum $look">$summary</p>
<div class="bar" role="img" aria-label="$summary">$bar</div>
</header>
$failures
<section>
<h2>Every check</h2>
<div class="card">
<table class="verdicts">
<thead><tr><th>Check</th><th>Verdict</th><th class="num">Error of bound</th>
<th>What must hold</th></tr></thead>
<tbody>
$rows
</tbody>
</table>
$others
</div>
</section>
$plots
<footer>An error is what was measured, a bound what rounding or chance explains. A failure is shown
where it is first seen; later ones mostly follow from it.</footer>
</main>
</body>
</html>
""")


def html(target: str, kind: str, results: Sequence[Result]) -> str:
    """The page: a summary, each failure with its plot and weights, every verdict, then the rest."""
    failed, held, others = (
        [r for r in results if r.verdict is verdict]
        for verdict in (Verdict.FAILS, Verdict.HOLDS, Verdict.NOT_APPLICABLE)
    )
    words = summary(len(failed), len(held))
    shares = "".join(
        f'<i class="{look}" style="flex:{len(part)}"></i>'
        for look, part in (("bad", failed), ("good", held))
    )
    return PAGE.substitute(
        title=escape(f"{target}: {words}"),
        style=STYLE,
        target=escape(target),
        kind=escape(kind),
        look="bad" if failed else "good" if held else "none",
        summary=escape(words),
        bar=shares,
        failures=_section("What fails", [_failure(r) for r in failed]),
        rows="\n".join(map(_row, (*failed, *held))),
        others=_others(others),
        plots=_section("What holds, in detail", _grid([_shown(r) for r in held])),
    )


def _grid(parts: Sequence[str]) -> list[str]:
    """The parts that there are, side by side where there is room."""
    there = [part for part in parts if part]
    return ['<div class="grid">\n', *there, "</div>\n"] if there else []


def _section(title: str, parts: Sequence[str]) -> str:
    return f"<section>\n<h2>{title}</h2>\n{''.join(parts)}\n</section>" if parts else ""


def _mark(verdict: Verdict) -> str:
    words, look = WORDS[verdict]
    return f'<span class="mark {look}">{words}</span>'


def _failure(result: Result) -> str:
    facts = [
        ("error", escape(error(result))),
        ("where", escape(result.where)),
        ("cause", f'<span class="cause">{escape(result.cause)}</span>' if result.cause else ""),
        ("note", escape(result.note)),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    return (
        f'<article class="card bad">\n{_head(result)}\n<dl>{listed}</dl>\n'
        f"{plots.svg(result)}{_weights(result.coefficients, 'open')}</article>\n"
    )


def _shown(result: Result) -> str:
    """The plot and the weights of a check that holds; empty where it has neither."""
    inside = plots.svg(result) + _weights(result.coefficients, "")
    return f'<article class="card">\n{_head(result)}\n{inside}</article>\n' if inside else ""


def _head(result: Result) -> str:
    return (
        f'<div class="head"><h3>{escape(result.check)}</h3>{_mark(result.verdict)}'
        f'<span class="soft">{escape(result.identity)}</span></div>'
    )


def _row(result: Result) -> str:
    note = f'<br><span class="soft">{escape(result.note)}</span>' if result.note else ""
    return (
        f"<tr><td>{escape(result.check)}</td><td>{_mark(result.verdict)}</td>"
        f'<td class="num">{escape(sizes(result))}</td>'
        f"<td>{escape(result.identity)}{note}</td></tr>"
    )


def _others(results: Sequence[Result]) -> str:
    if not results:
        return ""
    names = ", ".join(escape(unasked(r)) for r in results)
    return f"<details><summary>{len(results)} not applicable</summary><p>{names}</p></details>"


def _weights(table: Coefficients | None, unfolded: str) -> str:
    """The table of weights: a wrong one with the exact one below it, the first one framed."""
    if table is None:
        return ""
    columns = "".join(f'<th class="num">{escape(name)}</th>' for name in table.columns)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{_cells(table, k)}</tr>" for k, name in enumerate(table.rows)
    )
    part = table.size != (len(table.rows), len(table.columns))
    whole = f"; part of {table.size[0]} x {table.size[1]}" if part else ""
    beside = "those found"
    if table.exact:
        beside = "all as the exact ones" if table.first_wrong is None else "exact below wrong"
    return (
        f"<details {unfolded}><summary>Weights of each state, {escape(table.label)}: "
        f'{beside}{whole}</summary><div class="wide"><table class="weights"><thead><tr>'
        f"<th></th>{columns}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _cells(table: Coefficients, row: int) -> str:
    first = table.first_wrong
    cells = []
    for column, value in enumerate(table.found[row]):
        look = "num" + " zero" * (value == 0.0)
        below = ""
        if table.wrong(row, column):
            look += " off" + " first" * (first == (row, column))
            below = f"<small>{table.exact[row][column]:.6g}</small>"
        cells.append(f'<td class="{look}">{value:.6g}{below}</td>')
    return "".join(cells)
