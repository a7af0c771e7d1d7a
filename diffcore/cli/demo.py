"""`diffcore demo`: digits out of noise, and the identities that hold."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from . import _backends
from .identities import installed
from .identities import report as report_identities
from .train import add_overrides, created, report, summary

RECIPE = "digits"
EARLY = "evaluation.samples_every=250"
"""Early enough to see that the average of the weights does not lag behind them."""
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60
BOTH = 50
"""Samples that every backend draws."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    demo = commands.add_parser(
        "demo",
        help="train on real digits, show samples, print the identities",
        description="Train a small network on scikit-learn's digits, draw samples and judge them, "
        "then print a table of the identities checked on NumPy, PyTorch and array-api-strict. "
        "Four to five minutes on one core.",
    )
    demo.add_argument(
        "--out",
        type=Path,
        default=Path("runs/demo"),
        metavar="RUN",
        help="folder of the run and its pictures; a run that is there is moved aside, to RUN.1, "
        "RUN.2, ... (default: runs/demo)",
    )
    add_overrides(demo)
    _backends.add_options(demo)
    demo.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, draw, judge, check; 0 where the identities hold."""
    from ..training import recipe

    chosen = recipe.load(RECIPE, [EARLY, *args.overrides])
    training, loading = _backends.training(args.backend), _backends.loading(args.backend)
    with created(args.out, overwrite=True) as folder:
        print(f"Training {RECIPE}: {summary(chosen)}", flush=True)
        outcome = training.fit(chosen, folder, device=args.device)
    if outcome.stopped is not None:
        return report(folder.path, outcome)
    print_losses(folder.metrics, outcome.seconds)

    from . import _demo_pictures

    print("\nSamples, beside real images and some that are wrong on purpose\n", flush=True)
    trained = loading.load(folder.path, device=args.device)
    pictures, scores = _demo_pictures.made(folder, chosen, trained)
    print(scores)
    print(_both(folder.path, pictures), flush=True)
    print("\nIdentities, and their largest errors in float64\n", flush=True)
    holds = report_identities(installed())
    print(f"\nPictures in {folder.path}")
    for name, text in pictures.items():
        print(f"  {name:<16}{text}")
    more = f"diffcore sample {folder.path}"
    if trained.unet.classes:
        more += f" --class {min(7, trained.unet.classes - 1)}"
    print(f"More of them: {more}")
    return 0 if holds else 1


def _both(run: Path, pictures: dict[str, str]) -> str:
    """Draw the same samples with every backend there is: what that shows, in a line."""
    from . import _demo_pictures
    from ._sampling import draw, planned

    lacking = [name for name in _backends.BACKENDS if _backends.missing(name)]
    names = [name for name in _backends.BACKENDS if name not in lacking]
    if lacking:
        return f"drawn by {names[0]} alone: the backend {lacking[0]} {_backends.ready(lacking[0])}"
    drawn = {}
    for name in names:
        trained = _backends.loading(name).load(run, device="cpu")
        labels = range(trained.unet.classes)
        drawn[name] = draw(
            trained, planned(trained.schedule), BOTH, labels=labels, batch=BOTH, progress=False
        )
    pictures["backends.png"] = f"the same samples by {' and by '.join(names)}"
    return _demo_pictures.backends(run / "backends.png", drawn)


def print_losses(log: Path, seconds: float) -> None:
    """The losses of a run as lines of bars, on a logarithmic scale."""
    from ..training import metrics

    columns = metrics.read(log)
    for key, name in (("loss", "loss"), ("held_out_loss", "held-out loss")):
        if key in columns:
            step, value = columns[key]
            print(
                f"{name:<14}{sparkline(value.tolist())}  {value[0]:.3f} at step {step[0]:,}, "
                f"{value[-1]:.4f} at step {step[-1]:,}"
            )
    print(f"{'time':<14}{seconds:.0f} s", flush=True)


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Positive values as bars of eight heights, the lowest to the highest by their logarithms."""
    import numpy as np

    shown = np.log([part.mean() for part in np.array_split(values, min(width, len(values)))])
    span = max(float(np.ptp(shown)), 1e-12)
    heights = np.rint((shown - shown.min()) / span * (len(BARS) - 1)).astype(int)
    return "".join(BARS[height] for height in heights)
