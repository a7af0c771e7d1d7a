"""The Fréchet distance between Gaussians, and between sets of features through their moments.

    d^2 = |mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))

Dowson and Landau 1982; for features of images Heusel et al. 2017. With C_i = L_i L_i^T and the
singular value decomposition L_1^T L_2 = P S Q^T the trace is |L_1 P - L_2 Q|_F^2: a sum of squares,
so that nothing cancels where the two are close, and a covariance may be singular.

Of finite sets it is biased upwards: two sets of n_1 and n_2 draws from one Gaussian, its covariance
with eigenvalues l_i, are on average

    (1/n_1 + 1/n_2) (sum_i l_i + 1/2 sum_ij (1 + [i = j]) l_i l_j / (l_i + l_j))

apart, to first order. So distances compare only at equal numbers, and beside that of a real set.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Double = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussian:
    """Mean (d,) and factor (d, k) of a covariance L L^T, float64."""

    mean: Double
    factor: Double


def fitted(features: npt.ArrayLike) -> Gaussian:
    """The Gaussian with the mean and the unbiased covariance of n vectors (n, d), n at least 2.

    Raises ValueError for another shape, and for values that are not finite.
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or len(x) < 2 or not x.shape[1] or not np.isfinite(x).all():
        raise ValueError(
            f"features must be finite, of shape (n, d) with n at least 2, d 1, got shape {x.shape}"
        )
    mean = x.mean(axis=0)
    triangle: Double = np.linalg.qr((x - mean) / np.sqrt(len(x) - 1.0)).R
    return Gaussian(mean=mean, factor=triangle.T)


def distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet distance d^2 of two Gaussians, as is usual in comparing images."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"a and b must have one number of features, got {a.mean.size} and {b.mean.size}"
        )
    k = max(a.factor.shape[1], b.factor.shape[1])
    one, two = _widened(a.factor, k), _widened(b.factor, k)
    p, _, q_transposed = np.linalg.svd(one.T @ two)
    apart = one @ p - two @ q_transposed.T
    return float(np.sum((a.mean - b.mean) ** 2) + np.sum(apart**2))


def _widened(factor: Double, k: int) -> Double:
    """The same covariance's factor with k columns: zeros add nothing."""
    return np.pad(factor, ((0, 0), (0, k - factor.shape[1])))
