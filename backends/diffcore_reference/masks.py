"""Dropout's masks from the portable noise: the same in every library, to the bit.

A value is kept where its normal lies above the quantile of p, and then divided by 1 - p
(Srivastava et al. 2014).
"""

from statistics import NormalDist
from typing import Any

import numpy as np

from diffcore.noise import portable

from .kernels.arrays import Arrays


class Masks:
    """What each dropout of a pass multiplies by; `seed` is the pass's, the step its number.

    The draw is made for (batch, channels, height, width) as everywhere, whatever the layout here.
    """

    def __init__(self, kernels: Arrays, seed: int, p: float) -> None:
        self.kernels, self.noise, self.p = kernels, portable(seed), p

    def __call__(self, x: Any, number: int) -> Any:
        if not self.p:
            return None
        xp, (b, h, w, c) = self.kernels.xp, x.shape
        normals = self.noise(xp.empty((b, c, h, w), np.float32), number)
        kept = normals >= NormalDist().inv_cdf(self.p)
        return xp.ascontiguousarray(xp.moveaxis(kept, 1, -1)).astype(x.dtype) / (1.0 - self.p)
