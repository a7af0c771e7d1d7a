"""`diffcore sample`: images from a run or a checkpoint."""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _backends
from ._arguments import at_least, share
from ._outputs import filling, require_apart, require_suffix, reserve, reserve_folder
from ._planners import GRID_SYNTAX, SYNTAX, grid, sampler
from ._tasks import RESAMPLES, add_options, given, require_together

if TYPE_CHECKING:
    from ._sampling import Drawn

DEFAULT = 64
ANIMATED = (".png", ".apng", ".gif", ".webp")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    sample = commands.add_parser(
        "sample",
        help="draw images from a run or a checkpoint",
        description="Draw images from a trained network. A seed gives the same images on every "
        "machine, up to rounding: image i depends on the seed and i, not on -n or --batch.",
    )
    sample.add_argument(
        "source", type=Path, metavar="RUN|CHECKPOINT", help="a run's folder, or a .safetensors file"
    )
    sample.add_argument(
        "-n",
        type=at_least(1),
        metavar="N",
        help="number of images (default: 64, or one for each of --condition)",
    )
    sample.add_argument(
        "--class",
        nargs="+",
        default=[],
        dest="classes",
        metavar="K|NAME",
        help="classes to draw, in turn, by number or name; none for images of no class "
        "(default: all in turn, where the network has any)",
    )
    add_options(sample)
    sample.add_argument(
        "--sampler",
        type=sampler,
        default="ddim",
        metavar="SAMPLER",
        help=f"{SYNTAX} (default: ddim)",
    )
    sample.add_argument(
        "--steps",
        type=at_least(1),
        metavar="N",
        help="steps from noise to image (default: 50; ddpm: all those of the schedule)",
    )
    sample.add_argument(
        "--eta",
        type=share,
        default=0.0,
        help="ddim's share of fresh noise, 0 to 1: 0 for none, 1 for as much as ddpm (default: 0)",
    )
    sample.add_argument(
        "--variance",
        choices=("small", "large", "learned"),
        help="ddpm's variance: the posterior's, beta_t, or what the network says (default: "
        "learned where the network has learnt it, else small)",
    )
    sample.add_argument(
        "--grid",
        type=grid,
        default="trailing",
        metavar="GRID",
        help=f"which of the schedule's times the steps visit: {GRID_SYNTAX} (default: trailing)",
    )
    sample.add_argument(
        "--threshold",
        choices=("clip", "dynamic", "none"),
        default="clip",
        help="what is done to the network's guess at the image: clip it to [-1, 1], scale it by "
        "its 99.5%% quantile, or nothing (default: clip)",
    )
    sample.add_argument(
        "--weights",
        choices=("ema", "raw"),
        default="ema",
        help="the moving average of the weights, or the last weights themselves (default: ema)",
    )
    sample.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="seed of the noise (default: 0)"
    )
    sample.add_argument(
        "--batch",
        type=at_least(1),
        default=64,
        metavar="N",
        help="images that the network sees at once (default: 64)",
    )
    sample.add_argument(
        "--out",
        default="samples.png",
        metavar="FILE|FOLDER/",
        help="a .png, all images in one picture; an .npz, with arrays images, float32 "
        "(n, channels, height, width) in [-1, 1], and labels; or a folder of PNGs, those of a "
        "class in a folder of its own (default: samples.png)",
    )
    sample.add_argument(
        "--trajectory",
        type=Path,
        metavar="FILE",
        help=f"also show the way from noise to the first images: {', '.join(ANIMATED)}, animated",
    )
    sample.add_argument(
        "--force", action="store_true", help="overwrite files that exist; other files are kept"
    )
    _backends.add_options(sample)
    sample.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw and write."""
    out = Path(args.out)
    require_source(args.source)
    require_together(args)
    is_folder = args.out.endswith(("/", os.sep)) or out.is_dir() or not out.suffix
    if not is_folder and out.suffix.lower() not in (".png", ".npz"):
        raise ValueError(f"--out must end in .png or .npz, or be a folder, got {args.out}")
    if args.trajectory is not None:
        require_suffix(args.trajectory, ANIMATED)
        if args.trajectory.resolve() == out.resolve():
            raise ValueError(f"--trajectory must not be the file of --out, {out}")
    pictures = (args.init, args.inpaint, args.condition)
    for option, path in (("--out", out), ("--trajectory", args.trajectory)):
        if path is not None:
            require_apart(option, path, pictures)

    from . import _sampling

    trained = _backends.loading(args.backend).load(
        args.source, weights=args.weights, device=args.device
    )
    names = _sampling.class_names(trained)
    labels = _sampling.chosen_labels(args.classes, names, trained.unet)
    plan = _plan(args, trained)
    what = given(args, trained)
    conditions = what.condition
    n = args.n or (DEFAULT if conditions is None else len(conditions))
    (reserve_folder if is_folder else reserve)(out, args.force)
    if args.trajectory is not None:
        reserve(args.trajectory, args.force)

    drawn = _sampling.draw(
        trained,
        plan,
        n,
        seed=args.seed,
        labels=labels,
        batch=args.batch,
        threshold=_sampling.THRESHOLDS[args.threshold],
        film=_sampling.filmed(n, labels) if args.trajectory else 0,
        given=what,
    )
    _warn_of_nan(drawn)
    if is_folder:
        _write_folder(out, drawn, names)
    elif out.suffix.lower() == ".npz":
        _write_npz(out, drawn, names)
    else:
        _write_grid(out, drawn)
    print(out)
    if args.trajectory is not None:
        write_trajectory(args.trajectory, drawn)
        print(args.trajectory)
    return 0


def write_trajectory(path: Path, drawn: "Drawn") -> None:
    """The frames of `drawn` as an animated picture, laid out as the images are."""
    from ..training.pictures import animation
    from ._sampling import arranged

    labels = None if drawn.labels is None else drawn.labels[: len(drawn.frames[0])]
    animation(path, [arranged(frame, labels) for frame in drawn.frames])


def require_source(source: Path) -> None:
    """FileNotFoundError where there is no run or checkpoint."""
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such run or checkpoint")


def _plan(args: argparse.Namespace, trained: Any) -> Any:
    from . import _sampling

    learned = trained.unet.learned_variance
    name, parameters = args.sampler
    rule, rule_parameters = args.grid
    if args.variance is not None and name != "ddpm":
        raise ValueError(f"--variance belongs to --sampler ddpm, got {args.variance} with {name}")
    if "learned" in (args.variance, parameters.get("variance")) and not learned:
        raise ValueError("--variance learned needs a network that has learnt one; this has not")
    return _sampling.planned(
        trained.schedule,
        sampler=name,
        parameters=parameters,
        steps=args.steps,
        eta=args.eta,
        variance=args.variance or ("learned" if learned else "small"),
        rule=rule,
        rule_parameters=rule_parameters,
        strength=args.strength or 1.0,
        resamples=1 if args.inpaint is None else args.resamples or RESAMPLES,
        jump=args.jump,
    )


def _warn_of_nan(drawn: "Drawn") -> None:
    import numpy as np

    broken = int(np.sum(~np.isfinite(drawn.images).all(axis=(1, 2, 3))))
    if broken:
        print(
            f"diffcore: warning: {broken} of {len(drawn.images)} images are not finite",
            file=sys.stderr,
        )


def _write_grid(path: Path, drawn: "Drawn") -> None:
    from ..training.pictures import save_png
    from ._sampling import arranged

    save_png(path, arranged(drawn.images, drawn.labels))


def _write_npz(path: Path, drawn: "Drawn", names: list[str]) -> None:
    import numpy as np

    from .._files import replacing

    arrays: dict[str, Any] = {"images": drawn.images}
    if drawn.labels is not None:
        arrays |= {"labels": drawn.labels, "classes": np.array(names)}
    with replacing(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _write_folder(path: Path, drawn: "Drawn", names: list[str]) -> None:
    from ..training.pictures import encode_png, to_uint8

    folders = [_as_file_name(name) for name in [*names, "none"]]
    with filling(path) as draft:
        for i, image in enumerate(to_uint8(drawn.images)):
            folder = draft if drawn.labels is None else draft / folders[drawn.labels[i]]
            folder.mkdir(exist_ok=True)
            picture = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            (folder / f"{i:05d}.png").write_bytes(encode_png(picture))


def _as_file_name(name: str) -> str:
    """A class' name as a folder's: without what a path gives a meaning to."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).lstrip(".") or "_"
