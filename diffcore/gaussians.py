"""Gaussians, elementwise: log density, KL, log of the normal CDF, mass of a bin.

    log N(x; m, v)            = -((x - m)^2 / v + log(2 pi v)) / 2
    KL(N(m1, v1) || N(m2, v2)) = (w - log(1 + w) + (m1 - m2)^2 / v2) / 2,   w = (v1 - v2) / v2
    log P(bin of x)           = log(Phi((x + h - m) / s) - Phi((x - h - m) / s))

The last is the discretised likelihood of Ho et al. 2020 (eq. 13), h half a bin, the two end bins
open. The Array API has no erf: all of it rests on Mills' ratio M(y) = Q(y) / phi(y), y >= 0, with
phi the density of N(0, 1) and Q its upper tail.

Means and variances are arrays that broadcast, or Python floats; arrays share one library and dtype,
which is the result's. float16 and bfloat16 are computed in float32 and cast back. Nothing looks at
the values of an array, so a variance in one that is not positive gives inf or NaN.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arguments import number, positive
from ._arrays import (
    A,
    Scalar,
    is_number,
    namespace,
    placement,
    require_floating,
    require_library,
)

LOG_2_PI = math.log(2.0 * math.pi)

# (1 + y) M(y) as a polynomial in t = 1 - 10 / (5 + y), which maps y in [0, inf) to [-1, 1): its
# Chebyshev expansion, cut where the rest is below an eps and written in powers of t, lowest first.
# fmt: off
MILLS = (
    1.1568486282918946, -0.22948753825211315, 0.07778159886873769, 0.0250721793016388,
    -0.0661776007790963, 0.0615050458401865, -0.03802659218584139, 0.01634823128102938,
    -0.004201290329187307, 1.9530638370790786e-05, 0.00045704392357953655, -0.0001343742785571135,
    -2.480583845192319e-05, 2.270961270923768e-05, -1.7633239265736746e-07, -3.277287633208865e-06,
    3.2054316652589574e-07, 4.91996233147834e-07, -6.588974491108954e-08, -7.758520236786343e-08,
    9.092476134019147e-09, 1.1032071151574336e-08, -7.073898575561589e-10, -9.564832934712551e-10,
)
MILLS_FLOAT32 = (
    1.15684864, -0.229487583, 0.0777807586, 0.025073458, -0.0661677703, 0.0614946224, -0.0380686986,
    0.016384998, -0.00411961492, -4.47401566e-05, 0.000383765462, -7.78268085e-05,
)
# fmt: on

# Gauss-Legendre nodes in (0, 1) and weights that sum to 1: exact to an eps for a narrow bin.
NODES = [
    (float(z), float(w))
    for z, w in zip(*np.polynomial.legendre.leggauss(8), strict=True)
    if z > 0.0
]
NARROW = 0.5


def log_density(x: A, mean: Scalar, variance: Scalar) -> A:
    """log N(x; mean, variance), elementwise, in nats.

    Raises TypeError or ValueError that names the argument.
    """
    _require_positive(variance=variance)
    xp, dtype, (x_, mean_, variance_) = _prepare(x=x, mean=mean, variance=variance)
    offset = x_ - mean_
    result = -0.5 * (offset * (offset / variance_) + (xp.log(variance_) + LOG_2_PI))
    return xp.astype(result, dtype, copy=False)  # type: ignore[no-any-return]


def kl(mean_1: Scalar, variance_1: Scalar, mean_2: Scalar, variance_2: Scalar) -> Any:
    """KL(N(mean_1, variance_1) || N(mean_2, variance_2)), elementwise, in nats.

    At least one argument is an array. Close variances cancel nothing: the result is accurate to a
    few eps of itself, and not negative, for every ratio of variances.
    """
    _require_positive(variance_1=variance_1, variance_2=variance_2)
    xp, dtype, (m_1, v_1, m_2, v_2) = _prepare(
        mean_1=mean_1, variance_1=variance_1, mean_2=mean_2, variance_2=variance_2
    )
    offset = m_1 - m_2
    result = 0.5 * (_excess(xp, v_1, v_2) + offset * (offset / v_2))
    return xp.astype(result, dtype, copy=False)


def log_ndtr(x: A) -> A:
    """log Phi(x), elementwise: the logarithm of the standard normal CDF.

    Accurate to a few eps of itself on the whole line, as far as the library's own log1p is; its
    gradient is finite wherever it is.
    """
    xp, dtype, (x_,) = _prepare(x=x)
    # Not abs, whose gradient at 0 is 0.
    below = x_ < 0.0
    y = xp.where(below, -x_, x_)
    mills = _mills(xp, y)
    result = xp.where(below, _log_tail(xp, y, mills), xp.log1p(-_tail(xp, y, mills)))
    return xp.astype(result, dtype, copy=False)  # type: ignore[no-any-return]


def discretised_log_likelihood(
    x: A,
    mean: Scalar,
    variance: Scalar,
    bin_width: float = 2.0 / 255.0,
    low: float = -1.0,
    high: float = 1.0,
) -> A:
    """log of the mass that N(mean, variance) gives the bin around x (Ho et al. 2020, eq. 13).

    x: data on the grid low, low + bin_width, ..., high (the default: 256 levels in [-1, 1]). Its
    bin reaches half a width to both sides; the bins at `low` and `high` are open outwards, so that
    all bins sum to 1, and hold every x beyond the grid too. Elementwise, in nats. Accurate to a few
    eps, given x - mean, in both tails, for bins much narrower than a standard deviation and for
    bins much wider.

    Raises TypeError or ValueError that names the argument.
    """
    _require_positive(variance=variance)
    bin_width, low, high = (
        positive("bin_width", bin_width),
        number("low", low),
        number("high", high),
    )
    if not low + bin_width <= high:
        raise ValueError(f"high must be at least low + bin_width = {low + bin_width}, got {high}")
    xp, dtype, (x_, mean_, variance_) = _prepare(x=x, mean=mean, variance=variance)
    half = 0.5 * bin_width
    deviation = xp.sqrt(variance_)
    offset = x_ - mean_
    above = offset >= 0.0
    # By symmetry the bin [near, far] is taken to lie above the mean, in standard deviations.
    distance = xp.where(above, offset, -offset)
    near, far = (distance - half) / deviation, (distance + half) / deviation
    centre, radius = distance / deviation, half / deviation

    outside = near > 0.0
    y = xp.where(outside, near, -near)
    mills_near, mills_far = _mills(xp, y), _mills(xp, far)
    log_tail_near = _log_tail(xp, y, mills_near)
    tail_near, tail_far = _tail(xp, y, mills_near), _tail(xp, far, mills_far)
    narrow = (radius <= NARROW) & (centre * radius <= NARROW)

    # Masked branches are given harmless values: where(c, a, b) passes on a NaN gradient of either.
    # Bin beside the mean: Q(near) (1 - Q(far) / Q(near)).
    drop = 2.0 * centre * radius + xp.log(mills_near / mills_far)
    drop = xp.where(outside & ~narrow, drop, xp.ones_like(drop))
    beside = log_tail_near + xp.log1p(-xp.exp(-drop))
    # Bin around the mean: 1 - Q(-near) - Q(far).
    missed = tail_near + tail_far
    missed = xp.where(outside | narrow, xp.zeros_like(missed), missed)
    around = xp.log1p(-missed)
    closed = xp.where(
        narrow, _log_narrow(xp, centre, radius, narrow), xp.where(outside, beside, around)
    )

    # Open bins: Phi(far) where they open away from the mean, Phi(-near) where towards it.
    lowest, highest = x_ < low + half, x_ > high - half
    inwards = xp.where(outside, log_tail_near, xp.log1p(-tail_near))
    opened = xp.where(lowest == above, xp.log1p(-tail_far), inwards)
    result = xp.where(lowest | highest, opened, closed)
    return xp.astype(result, dtype, copy=False)  # type: ignore[no-any-return]


def _excess(xp: Any, v_1: Any, v_2: Any) -> Any:
    """r - 1 - log r >= 0 for r = v_1 / v_2.

    Close to r = 1, log r = 2 atanh z with z = (r - 1) / (r + 1) and r - 1 = 2 z / (1 - z), so that
    what is left is z (w - 2 z^2 (1/3 + z^2/5 + z^4/7 + ...)), w = r - 1.
    """
    w, z = (v_1 - v_2) / v_2, (v_1 - v_2) / (v_1 + v_2)
    square = z * z
    series = _horner(square, [1.0 / (2 * n + 3) for n in range(12)])
    near = z * (w - 2.0 * square * series)
    far = w - xp.log(v_1 / v_2)
    return xp.where(square < 0.04, near, far)


def _mills(xp: Any, y: Any) -> Any:
    """M(y) = Q(y) / phi(y) for y >= 0, to a few eps."""
    t = 1.0 - 10.0 / (5.0 + y)
    return _horner(t, MILLS if y.dtype == xp.float64 else MILLS_FLOAT32) / (1.0 + y)


def _tail(xp: Any, y: Any, mills: Any) -> Any:
    """Q(y) for y >= 0."""
    # Beyond 64 it is 0 in float64 too, and the factors below would overflow.
    y = xp.where(y < 64.0, y, xp.full_like(y, 64.0))
    # y^2 split in a part with few digits, whose square is exact, and a small rest: exp of a rounded
    # y^2 / 2 alone would be off by y^2 / 2 eps.
    coarse = xp.round(16.0 * y) / 16.0
    density = xp.exp(-0.5 * coarse * coarse) * xp.exp(-0.5 * (y - coarse) * (y + coarse))
    return density * (mills / math.sqrt(2.0 * math.pi))


def _log_tail(xp: Any, y: Any, mills: Any) -> Any:
    """log Q(y) for y >= 0; both of its terms are negative."""
    return -0.5 * y * y + xp.log(mills / math.sqrt(2.0 * math.pi))


def _log_narrow(xp: Any, centre: Any, radius: Any, narrow: Any) -> Any:
    """log of the mass within `radius` of `centre`, where both radius and their product are small.

    2 r phi(c) times the mean over z in [0, 1] of cosh(c r z) exp(-(r z)^2 / 2).
    """
    tilt = xp.where(narrow, centre * radius, xp.zeros_like(centre))
    width = xp.where(narrow, radius, xp.zeros_like(centre))
    mean = sum(w * xp.cosh(z * tilt) * xp.exp(-0.5 * (z * width) * (z * width)) for z, w in NODES)
    return -0.5 * centre * centre + xp.log(radius * math.sqrt(2.0 / math.pi)) + xp.log(mean)


def _horner(x: Any, coefficients: Sequence[float]) -> Any:
    total = coefficients[-1] * x + coefficients[-2]
    for c in coefficients[-3::-1]:
        total = total * x + c
    return total


def _prepare(**values: Any) -> tuple[Any, Any, list[Any]]:
    """The namespace, the result's dtype, and the values as arrays of at least float32."""
    arrays = {name: value for name, value in values.items() if not is_number(value)}
    if not arrays:
        raise TypeError(f"one of {', '.join(values)} must be an array, got numbers only")
    for name, value in arrays.items():
        require_floating(name, value)
    first, like = next(iter(arrays.items()))
    for name, value in arrays.items():
        if value.dtype != like.dtype:
            raise TypeError(
                f"{name} must have the dtype of {first}, {like.dtype}, got {value.dtype}"
            )
        require_library(name, value, first, like)
    xp = namespace(*arrays.values())
    work = xp.float64 if like.dtype == xp.float64 else xp.float32
    prepared = [
        xp.full((), float(value), dtype=work, **placement(like))
        if is_number(value)
        else xp.astype(value, work, copy=False)
        for value in values.values()
    ]
    return xp, like.dtype, prepared


def _require_positive(**values: Any) -> None:
    for name, value in values.items():
        if is_number(value) and not 0.0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")
