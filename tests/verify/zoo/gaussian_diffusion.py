"""A GaussianDiffusion object: float64 tables in NumPy, used as float32 in PyTorch; indices 0..T-1.

Ho et al. 2020 for the process, Nichol & Dhariwal 2021 for learned variances and the hybrid loss,
Song et al. 2021 for DDIM.
"""

import enum

import numpy as np
import torch


class Mean(enum.Enum):
    PREVIOUS_X = 1
    START_X = 2
    EPSILON = 3


class Variance(enum.Enum):
    LEARNED = 1
    FIXED_SMALL = 2
    FIXED_LARGE = 3
    LEARNED_RANGE = 4


class Loss(enum.Enum):
    MSE = 1
    RESCALED_MSE = 2
    KL = 3
    RESCALED_KL = 4


LEARNS = (Variance.LEARNED, Variance.LEARNED_RANGE)


def at(table, t, x):
    """Entries of a table for the samples of x, as float32."""
    picked = torch.from_numpy(table)[t].float()
    return picked.reshape(-1, *[1] * (x.ndim - 1)).expand(x.shape)


def per_sample(x):
    return x.flatten(1).mean(dim=1)


def normal_kl(mean_1, log_variance_1, mean_2, log_variance_2):
    ratio = torch.exp(log_variance_1 - log_variance_2)
    distance = (mean_1 - mean_2) ** 2 * torch.exp(-log_variance_2)
    return 0.5 * (log_variance_2 - log_variance_1 - 1.0 + ratio + distance)


