"""`diffcore invert`: the noise that an image comes from, and the image that comes from it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _backends
from ._arguments import at_least
from ._outputs import require_apart, require_suffix, reserve
from ._tasks import add_condition, condition

if TYPE_CHECKING:
    from ..plan import Plan


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    invert = commands.add_parser(
        "invert",
        help="find the noise that an image comes from",
        description="Run DDIM's steps from an image up to its noise, and down again: the noise, "
        "from which sampling gives the image back, and a picture of both images. What the way up "
        "and down loses falls with the number of steps.",
    )
    invert.add_argument(
        "source", type=Path, metavar="RUN|CHECKPOINT", help="a run's folder, or a .safetensors file"
    )
    invert.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="pictures; those of another size are cropped to a square and resampled",
    )
    invert.add_argument(
        "--class",
        default="",
        dest="label",
        metavar="K|NAME",
        help="the images' class, by number or name (default: none, where the network knows that)",
    )
    add_condition(invert)
    invert.add_argument(
        "--steps",
        type=at_least(1),
        metavar="N",
        help="steps from image to noise (default: 50)",
    )
    invert.add_argument(
        "--iterations",
        type=at_least(0),
        default=0,
        metavar="N",
        help="of solving for the noise that each step of sampling would undo, each at the price of "
        "another step (default: 0)",
    )
    invert.add_argument(
        "--grid",
        choices=("linspace", "trailing", "leading"),
        default="trailing",
        help="which of the schedule's times the steps visit (default: trailing)",
    )
    invert.add_argument(
        "--threshold",
        choices=("clip", "dynamic", "none"),
        default="clip",
        help="what is done to the network's guess at the image (default: clip, to [-1, 1])",
    )
    invert.add_argument(
        "--weights",
        choices=("ema", "raw"),
        default="ema",
        help="the moving average of the weights, or the last weights themselves (default: ema)",
    )
    invert.add_argument(
        "--out",
        type=Path,
        default=Path("latent.npz"),
        metavar="FILE",
        help="the noise: an .npz with arrays latent and round_trip, float32 "
        "(n, channels, height, width), and times (default: latent.npz)",
    )
    invert.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="a .png with a row for each image: itself, its noise, and what comes back (default: "
        "that of --out, with .png)",
    )
    invert.add_argument("--force", action="store_true", help="overwrite files that exist")
    _backends.add_options(invert)
    invert.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Invert, and write."""
    from .sample import require_source

    require_source(args.source)
    require_suffix(args.out, [".npz"])
    picture = args.picture or args.out.with_suffix(".png")
    require_suffix(picture, [".png"])
    require_apart("--picture", picture, [*args.images, args.condition])

    import numpy as np

    from .. import tasks
    from . import _pictures_in, _sampling

    trained = _backends.loading(args.backend).load(
        args.source, weights=args.weights, device=args.device
    )
    down = _sampling.planned(trained.schedule, steps=args.steps, rule=args.grid)
    grid = [stage.time for stage in down.stages] + [down.stages[-1].time_next]
    up = tasks.invert(trained.schedule, grid[::-1], args.iterations)
    images = np.concatenate([_pictures_in.image(path, trained.unet) for path in args.images])
    denoise = _denoiser(args, trained, len(images))
    reserve(args.out, args.force)
    reserve(picture, args.force)

    latent = _moved(trained, denoise, up, trained.schedule(up.stages[0].time).alpha * images)
    back = _moved(trained, denoise, down, latent)
    _write(args.out, latent=latent, round_trip=back, times=np.array(grid))
    _draw(picture, trained.schedule, grid[0], images, latent, back)
    error = float(np.sqrt(np.mean((back - images) ** 2)))
    print(f"{args.out}\n{picture}\nround trip: off by {error:.4f}, root mean square in [-1, 1]")
    return 0


def _denoiser(args: argparse.Namespace, trained: Any, n: int) -> Any:
    from . import _sampling

    names = _sampling.class_names(trained)
    labels = None
    if args.label or (trained.unet.classes and not trained.unet.null_class):
        if not args.label:
            raise ValueError("--class must be given: the network knows no image without a class")
        (labels,) = _sampling.chosen_labels([args.label], names, trained.unet)
    shown = condition(args, trained)
    if shown is not None and len(shown) not in (1, n):
        raise ValueError(
            f"--condition must be one, or one for each of {n} images, got {len(shown)}"
        )
    return trained.denoise(
        labels,
        condition=shown,
        threshold=_sampling.THRESHOLDS[args.threshold],
    )


def _moved(trained: Any, denoise: Any, plan: "Plan", x: Any) -> Any:
    """The end of the plan from a host array, on the host."""
    from ..plan import sample

    return trained.host(sample(denoise, plan, trained.array(x)))


def _write(path: Path, **arrays: Any) -> None:
    import numpy as np

    from .._files import replacing

    with replacing(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _draw(path: Path, schedule: Any, time: float, images: Any, latent: Any, back: Any) -> None:
    import numpy as np

    from ..training.pictures import filmstrip, save_png

    alpha, sigma = schedule(time)
    # Noise is of standard deviation 1 and a picture's range is 2: three deviations are shown.
    noise = latent / (3.0 * np.hypot(alpha, sigma))
    save_png(path, filmstrip([images, noise, back]))
