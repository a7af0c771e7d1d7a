"""Samples and real images, as features, for `diffcore evaluate fd`."""

import argparse
from collections.abc import Sequence
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
from ._tasks import Given, own_conditions

DRAWN = 1000
"""Samples of a network where nobody says how many."""
NEIGHBOURS = 3

Float = npt.NDArray[np.float32]


def measured(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The table of figures, and the figures."""
    samples, reference, notes = _samples_and_reference(args)
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
        *(["real images: a part of them against the rest"] if len(rows) > 1 else []),
        *notes,
    ]
    figures = {
        "source": str(args.source),
        "reference": args.reference,
        "features": args.features,
        "seed": args.seed,
        "rows": {name: asdict(row) for name, row in rows.items()},
    }
    return "\n".join(lines), figures


def _samples_and_reference(args: argparse.Namespace) -> tuple[Float, Images, list[str]]:
    """And what there is to say of how the samples were made."""
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
        return images.all(), _reference(args.reference, images.shape), []
    if args.reference is None and not is_run:
        raise ValueError("--reference must be given where the source is not a run")
    trained = _backends.loading(args.backend).load(path, weights=args.weights, device=args.device)
    unet = trained.unet
    if args.channels not in (None, unet.channels):
        raise ValueError(f"--channels must be the network's, {unet.channels}, got {args.channels}")
    shape = (unet.channels, unet.image_size, unet.image_size)
    # A run's own images: what it was trained on, and what it was not.
    own: tuple[Images, ...] = ()
    if is_run and (args.reference is None or unet.condition_channels):
        own = recipe.load(RunFolder.read(path).recipe).data.load()
    reference = own[0] if args.reference is None else _reference(args.reference, shape)
    n = args.n or DRAWN
    labels: Sequence[int] = range(unet.classes)
    condition, notes = None, []
    if unet.condition_channels:
        shown = own[1] if own else reference
        shown = shown.subset(_chosen(len(shown), n, args.seed))
        condition = own_conditions(trained, shown.all())
        labels = _labels(trained, shown)
        whose = "the run's held-out images" if own else "the reference"
        notes.append(f"conditions: those of {len(shown)} of {whose}, in turn")
    sampler, parameters = args.sampler
    if parameters.get("variance") == "learned" and not unet.learned_variance:
        raise ValueError("--sampler ddpm:variance=learned needs a network that has learnt one")
    drawn = _sampling.draw(
        trained,
        _sampling.planned(
            trained.schedule,
            sampler=sampler,
            parameters=parameters,
            steps=args.steps,
            variance="learned" if unet.learned_variance else "small",
        ),
        n,
        seed=args.seed,
        labels=labels,
        batch=args.batch,
        given=Given(condition=condition),
    )
    broken = int(np.sum(~np.isfinite(drawn.images).all(axis=(1, 2, 3))))
    if broken:
        raise ValueError(f"{broken} of {len(drawn.images)} images that were drawn are not finite")
    return drawn.images, reference, notes


def _labels(trained: Any, shown: Images) -> Sequence[int]:
    """The classes of the images whose conditions are shown, none for a network without."""
    if not trained.unet.classes:
        return ()
    names = _sampling.class_names(trained)
    if shown.labels is None or list(shown.classes) != names:
        raise ValueError(
            f"--reference must have the network's classes, {', '.join(names)}, got "
            f"{', '.join(shown.classes) or 'none'}"
        )
    return [int(label) for label in shown.labels]


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
