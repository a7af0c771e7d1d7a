"""What samples are held to besides their class: guidance, an image, a mask, conditions."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._arguments import at_least, number, share

if TYPE_CHECKING:
    from ..denoisers import Threshold
    from ..plan import Denoise, Plan
    from ._pictures_in import Float

RESAMPLES, JUMP = 5, 5


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare --guidance, --init, --inpaint, --condition and what goes with them."""
    command.add_argument(
        "--guidance",
        type=number,
        metavar="W",
        help="classifier-free guidance: 1 for none of it, more for images more of their class",
    )
    command.add_argument(
        "--guidance-interval",
        nargs=2,
        type=number,
        metavar=("LOW", "HIGH"),
        help="guide at noise levels sigma / alpha from LOW to HIGH alone (HIGH may be inf)",
    )
    command.add_argument(
        "--guidance-rescale",
        type=share,
        metavar="PHI",
        help="share, 0 to 1, by which guidance that has raised the contrast lowers it again",
    )
    command.add_argument(
        "--init",
        type=Path,
        metavar="IMAGE",
        help="begin from this image: with --strength to change it, with --inpaint to fill it in",
    )
    command.add_argument(
        "--strength",
        type=share,
        metavar="S",
        help="share of the way to noise that --init is taken, and of the steps that are made: near "
        "0 for the image as it is, 1 for another one",
    )
    command.add_argument(
        "--inpaint",
        type=Path,
        metavar="MASK",
        help="paint --init anew where this picture is white, and keep it where it is black",
    )
    command.add_argument(
        "--resamples",
        type=at_least(1),
        metavar="N",
        help="how often --inpaint goes over each stretch, for what is new to fit what is kept: at "
        f"as many times the cost (default: {RESAMPLES})",
    )
    command.add_argument(
        "--jump",
        type=at_least(1),
        metavar="N",
        help=f"steps of a stretch of --inpaint (default: {JUMP}, or fewer where there are fewer)",
    )
    add_condition(command)


def add_condition(command: argparse.ArgumentParser) -> None:
    """Declare --condition."""
    command.add_argument(
        "--condition",
        type=Path,
        metavar="IMAGE|FOLDER",
        help="what a network with a condition is to make images of, in turn: for super-resolution "
        "images of low resolution, or of the network's size, which are reduced",
    )


def require_together(args: argparse.Namespace) -> None:
    """ValueError for an option without the one that it belongs to."""
    for option, owner in (
        ("guidance_interval", "guidance"),
        ("guidance_rescale", "guidance"),
        ("strength", "init"),
        ("inpaint", "init"),
        ("resamples", "inpaint"),
        ("jump", "inpaint"),
    ):
        if getattr(args, option) is not None and getattr(args, owner) is None:
            raise ValueError(f"--{option.replace('_', '-')} belongs to --{owner}, which is missing")
    if args.init is not None and args.strength is None and args.inpaint is None:
        raise ValueError(
            "--init needs --strength S, to change it, or --inpaint MASK, to fill it in"
        )
    if args.strength == 0.0:
        raise ValueError("--strength must be above 0, which leaves the image as it is")
    if args.guidance is not None and not math.isfinite(args.guidance):
        raise ValueError(f"--guidance must be finite, got {args.guidance}")
    if args.guidance_interval is not None:
        low, high = args.guidance_interval
        if not 0.0 <= low < high:
            raise ValueError(f"--guidance-interval must be 0 <= LOW < HIGH, got {low:g} {high:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Guide:
    """Classifier-free guidance as the options have it."""

    weight: float
    interval: tuple[float, float] | None = None
    rescale: float = 0.0

    def denoiser(
        self, trained: Any, labels: Any, condition: Any, threshold: "Threshold | None"
    ) -> "Denoise":
        """The network's denoiser with it; rescaling is of the network's output, as published."""
        from .. import guidance
        from ..denoisers import thresholded

        rule: Any = guidance.Linear(self.weight)
        if self.rescale:
            rescaled = guidance.Rescaled(self.weight, self.rescale)
            rule = guidance.on_outputs(rescaled, trained.schedule, trained.predicts)
        denoise: Denoise = trained.guided(labels, rule, condition=condition, threshold=None)
        if self.interval is not None:
            plain = trained.denoise(labels, condition=condition, threshold=None)
            denoise = guidance.interval(denoise, plain, trained.schedule, *self.interval)
        return denoise if threshold is None else thresholded(denoise, threshold)


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """What a run of sampling is given; each may be missing."""

    guide: Guide | None = None
    image: "Float | None" = None
    """(1, C, H, W): what sampling starts from, or keeps a part of."""
    keep: "Float | None" = None
    """(1, 1, H, W): 1 where `image` is kept, 0 where it is painted anew."""
    blank: bool = True
    """Whether what is painted anew is begun from noise alone."""
    condition: "Float | None" = None
    """(k, C, H, W): the conditions, taken in turn."""

    def start(self, schedule: Any, plan: "Plan", eps: "Float") -> "Float":
        """The state that the plan starts from."""
        import numpy as np

        from ..plan import prior
        from ..tasks import noised

        if self.image is None:
            return prior(schedule, plan.stages[0].time, eps)
        known = self.image if self.keep is None or not self.blank else self.image * self.keep
        return noised(schedule, plan, np.broadcast_to(known, eps.shape), eps)

    def held(self, denoise: "Denoise", schedule: Any, plan: "Plan", noise: Any) -> "Denoise":
        """`denoise` with what is kept put in, at noise from the steps after the plan's own."""
        from ..tasks import known_region

        if self.image is None or self.keep is None:
            return denoise
        after = len(plan.stages) + 1
        return known_region(
            denoise, schedule, self.image, self.keep, lambda like, k: noise(like, after + k)
        )


def given(args: argparse.Namespace, trained: Any) -> Given:
    """What the options say; ValueError that names one that the network cannot be given."""
    from . import _pictures_in

    unet = trained.unet
    if args.guidance is not None and not (unet.classes and unet.null_class):
        raise ValueError(
            "--guidance needs a network that has learnt classes, and images without their class"
        )
    guide = None
    if args.guidance is not None and args.guidance != 1.0:
        interval = None if args.guidance_interval is None else tuple(args.guidance_interval)
        guide = Guide(weight=args.guidance, interval=interval, rescale=args.guidance_rescale or 0.0)
    return Given(
        guide=guide,
        image=None if args.init is None else _pictures_in.image(args.init, unet),
        keep=None if args.inpaint is None else _pictures_in.mask(args.inpaint, unet),
        blank=args.strength in (None, 1.0),
        condition=condition(args, trained),
    )


def condition(args: argparse.Namespace, trained: Any) -> "Float | None":
    """The conditions that --condition names; ValueError unless the network wants what is given."""
    from . import _pictures_in

    if not trained.unet.condition_channels:
        if args.condition is not None:
            raise ValueError("--condition must be left out: the network was trained without one")
        return None
    if args.condition is None:
        raise ValueError("--condition must be given: the network makes images of conditions")
    low = trained.training.get("condition_size")
    return _pictures_in.conditions(args.condition, trained.unet, low)


def own_conditions(trained: Any, images: "Float") -> "Float | None":
    """What training showed the network of the images, as conditions; None where it showed nothing.

    ValueError for a checkpoint of a network with conditions that does not say which.
    """
    from ..training.draws import condition_of

    if not trained.unet.condition_channels:
        return None
    low = trained.training.get("condition_size")
    if not low:
        raise ValueError(
            "RUN|CHECKPOINT must say what its conditions show of an image, condition_size; this "
            "one does not"
        )
    return condition_of(images, low)
