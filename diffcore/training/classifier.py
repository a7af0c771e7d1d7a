"""A classifier of images: an RBF support vector machine, its margins turned to p(class).

    margin_k(x) = mean over j of f_kj(U^T x), f_kj separating class k from class j
    p(x) = softmax(A margin(x) + b)

U are the images' principal axes, 64 at most. A and b are fitted, with a penalty on A, to margins
that cross-validation gives for images the machine has not seen (Platt 1999, for two classes). Far
from every image an RBF machine's margins are its biases, whatever lies there: noise and blurs are
seldom confidently of a class, where a neural network is often sure.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._optional import optional

Double = npt.NDArray[np.float64]
FOLDS, AXES = 5, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """Made by `fit`."""

    axes: Double
    machine: Any
    softmax: Any
    classes: int
    """How many classes there are; of those without an image the probability is zero."""

    def margins(self, x: npt.ArrayLike) -> Double:
        """(n, d) -> (n, K), one for each of the K classes that `fit` saw."""
        return _margins(self.machine, np.asarray(x, np.float64) @ self.axes)

    def probabilities(self, margins: Double) -> Double:
        """Margins (n, K) -> (n, classes), each row with sum 1."""
        p = np.zeros((len(margins), self.classes))
        p[:, self.softmax.classes_] = self.softmax.predict_proba(margins)
        return p


def fit(x: npt.ArrayLike, labels: npt.NDArray[np.int64], classes: int) -> Classifier:
    """A classifier of vectors (n, d) with labels (n,) in 0..classes - 1; the same at every call.

    Raises ValueError where fewer than two classes have images, or one has a single image.
    """
    images = np.asarray(x, np.float64)
    _, counts = np.unique(labels, return_counts=True)
    if len(counts) < 2 or counts.min() < 2:
        raise ValueError(
            "labels must have two classes or more, each with two images or more, got classes of "
            f"{', '.join(map(str, counts))}"
        )
    axes = _principal_axes(images)
    x = images @ axes
    svm = optional("sklearn.svm", "data")
    folds = optional("sklearn.model_selection", "data").StratifiedKFold(
        min(FOLDS, int(counts.min())), shuffle=True, random_state=0
    )

    def machine(rows: npt.NDArray[np.int64]) -> Any:
        return svm.SVC(C=10.0, decision_function_shape="ovo").fit(x[rows], labels[rows])

    unseen = np.empty((len(x), len(counts)))
    for rest, fold in folds.split(x, labels):
        unseen[fold] = _margins(machine(rest), x[fold])
    softmax = optional("sklearn.linear_model", "data").LogisticRegression(max_iter=10_000)
    return Classifier(
        axes=axes,
        machine=machine(np.arange(len(x))),
        softmax=softmax.fit(unseen, labels),
        classes=classes,
    )


def _principal_axes(x: Double) -> Double:
    """(n, d) -> (d, k): the directions of largest variance, or all of them, as they are."""
    if x.shape[1] <= AXES:
        return np.eye(x.shape[1])
    _, axes = np.linalg.eigh(np.cov(x, rowvar=False))
    return np.ascontiguousarray(axes[:, : -AXES - 1 : -1])


def _margins(machine: Any, x: Double) -> Double:
    pairwise = machine.decision_function(x)
    if pairwise.ndim == 1:  # two classes: positive for the second
        return np.stack([-pairwise, pairwise], axis=1)
    k = len(machine.classes_)
    first, second = np.triu_indices(k, 1)  # positive for the first of each pair
    average = np.zeros((len(first), k))
    average[np.arange(len(first)), first] = 1.0 / (k - 1)
    average[np.arange(len(first)), second] = -1.0 / (k - 1)
    margins: Double = pairwise @ average
    return margins
