"""Images for training: x_0 as floats in [-1, 1], kept as bytes until a batch asks for them.

A byte b of an image whose white is w stands for x_0 = 2 b / w - 1. scikit-learn's digits have 17
grey levels, w = 16, so that x_0 = b / 8 - 1 holds exactly.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .sources import Labels

Float = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """N images of one size.

    `x`: (N, C, H, W), uint8 with levels 0..`white`, or float32 in [-1, 1]. `labels`: (N,) int64, or
    None. `classes`: the names that the labels number.
    """

    x: npt.NDArray[np.uint8] | Float
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    white: int = 255

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.x.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"x must be uint8 or float32 of shape (N, C, H, W), got {self.x.dtype} of shape "
                f"{self.x.shape}"
            )
        if self.labels is not None and self.labels.shape != self.x.shape[:1]:
            raise ValueError(f"labels must have shape ({len(self.x)},), got {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        _, channels, height, width = self.x.shape
        return channels, height, width

    def batch(self, indices: npt.ArrayLike, flips: npt.NDArray[np.bool_] | None = None) -> Float:
        """The images at `indices` as float32 in [-1, 1]; those marked in `flips` are mirrored."""
        stored = self.x[np.asarray(indices)]
        chosen: Float = self._levels()[stored] if stored.dtype == np.uint8 else stored
        if flips is not None:
            chosen[flips] = chosen[flips, :, :, ::-1]
        return chosen

    def all(self) -> Float:
        """Every image as float32 in [-1, 1]."""
        return self.batch(np.arange(len(self)))

    def subset(self, indices: npt.ArrayLike) -> "Images":
        """The images at `indices`, in that order."""
        index = np.asarray(indices)
        labels = None if self.labels is None else self.labels[index]
        return replace(self, x=self.x[index], labels=labels)

    def split(self, held_out: float) -> tuple["Images", "Images"]:
        """(training images, held-out images), the same whenever it is asked.

        `held_out`: a share in (0, 1) or a number of images. Every class gives its share of it. Both
        parts keep the order of the whole.
        """
        if len(self) < 2:
            raise ValueError(f"images must be two at least, one of them held out, got {len(self)}")
        count = round(held_out * len(self)) if isinstance(held_out, float) else held_out
        if isinstance(held_out, float) and 0.0 < held_out < 1.0:
            count = min(max(count, 1), len(self) - 1)
        if not 0 < count < len(self):
            raise ValueError(
                f"held_out must be a share in (0, 1) or a number in 1..{len(self) - 1} "
                f"of the {len(self)} images, got {held_out}"
            )
        held = np.zeros(len(self), bool)
        held[_stratified(self.labels, len(self), count)] = True
        return self.subset(np.flatnonzero(~held)), self.subset(np.flatnonzero(held))

    def digest(self) -> str:
        """A hash of images and labels: whether a resumed run still has the data it began with."""
        digest = hashlib.sha256(f"{self.x.dtype} {self.x.shape} {self.white}".encode())
        digest.update(self.x.tobytes())
        if self.labels is not None:
            digest.update(self.labels.tobytes())
        return digest.hexdigest()

    def _levels(self) -> Float:
        # 2 b / w - 1 in float64, rounded once.
        return (np.arange(256) * 2.0 / self.white - 1.0).astype(np.float32)


def _stratified(labels: Labels | None, n: int, count: int) -> npt.NDArray[np.int64]:
    """`count` of n indices, each class giving its share to within one image."""
    order = np.argsort(_hash(np.arange(n, dtype=np.uint64)), kind="stable")
    if labels is None:
        return order[:count]
    # Spread each class's members evenly over [0, 1) and take those that come first.
    place = np.empty(n)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    chosen: npt.NDArray[np.int64] = order[np.argsort(place[order], kind="stable")][:count]
    return chosen


def _hash(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's output function (Steele et al. 2014): one order for every NumPy version."""
    with np.errstate(over="ignore"):
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
