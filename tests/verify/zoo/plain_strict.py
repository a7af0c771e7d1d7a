"""DDIM over a cosine schedule in the array API standard, times 0..T with 0 the data."""

import math

import array_api_strict as xp

T = 16


def alpha_bar(t):
    angle = (xp.astype(t, xp.float64) / T * 0.98 + 0.008) / 1.008 * (math.pi / 2.0)
    start = math.cos(0.008 / 1.008 * math.pi / 2.0)
    return (xp.cos(angle) / start) ** 2


def level(t, like):
    bar = alpha_bar(t)[(...,) + (None,) * (like.ndim - 1)]
    return xp.astype(xp.sqrt(bar), like.dtype), xp.astype(xp.sqrt(1.0 - bar), like.dtype)


def q_sample(x_0, t, eps):
    alpha, sigma = level(t, x_0)
    return alpha * x_0 + sigma * eps


def q_transition(x_s, s, t):
    alpha_s, sigma_s = level(s, x_s)
    alpha_t, sigma_t = level(t, x_s)
    scale = alpha_t / alpha_s
    return scale * x_s, sigma_t**2 - scale**2 * sigma_s**2


def step(model, x_t, t, s, z):
    eta = 0.5
    alpha_t, sigma_t = level(t, x_t)
    alpha_s, sigma_s = level(s, x_t)
    v = model(x_t, t)
    x_0 = alpha_t * x_t - sigma_t * v
    eps = sigma_t * x_t + alpha_t * v
    fresh = 1.0 - (alpha_t / alpha_s) ** 2
    noise = eta * sigma_s / sigma_t * xp.sqrt(fresh)
    return alpha_s * x_0 + xp.sqrt(sigma_s**2 - noise**2) * eps + noise * z


def guide(conditional, unconditional, scale):
    return conditional + (scale - 1.0) * (conditional - unconditional)
