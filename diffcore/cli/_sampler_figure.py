"""Samples of every sampler as small multiples, and their scores as a table."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..training.mmd import Double
from ._figures import _figure, _save
from ._sampler_runs import BANDWIDTH, SLICES, Cell, Row, Runs, Setting, law

BLOCKS = 3
"""Samplers side by side."""
PANEL, LABEL = 1.0, 1.5
"""Inches of a panel's side and of the words beside a row of them."""
REACH = 1.32
"""What the panels show: the square from -REACH to REACH."""
SHOWN = 1000
"""Points in a panel at most."""
CERTAIN, RANDOM, INK, PALE = "#2f5fb3", "#c4561e", "#333333", "#8a8a8a"


def drawn(runs: Runs, evaluations: Sequence[int], title: str, path: Path) -> None:
    """A row of panels for each sampler, a panel for each number of evaluations."""
    deep = math.ceil((len(runs.rows) + 1) / BLOCKS)
    columns = len(evaluations)
    width = BLOCKS * (LABEL + columns * PANEL + 0.25)
    figure = _figure(width, deep * PANEL + 0.8)
    figure.set_layout_engine("none")
    shades = _density()
    place = _Places(width, deep * PANEL + 0.8, columns)
    for block in range(min(BLOCKS, len(runs.rows) + 1)):
        for column, count in enumerate(evaluations):
            x, y = place.top(block, column)
            figure.text(x, y, str(count), ha="center", va="bottom", fontsize=10, color=INK)
        x, y = place.label(block, 0)[0], place.top(block, 0)[1]
        figure.text(x, y, "evaluations", va="bottom", fontsize=8, color=PALE)
    axes = figure.add_axes(place.panel(0, 0, 0))
    _panel(axes, shades, runs.exact, INK)
    _corner(axes, runs.mmd)
    _words(figure, place.label(0, 0), "exact samples", "", f"{len(runs.exact)}, as everywhere")
    legend = (
        ("grey: the density itself", INK),
        ("blue: deterministic", CERTAIN),
        ("red: with fresh noise", RANDOM),
        ("in the corner: MMD², in thousandths", INK),
    )
    _lines(figure, place.beside(0, 0), legend)
    for i, row in enumerate(runs.rows, start=1):
        block, line = divmod(i, deep)
        colour = RANDOM if row.stochastic else CERTAIN
        order = "stochastic" if row.order is None else f"order {row.order}"
        setting = row.setting
        _words(figure, place.label(block, line), setting.name, setting.parameters, order, colour)
        for column, cell in enumerate(row.cells):
            axes = figure.add_axes(place.panel(block, line, column))
            _panel(axes, shades, None if cell is None else cell.points, colour)
            if cell is not None:
                _corner(axes, cell.mmd)
    figure.text(place.label(0, 0)[0], 1.0 - 0.12 / place.height, title, fontsize=11, va="top")
    _save(figure, path, dots=100)


def table(runs: Runs, evaluations: Sequence[int], title: str, command: Sequence[str]) -> str:
    """The scores in Markdown, and the command that makes them again."""
    heads = ["sampler", "order", *(str(count) for count in evaluations)]
    parts = [f"# {title}"]
    for name, exact, value in (
        ("Sliced Wasserstein distance", f"{runs.distance:.3f}", _distance),
        ("Squared maximum mean discrepancy, in thousandths", f"{1e3 * runs.mmd:.2f}", _mmd),
    ):
        lines = [["exact samples", "", *([exact] * len(evaluations))]]
        for row in runs.rows:
            cells = [_cell(c, n, value) for c, n in zip(row.cells, evaluations, strict=True)]
            lines.append([_code(row.setting), _order(row), *cells])
        parts += [f"## {name}", _markdown(heads, lines)]
    n = len(runs.exact)
    parts.append(
        f"Each sampler makes {n} samples from the same noise, in as many steps as take at most "
        "that many evaluations of the exact denoiser; in brackets how many it takes where they are "
        f"fewer. They are held against {n} exact samples; the first line has another {n} exact "
        "ones in their place, so that less than that is chance. Order is that of convergence, "
        "which says little of few steps. The distance is over "
        f"{SLICES} directions; MMD is unbiased, by a Gaussian kernel of width {BANDWIDTH}."
    )
    for name, reason in runs.skipped.items():
        parts.append(f"Without `{name}`: {reason}.")
    parts.append(f"`diffcore {shlex.join(command)}`, diffcore {__version__}, on any machine.")
    return "\n\n".join(parts) + "\n"


