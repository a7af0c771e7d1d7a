"""The loss of a run as a curve."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._files import write_atomically
from .._optional import optional
from .metrics import Column

# Wong 2011, "Points of view: Color blindness", Nature Methods 8: blue and vermillion.
TRAINING, HELD_OUT = "#0072B2", "#D55E00"
INK, FAINT = "#333333", "#e6e6e6"


def smoothed(values: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    """The mean of each value and its neighbours, up to `reach` of them on either side.

    At the start, where losses fall, it takes as few before as after, so that it neither lags nor
    jumps; at the end as many as there are. Values that are not finite are passed over.
    """
    finite = np.isfinite(values)
    total = np.append(0.0, np.cumsum(np.where(finite, values, 0.0)))
    count = np.append(0, np.cumsum(finite))
    k = np.arange(len(values))
    near = np.minimum(k, reach)
    low, high = k - near, np.minimum(k + near, len(values) - 1) + 1
    with np.errstate(invalid="ignore"):
        mean: npt.NDArray[np.float64] = (total[high] - total[low]) / (count[high] - count[low])
    return mean


def plot_losses(
    path: str | Path,
    columns: Mapping[str, Column],
    *,
    training: str = "loss",
    held_out: str = "held_out_loss",
    title: str = "",
) -> None:
    """Write a PNG of a run's losses: as logged, smoothed, and on held-out data where there is any.

    `columns`: what `metrics.read` gives. The axis is logarithmic where every loss is positive.
    Raises ValueError where the training loss was never logged.
    """
    if training not in columns or not len(columns[training].step):
        raise ValueError(f"columns hold no {training!r}, only {', '.join(columns) or 'nothing'}")
    figure = optional("matplotlib.figure", "plot").Figure((8.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    step, loss = columns[training]
    reach = min(100, len(loss) // 50)
    if reach:
        axes.plot(
            step, loss, color=TRAINING, alpha=0.25, linewidth=0.8, label="training, as logged"
        )
        axes.plot(step, smoothed(loss, reach), **_line(TRAINING), label="training, smoothed")
    else:
        axes.plot(step, loss, marker=".", **_line(TRAINING), label="training")
    shown = [training]
    if held_out in columns and len(columns[held_out].step):
        at, value = columns[held_out]
        axes.plot(at, value, marker=".", **_line(HELD_OUT), label="held out")
        shown.append(held_out)
    _scale(axes, np.concatenate([columns[name].value for name in shown]))
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlim(0, 1.01 * max(1, *(columns[name].step[-1] for name in shown)))
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_atomically(Path(path), buffer.getvalue())


def _line(color: str) -> dict[str, Any]:
    return {"color": color, "linewidth": 2.0, "markersize": 9}


def _scale(axes: Any, values: npt.NDArray[np.float64]) -> None:
    """Whole steps; a logarithmic axis for positive losses, with plain numbers on it."""
    ticker = optional("matplotlib.ticker", "plot")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() <= 0.0:
        return
    axes.set_yscale("log")
    decades = np.log10(finite.max() / finite.min())
    marks = (1.0,) if decades > 3.0 else (1.0, 2.0, 5.0) if decades > 1.0 else (1, 1.5, 2, 3, 5, 7)
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=marks, numticks=12))
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
