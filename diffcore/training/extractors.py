"""Features by name: an image as the vector that a judgement is made on.

pixels            the image's pixels, or means over blocks of them (see `features`)
classifier        margins of a classifier that learns the reference's labels (see `classifier`)
inception         the 2048 numbers of Inception v3 that FID is made of, by torchmetrics
module:callable   your own: called with float32 images (n, C, H, W) in [-1, 1], returns (n, d)
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import to_host
from .._optional import optional
from . import classifier as classifiers
from .features import features
from .images import Float, Images
from .mmd import Double

Extractor = Callable[[Float], Double]
"""extractor(images): float32 (n, C, H, W) in [-1, 1] -> float64 (n, d)."""

NAMES = ("pixels", "classifier", "inception")
CLASSIFIED = 4000
"""How many images the classifier learns from at most: its time grows as their square."""


def extractor(name: str, reference: Images, *, device: str = "cpu", batch: int = 64) -> Extractor:
    """The features of that name. ValueError or ImportError that says why it cannot be had.

    device, batch: of inception, and the batch of a callable's too.
    """
    if name == "pixels":
        return features
    if name == "classifier":
        return _classifier(reference)
    if name == "inception":
        return _in_batches(_inception(device), "inception", batch)
    return _in_batches(_imported(name), name, batch)


def _classifier(reference: Images) -> Extractor:
    if reference.labels is None:
        raise ValueError("features 'classifier' needs a reference with labels, got one without")
    chosen = np.sort(np.random.default_rng(0).permutation(len(reference))[:CLASSIFIED])
    count = 1 + int(max(reference.labels.max(), len(reference.classes) - 1))
    learnt = classifiers.fit(features(reference.batch(chosen)), reference.labels[chosen], count)
    return lambda images: learnt.margins(features(images))


def _imported(name: str) -> Callable[[Float], Any]:
    module, colon, attribute = name.partition(":")
    if not module or not colon or not attribute:
        raise ValueError(f"features must be {', '.join(NAMES)} or module:callable, got {name!r}")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"features {name!r}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"features {name!r}: {module} has no {attribute}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"features {name!r}: must be callable, is {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _inception(device: str) -> Callable[[Float], Any]:
    """torchmetrics' Inception v3; it takes uint8 RGB, and loads its weights at the first use."""
    fid = optional("torchmetrics.image.fid", "inception")
    torch = optional("torch", "torch")
    try:
        network = fid.NoTrainInceptionV3(name="inception-v3-compat", features_list=["2048"])
    except Exception as error:
        # Whatever stands between here and the weights: torch-fidelity missing, no network, a proxy.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImportError(
            f"features 'inception': torchmetrics' Inception v3 or its weights cannot be had "
            f"({reason}); pixels, classifier or module:callable need no download"
        ) from error
    network = network.to(device)

    def of(images: Float) -> Any:
        levels = np.clip(np.rint(127.5 * images + 127.5), 0, 255).astype(np.uint8)
        rgb = np.ascontiguousarray(np.broadcast_to(levels, (len(images), 3, *images.shape[2:])))
        with torch.no_grad():
            return network(torch.from_numpy(rgb).to(device)).cpu().numpy()

    return of


def _in_batches(function: Callable[[Float], Any], name: str, batch: int) -> Extractor:
    def of(images: Float) -> Double:
        parts = []
        for start in range(0, len(images), batch):
            given = np.asarray(images[start : start + batch], np.float32)
            parts.append(_checked(function(given), name, len(given)))
            if parts[0].shape[1] != parts[-1].shape[1]:
                raise ValueError(
                    f"features {name!r}: must return as many numbers for each image, got "
                    f"{parts[0].shape[1]} and {parts[-1].shape[1]}"
                )
        return np.concatenate(parts)

    return of


def _checked(returned: Any, name: str, n: int) -> Double:
    """What a callable returned for n images, an array of any library or a list."""
    try:
        got: npt.NDArray[Any] = to_host(returned)
    except (TypeError, ValueError):
        what = type(returned).__name__
        raise ValueError(f"features {name!r}: must return an array, got a {what}") from None
    if got.ndim != 2 or len(got) != n or not got.shape[1]:
        raise ValueError(f"features {name!r}: must return shape ({n}, d), got {got.shape}")
    if got.dtype.kind not in "fiu":
        raise ValueError(f"features {name!r}: must return real numbers, got {got.dtype}")
    broken = int(np.sum(~np.isfinite(got).all(axis=1)))
    if broken:
        raise ValueError(f"features {name!r}: must be finite; those of {broken} of {n} are not")
    return got.astype(np.float64)
