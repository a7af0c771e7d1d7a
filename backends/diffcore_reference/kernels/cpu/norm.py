"""GroupNorm, and SiLU of it, in two passes each way; `Arrays.normalise` says what they are.

Forward: one pass for the sums of each channel, one that writes z = a x + d, or its silu, where mean,
deviation, gain and bias are one factor a and one offset d for each channel of an image. Backward: the same,
with z found again from x. Sums of squares are taken about a channel's first value, so that a large
mean cancels nothing.
"""

import numpy as np
from numba import njit, prange

from .exponential import FAST, f, sigmoid


@njit(inline="always", **FAST)
def _statistics(x, added, groups, eps, mean, rstd):  # type: ignore[no-untyped-def]
    """Mean and 1 / deviation of each group of one image x (pixels, channels) + added."""
    pixels, channels = x.shape
    each = channels // groups
    total, square = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    origin = x[0]
    for p in range(pixels):
        row = x[p]
        for c in range(channels):
            v = row[c] - origin[c]
            total[c] += v
            square[c] += v * v
    for g in range(groups):
        middle = 0.0
        for c in range(g * each, (g + 1) * each):
            middle += origin[c] + added[c] + total[c] / pixels
        middle /= each
        spread = 0.0
        for c in range(g * each, (g + 1) * each):
            own = total[c] / pixels
            off = origin[c] + added[c] + own - middle
            spread += square[c] / pixels - own * own + off * off
        mean[g] = middle
        rstd[g] = 1.0 / np.sqrt(max(spread / each, 0.0) + eps)


@njit(parallel=True, **FAST)
def forward(  # type: ignore[no-untyped-def]
    x, added, gain, bias, groups, eps, curved, y, mean, rstd
):
    """y = z = gain xhat + bias, or silu(z) where it is curved. x, y: (batch, pixels, channels); added, gain, bias: (batch,
    channels); mean, rstd: (batch, groups).
    """
    batch, pixels, channels = x.shape
    each = channels // groups
    for b in prange(batch):
        a, d = np.empty(channels, np.float32), np.empty(channels, np.float32)
        image, out = x[b], y[b]
        _statistics(image, added[b], groups, eps, mean[b], rstd[b])
        for c in range(channels):
            a[c] = gain[b, c] * rstd[b, c // each]
            d[c] = bias[b, c] + (added[b, c] - mean[b, c // each]) * a[c]
        for p in range(pixels):
            row, into = image[p], out[p]
            if curved:
                for c in range(channels):
                    z = row[c] * a[c] + d[c]
                    into[c] = z * sigmoid(z)
            else:
                for c in range(channels):
                    into[c] = row[c] * a[c] + d[c]


@njit(parallel=True, **FAST)
def backward(  # type: ignore[no-untyped-def]
    dy, x, added, gain, bias, mean, rstd, curved, dx, dgain, dbias
):
    """dx, dgain, dbias of `forward`; the latter two (batch, channels)."""
    batch, pixels, channels = x.shape
    groups = mean.shape[1]
    each = channels // groups
    share = f(1.0 / (pixels * each))
    for b in prange(batch):
        a, d = np.empty(channels, np.float32), np.empty(channels, np.float32)
        off = np.empty(channels, np.float32)
        plain, weighted = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
        image, back, out = x[b], dy[b], dx[b]
        for c in range(channels):
            a[c] = gain[b, c] * rstd[b, c // each]
            off[c] = added[b, c] - mean[b, c // each]
            d[c] = bias[b, c] + off[c] * a[c]
        for p in range(pixels):
            row, above, into = image[p], back[p], out[p]
            if curved:
                for c in range(channels):
                    z = row[c] * a[c] + d[c]
                    s = sigmoid(z)
                    dz = above[c] * s * (f(1.0) + z * (f(1.0) - s))
                    into[c] = dz
                    plain[c] += dz
                    weighted[c] += dz * (row[c] + off[c])
            else:
                for c in range(channels):
                    plain[c] += above[c]
                    weighted[c] += above[c] * (row[c] + off[c])
        factor, offset = np.empty(channels, np.float32), np.empty(channels, np.float32)
        for g in range(groups):
            r, m_1, m_2 = rstd[b, g], f(0.0), f(0.0)
            for c in range(g * each, (g + 1) * each):
                dbias[b, c] = plain[c]
                dgain[b, c] = weighted[c] * r
                m_1 += gain[b, c] * plain[c]
                m_2 += gain[b, c] * dgain[b, c]
            for c in range(g * each, (g + 1) * each):
                factor[c] = -r * r * m_2 * share
                offset[c] = factor[c] * off[c] - r * m_1 * share
        for p in range(pixels):
            row, into = image[p], out[p]
            above = into if curved else back[p]
            for c in range(channels):
                into[c] = a[c] * above[c] + factor[c] * row[c] + offset[c]
