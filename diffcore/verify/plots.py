"""Plots of a check's errors beside their bounds, as SVG to stand inside a page."""

import io
import math
import re
from collections.abc import Sequence
from typing import Any

from .._optional import optional
from .outcome import Point, Result

MOST = 24
"""How many curves a plot holds: those with a point over its bound, then those nearest to one."""
GOOD, BAD, LIMIT = "#2f6f9f", "#c22f3d", "#8a8f98"

Curve = tuple[str, tuple[Point, ...]]


def svg(result: Result) -> str:
    """The errors of a result over its steps or times, on a logarithmic axis; empty without any.

    Points over their bound are red. The bounds are drawn for the worst curve.
    """
    curves = sorted(result.curves, key=lambda curve: -_worst(curve[1]))[:MOST]
    smallest = min((p.error for _, ps in curves for p in ps if p.error > 0.0), default=None)
    if not curves or smallest is None or not math.isfinite(smallest):
        return ""
    return _drawn(curves, smallest)


def _drawn(curves: Sequence[Curve], smallest: float) -> str:
    figure = optional("matplotlib.figure", "plot").Figure((6.2, 2.5), layout="constrained")
    ticker = optional("matplotlib.ticker", "plot")
    axes = figure.subplots()
    floor = smallest / 3.0
    for rank, (name, points) in enumerate(curves):
        at = [p.at for p in points]
        errors = [max(p.error, floor) if math.isfinite(p.error) else math.nan for p in points]
        label = name if rank == 0 else None
        alpha = 1.0 if rank == 0 else 0.25
        axes.plot(at, errors, ".-", color=GOOD, lw=1.4, ms=4.0, alpha=alpha, label=label)
        over = [(p.at, e) for p, e in zip(points, errors, strict=True) if not p.error <= p.bound]
        axes.plot(*zip(*over, strict=True) if over else ((), ()), "o", color=BAD, ms=4.0)
    bounds = [(p.at, p.bound) for p in curves[0][1] if 0.0 < p.bound < math.inf]
    if bounds:
        axes.plot(*zip(*bounds, strict=True), "--", color=LIMIT, lw=1.2, label="its bound")
    slope = all(p.bound == math.inf for _, points in curves for p in points)
    if slope:  # An order is one, on logarithmic axes.
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    elif all(float(p.at).is_integer() for _, points in curves for p in points):
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_yscale("log")
    axes.set_xlabel("steps" if slope else "step or time")
    axes.set_ylabel("error")
    axes.grid(color="#e4e6ea", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return _inline(figure)


def _worst(points: Sequence[Point]) -> float:
    """The largest share of a bound; without one, of its axis."""
    ratios = [p.error / p.bound for p in points if p.bound > 0.0 and math.isfinite(p.error)]
    over = any(not p.error <= p.bound for p in points)
    return max(ratios, default=0.0) + (1e300 if over else 0.0)


def _inline(figure: Any) -> str:
    """The SVG element alone, as text that is found and read, the same for the same numbers."""
    matplotlib = optional("matplotlib", "plot")
    written = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        figure.savefig(written, format="svg", metadata={"Date": None}, transparent=True)
    element = written.getvalue()
    element = element[element.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    # Ids of groups are the same in every figure, and nothing refers to them.
    element = re.sub(r'<g id="[^"]*"', "<g", element)
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r' height="[^"]*pt"', "", element, count=1)
    )
