"""The core's process, ddpm, ddim and L_simple as objects that hold tables: every check passes."""

from enum import Enum

import numpy as np
import pytest

from diffcore import losses, plan, predictions, process, samplers, schedules
from diffcore.verify import check

BETAS = np.linspace(1e-3, 0.3, 12)
SCHEDULE = schedules.from_betas(BETAS)
PREDICTS = {
    "EPSILON": predictions.EPS,
    "START_X": predictions.X_0,
    "PREVIOUS_X": predictions.MEAN,
}
Mean = Enum("Mean", list(PREDICTS))
Variance = Enum("Variance", ["FIXED_SMALL", "FIXED_LARGE"])


def normal(like, step=0):
    return np.random.standard_normal(like.shape).astype(like.dtype)  # noqa: NPY002


def times_of(index):
    """Our times of its indices, and the one time of a whole batch."""
    times = np.asarray(index) + 1
    return times, int(times[0]) if np.all(times == times[0]) else None


def step(planner, x, t, s, x_0_of, **parameters):
    """One step of a planner of ours from t to s."""
    made = planner(SCHEDULE, (t, s), **parameters)
    return plan.sample(lambda x_t, time: x_0_of(x_t), made, x, normal if made.stochastic else None)


class GaussianDiffusion:
    """Indices are times less 1; a batch is at one time but where it is noised."""

    def __init__(self):
        self.betas, self.alphas_cumprod = BETAS, SCHEDULE.alpha_bar[1:]
        self.alphas_cumprod_prev = SCHEDULE.alpha_bar[:-1]
        self.model_mean_type, self.model_var_type = Mean.EPSILON, Variance.FIXED_SMALL

    def q_sample(self, x_start, t, noise):
        return process.q_sample(SCHEDULE, x_start, times_of(t)[0], noise)

    def q_mean_variance(self, x_start, t):
        found = process.q_mean_variance(SCHEDULE, x_start, times_of(t)[0])
        return *found, np.log(found.variance)

    def q_posterior_mean_variance(self, x_start, x_t, t):
        found = process.q_posterior(SCHEDULE, x_start, x_t, times_of(t)[0])
        return *found, None

    def p_mean_variance(self, *arguments, **options):
        raise NotImplementedError

    def _denoised(self, model, t, clip_denoised, denoised_fn):
        predicts = PREDICTS[self.model_mean_type.name]

        def x_0(x_t):
            found = predicts.x_0(SCHEDULE, model(x_t, t), x_t, times_of(t)[1])
            found = denoised_fn(found) if denoised_fn else found
            return np.clip(found, -1.0, 1.0) if clip_denoised else found

        return x_0

    def p_sample(self, model, x, t, clip_denoised=True, denoised_fn=None):
        now = times_of(t)[1]
        kind = {"FIXED_SMALL": "small", "FIXED_LARGE": "large"}[self.model_var_type.name]
        x_0 = self._denoised(model, t, clip_denoised, denoised_fn)
        return {"sample": step(samplers.ddpm, x, now, now - 1, x_0, variance=kind)}

    def ddim_sample(self, model, x, t, clip_denoised=True, denoised_fn=None, eta=0.0):
        now = times_of(t)[1]
        x_0 = self._denoised(model, t, clip_denoised, denoised_fn)
        return {"sample": step(samplers.ddim, x, now, now - 1, x_0, eta=eta)}

    def ddim_reverse_sample(self, model, x, t, clip_denoised=True, denoised_fn=None):
        now = times_of(t)[1]
        x_0 = self._denoised(model, t, clip_denoised, denoised_fn)
        return {"sample": step(samplers.ddim, x, now, now + 1, x_0)}

    def training_losses(self, model, x_start, t, noise=None):
        noise = normal(x_start) if noise is None else noise
        times = times_of(t)[0]
        x_t = process.q_sample(SCHEDULE, x_start, times, noise)
        predicts = PREDICTS[self.model_mean_type.name]
        found = losses.simple(SCHEDULE, predicts, model(x_t, t), x_start, times, noise)
        return {"loss": found}


class DenoiseDiffusion:
    """Around a network of eps, with the small variance."""

    def __init__(self, eps_model):
        self.eps_model = eps_model
        self.beta, self.alpha_bar = BETAS, SCHEDULE.alpha_bar[1:]
        one = np.ones((1, 1))
        posteriors = (process.q_posterior(SCHEDULE, one, one, t + 1) for t in range(len(BETAS)))
        self.sigma2 = np.array([float(found.variance[0, 0]) for found in posteriors])

    def q_xt_x0(self, x0, t):
        return process.q_mean_variance(SCHEDULE, x0, times_of(t)[0])

    def q_sample(self, x0, t, eps=None):
        eps = normal(x0) if eps is None else eps
        return process.q_sample(SCHEDULE, x0, times_of(t)[0], eps)

    def p_sample(self, xt, t):
        now = times_of(t)[1]

        def x_0(x_t):
            return predictions.EPS.x_0(SCHEDULE, self.eps_model(x_t, t), x_t, now)

        return step(samplers.ddpm, xt, now, now - 1, x_0)

    def loss(self, x0, noise=None):
        t = np.random.randint(0, len(BETAS), len(x0))  # noqa: NPY002
        noise = normal(x0) if noise is None else noise
        output = self.eps_model(self.q_sample(x0, t, noise), t)
        return np.mean(losses.simple(SCHEDULE, predictions.EPS, output, x0, t + 1, noise))


@pytest.mark.parametrize("seed", [0, 1])
def test_gaussian_diffusion(seed):
    report = check(GaussianDiffusion(), library="numpy", seed=seed)
    assert report.ok, str(report)


@pytest.mark.parametrize("seed", [0, 1])
def test_denoise_diffusion(seed):
    report = check(DenoiseDiffusion(lambda x_t, t: x_t), library="numpy", seed=seed)
    assert report.ok, str(report)
