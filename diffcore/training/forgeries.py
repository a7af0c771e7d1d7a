"""Images that are wrong on purpose, which a judge of samples has to find out.

fitted Gaussian    mu + sum_i w_i (x_i - mu) / sqrt(m - 1), w ~ N(0, I): the pixels' mean mu and
                   covariance are those of the m images, and nothing else is
blurred images     K_h x K_w^T, K's rows a normal kernel as wide as an eighth of the height
mean image         mu
noise              N(0, I)
"""

import numpy as np
import numpy.typing as npt

Double = npt.NDArray[np.float64]


def forgeries(images: npt.NDArray[np.floating], n: int) -> dict[str, Double]:
    """n images (n, C, H, W) of each kind, from `images` (m, C, H, W); the same at every call.

    They are clipped to [-1, 1].
    """
    x = np.asarray(images, np.float64)
    if x.ndim != 4 or len(x) < 2 or n < 1:
        raise ValueError(
            f"images must be two or more, (m, C, H, W), and n positive, got shape {x.shape}, n {n}"
        )
    mean, (height, width) = x.mean(axis=0), x.shape[2:]
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((n, len(x))) / np.sqrt(len(x) - 1.0)
    some = x[np.arange(n) % len(x)]
    made = {
        "fitted Gaussian": mean + np.tensordot(weights, x - mean, axes=1),
        "blurred images": _kernel(height, height / 8.0) @ some @ _kernel(width, height / 8.0).T,
        "mean image": np.broadcast_to(mean, some.shape),
        "noise": rng.standard_normal(some.shape),
    }
    return {name: np.clip(forged, -1.0, 1.0) for name, forged in made.items()}


def _kernel(n: int, deviation: float) -> Double:
    """The matrix that blurs a line of n pixels; its rows sum to 1."""
    offset = np.subtract.outer(np.arange(n), np.arange(n)) / deviation
    weight = np.exp(-(offset**2) / 2.0)
    kernel: Double = weight / weight.sum(axis=1, keepdims=True)
    return kernel
