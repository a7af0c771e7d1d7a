"""Sampler functions f(model, x, sigmas): right as they stand, in PyTorch."""

import math
from itertools import pairwise

import torch


def ancestral_levels(sigma, sigma_next, eta):
    """How far down to step, and how much noise brings the level up again."""
    up = eta * sigma_next * torch.sqrt(1 - (sigma_next / sigma) ** 2)
    up = torch.minimum(up, sigma_next)
    down = torch.sqrt(sigma_next**2 - up**2)
    return down, up


def sample_euler(
    model, x, sigmas, callback=None, s_churn=0.0, s_tmin=0.0, s_tmax=math.inf, s_noise=1.0
):
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma = sigmas[i]
        if s_churn > 0 and s_tmin <= sigma <= s_tmax:
            gamma = min(s_churn / steps, math.sqrt(2) - 1)
            raised = sigma * (1 + gamma)
            x = x + s_noise * torch.sqrt(raised**2 - sigma**2) * torch.randn_like(x)
            sigma = raised
        x_0 = model(x, sigma)
        if callback is not None:
            callback({"i": i, "x": x, "sigma": sigmas[i], "sigma_hat": sigma, "denoised": x_0})
        slope = (x - x_0) / sigma
        x = x + (sigmas[i + 1] - sigma) * slope
    return x


def sample_heun(model, x, sigmas, extra_args=None):
    extra = extra_args or {}
    for sigma, after in pairwise(sigmas):
        first = (x - model(x, sigma, **extra)) / sigma
        guess = x + (after - sigma) * first
        if after == 0:
            x = guess
        else:
            second = (guess - model(guess, after, **extra)) / after
            x = x + (after - sigma) * (first + second) / 2
    return x


def sample_euler_ancestral(model, x, sigmas, eta=1.0, s_noise=1.0, noise_sampler=None):
    noise = noise_sampler or (lambda a, b: torch.randn_like(x))
    for sigma, after in pairwise(sigmas):
        x_0 = model(x, sigma)
        down, up = ancestral_levels(sigma, after, eta)
        x = x + (down - sigma) * (x - x_0) / sigma
        if after > 0:
            x = x + noise(sigma, after) * s_noise * up
    return x


def sample_dpmpp_2m(model, x, sigmas):
    previous, gap = None, None
    for sigma, after in pairwise(sigmas):
        x_0 = model(x, sigma)
        if after == 0:
            return x_0
        h = torch.log(sigma / after)
        aim = x_0
        if previous is not None:
            aim = x_0 + (x_0 - previous) * h / (2 * gap)
        x = after / sigma * x - torch.expm1(-h) * aim
        previous, gap = x_0, h
    return x


def sample_dpmpp_2m_sde(
    model, x, sigmas, eta=1.0, s_noise=1.0, noise_sampler=None, solver_type="midpoint"
):
    noise = noise_sampler or (lambda a, b: torch.randn_like(x))
    previous, gap = None, None
    for sigma, after in pairwise(sigmas):
        x_0 = model(x, sigma)
        if after == 0:
            return x_0
        h = torch.log(sigma / after)
        decay = (1 + eta) * h
        x = after / sigma * torch.exp(-eta * h) * x - torch.expm1(-decay) * x_0
        if previous is not None:
            slope = (x_0 - previous) * h / gap
            if solver_type == "heun":
                x = x + (1 + torch.expm1(-decay) / decay) * slope
            else:
                x = x - torch.expm1(-decay) / 2 * slope
        if eta > 0:
            x = x + after * torch.sqrt(-torch.expm1(-2 * eta * h)) * s_noise * noise(sigma, after)
        previous, gap = x_0, h
    return x


def adams_weights(nodes, a, b):
    """The integrals over [a, b] of the Lagrange polynomials of the nodes."""
    weights = []
    for j, own in enumerate(nodes):
        polynomial = torch.ones(1, dtype=torch.float64)
        for k, other in enumerate(nodes):
            if k != j:
                rising = torch.cat([torch.zeros(1, dtype=torch.float64), polynomial])
                falling = torch.cat([polynomial * other, torch.zeros(1, dtype=torch.float64)])
                polynomial = (rising - falling) / (own - other)
        powers = torch.arange(1, len(polynomial) + 1)
        weights.append(torch.sum(polynomial * (b**powers - a**powers) / powers))
    return weights


def sample_lms(model, x, sigmas, order=4):
    nodes, slopes = [], []
    for sigma, after in pairwise(sigmas):
        x_0 = model(x, sigma)
        if after == 0:
            return x_0
        nodes.append(sigma)
        slopes.append((x - x_0) / sigma)
        nodes, slopes = nodes[-order:], slopes[-order:]
        for weight, slope in zip(adams_weights(nodes, sigma, after), slopes, strict=True):
            x = x + weight * slope
    return x


def sample_dpm_fast(model, x, sigma_min, sigma_max, n):
    """n calls: steps of three, then what is left."""
    steps = n // 3 + 1
    sizes = [3] * (steps - 2) + [2, 1] if n % 3 == 0 else [3] * (steps - 1) + [n % 3]
    levels = torch.linspace(math.log(sigma_max), math.log(sigma_min), steps + 1).double().exp()
    for size, sigma, after in zip(sizes, levels[:-1], levels[1:], strict=True):
        h = torch.log(sigma / after)
        eps = (x - model(x, sigma)) / sigma
        end = x - after * torch.expm1(h) * eps
        if size == 2:
            middle = sigma * torch.exp(-h / 2)
            y = x - middle * torch.expm1(h / 2) * eps
            inner = (y - model(y, middle)) / middle
            end = x - after * torch.expm1(h) * inner
        if size == 3:
            third, two = sigma * torch.exp(-h / 3), sigma * torch.exp(-2 * h / 3)
            y = x - third * torch.expm1(h / 3) * eps
            rise = (y - model(y, third)) / third - eps
            bend = torch.expm1(2 * h / 3) / (2 * h / 3) - 1
            y = x - two * torch.expm1(2 * h / 3) * eps - two * 2 * bend * rise
            rise = (y - model(y, two)) / two - eps
            end = end - after * 1.5 * (torch.expm1(h) / h - 1) * rise
        x = end
    return x
