"""What is found in k-diffusion's samplers, each finding reproduced by its own code alone."""

import importlib
import importlib.util
import math
import sys
from types import ModuleType
from typing import Any

import numpy as np
import torch


def sampling() -> ModuleType:
    """`k_diffusion.sampling` alone: the package's own start imports its training code.

    Raises ImportError that says what to install.
    """
    if "k_diffusion" not in sys.modules:
        found = importlib.util.find_spec("k_diffusion")
        if found is None or found.submodule_search_locations is None:
            raise ImportError('k-diffusion is needed for this: pip install "diffcore[published]"')
        package, utils = ModuleType("k_diffusion"), ModuleType("k_diffusion.utils")
        package.__path__ = list(found.submodule_search_locations)
        package.utils = utils
        utils.append_dims = lambda x, ndim: x.reshape(*x.shape, *(1,) * (ndim - x.ndim))
        sys.modules |= {"k_diffusion": package, "k_diffusion.utils": utils}
    try:
        return importlib.import_module("k_diffusion.sampling")
    except ImportError as error:
        raise ImportError(
            f'k-diffusion needs {error.name}: pip install "diffcore[published]"'
        ) from error


def standard_normal(x: Any, sigma: Any) -> Any:
    """The exact denoiser of N(0, 1)."""
    return x / (1.0 + sigma.reshape(-1, *(1,) * (x.ndim - 1)) ** 2)


def one_step(name: str) -> str:
    """Straight from noise to data, in one step."""
    try:
        getattr(sampling(), name)(
            standard_normal,
            torch.ones(2, 3),
            torch.tensor([10.0, 0.0]),
            noise_sampler=lambda *_: torch.zeros(2, 3),
            disable=True,
        )
    except UnboundLocalError as error:
        return f"UnboundLocalError: {error}"
    return "runs"


def spread_before_the_end() -> str:
    """Data that is one point, 0, seen at sigma = 1 with eta = 2: its deviation must be 1."""
    seen = []

    def model(x: Any, sigma: Any) -> Any:
        seen.append((float(sigma[0]), float(x.std())))
        return torch.zeros_like(x)

    torch.manual_seed(0)
    sigmas = torch.tensor([10.0, 1.0, 0.0])
    sampling().sample_dpm_2_ancestral(model, 10 * torch.randn(100_000), sigmas, None, None, True, 2)
    return ", ".join(f"at sigma = {sigma:g} a deviation of {std:.3g}" for sigma, std in seen)


def order_of_lms() -> str:
    """The error from sigma = 2 to 0.1 on N(0, 1), in even steps of sigma, at order 4."""
    counts, errors = (100, 200, 400), []
    for n in counts:
        sigmas = torch.linspace(2.0, 0.1, n + 1, dtype=torch.float64)
        x = torch.ones(1, 1, dtype=torch.float64)
        end = sampling().sample_lms(standard_normal, x, sigmas, disable=True, order=4)
        errors.append(abs(float(end[0, 0]) / math.sqrt((1 + 0.1**2) / (1 + 2.0**2)) - 1))
    return f"order {-np.polyfit(np.log(counts), np.log(errors), 1)[0]:.2f}"


def weight_of_the_old() -> str:
    """The step to sigma = 0: how much an earlier x_0 weighs in what should be the newest."""
    answers = iter([1.0, 0.0])

    def model(x: Any, sigma: Any) -> Any:
        return torch.full_like(x, next(answers))

    x = torch.zeros(1, 1, dtype=torch.float64)
    sigmas = torch.tensor([10.0, 0.02, 0.0], dtype=torch.float64)
    kept = sampling().sample_lms(model, x, sigmas, disable=True)
    return f"after x_0 = 1, then x_0 = 0, it ends in {float(kept[0, 0]):.2g}"


def parabola(name: str = "sample_dpmpp_3m_sde") -> str:
    """One step of order 3 where x_0 is a parabola in lambda = -log sigma, which it must integrate.

    dx / dlambda = m - x, so that the step adds sigma_s int exp(lambda) m dlambda. In lambda the
    integral of exp(lambda) lambda^2 is exp(lambda) (lambda^2 - 2 lambda + 2).
    """
    seen = []

    def model(x: Any, sigma: Any) -> Any:
        seen.append(float(x[0, 0]))
        return torch.full_like(x, float(sigma[0].log()) ** 2)

    times = (0.0, 0.3, 0.7, 1.0)
    sigmas = torch.tensor([math.exp(-t) for t in times], dtype=torch.float64)
    x = torch.zeros(1, 1, dtype=torch.float64)
    end = float(getattr(sampling(), name)(model, x, sigmas, disable=True, eta=0.0)[0, 0])
    t, s = times[-2:]
    integral = (s * s - 2 * s + 2) - math.exp(t - s) * (t * t - 2 * t + 2)
    h = s - t
    second = 1.0 - 2.0 / h * (1.0 - (1.0 - math.exp(-h)) / h)
    wanted = math.exp(t - s) * seen[-1] + integral
    share = (wanted - end) / (h * h * second)
    return f"error {end - wanted:.2e}, which is {share:.3f} of the second derivative's term"


def callback_of_adaptive() -> str:
    """Whether "denoised" is that of the "x" and "sigma" it is told with."""
    told: list[dict[str, Any]] = []
    x = torch.full((1, 1), 10.0, dtype=torch.float64)
    sampling().sample_dpm_adaptive(
        standard_normal, x, 0.02, 10.0, disable=True, callback=told.append
    )
    off = [float((t["denoised"] - standard_normal(t["x"], t["sigma"])).abs().max()) for t in told]
    return f"off by {max(off):.2g} at most, {sum(o > 1e-6 for o in off)} of {len(off)} times"
