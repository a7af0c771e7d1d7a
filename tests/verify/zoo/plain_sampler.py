"""Samplers as one writes them by hand, over the alphas and sigmas of a grid."""

import numpy as np


def ancestral(denoise, alphas, sigmas, x):
    for i in range(len(alphas) - 1):
        a_t, s_t = level(alphas, sigmas, i)
        a_s, s_s = level(alphas, sigmas, i + 1)
        x_0 = denoise(x, i)
        if s_s == 0.0:
            x = a_s * x_0
            break
        r = (a_t * s_s / (a_s * s_t)) ** 2
        noise = np.random.standard_normal(x.shape).astype(x.dtype)  # noqa: NPY002
        mean = (a_s / a_t) * r * x + a_s * (1 - r) * x_0
        x = mean + s_s * (1 - r) ** 0.5 * noise
    return x


def multistep(denoise, alphas, sigmas, x):
    last_x_0, last_h = None, None
    for i in range(len(alphas) - 1):
        a_t, s_t = level(alphas, sigmas, i)
        a_s, s_s = level(alphas, sigmas, i + 1)
        x_0 = denoise(x, i)
        if s_s == 0.0:
            x = a_s * x_0
            break
        h = float(np.log(a_s / s_s) - np.log(a_t / s_t))
        ahead = x_0
        if last_x_0 is not None:
            ahead = x_0 + h / (2.0 * last_h) * (x_0 - last_x_0)
        x = s_s / s_t * x - a_s * float(np.expm1(-h)) * ahead
        last_x_0, last_h = x_0, h
    return x


def heun(denoise, alphas, sigmas, x):
    for i in range(len(sigmas) - 1):
        s_t, s_s = float(sigmas[i]), float(sigmas[i + 1])
        slope = (x - denoise(x, i)) / s_t
        y = x + (s_s - s_t) * slope
        if s_s > 0.0:
            slope_there = (y - denoise(y, i + 1)) / s_s
            y = x + (s_s - s_t) * (slope + slope_there) / 2.0
        x = y
    return x


def level(alphas, sigmas, i):
    return float(alphas[i]), float(sigmas[i])
