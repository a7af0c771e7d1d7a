"""`diffcore evaluate`: how likely a network finds data, and how close its samples come to them."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import _backends
from ._arguments import at_least
from ._outputs import require_suffix, reserve
from ._planners import SYNTAX, sampler

Runner = Callable[[argparse.Namespace], tuple[str, Mapping[str, Any]]]
"""What a command prints, and what it writes as JSON."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    evaluate = commands.add_parser("evaluate", help="measure a network, or samples")
    kinds = evaluate.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    _add_nll(kinds)
    _add_fd(kinds)


def _add_nll(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    nll = kinds.add_parser(
        "nll",
        help="bits per dimension of images: the variational bound and the probability flow's",
        description="Measure how likely a network finds images, in bits per dimension: by the "
        "variational bound, the sum of the terms of all steps, and by the log density of the "
        "probability flow, of images spread evenly over their grey levels' bins. A network with a "
        "condition is given each image's own.",
    )
    nll.add_argument(
        "source", type=Path, metavar="RUN|CHECKPOINT", help="a run's folder, or a .safetensors file"
    )
    nll.add_argument(
        "--data",
        metavar="SOURCE",
        help="the images: a folder, a .parquet or .npz file, hf:NAME, or digits (default: those "
        "that the run was not trained on)",
    )
    nll.add_argument(
        "-n", type=at_least(2), default=64, metavar="N", help="number of images (default: 64)"
    )
    nll.add_argument(
        "--method",
        choices=("both", "bound", "flow"),
        default="both",
        help="what to compute (default: both)",
    )
    nll.add_argument(
        "--bound-steps",
        type=at_least(1),
        metavar="N",
        help="terms of the bound (default: all those of the schedule, 1000 of a continuous one)",
    )
    nll.add_argument(
        "--steps",
        type=at_least(1),
        default=50,
        metavar="N",
        help="steps of the flow's solver, each of two calls of the network on a discrete "
        "schedule, of four on a continuous one (default: 50)",
    )
    nll.add_argument(
        "--probes",
        type=at_least(0),
        default=1,
        metavar="N",
        help="random vectors that estimate the flow's divergence; 0 for the exact one, at the "
        "price of one for each number of an image (default: 1)",
    )
    nll.add_argument(
        "--variance",
        choices=("small", "large", "learned"),
        help="the bound's variance: the posterior's, beta_t, or what the network says (default: "
        "learned where the network has learnt it, else small)",
    )
    _add_common(nll, "of the noise and of the probes")
    nll.set_defaults(run=_running("_likelihoods"))


def _add_fd(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    fd = kinds.add_parser(
        "fd",
        help="Fréchet distance, KID, precision and recall of samples",
        description="Compare samples with real images by their features: the squared Fréchet "
        "distance, KID (unbiased, with its standard error), precision and recall. A line of real "
        "images against other real ones shows what samples could reach. A network with a condition "
        "is given, in turn, those of a run's held-out images, or of a checkpoint's reference.",
    )
    fd.add_argument(
        "source",
        metavar="RUN|CHECKPOINT|FOLDER|NPZ",
        help="a network to draw samples from, or the samples",
    )
    fd.add_argument(
        "--reference",
        metavar="SOURCE",
        help="the real images: a folder, a .parquet or .npz file, hf:NAME, or digits (default: "
        "those that the run was trained on)",
    )
    fd.add_argument(
        "--features",
        default="pixels",
        metavar="NAME",
        help="what is compared: pixels, classifier (its margins; the reference needs labels), "
        "inception (torchmetrics'), or module:callable (default: pixels)",
    )
    fd.add_argument(
        "-n",
        type=at_least(4),
        metavar="N",
        help="number of samples (default: 1000 of a network, else all)",
    )
    fd.add_argument(
        "--reference-n",
        type=at_least(8),
        default=10_000,
        metavar="N",
        help="real images to use at most (default: 10000)",
    )
    fd.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        help="1 for grey, 3 for RGB (default: the network's, or the samples')",
    )
    fd.add_argument(
        "--sampler",
        type=sampler,
        default="ddim",
        metavar="SAMPLER",
        help=f"of a network: {SYNTAX} (default: ddim)",
    )
    fd.add_argument(
        "--steps",
        type=at_least(1),
        metavar="N",
        help="steps from noise to image (default: 50; ddpm: all those of the schedule)",
    )
    _add_common(fd, "of samples that are drawn, and of the choice where not all images are used")
    fd.set_defaults(run=_running("_fidelity"))


def _add_common(command: argparse.ArgumentParser, seeded: str) -> None:
    command.add_argument(
        "--weights",
        choices=("ema", "raw"),
        default="ema",
        help="the moving average of the weights, or the last weights themselves (default: ema)",
    )
    command.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help=f"seed {seeded} (default: 0)"
    )
    command.add_argument(
        "--batch",
        type=at_least(1),
        default=64,
        metavar="N",
        help="images that the network sees at once (default: 64)",
    )
    command.add_argument(
        "--out", type=Path, metavar="FILE.json", help="also write the figures there, in full"
    )
    command.add_argument("--force", action="store_true", help="overwrite it where it exists")
    _backends.add_options(command)


def _running(module: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        import importlib
        import json

        if args.out is not None:
            require_suffix(args.out, (".json",))
            reserve(args.out, args.force)
        measured: Runner = importlib.import_module(f".{module}", __package__).measured
        text, figures = measured(args)
        if args.out is not None:
            from .._files import write_atomically

            write_atomically(args.out, (json.dumps(figures, indent=1) + "\n").encode())
        print(text)
        return 0

    return run
