"""`diffcore train`: train a recipe, or go on with a run."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import _backends
from ._arguments import at_least

if TYPE_CHECKING:
    from ..training.loop import Outcome
    from ..training.recipe import Recipe
    from ..training.run_folder import RunFolder

RUNS = Path("runs")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    train = commands.add_parser(
        "train",
        help="train a recipe, or go on with a run",
        description="Train what a recipe says, in a run folder of its own. Ctrl-C stops after the "
        "step at hand and saves; --resume goes on as though nothing had happened.",
    )
    what = train.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--recipe", metavar="NAME|FILE.toml", help="a recipe of the package, or a file of one"
    )
    what.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="go on with the run in this folder, with --steps beyond its recipe's",
    )
    what.add_argument("--list", action="store_true", help="print the recipes of the package")
    add_overrides(train)
    train.add_argument(
        "--data",
        metavar="SOURCE",
        help="train on these images: a folder (its subfolders are the classes), a .parquet or .npz "
        "file, hf:NAME, or digits; short for --set data.source=SOURCE",
    )
    train.add_argument(
        "--steps",
        type=at_least(1),
        metavar="N",
        help="number of training steps; short for --set training.steps=N",
    )
    train.add_argument(
        "--seed",
        type=at_least(0),
        metavar="N",
        help="seed of weights, data order and noise; short for --set seed=N",
    )
    train.add_argument(
        "--out",
        type=Path,
        metavar="RUN",
        help=f"folder of the run (default: {RUNS}/ and the recipe's name)",
    )
    train.add_argument(
        "--overwrite",
        action="store_true",
        help="move a run that is there aside, to RUN.1, RUN.2, ...",
    )
    train.add_argument(
        "--no-progress", dest="progress", action="store_false", help="show no progress bar"
    )
    _backends.add_options(train)
    train.set_defaults(run=run)


def add_overrides(command: argparse.ArgumentParser) -> None:
    """Declare --set."""
    command.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="other values for the recipe, as in --set training.lr=1e-4 unet.width=48",
    )


def run(args: argparse.Namespace) -> int:
    """Train, and say where the run lies."""
    from ..training import recipe

    if args.list:
        print("\n".join(_listed()))
        return 0
    if args.resume is not None:
        return _resume(args)
    chosen = recipe.load(args.recipe, _overrides(args))
    backend = _backends.training(args.backend)
    with created(args.out or RUNS / chosen.name, args.overwrite) as folder:
        outcome = backend.fit(chosen, folder, device=args.device, progress=args.progress)
    return report(folder.path, outcome)


@contextmanager
def created(path: Path, overwrite: bool) -> Iterator["RunFolder"]:
    """A new run at `path`; with `overwrite` one that is there is moved aside, and that is said.

    Where the new run comes to nothing, the old one is moved back.
    """
    from ..training.run_folder import RunFolder

    pattern = f"{path.name}.*"
    before = set(path.parent.glob(pattern))
    folder = RunFolder.create(path, overwrite=overwrite)
    moved = set(path.parent.glob(pattern)) - before
    try:
        with folder:
            yield folder
    finally:
        for aside in moved:
            if path.exists():
                print(f"the run that was in {path} is now in {aside}", file=sys.stderr)
            else:
                aside.rename(path)


def report(path: Path, outcome: "Outcome") -> int:
    """Say how training ended; the exit status."""
    if outcome.stopped is not None:
        print(
            f"diffcore: stopped after step {outcome.step} of {outcome.steps}, which is saved; "
            f"diffcore train --resume {path} goes on",
            file=sys.stderr,
        )
        return 128 + int(outcome.stopped)
    words = [f"{outcome.step:,} steps in {outcome.seconds:.0f} s"]
    for key, name in (("loss", "loss"), ("held_out_loss", "held-out loss")):
        if key in outcome.metrics:
            words.append(f"{name} {outcome.metrics[key]:.4f}")
    print(f"{path}: {', '.join(words)}")
    return 0


def _resume(args: argparse.Namespace) -> int:
    from ..training import recipe
    from ..training.run_folder import RunFolder

    for option in ("out", "overwrite", "data", "seed"):
        if getattr(args, option) is not None and getattr(args, option) is not False:
            raise ValueError(f"--{option} does not go with --resume, which goes on with a run")
    backend = _backends.training(args.backend)
    with RunFolder.resume(args.resume) as folder:
        chosen = recipe.load(folder.recipe, _overrides(args))
        outcome = backend.fit(
            chosen, folder, resume=True, device=args.device, progress=args.progress
        )
    return report(folder.path, outcome)


def _overrides(args: argparse.Namespace) -> list[str]:
    """--set and the options that are short for it, which win."""
    overrides = list(args.overrides)
    if args.data is not None:
        overrides.append(f"data.source={json.dumps(args.data)}")
    if args.steps is not None:
        overrides.append(f"training.steps={args.steps}")
    if args.seed is not None:
        overrides.append(f"seed={args.seed}")
    return overrides


def _listed() -> list[str]:
    from ..training import recipe

    lines = []
    for name in recipe.names():
        lines.append(f"{name:<12}{summary(recipe.load(name))}")
    return lines


def summary(chosen: "Recipe") -> str:
    """What a recipe does, in a line."""
    data, training = chosen.data, chosen.training
    steps = f", T = {chosen.schedule['T']}" if "T" in chosen.schedule else ""
    predicts = chosen.make_prediction().name
    return (
        f"{data.size} x {data.size} {'grey' if data.channels == 1 else 'RGB'}, "
        f"{chosen.schedule['kind']}{steps}, predicts {predicts}, "
        f"{training.steps:,} steps of {training.batch}" + ("" if data.source else ", needs --data")
    )
