"""Samples and real images, as features, for `diffcore evaluate fd`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..training import recipe
from ..training.data import load_images
from ..training.extractors import extractor
from ..training.fidelity import fidelity, format_fidelity, halves
from ..training.images import Images
from ..training.run_folder import RunFolder
from . import _backends, _sampling

DRAWN = 1000
"""Samples of a network where nobody says how many."""
NEIGHBOURS = 3

Float = npt.NDArray[np.float32]


def measured(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The table of figures, and the figures."""
    samples, reference = _samples_and_reference(args)
    if samples.shape[1:] != reference.shape:
        raise ValueError(
            f"--reference must have images like the samples', {_shape(samples.shape[1:])}, got "
            f"{_shape(reference.shape)}"
        )
    real = reference.subset(_chosen(len(reference), args.reference_n, args.seed))
    features = extractor(args.features, real, device=_device(args.device), batch=args.batch)
    x, y = features(np.clip(samples, -1.0, 1.0)), features(real.all())
    rows = {"samples": fidelity(x, y, NEIGHBOURS)}
    if len(y) >= 2 * (NEIGHBOURS + 1):
        rows["real images"] = fidelity(*halves(y, len(x), args.seed), NEIGHBOURS)
    lines = [
        format_fidelity(rows),
        f"features: {args.features}, {x.shape[1]} numbers an image; seed {args.seed}",
        "Fréchet: the squared distance, which falls with n; KID: unbiased, ± a standard error",
        f"precision, recall: by {NEIGHBOURS} nearest neighbours",
        "real images: a part of them against the rest",
    ]
    figures = {
        "source": str(args.source),
        "reference": args.reference,
        "features": args.features,
        "seed": args.seed,
        "rows": {name: asdict(row) for name, row in rows.items()},
    }
    return "\n".join(lines), figures


def _samples_and_reference(args: argparse.Namespace) -> tuple[Float, Images]:
    path = Path(args.source)
    is_run = (path / "recipe.toml").is_file()
    if not is_run and path.suffix != ".safetensors":
        if args.reference is None:
            raise ValueError("--reference must be given where the source is not a run")
        channels = args.channels or _channels(args.source) or _channels(args.reference) or 3
        images = load_images(args.source, channels=channels, labels=False)
        if args.n is not None and args.n > len(images):
            raise ValueError(f"-n must be at most {len(images)}, the samples there, got {args.n}")
        images = images.subset(_chosen(len(images), args.n or len(images), args.seed))
        return images.all(), _reference(args.reference, images.shape)
    if args.reference is None and not is_run:
        raise ValueError("--reference must be given where the source is not a run")
    trained = _backends.loading(args.backend).load(path, weights=args.weights, device=args.device)
    unet = trained.unet
    if args.channels not in (None, unet.channels):
        raise ValueError(f"--channels must be the network's, {unet.channels}, got {args.channels}")
    shape = (unet.channels, unet.image_size, unet.image_size)
    reference = (
        recipe.load(RunFolder.read(path).recipe).data.load()[0]
        if args.reference is None
        else _reference(args.reference, shape)
    )
    sampler, parameters = args.sampler
    drawn = _sampling.draw(
        trained,
        _sampling.planned(
            trained.schedule, sampler=sampler, parameters=parameters, steps=args.steps
        ),
        args.n or DRAWN,
        seed=args.seed,
        labels=range(unet.classes),
        batch=args.batch,
    )
    broken = int(np.sum(~np.isfinite(drawn.images).all(axis=(1, 2, 3))))
    if broken:
        raise ValueError(f"{broken} of {len(drawn.images)} images that were drawn are not finite")
    return drawn.images, reference


def _reference(source: str, shape: tuple[int, int, int]) -> Images:
    channels, height, width = shape
    return load_images(source, channels=channels, size=height if height == width else None)


def _channels(source: str) -> int | None:
    """Of scikit-learn's digits and of an .npz; None where only decoding would tell."""
    if source == "digits":
        return 1
    if not source.endswith(".npz") or not Path(source).is_file():
        return None
    grey = load_images(source, channels=3).x
    return 1 if bool((grey == grey[:, :1]).all()) else 3


def _chosen(n: int, count: int, seed: int) -> npt.NDArray[np.int64]:
    """`count` of n indices, or all where there are no more, in order."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:count])


def _device(name: str) -> str:
    if name != "auto":
        return name
    from .._optional import optional

    try:
        torch = optional("torch", "torch")
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
