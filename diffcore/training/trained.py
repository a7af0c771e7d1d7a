"""A trained network, ready to denoise, in whichever backend it was loaded.

p(x_0 | x_t) by its mean: x_0-hat(x_t, t), with labels, guided or conditioned as one likes
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import is_array, namespace, to_host
from ..denoisers import Clip, Threshold, thresholded
from ..guidance import Rule, batched
from ..plan import Denoise
from ..predictions import Prediction
from ..schedules import ContinuousSchedule, DiscreteSchedule
from ..unet import UNetConfig
from .network_time import as_denoiser

CLIP = Clip()


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A network and what it was trained for; a backend's `load` makes it.

    network: called as network(x, t, labels, condition), arrays of the backend or None. array: a
    host array as the backend's, floating ones in float32. host: the way back. without_gradients:
    makes a function of arrays one that keeps nothing for gradients.
    """

    unet: UNetConfig
    schedule: DiscreteSchedule | ContinuousSchedule
    predicts: Prediction
    step: int
    """Number of updates made."""
    training: Mapping[str, Any]
    """Where it comes from: recipe, data, names of the classes, ..."""
    network: Callable[..., Any]
    array: Callable[[npt.NDArray[Any]], Any]
    host: Callable[[Any], npt.NDArray[Any]]
    without_gradients: Callable[[Any], Any] = lambda function: function

    def denoise(
        self,
        labels: int | Sequence[int] | Any | None = None,
        *,
        condition: Any = None,
        threshold: Threshold | None = CLIP,
    ) -> Denoise:
        """The network as a denoiser of the backend's float32 arrays, for `diffcore.plan.sample`.

        labels: a class for all samples or one for each, 0 .. classes - 1, or `classes` for none;
        left out, all are none. condition: (batch, condition_channels, height, width), or a batch of
        1 for all, for a network that has one; on the host or the backend's. threshold: what is done
        to x_0; images lie in [-1, 1].

        Raises ValueError for a label or a condition that the network does not have.
        """
        denoise: Denoise = self.without_gradients(
            self.differentiable(labels, condition=condition, threshold=threshold)
        )
        return denoise

    def differentiable(
        self,
        labels: int | Sequence[int] | Any | None = None,
        *,
        condition: Any = None,
        threshold: Threshold | None = None,
    ) -> Denoise:
        """The same, but that gradients pass from what it returns to x_t, where there are any."""
        chosen = None if labels is None else self.array(_checked(labels, self.unet))
        if chosen is None and self.unet.classes and not self.unet.null_class:
            raise ValueError("labels must be given: the network has no null class")
        return self._denoiser(
            lambda n: None if chosen is None else _each(chosen, n), condition, threshold
        )

    def guided(
        self,
        labels: int | Sequence[int] | Any,
        rule: Rule | float,
        *,
        condition: Any = None,
        threshold: Threshold | None = CLIP,
    ) -> Denoise:
        """The same, guided away from what it is without labels, at one call on a doubled batch.

        rule: of `diffcore.guidance`, or the weight w. The threshold comes after guidance.

        Raises ValueError for a network without a null class, which knows no image without a label.
        """
        if not self.unet.classes or not self.unet.null_class:
            raise ValueError("the network must have classes and a null class to be guided")
        chosen = self.array(_checked(labels, self.unet))
        none = self.array(np.array(self.unet.classes))

        def both(n: int) -> Any:
            return namespace(chosen).concat([_each(label, n // 2) for label in (chosen, none)])

        pair: Denoise = self.without_gradients(self._denoiser(both, condition, None))
        guided = batched(pair, rule)
        return guided if threshold is None else thresholded(guided, threshold)

    def _denoiser(
        self,
        labels: Callable[[int], Any],
        condition: Any,
        threshold: Threshold | None,
    ) -> Denoise:
        """labels: those of a batch of so many. A condition is repeated to its length."""
        if condition is not None and not self.unet.condition_channels:
            raise ValueError("condition must be left out: the network has no condition channels")
        if condition is None and self.unet.condition_channels:
            raise ValueError("condition must be given: the network has learnt with one")
        shown = condition
        if shown is not None:
            shown = self.array(np.asarray(to_host(shown), np.float32))

        def network(x: Any, t: Any) -> Any:
            n, beside = x.shape[0], shown
            if beside is not None and beside.shape[0] != n:
                beside = namespace(x).concat([beside] * (n // beside.shape[0]))
            return self.network(x, t, labels(n), beside)

        return as_denoiser(
            network,
            self.schedule,
            self.predicts,
            threshold=threshold,
            learned_variance=self.unet.learned_variance,
        )


def _each(labels: Any, n: int) -> Any:
    """One label for each of n samples, of the backend's array of one or of n."""
    if labels.ndim and labels.shape[0] != n:
        raise ValueError(
            f"labels must be one, or one for each of {n} samples, got {labels.shape[0]}"
        )
    return namespace(labels).broadcast_to(labels, (n,))


def _checked(labels: Any, unet: UNetConfig) -> npt.NDArray[np.int64]:
    chosen = np.asarray(to_host(labels) if is_array(labels) else labels)
    if not unet.classes:
        raise ValueError("labels must be left out: the network has no classes")
    if chosen.dtype.kind not in "iu" or chosen.ndim > 1:
        raise ValueError(f"labels must be an integer or one for each sample, got {labels!r}")
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < unet.label_rows:
        raise ValueError(
            f"labels must be in 0..{unet.classes - 1}"
            f"{f', or {unet.classes} for none' if unet.null_class else ''}; got {labels!r}"
        )
    return chosen.astype(np.int64)
