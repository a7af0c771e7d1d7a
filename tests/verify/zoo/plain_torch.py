"""DDPM in PyTorch with tables in single precision, and its step from the network's eps."""

import torch

T = 20
beta = torch.linspace(0.003, 0.35, T)
alpha = 1.0 - beta
alpha_bar = torch.cumprod(alpha, dim=0)


def gather(table, t, like):
    return table.gather(0, t).reshape(-1, *[1] * (like.ndim - 1)).to(like.dtype)


def q_mean_variance(x_0, t):
    bar = gather(alpha_bar, t, x_0)
    return bar.sqrt() * x_0, 1.0 - bar


def q_sample(x_0, t, eps):
    mean, variance = q_mean_variance(x_0, t)
    return mean + variance.sqrt() * eps


def q_posterior(x_0, x_t, t):
    bar = gather(alpha_bar, t, x_t)
    first = (t == 0).reshape(bar.shape)
    before = torch.where(first, torch.ones_like(bar), gather(alpha_bar, (t - 1).clamp(min=0), x_t))
    b = gather(beta, t, x_t)
    mean = before.sqrt() * b / (1.0 - bar) * x_0
    mean = mean + (1.0 - b).sqrt() * (1.0 - before) / (1.0 - bar) * x_t
    return mean, b * (1.0 - before) / (1.0 - bar)


def step(output, t: int, x):
    bar, b = alpha_bar[t], beta[t]
    before = alpha_bar[t - 1] if t > 0 else torch.ones(())
    mean = (x - b / (1.0 - bar).sqrt() * output) / (1.0 - b).sqrt()
    variance = b * (1.0 - before) / (1.0 - bar)
    if t > 0:
        mean = mean + variance.sqrt() * torch.randn_like(x)
    return mean


def loss(network, x_0, t, eps):
    x_t = q_sample(x_0, t, eps)
    square = (eps - network(x_t, t)) ** 2
    return square.flatten(1).mean(1)


def guide(conditional, unconditional, scale):
    return scale * conditional + (1.0 - scale) * unconditional
