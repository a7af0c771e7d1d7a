"""Samplers as classes with step(x_t, t, s) and __call__(x_T): right as they stand, in NumPy."""

import math
from itertools import pairwise

import numpy as np


class Sampler:
    def __init__(self, denoiser, start=1.0, stop=0.0, steps=20):
        self.denoiser = denoiser
        self.start, self.stop, self.steps = start, stop, steps

    @property
    def timesteps(self):
        return np.linspace(self.start, self.stop, self.steps + 1).tolist()

    def __call__(self, x_T):
        x = x_T
        for t, s in pairwise(self.timesteps):
            x = self.step(x, t, s)
        return x

    def step(self, x_t, t, s):
        raise NotImplementedError


class DDIMSampler(Sampler):
    def __init__(self, denoiser, eta=0.0, **kwargs):
        super().__init__(denoiser, **kwargs)
        self.eta = eta

    def step(self, x_t, t, s):
        alpha_t, sigma_t = self.denoiser.schedule(t)
        alpha_s, sigma_s = self.denoiser.schedule(s)
        x_0 = self.denoiser(x_t, t).mean
        fresh = self.eta * math.sqrt(1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2)
        eps = (x_t - alpha_t * x_0) / sigma_t
        kept = sigma_s * math.sqrt(1 - fresh**2)
        noise = np.random.randn(*x_t.shape).astype(x_t.dtype)  # noqa: NPY002
        return alpha_s * x_0 + kept * eps + sigma_s * fresh * noise


class DDPMSampler(Sampler):
    def step(self, x_t, t, s):
        alpha_t, sigma_t = self.denoiser.schedule(t)
        alpha_s, sigma_s = self.denoiser.schedule(s)
        x_0 = self.denoiser(x_t, t).mean
        ratio = alpha_t / alpha_s
        beta = sigma_t**2 - ratio**2 * sigma_s**2
        mean = (ratio * sigma_s**2 * x_t + alpha_s * beta * x_0) / sigma_t**2
        variance = beta * sigma_s**2 / sigma_t**2
        noise = np.random.standard_normal(x_t.shape).astype(x_t.dtype)  # noqa: NPY002
        return mean + math.sqrt(variance) * noise


class EulerSampler(Sampler):
    def slope(self, x, time):
        alpha, sigma = self.denoiser.schedule(time)
        return (x - alpha * self.denoiser(x, time).mean) / sigma

    def moved(self, x_t, t, s, slope):
        alpha_t, sigma_t = self.denoiser.schedule(t)
        alpha_s, sigma_s = self.denoiser.schedule(s)
        return alpha_s * (x_t / alpha_t + (sigma_s / alpha_s - sigma_t / alpha_t) * slope)

    def step(self, x_t, t, s):
        return self.moved(x_t, t, s, self.slope(x_t, t))


class HeunSampler(EulerSampler):
    def step(self, x_t, t, s):
        first = self.slope(x_t, t)
        guess = self.moved(x_t, t, s, first)
        second = self.slope(guess, s)
        return self.moved(x_t, t, s, (first + second) / 2)


class LMSSampler(EulerSampler):
    """Two steps of Adams and Bashforth."""

    def __init__(self, denoiser, order=2, **kwargs):
        super().__init__(denoiser, **kwargs)
        if order not in (1, 2):
            raise ValueError(f"order must be 1 or 2, got {order}")
        self.order = order
        self.history = []

    def __call__(self, x_T):
        self.history = []
        return super().__call__(x_T)

    def step(self, x_t, t, s):
        here, there = (sigma / alpha for alpha, sigma in map(self.denoiser.schedule, (t, s)))
        slope = self.slope(x_t, t)
        mean = slope
        if self.history and self.order > 1:
            before, old = self.history[-1]
            mean = slope + (there - here) / (2 * (here - before)) * (slope - old)
        self.history.append((here, slope))
        return self.moved(x_t, t, s, mean)


class DPMpp2MSampler(Sampler):
    def __call__(self, x_T):
        x, previous, gap = x_T, None, None
        for t, s in pairwise(self.timesteps):
            alpha_t, sigma_t = self.denoiser.schedule(t)
            alpha_s, sigma_s = self.denoiser.schedule(s)
            x_0 = self.denoiser(x, t).mean
            h = math.log(alpha_s / sigma_s) - math.log(alpha_t / sigma_t)
            aim = x_0
            if previous is not None:
                aim = x_0 + h / (2 * gap) * (x_0 - previous)
            x = sigma_s / sigma_t * x - alpha_s * math.expm1(-h) * aim
            previous, gap = x_0, h
        return x
