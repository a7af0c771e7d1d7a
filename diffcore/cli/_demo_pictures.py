"""The pictures of a finished run, and the scores of its samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import optional
from ..training import metrics, plots
from ..training.evaluation import compare, format_scores
from ..training.pictures import Picture, filmstrip, save_png, to_uint8
from ..training.recipe import Recipe
from ..training.run_folder import RunFolder
from ._beside import write_beside
from ._sampling import Drawn, arranged, draw, planned
from .sample import write_trajectory

JUDGED = 500
"""Samples to judge."""
SHOWN, FILMED = 12, 6
"""Samples of each class to show, and to show the way of."""
MOMENTS = 13
"""Columns of the film strip."""


def made(run: RunFolder, recipe: Recipe, trained: Any) -> tuple[dict[str, str], str]:
    """Write the pictures; (what each shows, by its name) and a table of the samples' scores."""
    classes = max(trained.unet.classes, 1)
    drawn = draw(
        trained,
        planned(trained.schedule),
        JUDGED,
        labels=range(trained.unet.classes),
        batch=JUDGED,
        film=FILMED * classes,
    )
    write_trajectory(run.path / "trajectory.png", drawn)
    shown = {
        "samples.png": _samples(run.path / "samples.png", drawn, classes),
        "trajectory.png": "their way from noise, animated (browsers show it)",
        "filmstrip.png": _filmstrip(run.path / "filmstrip.png", drawn, classes),
    }
    columns = metrics.read(run.metrics)
    pair = _early(run)
    if pair is not None:
        step, average, raw = pair
        titles = (f"raw weights, step {step:,}", f"their moving average (EMA), step {step:,}")
        write_beside(
            run.path / "early.png",
            {title: _read(file) for title, file in zip(titles, (raw, average), strict=True)},
        )
        shown["early.png"] = (
            f"samples at step {step:,}, of the raw weights and of their average"
            + _held_out(columns, step)
        )
    plots.plot_losses(run.path / "loss.png", columns, title=f"{recipe.name}: loss")
    shown["loss.png"] = "the loss in training, and on held-out images"
    images, held_out = recipe.data.load()
    return shown, format_scores(compare({"samples": drawn.images}, images, held_out))


def _samples(path: Path, drawn: Drawn, classes: int) -> str:
    n = SHOWN * classes
    labels = None if drawn.labels is None else drawn.labels[:n]
    save_png(path, arranged(drawn.images[:n], labels))
    return "samples of the averaged weights" + (", a row for each class" if classes > 1 else "")


def _filmstrip(path: Path, drawn: Drawn, classes: int) -> str:
    last = len(drawn.frames) - 1
    moments = sorted({round(i) for i in np.linspace(0, last, MOMENTS)})
    save_png(path, filmstrip([drawn.frames[i][: max(classes, FILMED)] for i in moments]))
    return "the same, a row for each image"


def _early(run: RunFolder) -> tuple[int, Path, Path] | None:
    """The first step at which the run drew samples of both, and the pictures of them."""
    for raw in sorted(run.samples.glob("step-*-raw.png")):
        average = raw.with_name(raw.name.replace("-raw", ""))
        if average.exists():
            return int(raw.name.split("-")[1]), average, raw
    return None


def _read(path: Path) -> Picture:
    with optional("PIL.Image", "data").open(path) as picture:
        return np.asarray(picture)


def _held_out(columns: Mapping[str, metrics.Column], step: int) -> str:
    """The held-out losses of both at a step, where they were measured."""
    losses = []
    for name in ("held_out_loss_raw", "held_out_loss"):
        if name in columns:
            losses += columns[name].value[columns[name].step == step].tolist()
    return f" (held-out loss {losses[0]:.4f} and {losses[1]:.4f})" if len(losses) == 2 else ""


def backends(path: Path, pictures: Mapping[str, Drawn]) -> str:
    """Write each backend's samples of the same noise, and say how far their pixels are apart."""
    grids = {name: arranged(drawn.images, drawn.labels) for name, drawn in pictures.items()}
    write_beside(path, grids)
    first, second = (drawn.images for drawn in pictures.values())
    apart = float(np.max(np.abs(first - second)))
    levels = int(np.max(np.abs(to_uint8(first).astype(int) - to_uint8(second))))
    names = " and ".join(pictures)
    return (
        f"{names}: {len(first)} samples of one seed, largest difference of a pixel {apart:.1e} "
        f"in [-1, 1], {levels} of 255 levels"
    )
