"""Curves and labelled grids, drawn with matplotlib."""

import io
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import noise
from .._files import write_atomically
from .._optional import optional
from ..process import posterior, q_sample
from ..schedules import ContinuousSchedule, DiscreteSchedule

Schedule = DiscreteSchedule | ContinuousSchedule
Images = npt.NDArray[np.float32]

STEPS = 1000
"""Steps that a continuous schedule is cut into where a figure needs steps."""
COLOURS = ("#4269d0", "#e0792b", "#3ca951", "#c2417c", "#6cc5b0", "#8f5bd7", "#9c6b4e", "#888888")


def schedules(named: Mapping[str, Schedule], path: Path) -> None:
    """alpha_bar = SNR / (1 + SNR), log SNR and the variance of q(x_{t-1} | x_t, x_0) over t / T."""
    figure = _figure(12.0, 3.9)
    signal, log_snr, variance = figure.subplots(1, 3)
    for i, (name, schedule) in enumerate(named.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.8}
        if i >= len(COLOURS):
            style["linestyle"] = "--"
        times = _times(schedule)
        x = np.array(times) / times[-1]
        levels = [schedule(t) for t in times]
        share = [a * a / (a * a + s * s) for a, s in levels]
        signal.plot(x, share, label=name, **style)
        log_snr.plot(x[1:], [_finite(schedule.log_snr_at(t)) for t in times[1:]], **style)
        steps = [posterior(schedule, t, s).variance for s, t in pairwise(times)]
        # The step to data has variance 0 (but for schedules that do not reach it): no logarithm.
        variance.plot(x[1:], [v or math.nan for v in steps], **style)
    signal.set_title(r"signal  $\bar\alpha_t = \alpha_t^2\,/\,(\alpha_t^2 + \sigma_t^2)$")
    log_snr.set_title(r"$\log \mathrm{SNR}_t = 2 \log(\alpha_t / \sigma_t)$")
    variance.set_title(r"variance of $q(x_{t-1} \mid x_t, x_0)$")
    variance.set_yscale("log")
    for axes in (signal, log_snr, variance):
        axes.set_xlabel("t / T     (0: data, 1: noise)")
        axes.set_xlim(0.0, 1.0)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=min(len(named), 6), frameon=False)
    _save(figure, path)


def forward(
    images: Images, named: Mapping[str, Schedule], columns: int, seed: int, path: Path
) -> None:
    """A row of x_t for each schedule and image, with t and the SNR above each schedule's."""
    eps = noise.portable(seed)(images, 0)
    rows, side = len(named) * len(images), 1.05
    aspect = images.shape[2] / images.shape[3]
    height = rows * (side * aspect + 0.06) + len(named) * 0.7
    figure = _figure(columns * (side + 0.06), height)
    parts = figure.subfigures(len(named), 1, squeeze=False)[:, 0]
    for part, (name, schedule) in zip(parts, named.items(), strict=True):
        axes = part.subplots(len(images), columns, squeeze=False)
        for column, t in enumerate(_spread(schedule, columns)):
            alpha, sigma = schedule(t)
            x_t = q_sample(schedule, images, t, eps) / math.hypot(alpha, sigma)
            title = f"t = {t:.4g}\n{_decibels(schedule.log_snr_at(t))}"
            axes[0, column].set_title(title, fontsize=8)
            for row, image in enumerate(x_t):
                show(axes[row, column], image)
        part.suptitle(name, x=0.004, ha="left", fontsize=10, fontweight="bold")
    _save(figure, path)


def show(axes: Any, image: npt.NDArray[Any]) -> None:
    """One image (channels, height, width) in [-1, 1], its pixels as squares."""
    levels = np.clip(0.5 * image + 0.5, 0.0, 1.0).transpose(1, 2, 0)
    axes.imshow(
        levels[:, :, 0] if levels.shape[2] == 1 else levels,
        cmap="gray",
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
    )
    axes.set_axis_off()


def _figure(width: float, height: float) -> Any:
    # Figure itself, not pyplot: no global state and no display wanted.
    return optional("matplotlib.figure", "plot").Figure((width, height), layout="constrained")


def _save(figure: Any, path: Path, dots: int = 150) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=dots)
    write_atomically(path, buffer.getvalue())


def _times(schedule: Schedule) -> list[float]:
    if isinstance(schedule, DiscreteSchedule):
        return list(range(schedule.T + 1))
    return [schedule.curve.t_max * k / STEPS for k in range(STEPS + 1)]


def _spread(schedule: Schedule, n: int) -> list[float]:
    """n times from data to noise, equally spaced."""
    if isinstance(schedule, DiscreteSchedule):
        return [round(schedule.T * k / (n - 1)) for k in range(n)]
    return [schedule.curve.t_max * k / (n - 1) for k in range(n)]


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _decibels(log_snr: float) -> str:
    if not math.isfinite(log_snr):
        return "no noise" if log_snr > 0 else "no signal"
    decibels = round(10 * log_snr / math.log(10))
    return f"SNR {decibels:+d} dB" if decibels else "SNR 0 dB"
