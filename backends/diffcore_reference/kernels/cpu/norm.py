"""GroupNorm, and SiLU of it, in two passes each way; `Arrays.normalise` says what they are.

Forward: one pass for the sums of each channel, one that writes z = a x + d, or its silu, where
mean, deviation, gain and bias are one factor a and one offset d for each channel of an image.
Backward: the same, with z found again from x. Sums of squares are taken about a channel's first
value, so that a large mean cancels nothing. `channels` has the passes, sixteen channels at a time.
"""

import numpy as np
from numba import njit, prange

from .channels import combined, curved, curved_sums, moments, straight, straight_sums
from .exponential import f
from .lanes import WIDTH as LANES
from .products import FAST


@njit(parallel=True, **FAST)
def forward(  # type: ignore[no-untyped-def]
    x, added, gain, bias, groups, eps, bent, y, mean, rstd
):
    """y = z = gain xhat + bias, or silu(z) where it is bent. x, y: (batch, pixels, channels).

    added: (batch, channels), or empty. gain, bias: the same, or one row for all; mean, rstd:
    (batch, groups).
    """
    batch, pixels, channels = x.shape
    size = channels // groups
    step = 4 * channels
    for b in prange(batch):
        a, d = np.empty(channels, np.float32), np.empty(channels, np.float32)
        off, sums = np.zeros(channels, np.float32), np.empty((2, LANES), np.float32)
        own, square = np.empty(channels, np.float32), np.empty(channels, np.float32)
        own_gain, own_bias = gain[b % gain.shape[0]], bias[b % bias.shape[0]]
        if added.size:
            off[:] = added[b]
        source, target = x[b].ctypes.data, y[b].ctypes.data
        for c in range(0, channels, LANES):
            moments(source + 4 * c, step, pixels, sums.ctypes.data)
            for i in range(LANES):
                own[c + i] = sums[0, i] / pixels
                square[c + i] = sums[1, i] / pixels
        for g in range(groups):
            middle = 0.0
            for c in range(g * size, (g + 1) * size):
                middle += np.float64(x[b, 0, c]) + off[c] + own[c]
            middle /= size
            spread = 0.0
            for c in range(g * size, (g + 1) * size):
                away = np.float64(x[b, 0, c]) + off[c] + own[c] - middle
                spread += square[c] - own[c] * own[c] + away * away
            r = 1.0 / np.sqrt(max(spread / size, 0.0) + eps)
            mean[b, g], rstd[b, g] = middle, r
            for c in range(g * size, (g + 1) * size):
                a[c] = own_gain[c] * r
                d[c] = own_bias[c] + (off[c] - middle) * a[c]
        for c in range(0, 4 * channels, 4 * LANES):
            factor, offset = a.ctypes.data + c, d.ctypes.data + c
            if bent:
                curved(source + c, step, pixels, factor, offset, target + c)
            else:
                straight(source + c, step, pixels, factor, offset, target + c)


@njit(parallel=True, **FAST)
def backward(  # type: ignore[no-untyped-def]
    dy, x, added, gain, bias, mean, rstd, bent, dx, dgain, dbias
):
    """dx, dgain, dbias of `forward`; the latter two (batch, channels)."""
    batch, pixels, channels = x.shape
    groups = mean.shape[1]
    size = channels // groups
    step = 4 * channels
    share = f(1.0 / (pixels * size))
    for b in prange(batch):
        a, d = np.empty(channels, np.float32), np.empty(channels, np.float32)
        off, sums = np.zeros(channels, np.float32), np.empty((2, LANES), np.float32)
        factor = np.empty(channels, np.float32)
        own_gain = gain[b % gain.shape[0]]
        if added.size:
            off[:] = added[b]
        for c in range(channels):
            a[c] = own_gain[c] * rstd[b, c // size]
            off[c] -= mean[b, c // size]
        source, slope, target = x[b].ctypes.data, dy[b].ctypes.data, dx[b].ctypes.data
        if bent:
            own_bias = bias[b % bias.shape[0]]
            for c in range(channels):
                d[c] = own_bias[c] + off[c] * a[c]
        for c in range(0, channels, LANES):
            at = 4 * c
            numbers = off.ctypes.data + at
            if bent:
                curved_sums(
                    slope + at,
                    source + at,
                    step,
                    pixels,
                    a.ctypes.data + at,
                    d.ctypes.data + at,
                    numbers,
                    target + at,
                    sums.ctypes.data,
                )
            else:
                straight_sums(slope + at, source + at, step, pixels, numbers, sums.ctypes.data)
            for i in range(LANES):
                dbias[b, c + i] = sums[0, i]
                dgain[b, c + i] = sums[1, i] * rstd[b, (c + i) // size]
        for g in range(groups):
            r, m_1, m_2 = rstd[b, g], f(0), f(0)
            for c in range(g * size, (g + 1) * size):
                m_1 += own_gain[c] * dbias[b, c]
                m_2 += own_gain[c] * dgain[b, c]
            for c in range(g * size, (g + 1) * size):
                factor[c] = -r * r * m_2 * share
                d[c] = factor[c] * off[c] - r * m_1 * share
        before = target if bent else slope
        for c in range(0, 4 * channels, 4 * LANES):
            combined(
                before + c,
                source + c,
                step,
                pixels,
                a.ctypes.data + c,
                factor.ctypes.data + c,
                d.ctypes.data + c,
                target + c,
            )