class _Places:
    """Where things stand on the figure, in shares of it; lines count from the top."""

    def __init__(self, width: float, height: float, columns: int) -> None:
        self.width, self.height, self.columns = width, height, columns

    def _left(self, block: int) -> float:
        return 0.12 + block * (LABEL + self.columns * PANEL + 0.25)

    def _bottom(self, line: int) -> float:
        return self.height - 0.72 - (line + 1) * PANEL

    def panel(self, block: int, line: int, column: int) -> tuple[float, float, float, float]:
        """Left, bottom, width, height of a panel."""
        left = self._left(block) + LABEL + column * PANEL
        size = PANEL - 0.06
        return (
            left / self.width,
            self._bottom(line) / self.height,
            size / self.width,
            size / self.height,
        )

    def label(self, block: int, line: int) -> tuple[float, float]:
        """The left end of the words, at the middle of the row."""
        y = self._bottom(line) + 0.5 * (PANEL - 0.06)
        return self._left(block) / self.width, y / self.height

    def beside(self, block: int, line: int) -> tuple[float, float]:
        """Right of the first panel of a row, at the middle of the row."""
        x = self._left(block) + LABEL + PANEL + 0.08
        return x / self.width, self.label(block, line)[1]

    def top(self, block: int, column: int) -> tuple[float, float]:
        """Above a column."""
        x = self._left(block) + LABEL + (column + 0.5) * PANEL - 0.03
        return x / self.width, (self.height - 0.69) / self.height


def _panel(axes: Any, shades: Double, points: Double | None, colour: str) -> None:
    extent = (-REACH, REACH, -REACH, REACH)
    if points is None:
        axes.text(0, 0, "needs more", ha="center", va="center", fontsize=7, color=PALE)
    else:
        points = points[:SHOWN]
        axes.imshow(shades, extent=extent, origin="lower", cmap="Greys", vmin=0.0, vmax=1.6)
        axes.scatter(*points.T, s=0.9, color=colour, alpha=0.55, linewidths=0, rasterized=True)
    axes.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set(color="#d5d5d5", linewidth=0.6)


def _corner(axes: Any, mmd: float) -> None:
    thousandths = max(1e3 * mmd, 0.0)
    axes.text(
        *(0.03, 0.02),
        f"{thousandths:.0f}" if thousandths >= 9.95 else f"{thousandths:.1f}",
        transform=axes.transAxes,
        fontsize=7,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
    )


def _words(
    figure: Any, at: tuple[float, float], name: str, detail: str, last: str, colour: str = INK
) -> None:
    details = [(part, INK) for part in detail.split(", ") if part]
    _lines(figure, at, [(name, INK), *details, (last, colour)], first=9.5)


def _lines(
    figure: Any, at: tuple[float, float], lines: Sequence[tuple[str, str]], first: float = 7.5
) -> None:
    """Lines of text and their colours, around the height of `at`; the first may be larger."""
    height = 0.155 / figure.get_figheight()
    for i, (text, colour) in enumerate(lines):
        y = at[1] + (0.5 * (len(lines) - 1) - i) * height
        size = 7.5 if i else first
        figure.text(at[0], y, text, va="center", fontsize=size, color=colour)


def _density() -> Double:
    """The square root of the law's density over its largest value, on the panel's square."""
    line = np.linspace(-REACH, REACH, 160)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    density = np.zeros(grid.shape[:2])
    for weight, mean, variance in zip(*law(), strict=True):
        exponent = np.sum((grid - mean) ** 2 / variance, axis=-1)
        density += weight * np.exp(-0.5 * exponent) / (2 * np.pi * np.sqrt(np.prod(variance)))
    shades: Double = np.sqrt(density / density.max())
    return shades


def _code(setting: Setting) -> str:
    return f"`{setting.name}`" + (f" {setting.parameters}" if setting.parameters else "")


def _order(row: Row) -> str:
    return "stochastic" if row.order is None else str(row.order)


def _distance(cell: Cell) -> str:
    return f"{cell.distance:.3f}"


def _mmd(cell: Cell) -> str:
    return f"{1e3 * cell.mmd:.2f}"


def _cell(cell: Cell | None, evaluations: int, value: Any) -> str:
    if cell is None:
        return "-"
    fewer = "" if cell.evaluations == evaluations else f" ({cell.evaluations})"
    return f"{value(cell)}{fewer}"


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    padded = [
        [cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in (heads, *lines)
    ]
    padded.insert(1, ["-" * w for w in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
