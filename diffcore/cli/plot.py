"""`diffcore plot`: what schedules and samplers do, as curves and as pictures."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from . import _schedules
from ._arguments import at_least
from ._outputs import require_apart, require_suffix, reserve

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SUFFIXES = (".png", ".svg", ".pdf")
DEFAULT = ("linear", "scaled_linear", "cosine", "sigmoid", "flow")
DIGITS = "digits"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    plot = commands.add_parser("plot", help="draw schedules, the forward process and samplers")
    kinds = plot.add_subparsers(title="what to draw", metavar="WHAT", required=True)

    schedules = kinds.add_parser(
        "schedules",
        help="alpha_bar, log SNR and posterior variance of schedules, as curves",
        description="Draw alpha_bar, log SNR and posterior variance of schedules over time. "
        "Continuous schedules are cut into 1000 steps for the posterior variance.",
    )
    schedules.add_argument(
        "schedule", nargs="*", default=DEFAULT, help=f"{_schedules.SYNTAX} (default: several)"
    )
    _add_output(schedules, "schedules.png")
    schedules.set_defaults(run=_run_schedules)

    forward = kinds.add_parser(
        "forward",
        help="an image noised along schedules, as a grid",
        description="Draw x_t = alpha x_0 + sigma eps at times from data to noise, one and the "
        "same eps in every column, scaled by 1 / sqrt(alpha^2 + sigma^2) for the eye.",
    )
    forward.add_argument(
        "image",
        nargs="?",
        default=DIGITS,
        help="an image file, or digits for four of scikit-learn's (default: digits)",
    )
    forward.add_argument(
        "--schedule", nargs="+", default=["linear"], help=f"{_schedules.SYNTAX} (default: linear)"
    )
    forward.add_argument(
        "--columns", type=at_least(2), default=11, metavar="N", help="times to show (default: 11)"
    )
    forward.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="seed of the noise (default: 0)"
    )
    _add_output(forward, "forward.png")
    forward.set_defaults(run=_run_forward)

    samplers = kinds.add_parser(
        "samplers",
        help="a mixture of Gaussians by every sampler, as a picture and a table",
        description="Draw a mixture of Gaussians in the plane by every sampler, with the exact "
        "denoiser, at several numbers of evaluations. Beside the picture, a table of the same name "
        "that ends in .md holds the sliced Wasserstein distance and the maximum mean discrepancy "
        "from exact samples.",
    )
    samplers.add_argument(
        "--schedule",
        default="cosine_continuous",
        help=f"{_schedules.SYNTAX} (default: cosine_continuous)",
    )
    samplers.add_argument(
        "--evaluations",
        nargs="+",
        type=at_least(1),
        default=[5, 10, 20, 50],
        metavar="N",
        help="of the denoiser, at most (default: 5 10 20 50)",
    )
    samplers.add_argument(
        "-n",
        type=at_least(3),
        default=2000,
        metavar="N",
        help="number of samples of each (default: 2000)",
    )
    samplers.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="seed of the noise (default: 0)"
    )
    _add_output(samplers, "samplers.png")
    samplers.set_defaults(run=_run_samplers)


def _add_output(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--out",
        type=Path,
        default=Path(default),
        help=f"picture to write: {', '.join(SUFFIXES)} (default: {default})",
    )
    command.add_argument("--force", action="store_true", help="overwrite it where it exists")


def _run_schedules(args: argparse.Namespace) -> int:
    require_suffix(args.out, SUFFIXES)
    schedules = {text: _schedules.parse(text) for text in args.schedule}

    reserve(args.out, args.force)

    from . import _figures

    _figures.schedules(schedules, args.out)
    print(args.out)
    return 0


def _run_forward(args: argparse.Namespace) -> int:
    require_suffix(args.out, SUFFIXES)
    schedules = {text: _schedules.parse(text) for text in args.schedule}

    require_apart("--out", args.out, [None if args.image == DIGITS else Path(args.image)])
    images = _images(args.image, rows=4 if len(schedules) == 1 else 1)
    reserve(args.out, args.force)

    from . import _figures

    _figures.forward(images, schedules, args.columns, args.seed, args.out)
    print(args.out)
    return 0


def _run_samplers(args: argparse.Namespace) -> int:
    require_suffix(args.out, SUFFIXES)
    schedule = _schedules.parse(args.schedule)
    text = args.out.with_suffix(".md")
    for path in (args.out, text):
        reserve(path, args.force)

    from .._files import write_atomically
    from . import _sampler_figure, _sampler_runs

    runs = _sampler_runs.runs(schedule, args.evaluations, args.n, args.seed)
    title = f"A mixture of Gaussians by every sampler, {args.schedule}"
    _sampler_figure.drawn(runs, args.evaluations, title, args.out)
    command = ["plot", "samplers", "--schedule", args.schedule, "--evaluations"]
    command += [*map(str, args.evaluations), "-n", str(args.n), "--seed", str(args.seed)]
    table = _sampler_figure.table(runs, args.evaluations, title, command)
    write_atomically(text, table.encode())
    print(args.out, text, sep="\n")
    return 0


def _images(source: str, rows: int) -> "npt.NDArray[np.float32]":
    """Images to noise as float32 of shape (n, channels, height, width) in [-1, 1]."""
    from ..training.data import load_images
    from ..training.decode import Target, pixels

    if source == DIGITS:
        return load_images(DIGITS, channels=1).batch(range(rows))
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"image must be a file or 'digits', got {source!r}")
    colour = pixels(path, source, Target(channels=3))
    return (colour[None] / 127.5 - 1.0).astype("float32")
