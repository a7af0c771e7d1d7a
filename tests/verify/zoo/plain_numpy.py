"""The forward process and guidance in NumPy, one function a formula, a time for each sample."""

import numpy as np

T = 24
betas = np.linspace(0.002, 0.3, T)
alpha_bar = np.cumprod(1.0 - betas)
alpha_bar_prev = np.append(1.0, alpha_bar[:-1])
alpha_bar_next = np.append(alpha_bar[1:], 0.0)

sqrt_alpha_bar = np.sqrt(alpha_bar)
sqrt_one_minus_alpha_bar = np.sqrt(1.0 - alpha_bar)
log_one_minus_alpha_bar = np.log(1.0 - alpha_bar)
sqrt_recip_alpha_bar = np.sqrt(1.0 / alpha_bar)
sqrt_recipm1_alpha_bar = np.sqrt(1.0 / alpha_bar - 1.0)
posterior_variance = betas * (1.0 - alpha_bar_prev) / (1.0 - alpha_bar)
posterior_log_variance_clipped = np.log(np.append(posterior_variance[1], posterior_variance[1:]))
posterior_mean_x_0 = betas * np.sqrt(alpha_bar_prev) / (1.0 - alpha_bar)
posterior_mean_x_t = (1.0 - alpha_bar_prev) * np.sqrt(1.0 - betas) / (1.0 - alpha_bar)
sigma2 = posterior_variance


def pick(table, t, like):
    """The entries at t, beside `like`, in its dtype."""
    return table[t].reshape((-1,) + (1,) * (like.ndim - 1)).astype(like.dtype)


def q_sample(x_0, t, eps):
    signal = pick(sqrt_alpha_bar, t, x_0)
    noise = pick(sqrt_one_minus_alpha_bar, t, x_0)
    return signal * x_0 + noise * eps


def q_mean_variance(x_0, t):
    mean = pick(sqrt_alpha_bar, t, x_0) * x_0
    variance = pick(1.0 - alpha_bar, t, x_0)
    return mean, variance, np.log(variance)


def q_posterior(x_0, x_t, t):
    mean = pick(posterior_mean_x_0, t, x_0) * x_0 + pick(posterior_mean_x_t, t, x_t) * x_t
    return mean, pick(posterior_variance, t, x_t), pick(posterior_log_variance_clipped, t, x_t)


def q_transition(x_s, s, t):
    kept = pick(alpha_bar, t, x_s) / pick(alpha_bar, s, x_s)
    return np.sqrt(kept) * x_s, 1.0 - kept


def guide(conditional, unconditional, scale):
    return unconditional + scale * (conditional - unconditional)
