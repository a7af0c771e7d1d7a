"""What is found in azula's samplers, each finding reproduced by its own code alone."""

import importlib
import inspect
import math
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

COUNTS = (64, 128, 256)
FINE = (256, 512, 1024)


def part(name: str) -> ModuleType:
    """A module of azula, such as "sample". Raises ImportError that says what to install."""
    try:
        return importlib.import_module(f"azula.{name}")
    except ImportError as error:
        raise ImportError('azula is needed for this: pip install "diffcore[published]"') from error


class Gaussian:
    """The exact denoiser of N(mean, variance), with one of azula's schedules."""

    def __init__(self, schedule: str, mean: float, variance: float) -> None:
        self.schedule = getattr(part("noise"), schedule)()
        self.mean, self.variance = mean, variance

    def __call__(self, x_t: Any, t: Any) -> Any:
        alpha, sigma = self.schedule(t)
        total = alpha**2 * self.variance + sigma**2
        mean = (sigma**2 * self.mean + alpha * self.variance * x_t) / total
        return SimpleNamespace(mean=mean)


def sampler(kind: Any, denoiser: Gaussian, steps: int, **options: Any) -> Any:
    """One of azula's samplers, in float64 and without its progress bar."""
    kind = getattr(part("sample"), kind) if isinstance(kind, str) else kind
    return kind(denoiser, steps=steps, silent=True, dtype=torch.float64, **options)


def order(
    kind: Any,
    schedule: str = "RectifiedSchedule",
    counts: tuple[int, ...] = COUNTS,
    **options: Any,
) -> float:
    """How fast the error on N(0, 1/4) falls; its flow scales x with its marginal deviation."""
    denoiser, errors = Gaussian(schedule, 0.0, 0.25), []
    for n in counts:
        made = sampler(kind, denoiser, n, **options)
        ends = [denoiser.schedule(t) for t in (made.timesteps[0], made.timesteps[-1])]
        start, end = (math.sqrt(float(a) ** 2 / 4 + float(s) ** 2) for a, s in ends)
        x = torch.tensor([start], dtype=torch.float64)
        errors.append(abs(float(made(x)[0]) / end - 1))
    return -float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


def one_letter() -> str:
    """REAB's order as it is, and with sigma_s where its last line has sigma_t."""
    kind = part("sample").REABSampler
    text = inspect.getsource(kind)
    line = "torch.sqrt(alpha_s**2 + sigma_t**2) * integral"
    assert text.count(line) == 1
    names = dict(vars(part("sample")))
    exec(text.replace(line, line.replace("sigma_t", "sigma_s")), names)
    return f"order {order(kind):.2f}; with sigma_s in its place {order(names['REABSampler']):.2f}"


def one_point(kind: str, steps: int) -> str:
    """Where data that is always 1 ends."""
    denoiser = Gaussian("VPSchedule", 1.0, 0.0)
    torch.manual_seed(0)
    made = sampler(kind, denoiser, steps)
    end = made(torch.randn(100_000, dtype=torch.float64))
    near, last = (float(denoiser.schedule(t)[1]) for t in made.timesteps[-2:])
    return (
        f"ends in {float(end.mean()):.3f} +- {float(end.std()):.3f} after {steps} steps, "
        f"whose last levels are {near:.3g} and {last:.3g}"
    )


def share_of_noise() -> str:
    """One step at eta = 1/2 where x_0 is always 0: the noise's deviation, by that at eta = 1."""
    found = []
    for eta in (0.5, 1.0):
        made = sampler("DDIMSampler", Gaussian("VPSchedule", 0.0, 0.0), 1, eta=eta)
        t, s = (torch.tensor(u, dtype=torch.float64) for u in (0.6, 0.5))
        torch.manual_seed(0)
        found.append(float(made.step(torch.zeros(100_000, dtype=torch.float64), t, s).std()))
    return f"eta = 1/2 draws {found[0] / found[1]:.3f} of the noise of eta = 1"


def above_order_2(kind: str) -> str:
    """A multistep sampler at order 2, 3 and 4."""
    found = (f"{order(kind, 'CosineSchedule', FINE, order=n):.2f} at {n}" for n in (2, 3, 4))
    return f"order {', '.join(found)}"


def without_noise(kind: str) -> str:
    """Where a schedule leads that ends at sigma = 0."""
    denoiser = Gaussian("RectifiedSchedule", 0.0, 0.25)
    denoiser.schedule.sigma_min = 0.0
    end = sampler(kind, denoiser, 4)(torch.ones(1, dtype=torch.float64))
    return f"sigma_0 = 0: ends in {float(end[0]):.3g}"
