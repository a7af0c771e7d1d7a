"""Step schedulers as a user would write them: DDIM, DDPM, Euler and DPM-Solver++(2M), in PyTorch.

x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, timesteps counted from 0.
"""

from types import SimpleNamespace

import numpy as np
import torch


class Tables:
    """What the schedulers share: betas, alpha_bar, timesteps, noise, and the network's meaning."""

    init_noise_sigma = 1.0

    def setup(self, **config):
        self.config = SimpleNamespace(**config)
        T = self.config.num_train_timesteps
        self.betas = torch.linspace(1e-3, 0.2, T, dtype=torch.float64)
        self.alphas_cumprod = torch.cumprod(1.0 - self.betas, 0)
        self.timesteps = torch.arange(T - 1, -1, -1)
        self.num_inference_steps = None

    def spaced(self, n):
        T, kind = self.config.num_train_timesteps, self.config.timestep_spacing
        if not 1 <= n <= T:
            raise ValueError(f"num_inference_steps must be in 1..{T}, got {n}")
        if kind == "leading":
            steps = (np.arange(n) * (T // n))[::-1]
        elif kind == "trailing":
            steps = np.round(np.arange(T, 0, -T / n)) - 1
        elif kind == "linspace":
            steps = np.linspace(0, T - 1, n).round()[::-1]
        else:
            raise ValueError(f"timestep_spacing must be leading, trailing or linspace, got {kind}")
        return torch.from_numpy(steps.astype(np.int64))

    def pivot(self, output, x, alpha, sigma):
        """x_0 and eps of what the network says."""
        kind = self.config.prediction_type
        if kind == "epsilon":
            return (x - sigma * output) / alpha, output
        if kind == "sample":
            return output, (x - alpha * output) / sigma
        if kind == "v_prediction":
            return alpha * x - sigma * output, sigma * x + alpha * output
        raise ValueError(f"prediction_type must be epsilon, sample or v_prediction, got {kind}")

    def add_noise(self, x_0, noise, timesteps):
        bar = self.alphas_cumprod[timesteps].to(x_0.dtype)
        bar = bar.reshape(-1, *[1] * (x_0.ndim - 1))
        return bar.sqrt() * x_0 + (1 - bar).sqrt() * noise


class DDIMScheduler(Tables):
    """Denoising diffusion implicit models, with a share eta of fresh noise."""

    def __init__(
        self,
        num_train_timesteps=40,
        timestep_spacing="trailing",
        prediction_type="epsilon",
        clip_sample=False,
        set_alpha_to_one=True,
    ):
        self.setup(
            num_train_timesteps=num_train_timesteps,
            timestep_spacing=timestep_spacing,
            prediction_type=prediction_type,
            clip_sample=clip_sample,
            set_alpha_to_one=set_alpha_to_one,
        )
        one = torch.tensor(1.0, dtype=torch.float64)
        self.final_alpha_cumprod = one if set_alpha_to_one else self.alphas_cumprod[0]

    def set_timesteps(self, num_inference_steps):
        self.timesteps = self.spaced(num_inference_steps)
        self.num_inference_steps = num_inference_steps

    def following(self, t):
        k = int((self.timesteps == t).nonzero()[0]) + 1
        if k == len(self.timesteps):
            return self.final_alpha_cumprod
        return self.alphas_cumprod[self.timesteps[k]]

    def step(self, model_output, timestep, sample, eta=0.0, generator=None):
        now, then = self.alphas_cumprod[timestep], self.following(timestep)
        x_0, eps = self.pivot(model_output, sample, now.sqrt(), (1 - now).sqrt())
        if self.config.clip_sample:
            x_0 = x_0.clamp(-1.0, 1.0)
            eps = (sample - now.sqrt() * x_0) / (1 - now).sqrt()
        variance = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
        previous = then.sqrt() * x_0 + (1 - then - variance).clamp(min=0.0).sqrt() * eps
        if eta > 0.0 and then < 1.0:
            previous = previous + variance.sqrt() * torch.randn(
                sample.shape, generator=generator, dtype=sample.dtype
            )
        return SimpleNamespace(prev_sample=previous, pred_original_sample=x_0)


class DDPMScheduler(Tables):
    """Ancestral sampling from q(x_s | x_t, x_0)."""

    def __init__(
        self,
        num_train_timesteps=40,
        timestep_spacing="linspace",
        prediction_type="epsilon",
        variance_type="fixed_small",
        clip_sample=False,
    ):
        if variance_type not in ("fixed_small", "fixed_large"):
            raise ValueError(f"variance_type must be fixed_small or fixed_large: {variance_type}")
        self.setup(
            num_train_timesteps=num_train_timesteps,
            timestep_spacing=timestep_spacing,
            prediction_type=prediction_type,
            variance_type=variance_type,
            clip_sample=clip_sample,
        )

    def set_timesteps(self, num_inference_steps):
        self.timesteps = self.spaced(num_inference_steps)

    def step(self, model_output, timestep, sample, generator=None):
        k = int((self.timesteps == timestep).nonzero()[0])
        last = k + 1 == len(self.timesteps)
        now = self.alphas_cumprod[timestep]
        then = torch.ones_like(now) if last else self.alphas_cumprod[self.timesteps[k + 1]]
        x_0, _ = self.pivot(model_output, sample, now.sqrt(), (1 - now).sqrt())
        if self.config.clip_sample:
            x_0 = x_0.clamp(-1.0, 1.0)
        beta = 1 - now / then
        mean = then.sqrt() * beta / (1 - now) * x_0
        mean = mean + (1 - beta).sqrt() * (1 - then) / (1 - now) * sample
        small = (1 - then) / (1 - now) * beta
        variance = small if self.config.variance_type == "fixed_small" else beta
        if not last:
            noise = torch.randn(sample.shape, generator=generator, dtype=sample.dtype)
            mean = mean + variance.sqrt() * noise
        return SimpleNamespace(prev_sample=mean, pred_original_sample=x_0)


class EulerDiscreteScheduler(Tables):
    """Euler's method on x / alpha, whose noise level is sigma / alpha."""

    def __init__(
        self, num_train_timesteps=40, timestep_spacing="trailing", prediction_type="epsilon"
    ):
        self.setup(
            num_train_timesteps=num_train_timesteps,
            timestep_spacing=timestep_spacing,
            prediction_type=prediction_type,
        )
        self.levels = ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt()
        self.sigmas = torch.cat([self.levels.flip(0), torch.zeros(1, dtype=torch.float64)])
        self.begin, self.index = 0, None

    @property
    def init_noise_sigma(self):
        return float(self.sigmas[0])

    def set_timesteps(self, num_inference_steps):
        self.timesteps = self.spaced(num_inference_steps)
        levels = self.levels[self.timesteps]
        self.sigmas = torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
        self.begin, self.index = 0, None

    def set_begin_index(self, begin_index):
        self.begin = begin_index

    def scale_model_input(self, sample, timestep):
        if self.index is None:
            self.index = self.begin
        return sample / (self.sigmas[self.index] ** 2 + 1).sqrt()

    def step(self, model_output, timestep, sample):
        now, then = self.sigmas[self.index], self.sigmas[self.index + 1]
        alpha = 1 / (now**2 + 1).sqrt()
        x_0, _ = self.pivot(model_output, alpha * sample, alpha, alpha * now)
        slope = (sample - x_0) / now
        self.index += 1
        return SimpleNamespace(prev_sample=sample + (then - now) * slope)

    def add_noise(self, x_0, noise, timesteps):
        places = [int((self.timesteps == t).nonzero()[0]) for t in timesteps]
        levels = self.sigmas[places].to(x_0.dtype)
        return x_0 + levels.reshape(-1, *[1] * (x_0.ndim - 1)) * noise


class DPMSolverMultistepScheduler(Tables):
    """DPM-Solver++(2M): the denoised x_0 on a line through this step's and the last one's."""

    def __init__(
        self,
        num_train_timesteps=40,
        timestep_spacing="trailing",
        prediction_type="epsilon",
        solver_order=2,
        algorithm_type="dpmsolver++",
        solver_type="midpoint",
        lower_order_final=True,
        final_sigmas_type="zero",
    ):
        if algorithm_type != "dpmsolver++":
            raise NotImplementedError(f"algorithm_type {algorithm_type}")
        if solver_type not in ("midpoint", "heun"):
            raise NotImplementedError(f"solver_type {solver_type}")
        if solver_order not in (1, 2):
            raise ValueError(f"solver_order must be 1 or 2, got {solver_order}")
        self.setup(
            num_train_timesteps=num_train_timesteps,
            timestep_spacing=timestep_spacing,
            prediction_type=prediction_type,
            solver_order=solver_order,
            solver_type=solver_type,
            lower_order_final=lower_order_final,
            final_sigmas_type=final_sigmas_type,
        )
        self.levels = ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt()
        self.sigmas = self.levels.flip(0)
        self.begin, self.index, self.last = 0, None, None

    def set_timesteps(self, num_inference_steps):
        self.timesteps = self.spaced(num_inference_steps)
        zero = self.config.final_sigmas_type == "zero"
        end = torch.zeros(1, dtype=torch.float64) if zero else 0.5 * self.levels[:1]
        self.sigmas = torch.cat([self.levels[self.timesteps], end])
        self.begin, self.index = 0, None
        self.last = None

    def set_begin_index(self, begin_index):
        self.begin = begin_index

    def split(self, level):
        alpha = 1 / (1 + level**2).sqrt()
        return alpha, alpha * level

    def step(self, model_output, timestep, sample):
        k = self.begin if self.index is None else self.index
        (a_t, s_t), (a_s, s_s) = self.split(self.sigmas[k]), self.split(self.sigmas[k + 1])
        x_0, _ = self.pivot(model_output, sample, a_t, s_t)
        now = torch.log(a_t / s_t)
        h = torch.log(a_s / s_s) - now
        final = k == len(self.timesteps) - 1
        short = self.config.lower_order_final and len(self.timesteps) < 15
        first = self.config.solver_order == 1 or self.last is None
        previous = s_s / s_t * sample - a_s * torch.expm1(-h) * x_0
        if not first and not (final and short) and torch.isfinite(h):
            then, x_0_then = self.last
            slope = (x_0 - x_0_then) / ((now - then) / h)
            if self.config.solver_type == "midpoint":
                previous = previous - 0.5 * a_s * torch.expm1(-h) * slope
            else:
                previous = previous + a_s * (torch.expm1(-h) / h + 1.0) * slope
        self.last = now, x_0
        self.index = k + 1
        return SimpleNamespace(prev_sample=previous)
