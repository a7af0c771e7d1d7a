"""The loss curve: smoothing held to its definition, and a picture that shows the numbers."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffcore.training import plots
from diffcore.training.metrics import Column, MetricsLog, read
from diffcore.training.plots import plot_losses, smoothed

EPS = float(np.finfo(np.float64).eps)


def column(values: Any, every: int = 1) -> Column:
    value = np.asarray(values, np.float64)
    return Column(every * np.arange(1, len(value) + 1), value)


def falling(n: int = 600) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.05 + np.exp(-np.arange(n) / 50)) * np.exp(0.2 * rng.standard_normal(n))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The figures that are made, to look at what is in them."""
    import matplotlib.figure

    figures: list[Any] = []

    class Kept(matplotlib.figure.Figure):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            figures.append(self)

    monkeypatch.setattr(matplotlib.figure, "Figure", Kept)
    yield figures
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


# Smoothing.


@pytest.mark.parametrize("reach", [0, 1, 3, 50])
def test_smoothed_is_the_mean_of_the_neighbours(reach: int) -> None:
    x = np.random.default_rng(1).standard_normal(20)
    x[[4, 5, 17]] = [np.nan, np.inf, -np.inf]
    got = smoothed(x, reach)
    for k in range(20):
        near = min(k, reach)
        part = x[k - near : k + near + 1]
        part = part[np.isfinite(part)]
        if part.size:
            assert got[k] == pytest.approx(part.mean(), abs=100 * EPS)
        else:
            assert np.isnan(got[k])


def test_smoothing_keeps_a_straight_line_where_it_has_both_sides() -> None:
    line = 3.0 - 0.25 * np.arange(40)
    got = smoothed(line, 6)
    assert np.allclose(got[:-6], line[:-6], rtol=0, atol=1e-13)
    # A mean of the past alone lags behind it.
    past = np.array([line[max(0, k - 6) : k + 1].mean() for k in range(40)])
    assert np.abs(past - line)[6:-6].min() > 0.5


# The picture.


def test_plot_shows_the_numbers_that_were_logged(tmp_path: Path, drawn: list[Any]) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    loss, held = falling(), {k: 0.06 + np.exp(-k / 50) for k in range(0, 601, 100)}
    for k in range(601):
        values = {"loss": loss[k - 1]} if k else {}
        log.log(k, values | ({"held_out_loss": held[k]} if k in held else {}))
    log.close()
    path = tmp_path / "new" / "loss.png"
    plot_losses(path, read(tmp_path / "metrics.jsonl"), title="digits")
    (axes,) = drawn[0].axes
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert list(lines) == ["training, as logged", "training, smoothed", "held out"]
    assert np.array_equal(lines["training, as logged"], np.c_[np.arange(1, 601), loss])
    assert np.array_equal(lines["held out"], np.array(list(held.items())))
    assert np.array_equal(lines["training, smoothed"][:, 1], smoothed(loss, 12))
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == (
        "step",
        "loss",
        "digits",
    )
    low, high = axes.get_xlim()
    assert low == 0
    assert 600 <= high < 620
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (1040, 585)
        colours = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
    wanted = [tuple(bytes.fromhex(c[1:])) for c in (plots.TRAINING, plots.HELD_OUT)]
    assert all(colour in set(map(tuple, colours.tolist())) for colour in wanted)
    assert [entry.name for entry in path.parent.iterdir()] == ["loss.png"]


def test_held_out_losses_are_left_out_where_there_are_none(
    tmp_path: Path, drawn: list[Any]
) -> None:
    none = Column(np.array([], np.int64), np.array([]))
    for k, columns in enumerate(({}, {"held_out_loss": none}, {"lr": column([1.0])})):
        plot_losses(tmp_path / f"{k}.png", {"loss": column(falling()), **columns})
        assert len(drawn[k].axes[0].lines) == 2


@pytest.mark.parametrize("n", [1, 2, 49])
def test_a_short_log_is_one_line_with_its_points(tmp_path: Path, drawn: list[Any], n: int) -> None:
    plot_losses(tmp_path / "a.png", {"loss": column(falling()[:n])})
    (line,) = drawn[0].axes[0].lines
    assert line.get_label() == "training"
    assert line.get_marker() == "."
    drawn[0].canvas.draw()
    ticks = drawn[0].axes[0].get_xticks()
    assert np.array_equal(ticks, np.rint(ticks))


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (falling() - 0.2, "linear"),
        (np.zeros(100), "linear"),
        (np.full(100, 0.25), "log"),
        (np.full(100, np.nan), "linear"),
        (np.where(np.arange(600) % 7 == 0, np.nan, falling()), "log"),
        (np.geomspace(1.0, 1e20, 200), "log"),
        (0.5 + 0.01 * falling(), "log"),
        (np.append(falling(), np.inf), "log"),
    ],
    ids=["negative", "zero", "constant", "nan", "gaps", "diverging", "narrow", "infinite"],
)
def test_any_losses_make_a_picture_with_numbers_on_its_axis(
    tmp_path: Path, drawn: list[Any], values: np.ndarray, scale: str
) -> None:
    plot_losses(tmp_path / "a.png", {"loss": column(values)})
    (axes,) = drawn[0].axes
    assert axes.get_yscale() == scale
    drawn[0].canvas.draw()
    low, high = axes.get_ylim()
    ticks = [
        tick.get_text()
        for tick, at in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)
        if low <= at <= high and tick.get_text()
    ]
    assert 2 <= len(ticks) <= 14
    assert len(set(ticks)) == len(ticks)
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_a_loss_that_was_never_logged_is_named(tmp_path: Path) -> None:
    for columns, found in (({}, "nothing"), ({"lr": column([1.0])}, "lr")):
        with pytest.raises(ValueError, match=f"columns hold no 'loss', only {found}"):
            plot_losses(tmp_path / "a.png", columns)
    with pytest.raises(ValueError, match="no 'loss', only loss"):
        plot_losses(tmp_path / "a.png", {"loss": column([])})
    assert list(tmp_path.iterdir()) == []


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plot_losses(tmp_path / name, {"loss": column(falling())}, title="same")
    with (
        Image.open(tmp_path / "a.png") as a,
        Image.open(io.BytesIO((tmp_path / "b.png").read_bytes())) as b,
    ):
        assert np.array_equal(np.asarray(a), np.asarray(b))


def test_missing_matplotlib_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "diffcore\[plot\]"'):
        plot_losses(tmp_path / "a.png", {"loss": column(falling())})