def cdf(x):
    return 0.5 * (1.0 + torch.tanh((2.0 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


def log_of(mass):
    return torch.log(mass.clamp(min=1e-12))


def discretised(x, mean, log_deviation):
    """log mass of x's bin among 256 levels in [-1, 1], the end bins open."""
    half, scale = 1.0 / 255.0, torch.exp(-log_deviation)
    upper = cdf(scale * (x - mean + half))
    lower = cdf(scale * (x - mean - half))
    inside = log_of(upper - lower)
    inside = torch.where(x > 0.999, log_of(1.0 - lower), inside)
    return torch.where(x < -0.999, log_of(upper), inside)


class GaussianDiffusion:
    def __init__(
        self, *, betas, model_mean_type, model_var_type, loss_type, rescale_timesteps=False
    ):
        self.model_mean_type = model_mean_type
        self.model_var_type = model_var_type
        self.loss_type = loss_type
        self.rescale_timesteps = rescale_timesteps
        self.betas = betas = np.array(betas, dtype=np.float64)
        self.num_timesteps = len(betas)

        self.alphas_cumprod = bar = np.cumprod(1.0 - betas)
        self.alphas_cumprod_prev = before = np.append(1.0, bar[:-1])
        self.alphas_cumprod_next = np.append(bar[1:], 0.0)
        self.sqrt_alphas_cumprod = np.sqrt(bar)
        self.sqrt_one_minus_alphas_cumprod = np.sqrt(1.0 - bar)
        self.log_one_minus_alphas_cumprod = np.log(1.0 - bar)
        self.sqrt_recip_alphas_cumprod = np.sqrt(1.0 / bar)
        self.sqrt_recipm1_alphas_cumprod = np.sqrt(1.0 / bar - 1.0)
        self.posterior_variance = betas * (1.0 - before) / (1.0 - bar)
        clipped = np.append(self.posterior_variance[1], self.posterior_variance[1:])
        self.posterior_log_variance_clipped = np.log(clipped)
        self.posterior_mean_coef1 = betas * np.sqrt(before) / (1.0 - bar)
        self.posterior_mean_coef2 = (1.0 - before) * np.sqrt(1.0 - betas) / (1.0 - bar)

    def q_mean_variance(self, x_start, t):
        mean = at(self.sqrt_alphas_cumprod, t, x_start) * x_start
        variance = at(1.0 - self.alphas_cumprod, t, x_start)
        return mean, variance, at(self.log_one_minus_alphas_cumprod, t, x_start)

    def q_sample(self, x_start, t, noise=None):
        if noise is None:
            noise = torch.randn_like(x_start)
        signal = at(self.sqrt_alphas_cumprod, t, x_start) * x_start
        return signal + at(self.sqrt_one_minus_alphas_cumprod, t, x_start) * noise

    def q_posterior_mean_variance(self, x_start, x_t, t):
        mean = at(self.posterior_mean_coef1, t, x_t) * x_start
        mean = mean + at(self.posterior_mean_coef2, t, x_t) * x_t
        variance = at(self.posterior_variance, t, x_t)
        return mean, variance, at(self.posterior_log_variance_clipped, t, x_t)

    def p_mean_variance(self, model, x, t, clip_denoised=True, denoised_fn=None, model_kwargs=None):
        output = model(x, self._told(t), **(model_kwargs or {}))
        log_variance, output = self._log_variance(output, x, t)

        def processed(x_0):
            if denoised_fn is not None:
                x_0 = denoised_fn(x_0)
            return x_0.clamp(-1.0, 1.0) if clip_denoised else x_0

        if self.model_mean_type is Mean.PREVIOUS_X:
            scale = at(1.0 / self.posterior_mean_coef1, t, x)
            ratio = at(self.posterior_mean_coef2 / self.posterior_mean_coef1, t, x)
            pred_xstart = processed(scale * output - ratio * x)
            mean = output
        else:
            if self.model_mean_type is Mean.EPSILON:
                output = self._x_0_from_eps(x, t, output)
            pred_xstart = processed(output)
            mean, _, _ = self.q_posterior_mean_variance(pred_xstart, x, t)
        return {
            "mean": mean,
            "variance": torch.exp(log_variance),
            "log_variance": log_variance,
            "pred_xstart": pred_xstart,
        }

    def _log_variance(self, output, x, t):
        if self.model_var_type in LEARNS:
            output, learned = torch.split(output, x.shape[1], dim=1)
            if self.model_var_type is Variance.LEARNED:
                return learned, output
            low = at(self.posterior_log_variance_clipped, t, x)
            high = at(np.log(self.betas), t, x)
            fraction = (learned + 1.0) / 2.0
            return fraction * high + (1.0 - fraction) * low, output
        if self.model_var_type is Variance.FIXED_LARGE:
            large = np.append(self.posterior_variance[1], self.betas[1:])
            return at(np.log(large), t, x), output
        return at(self.posterior_log_variance_clipped, t, x), output

    def _x_0_from_eps(self, x, t, eps):
        scaled = at(self.sqrt_recip_alphas_cumprod, t, x) * x
        return scaled - at(self.sqrt_recipm1_alphas_cumprod, t, x) * eps

    def _eps_from_x_0(self, x, t, x_0):
        scaled = at(self.sqrt_recip_alphas_cumprod, t, x) * x
        return (scaled - x_0) / at(self.sqrt_recipm1_alphas_cumprod, t, x)

    def _told(self, t):
        return t.float() * (1000.0 / self.num_timesteps) if self.rescale_timesteps else t

    def p_sample(self, model, x, t, clip_denoised=True, denoised_fn=None, model_kwargs=None):
        out = self.p_mean_variance(model, x, t, clip_denoised, denoised_fn, model_kwargs)
        noise = torch.randn_like(x) * (t != 0).reshape(-1, *[1] * (x.ndim - 1))
        sample = out["mean"] + torch.exp(0.5 * out["log_variance"]) * noise
        return {"sample": sample, "pred_xstart": out["pred_xstart"]}

    def ddim_sample(
        self, model, x, t, clip_denoised=True, denoised_fn=None, model_kwargs=None, eta=0.0
    ):
        out = self.p_mean_variance(model, x, t, clip_denoised, denoised_fn, model_kwargs)
        eps = self._eps_from_x_0(x, t, out["pred_xstart"])
        bar, before = at(self.alphas_cumprod, t, x), at(self.alphas_cumprod_prev, t, x)
        sigma = eta * torch.sqrt((1.0 - before) / (1.0 - bar) * (1.0 - bar / before))
        noise = torch.randn_like(x) * (t != 0).reshape(-1, *[1] * (x.ndim - 1))
        direction = torch.sqrt(1.0 - before - sigma**2) * eps
        sample = torch.sqrt(before) * out["pred_xstart"] + direction + sigma * noise
        return {"sample": sample, "pred_xstart": out["pred_xstart"]}

    def ddim_reverse_sample(
        self, model, x, t, clip_denoised=True, denoised_fn=None, model_kwargs=None, eta=0.0
    ):
        assert eta == 0.0
        out = self.p_mean_variance(model, x, t, clip_denoised, denoised_fn, model_kwargs)
        eps = self._eps_from_x_0(x, t, out["pred_xstart"])
        after = at(self.alphas_cumprod_next, t, x)
        sample = torch.sqrt(after) * out["pred_xstart"] + torch.sqrt(1.0 - after) * eps
        return {"sample": sample, "pred_xstart": out["pred_xstart"]}

    def _loop(self, step, model, shape, noise, device, **options):
        img = torch.randn(*shape, device=device) if noise is None else noise
        for i in reversed(range(self.num_timesteps)):
            t = torch.full((shape[0],), i, device=device)
            with torch.no_grad():
                img = step(model, img, t, **options)["sample"]
        return img

    def p_sample_loop(self, model, shape, noise=None, device=None, **options):
        return self._loop(self.p_sample, model, shape, noise, device, **options)

    def ddim_sample_loop(self, model, shape, noise=None, device=None, **options):
        return self._loop(self.ddim_sample, model, shape, noise, device, **options)

    def _vb_terms_bpd(self, model, x_start, x_t, t, clip_denoised=True, model_kwargs=None):
        true_mean, _, true_log_variance = self.q_posterior_mean_variance(x_start, x_t, t)
        out = self.p_mean_variance(model, x_t, t, clip_denoised, model_kwargs=model_kwargs)
        kl = normal_kl(true_mean, true_log_variance, out["mean"], out["log_variance"])
        decoder = -discretised(x_start, out["mean"], 0.5 * out["log_variance"])
        term = torch.where(t == 0, per_sample(decoder), per_sample(kl)) / np.log(2.0)
        return {"output": term, "pred_xstart": out["pred_xstart"]}

    def training_losses(self, model, x_start, t, model_kwargs=None, noise=None):
        if noise is None:
            noise = torch.randn_like(x_start)
        x_t = self.q_sample(x_start, t, noise)
        if self.loss_type in (Loss.KL, Loss.RESCALED_KL):
            term = self._vb_terms_bpd(model, x_start, x_t, t, False, model_kwargs)["output"]
            return {"loss": term * (self.num_timesteps if "RESC" in self.loss_type.name else 1)}
        output = model(x_t, self._told(t), **(model_kwargs or {}))
        terms = {}
        if self.model_var_type in LEARNS:
            output, learned = torch.split(output, x_t.shape[1], dim=1)
            frozen = torch.cat([output.detach(), learned], dim=1)
            vb = self._vb_terms_bpd(lambda *_: frozen, x_start, x_t, t, False)["output"]
            rescaled = self.loss_type is Loss.RESCALED_MSE
            terms["vb"] = vb * (self.num_timesteps / 1000.0) if rescaled else vb
        target = {
            Mean.PREVIOUS_X: self.q_posterior_mean_variance(x_start, x_t, t)[0],
            Mean.START_X: x_start,
            Mean.EPSILON: noise,
        }[self.model_mean_type]
        terms["mse"] = per_sample((target - output) ** 2)
        return {**terms, "loss": sum(terms.values())}

    def _prior_bpd(self, x_start):
        t = torch.full((len(x_start),), self.num_timesteps - 1)
        mean, _, log_variance = self.q_mean_variance(x_start, t)
        zero = torch.zeros_like(mean)
        return per_sample(normal_kl(mean, log_variance, zero, zero)) / np.log(2.0)

    def calc_bpd_loop(self, model, x_start, clip_denoised=True, model_kwargs=None):
        vb, xstart_mse, mse = [], [], []
        for i in reversed(range(self.num_timesteps)):
            t = torch.full((len(x_start),), i)
            noise = torch.randn_like(x_start)
            x_t = self.q_sample(x_start, t, noise)
            with torch.no_grad():
                out = self._vb_terms_bpd(model, x_start, x_t, t, clip_denoised, model_kwargs)
            vb.append(out["output"])
            xstart_mse.append(per_sample((out["pred_xstart"] - x_start) ** 2))
            eps = self._eps_from_x_0(x_t, t, out["pred_xstart"])
            mse.append(per_sample((eps - noise) ** 2))
        prior = self._prior_bpd(x_start)
        return {
            "total_bpd": torch.stack(vb, dim=1).sum(dim=1) + prior,
            "prior_bpd": prior,
            "vb": torch.stack(vb, dim=1),
            "xstart_mse": torch.stack(xstart_mse, dim=1),
            "mse": torch.stack(mse, dim=1),
        }


class SpacedDiffusion(GaussianDiffusion):
    """Some of the steps of a longer process; the network is told those it was trained on."""

    def __init__(self, use_timesteps, **kwargs):
        bar = GaussianDiffusion(**kwargs).alphas_cumprod
        self.original_num_steps = len(bar)
        self.timestep_map = sorted(use_timesteps)
        kept = bar[self.timestep_map]
        super().__init__(**{**kwargs, "betas": 1.0 - kept / np.append(1.0, kept[:-1])})

    def _told(self, t):
        original = torch.tensor(self.timestep_map)[t]
        scale = 1000.0 / self.original_num_steps
        return original.float() * scale if self.rescale_timesteps else original
