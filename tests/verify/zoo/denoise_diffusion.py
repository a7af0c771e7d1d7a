"""DenoiseDiffusion objects around a network, as float32 tables in PyTorch; indices 0..T-1.

Ho et al. 2020: `DenoiseDiffusion` has a network of eps, the large variance and L_simple;
`PosteriorDiffusion` a network of x_0, the small variance and the KL of the posteriors' means.
"""

import torch


def gather(table, t, x):
    return table.to(x)[t].reshape(-1, *[1] * (x.ndim - 1))


class DenoiseDiffusion:
    def __init__(self, eps_model, n_steps, device):
        self.eps_model = eps_model
        self.beta = torch.linspace(1e-3, 0.2, n_steps, device=device)
        self.alpha_bar = torch.cumprod(1.0 - self.beta, dim=0)
        self.n_steps = n_steps
        self.sigma2 = self.beta

    def q_xt_x0(self, x0, t):
        mean = gather(self.alpha_bar, t, x0) ** 0.5 * x0
        return mean, 1 - gather(self.alpha_bar, t, x0)

    def q_sample(self, x0, t, eps=None):
        if eps is None:
            eps = torch.randn_like(x0)
        mean, variance = self.q_xt_x0(x0, t)
        return mean + variance**0.5 * eps

    def p_sample(self, xt, t):
        beta, bar = gather(self.beta, t, xt), gather(self.alpha_bar, t, xt)
        eps = self.eps_model(xt, t)
        mean = (xt - beta / (1 - bar) ** 0.5 * eps) / (1 - beta) ** 0.5
        noise = torch.randn_like(xt) * (t > 0).reshape(-1, *[1] * (xt.ndim - 1))
        return mean + gather(self.sigma2, t, xt) ** 0.5 * noise

    def loss(self, x0, noise=None):
        t = torch.randint(0, self.n_steps, (x0.shape[0],), device=x0.device)
        if noise is None:
            noise = torch.randn_like(x0)
        xt = self.q_sample(x0, t, noise)
        return torch.nn.functional.mse_loss(noise, self.eps_model(xt, t))


class PosteriorDiffusion(torch.nn.Module):
    def __init__(self, x0_model, n_steps, device):
        super().__init__()
        self.x0_model = x0_model
        beta = torch.linspace(1e-3, 0.2, n_steps, dtype=torch.float64, device=device)
        bar = torch.cumprod(1.0 - beta, dim=0)
        before = torch.cat([torch.ones_like(bar[:1]), bar[:-1]])
        variance = beta * (1.0 - before) / (1.0 - bar)
        self.beta = beta
        self.alpha_bar = bar
        self.n_steps = n_steps
        self.at_x0 = beta * before**0.5 / (1.0 - bar)
        self.at_xt = (1.0 - before) * (1.0 - beta) ** 0.5 / (1.0 - bar)
        self.sigma2 = variance
        self.clipped = torch.cat([variance[1:2], variance[1:]])

    def q_xt_x0(self, x0, t):
        bar = gather(self.alpha_bar, t, x0)
        return bar**0.5 * x0, 1.0 - bar

    def q_sample(self, x0, t, eps=None):
        eps = torch.randn_like(x0) if eps is None else eps
        mean, variance = self.q_xt_x0(x0, t)
        return mean + variance**0.5 * eps

    def posterior_mean(self, x0, xt, t):
        return gather(self.at_x0, t, xt) * x0 + gather(self.at_xt, t, xt) * xt

    def p_sample(self, xt, t):
        mean = self.posterior_mean(self.x0_model(xt, t), xt, t)
        noise = torch.randn_like(xt) * (t > 0).reshape(-1, *[1] * (xt.ndim - 1))
        return mean + gather(self.sigma2, t, xt) ** 0.5 * noise

    def loss(self, x0, noise=None):
        t = torch.randint(0, self.n_steps, (len(x0),), device=x0.device)
        noise = torch.randn_like(x0) if noise is None else noise
        xt = self.q_sample(x0, t, noise)
        guess = self.posterior_mean(self.x0_model(xt, t), xt, t)
        kl = (self.posterior_mean(x0, xt, t) - guess) ** 2 / (2.0 * gather(self.clipped, t, xt))
        return kl.mean()
