"""Judging samples: are they images of the kind that was learnt, all kinds of them, and new ones?

    confident       share of samples that a classifier gives one class with p > 0.9
    classes         how many classes have a confident sample
    imbalance       total variation distance of the classes' shares from those of held-out images
    Fréchet         distance to the held-out images, between pixels and between classifier margins
    nearest         median distance to the nearest training image, root mean square over pixels
    copies          share at most a third as far from the nearest training image as from the second

No figure stands alone: a Gaussian fitted to the pixels has almost the Fréchet distance of real
images, and copied training images are perfect but for `copies`. So real images are put beside, at
the same number because Fréchet distances depend on it (see `frechet`), and images that must fail.

The rule for copies is that of Yoon et al. 2023; it misses those of images that the training set
itself holds more than once. Samples are clipped to [-1, 1], as pictures of them are; "pixels" are
means over blocks of them in large images (see `features`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from . import classifier as classifiers
from . import frechet
from .classifier import Classifier
from .features import features, nearest_two
from .forgeries import forgeries
from .frechet import Double, Gaussian
from .images import Float, Images

CONFIDENT = 0.9
CLASSIFIED = 4000
"""How many training images the classifier learns from at most: its time grows as their square."""
REAL = "real images"
HEADS = (
    *("", "images", "confident", "classes", "imbalance"),
    *("F. pixels", "F. margins", "nearest", "copies"),
)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures of one set of images; None where the training images have no labels to judge by."""

    n: int
    """The number of images."""
    confident: float | None
    """Share with p(class) > 0.9."""
    classes: int | None
    """How many classes have a confident image."""
    counts: tuple[int, ...]
    """How many images are most probably of each class."""
    imbalance: float | None
    """Half the sum over classes of |share of images - share of held-out images|: 0 to 1."""
    frechet_pixels: float
    """Squared Fréchet distance to the held-out images, of pixels."""
    frechet_margins: float | None
    """The same of the classifier's margins."""
    nearest: float
    """Median over images of the RMS distance to the nearest training image."""
    copies: float
    """Share at most a third as far from the nearest training image as from the second nearest."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Figures of several sets of images, by the same judge."""

    rows: Mapping[str, Scores]
    accuracy: float | None
    """The classifier's, on the held-out images."""
    classes: tuple[str, ...]
    """Their names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """What samples are held against; made by `appoint`, called with samples."""

    shape: tuple[int, int, int]
    training: Float
    pixels: Gaussian
    classifier: Classifier | None
    margins: Gaussian | None
    shares: Double
    accuracy: float | None

    def __call__(self, samples: npt.ArrayLike) -> Scores:
        """The figures of samples (n, C, H, W), floating, n at least 2.

        Raises ValueError for another shape than the training images', and for what is not finite.
        """
        x = features(_checked(samples, self.shape))
        first, second = nearest_two(x, self.training).T
        scores = Scores(
            n=len(x),
            confident=None,
            classes=None,
            counts=(),
            imbalance=None,
            frechet_pixels=frechet.distance(frechet.fitted(x), self.pixels),
            frechet_margins=None,
            nearest=float(np.median(first)),
            copies=float(np.mean(3.0 * first <= second)),
        )
        if self.classifier is None or self.margins is None:
            return scores
        margins = self.classifier.margins(x)
        p = self.classifier.probabilities(margins)
        best, sure = p.argmax(axis=1), p.max(axis=1) > CONFIDENT
        counts = np.bincount(best, minlength=self.classifier.classes)
        return replace(
            scores,
            confident=float(np.mean(sure)),
            classes=len(np.unique(best[sure])),
            counts=tuple(counts.tolist()),
            imbalance=float(np.abs(counts / len(x) - self.shares).sum() / 2.0),
            frechet_margins=frechet.distance(frechet.fitted(margins), self.margins),
        )


def appoint(reference: Images, held_out: Images) -> Judge:
    """A judge that knows the training images `reference`, and `held_out` ones as the real ones.

    Without labels in both it judges without a classifier. Raises ValueError where their shapes
    differ or there are fewer than two of either.
    """
    if reference.shape != held_out.shape:
        raise ValueError(
            f"held_out must have images of shape {reference.shape}, got {held_out.shape}"
        )
    if min(len(reference), len(held_out)) < 2:
        raise ValueError(
            "reference and held_out must hold two images or more, got "
            f"{len(reference)} and {len(held_out)}"
        )
    training, real = features(reference.all()), features(held_out.all())
    judge = Judge(
        shape=reference.shape,
        training=training.astype(np.float32),
        pixels=frechet.fitted(real),
        classifier=None,
        margins=None,
        shares=np.zeros(0),
        accuracy=None,
    )
    if reference.labels is None or held_out.labels is None:
        return judge
    count = 1 + int(max(reference.labels.max(), held_out.labels.max(), len(reference.classes) - 1))
    chosen = _some(len(reference), CLASSIFIED)
    classifier = classifiers.fit(training[chosen], reference.labels[chosen], count)
    margins = classifier.margins(real)
    right = classifier.probabilities(margins).argmax(axis=1) == held_out.labels
    return replace(
        judge,
        classifier=classifier,
        margins=frechet.fitted(margins),
        shares=np.bincount(held_out.labels, minlength=count) / len(held_out),
        accuracy=float(np.mean(right)),
    )


def judge(samples: npt.ArrayLike, reference: Images, held_out: Images) -> Scores:
    """The figures of samples (n, C, H, W), floating in [-1, 1], alone; see `compare`."""
    return appoint(reference, held_out)(samples)


def compare(
    samples: Mapping[str, npt.ArrayLike], reference: Images, held_out: Images
) -> Comparison:
    """The figures of sets of samples, of real images, and of `forgeries`, which must score badly.

    Real images are the held-out ones, but that their Fréchet distances are those of training images
    (as many as there are samples, if there are that many): for margins a little short, because the
    classifier has seen them.
    """
    if not samples:
        raise ValueError("samples must hold at least one set, got none")
    judge = appoint(reference, held_out)
    rows = {name: judge(x) for name, x in samples.items()}
    n = max(row.n for row in rows.values())
    real = reference.batch(_some(len(reference), n))
    seen = judge(real)
    rows[REAL] = replace(
        judge(held_out.all()),
        frechet_pixels=seen.frechet_pixels,
        frechet_margins=seen.frechet_margins,
    )
    rows |= {name: judge(x) for name, x in forgeries(real, n).items()}
    return Comparison(rows=rows, accuracy=judge.accuracy, classes=reference.classes)


def format_scores(comparison: Comparison) -> str:
    """The figures as a text table, a set of images a line, and what the columns mean."""
    lines = [HEADS]
    of = len(comparison.classes)
    for name, row in comparison.rows.items():
        lines.append(
            (
                name,
                str(row.n),
                _share(row.confident),
                "-" if row.classes is None else f"{row.classes}/{of or len(row.counts)}",
                _number(row.imbalance, ".3f"),
                _number(row.frechet_pixels, ".3f"),
                _number(row.frechet_margins, ".4f"),
                _number(row.nearest, ".3f"),
                _share(row.copies),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    table.insert(1, "-" * len(table[0]))
    table.append("F.: squared Fréchet distance to the held-out images")
    if comparison.accuracy is not None:
        table.append(
            f"confident: p > {CONFIDENT} by a classifier that is right on "
            f"{comparison.accuracy:.1%} of the held-out images"
        )
    return "\n".join(table)


def _share(value: float | None) -> str:
    return _number(value, ".1%")


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _checked(samples: npt.ArrayLike, shape: tuple[int, int, int]) -> Double:
    x = np.asarray(samples)
    if x.ndim != 4 or x.shape[1:] != shape or len(x) < 2:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"samples must have shape (n, {wanted}), n at least 2, got {x.shape}")
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(f"samples must be floating in [-1, 1], got {x.dtype}")
    broken = int(np.sum(~np.isfinite(x).all(axis=(1, 2, 3))))
    if broken:
        raise ValueError(f"samples must be finite; {broken} of {len(x)} are not")
    return np.clip(x.astype(np.float64), -1.0, 1.0)


def _some(n: int, count: int) -> npt.NDArray[np.int64]:
    """`count` of n indices, or all where there are no more, in order; the same at every call."""
    return np.sort(np.random.default_rng(0).permutation(n)[:count])
