"""A right GaussianDiffusion object holds, whatever the seed; each wrong one fails, and says why."""

from dataclasses import replace

import mutants
import numpy as np
import pytest
from mutants import Mutant

from diffcore.verify import libraries
from diffcore.verify.adapters import gaussian_diffusion
from diffcore.verify.checking import examine
from diffcore.verify.checks import CHECKS
from diffcore.verify.outcome import Verdict

pytest.importorskip("torch")

FILE = "gaussian_diffusion.py"
T = 8
RANDOM = ("clipping", "loss", "hybrid", "vlb", "decoder", "prior", "bpd")
"""The checks that draw, by how their names start."""

MASKED = "noise = torch.randn_like(x) * (t != 0).reshape(-1, *[1] * (x.ndim - 1))\n"
"""The noise of a step, but at t = 1."""


def subject(mutant=None, *, spaced=False, **types):
    module = mutants.module(FILE, mutant)
    options = {
        "betas": np.linspace(0.005, 0.6, T),
        "model_mean_type": module.Mean[types.get("mean", "EPSILON")],
        "model_var_type": module.Variance[types.get("variance", "FIXED_SMALL")],
        "loss_type": module.Loss.MSE,
    }
    if spaced:
        options["betas"] = np.linspace(0.002, 0.3, 2 * T)
        made = module.SpacedDiffusion(range(1, 2 * T, 2), **options)
    else:
        made = module.GaussianDiffusion(**options)
    assert gaussian_diffusion.matches(made)
    return gaussian_diffusion.subject(made, library=libraries.of("torch"))


@pytest.mark.parametrize(
    ("mean", "variance", "spaced"),
    [("EPSILON", "FIXED_SMALL", False), ("START_X", "LEARNED_RANGE", True)],
)
def test_the_right_one_holds(mean, variance, spaced):
    report = examine(subject(mean=mean, variance=variance, spaced=spaced))
    assert report.ok, str(report)
    applied = {r.check for r in report.results if r.verdict is Verdict.HOLDS}
    assert applied >= {"plan", "clipping", "hybrid", "vlb", "decoder", "prior", "bpd"}


def test_a_long_process_is_walked_in_windows():
    module = mutants.module(FILE)
    made = module.GaussianDiffusion(
        betas=np.linspace(1e-4, 0.02, 200),
        model_mean_type=module.Mean.EPSILON,
        model_var_type=module.Variance.FIXED_LARGE,
        loss_type=module.Loss.MSE,
    )
    held = gaussian_diffusion.subject(made, library=libraries.of("torch"))
    assert not any("loop" in s.label for s in held.samplers)
    assert max(len(s.grid) for s in held.samplers) < 10
    own = [s for s in held.samplers if "FIXED_LARGE" in s.label and "p_sample" in s.label]
    assert {s.grid[0] for s in own} >= {200, 8}
    report = examine(replace(held, samplers=tuple(own), losses={}))
    assert report.ok, str(report)


def test_no_false_alarm_for_twenty_seeds():
    held = subject(variance="LEARNED_RANGE")
    own = {name: loss for name, loss in held.losses.items() if "_X" not in name}
    own = {name: loss for name, loss in own.items() if "EPS" not in name and "KL" not in name}
    held = replace(held, samplers=(), losses=own, clipped=held.clipped[:2])
    drawing = [c for c in CHECKS if c.name.startswith(RANDOM)]
    for seed in range(20):
        report = examine(replace(held, seed=seed), drawing)
        assert report.ok, f"seed {seed}: {report}"


def test_an_approximate_cdf_is_told_and_an_exact_one_is_not():
    exact = Mutant(
        name="exact",
        old="return 0.5 * (1.0 + torch.tanh((2.0 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))",
        new="return torch.special.ndtr(x)",
        check="",
    )
    (check,) = (c for c in CHECKS if c.name == "decoder")
    notes = []
    for mutant in (None, exact):
        report = examine(replace(subject(mutant), samplers=()), [check])
        assert report.ok, str(report)
        notes.append(report["decoder"].note)
    assert "tanh" in notes[0]
    assert "tanh" not in notes[1]


SAMPLERS = [
    Mutant(
        name="noise at t = 1",
        old=MASKED + '        sample = out["mean"]',
        new='noise = torch.randn_like(x)\n        sample = out["mean"]',
        check="plan",
        cause="noise in its last step",
    ),
    Mutant(
        name="variance for deviation",
        old='torch.exp(0.5 * out["log_variance"]) * noise',
        new='out["variance"] * noise',
        check="plan",
        cause="it is the posterior variance where the noise's weight belongs",
    ),
    Mutant(
        name="sigma_t for sigma_s",
        old="torch.sqrt(1.0 - before - sigma**2) * eps",
        new="torch.sqrt((1.0 - bar - sigma**2).clamp(min=0.0)) * eps",
        check="variance",
    ),
    Mutant(
        name="eta under the root",
        old="sigma = eta * torch.sqrt((1.0",
        new="sigma = torch.sqrt(eta * (1.0",
        check="plan",
    ),
    Mutant(
        name="eta's noise not taken from the direction",
        old="torch.sqrt(1.0 - before - sigma**2) * eps",
        new="torch.sqrt(1.0 - before) * eps",
        check="variance",
    ),
    Mutant(
        name="root of alpha_bar_prev forgotten",
        old='torch.sqrt(before) * out["pred_xstart"] + direction',
        new='before * out["pred_xstart"] + direction',
        check="mean",
    ),
    Mutant(
        name="learned range upside down",
        old="fraction * high + (1.0 - fraction) * low",
        new="fraction * low + (1.0 - fraction) * high",
        check="plan",
    ),
    Mutant(
        name="v taken for the fraction",
        old="fraction = (learned + 1.0) / 2.0",
        new="fraction = learned",
        check="plan",
    ),
    Mutant(
        name="learned range of variances, not logarithms",
        old="return fraction * high + (1.0 - fraction) * low, output",
        new="return torch.log(fraction * high.exp() + (1.0 - fraction) * low.exp()), output",
        check="plan",
    ),
    Mutant(
        name="sigma_t^2 for beta_t",
        old="self.betas[1:])\n            return at(np.log(large)",
        new="(1.0 - self.alphas_cumprod)[1:])\n            return at(np.log(large)",
        check="plan",
    ),
    Mutant(
        name="told the next index",
        old="if self.rescale_timesteps else t\n",
        new="if self.rescale_timesteps else t + 1\n",
        check="calls",
        cause="every time is off by +1",
    ),
    Mutant(
        name="timesteps scaled the other way",
        old="(1000.0 / self.num_timesteps) if",
        new="(self.num_timesteps / 1000.0) if",
        check="calls",
    ),
    Mutant(
        name="eps over sigma",
        old="(scaled - x_0) / at(self.sqrt_recipm1_alphas_cumprod, t, x)",
        new="(scaled - x_0) / at(self.sqrt_one_minus_alphas_cumprod, t, x)",
        check="variance",
    ),
    Mutant(
        name="wrong sign of eps",
        old="scaled - at(self.sqrt_recipm1_alphas_cumprod, t, x) * eps",
        new="scaled + at(self.sqrt_recipm1_alphas_cumprod, t, x) * eps",
        check="variance",
    ),
    Mutant(
        name="eps taken for x_0",
        old="if self.model_mean_type is Mean.EPSILON:\n                output = self._x_0_from_eps",
        new="if self.model_mean_type is None:\n                output = self._x_0_from_eps",
        check="mean",
    ),
    Mutant(
        name="ratio of the coefficients upside down",
        old="at(self.posterior_mean_coef2 / self.posterior_mean_coef1, t, x)",
        new="at(self.posterior_mean_coef1 / self.posterior_mean_coef2.clip(1e-9), t, x)",
        check="mean",
    ),
    Mutant(
        name="the way up ends where it began",
        old="after = at(self.alphas_cumprod_next, t, x)",
        new="after = at(self.alphas_cumprod, t, x)",
        check="mean",
    ),
    Mutant(
        name="the loop leaves out t = 1",
        old="reversed(range(self.num_timesteps)):\n            t = torch.full((shape[0],)",
        new="reversed(range(1, self.num_timesteps)):\n            t = torch.full((shape[0],)",
        check="calls",
        cause=f"calls the network {T - 1} times, the plan {T} times",
    ),
    Mutant(
        name="clipped to [0, 1]",
        old="x_0.clamp(-1.0, 1.0)",
        new="x_0.clamp(0.0, 1.0)",
        check="clipping",
        cause="within [-1, 1]",
    ),
    Mutant(
        name="clipped to [-2, 2]",
        old="x_0.clamp(-1.0, 1.0)",
        new="x_0.clamp(-2.0, 2.0)",
        check="clipping",
        cause="beyond [-1, 1]",
    ),
    Mutant(
        name="clipped before denoised_fn",
        old="            if denoised_fn is not None:\n                x_0 = denoised_fn(x_0)\n"
        "            return x_0.clamp(-1.0, 1.0) if clip_denoised else x_0",
        new="            x_0 = x_0.clamp(-1.0, 1.0) if clip_denoised else x_0\n"
        "            return x_0 if denoised_fn is None else denoised_fn(x_0)",
        check="clipping",
    ),
]

SPACED = [
    Mutant(
        name="told the index after respacing",
        old="return original.float() * scale if self.rescale_timesteps else original",
        new="return t.float() * scale if self.rescale_timesteps else t",
        check="calls",
    ),
    Mutant(
        name="scaled by the steps after respacing",
        old="scale = 1000.0 / self.original_num_steps",
        new="scale = 1000.0 / self.num_timesteps",
        check="calls",
    ),
]

LOSSES = [
    Mutant(
        name="x_0 for eps",
        old="Mean.EPSILON: noise,",
        new="Mean.EPSILON: x_start,",
        check="loss target",
        cause="its target is x_0 where eps belongs",
    ),
    Mutant(
        name="x_t for x_0",
        old="Mean.START_X: x_start,",
        new="Mean.START_X: x_t,",
        check="loss target",
    ),
    Mutant(
        name="another noise in x_t",
        old="x_t = self.q_sample(x_start, t, noise)\n        if self.loss_type in",
        new="x_t = self.q_sample(x_start, t)\n        if self.loss_type in",
        check="loss input",
        cause="another noise",
    ),
    Mutant(
        name="sigma^2 for sigma",
        old="at(self.sqrt_one_minus_alphas_cumprod, t, x_start) * noise",
        new="at(1.0 - self.alphas_cumprod, t, x_start) * noise",
        check="loss input",
        cause="it is the square of sigma_t where the weight sigma_t of eps belongs",
    ),
    Mutant(
        name="told a time of its own",
        old="output = model(x_t, self._told(t), **(model_kwargs or {}))\n        terms",
        new="output = model(x_t, self._told(0 * t), **(model_kwargs or {}))\n        terms",
        check="loss input",
    ),
    Mutant(
        name="sum over the elements",
        old='terms["mse"] = per_sample((target - output) ** 2)',
        new='terms["mse"] = ((target - output) ** 2).flatten(1).sum(dim=1)',
        check="loss weight",
        cause="it sums over a sample's 12 elements",
    ),
    Mutant(
        name="weighted by SNR",
        old='terms["mse"] = per_sample((target - output) ** 2)',
        new='terms["mse"] = per_sample((target - output) ** 2)'
        " * torch.from_numpy(self.alphas_cumprod / (1.0 - self.alphas_cumprod))[t]",
        check="loss weight",
        cause="SNR",
    ),
    Mutant(
        name="absolute error",
        old='terms["mse"] = per_sample((target - output) ** 2)',
        new='terms["mse"] = per_sample((target - output).abs())',
        check="loss weight",
    ),
    Mutant(
        name="mean over the batch",
        old='terms["mse"] = per_sample((target - output) ** 2)',
        new='terms["mse"] = ((target - output) ** 2).mean()',
        check="loss samples",
        cause="its shape is ()",
    ),
    Mutant(
        name="mean over the channels alone",
        old="return x.flatten(1).mean(dim=1)",
        new="return x.mean(dim=1)",
        check="loss samples",
    ),
    Mutant(
        name="shared among the samples",
        old='terms["mse"] = per_sample((target - output) ** 2)',
        new='terms["mse"] = per_sample((target - output) ** 2)'
        "\n        terms['mse'] = 0.5 * (terms['mse'] + terms['mse'].mean())",
        check="loss samples",
        cause="depends on the others",
    ),
    Mutant(
        name="no gradient",
        old='terms["mse"] = per_sample((target - output) ** 2)',
        new='terms["mse"] = per_sample((target - output.detach()) ** 2)',
        check="loss gradient",
        cause="no gradient",
    ),
    Mutant(
        name="the bound trains the mean too",
        old="torch.cat([output.detach(), learned], dim=1)",
        new="torch.cat([output, learned], dim=1)",
        check="hybrid",
        cause="the bound's term has a gradient at the mean",
    ),
    Mutant(
        name="nothing trains the variance",
        old="torch.cat([output.detach(), learned], dim=1)",
        new="torch.cat([output, learned], dim=1).detach()",
        check="hybrid",
        cause="no gradient reaches the variance",
    ),
    Mutant(
        name="the bound's term over 1000 forgotten",
        old="vb * (self.num_timesteps / 1000.0)",
        new="vb * self.num_timesteps",
        check="hybrid",
        cause="times T",
    ),
    Mutant(
        name="KL the other way round",
        old='normal_kl(true_mean, true_log_variance, out["mean"], out["log_variance"])',
        new='normal_kl(out["mean"], out["log_variance"], true_mean, true_log_variance)',
        check="vlb",
        cause="the other way round",
    ),
    Mutant(
        name="KL with its log variances exchanged",
        old="log_variance_2 - log_variance_1 - 1.0",
        new="log_variance_1 - log_variance_2 - 1.0",
        check="vlb",
        cause="the sign of the log variances",
    ),
    Mutant(
        name="KL over the other variance",
        old="(mean_1 - mean_2) ** 2 * torch.exp(-log_variance_2)",
        new="(mean_1 - mean_2) ** 2 * torch.exp(-log_variance_1)",
        check="vlb",
        cause="over the posterior's variance",
    ),
    Mutant(
        name="KL without its half",
        old="return 0.5 * (log_variance_2",
        new="return 1.0 * (log_variance_2",
        check="vlb",
        cause="twice",
    ),
    Mutant(
        name="KL without -1",
        old="log_variance_2 - log_variance_1 - 1.0 + ratio",
        new="log_variance_2 - log_variance_1 + ratio",
        check="vlb",
        cause="lacks the -1",
    ),
    Mutant(
        name="nats",
        old="torch.where(t == 0, per_sample(decoder), per_sample(kl)) / np.log(2.0)",
        new="torch.where(t == 0, per_sample(decoder), per_sample(kl))",
        check="vlb",
        cause="nats, not bits",
    ),
    Mutant(
        name="clipped x_0 in the loss",
        old="self._vb_terms_bpd(model, x_start, x_t, t, False, model_kwargs)",
        new="self._vb_terms_bpd(model, x_start, x_t, t, True, model_kwargs)",
        check="vlb",
    ),
    Mutant(
        name="one step too few",
        old="term * (self.num_timesteps if",
        new="term * (self.num_timesteps - 1 if",
        check="vlb",
    ),
    Mutant(
        name="the decoder at another time",
        old="torch.where(t == 0, per_sample(decoder)",
        new="torch.where(t == 1, per_sample(decoder)",
        check="decoder",
    ),
    Mutant(
        name="bins twice as wide",
        old="half, scale = 1.0 / 255.0",
        new="half, scale = 2.0 / 255.0",
        check="decoder",
        cause="twice as wide",
    ),
    Mutant(
        name="bins half as wide",
        old="half, scale = 1.0 / 255.0",
        new="half, scale = 0.5 / 255.0",
        check="decoder",
        cause="half as wide",
    ),
    Mutant(
        name="variance for deviation in the likelihood",
        old='discretised(x_start, out["mean"], 0.5 * out["log_variance"])',
        new='discretised(x_start, out["mean"], out["log_variance"])',
        check="decoder",
        cause="the variance for the deviation",
    ),
    Mutant(
        name="closed end bins",
        old="return torch.where(x < -0.999, log_of(upper), inside)",
        new="return log_of(upper - lower)",
        check="decoder",
        cause="not open",
    ),
    Mutant(
        name="tails exchanged",
        old="torch.where(x > 0.999, log_of(1.0 - lower), inside)",
        new="torch.where(x > 0.999, log_of(lower), inside)",
        check="decoder",
    ),
    Mutant(
        name="nothing against log 0",
        old="torch.log(mass.clamp(min=1e-12))",
        new="torch.log(mass)",
        check="decoder",
        cause="infinite",
    ),
    Mutant(
        name="cut off too soon",
        old="mass.clamp(min=1e-12)",
        new="mass.clamp(min=1e-3)",
        check="decoder",
    ),
    Mutant(
        name="the likelihood's sign",
        old="decoder = -discretised(",
        new="decoder = discretised(",
        check="decoder",
        cause="sign",
    ),
    Mutant(
        name="prior at T - 1",
        old="self.num_timesteps - 1)\n        mean, _, log_variance",
        new="self.num_timesteps - 2)\n        mean, _, log_variance",
        check="prior",
        cause="time T - 1",
    ),
    Mutant(
        name="prior the other way round",
        old="normal_kl(mean, log_variance, zero, zero)",
        new="normal_kl(zero, zero, mean, log_variance)",
        check="prior",
    ),
    Mutant(
        name="prior in nats",
        old="per_sample(normal_kl(mean, log_variance, zero, zero)) / np.log(2.0)",
        new="per_sample(normal_kl(mean, log_variance, zero, zero))",
        check="prior",
        cause="nats",
    ),
    Mutant(
        name="mean of the terms",
        old="torch.stack(vb, dim=1).sum(dim=1) + prior",
        new="torch.stack(vb, dim=1).mean(dim=1) + prior",
        check="bpd",
        cause="mean of its terms",
    ),
    Mutant(
        name="the prior's term forgotten",
        old="torch.stack(vb, dim=1).sum(dim=1) + prior",
        new="torch.stack(vb, dim=1).sum(dim=1)",
        check="bpd",
        cause="lacks the prior's term",
    ),
    Mutant(
        name="the decoder's term forgotten",
        old="reversed(range(self.num_timesteps)):\n            t = torch.full((len(x_start),), i)",
        new="reversed(range(1, self.num_timesteps)):"
        "\n            t = torch.full((len(x_start),), i)",
        check="bpd",
        cause="it leaves out time 1",
    ),
]

TABLES = [
    Mutant(
        name="float32 cumulative product",
        old="np.cumprod(1.0 - betas)",
        new="np.cumprod((1.0 - betas).astype(np.float32)).astype(np.float64)",
        check="alpha_bar",
    ),
    Mutant(
        name="alpha_bar_prev of t = 1 not 1",
        old="np.append(1.0, bar[:-1])",
        new="np.append(bar[0], bar[:-1])",
        check="tables",
    ),
    Mutant(
        name="posterior variance upside down",
        old="betas * (1.0 - before) / (1.0 - bar)\n        clipped",
        new="betas * (1.0 - bar) / (1.0 - before + 1e-9)\n        clipped",
        check="posterior tables",
    ),
    Mutant(
        name="clipped by the entry at t = 1",
        old="np.append(self.posterior_variance[1], self.posterior_variance[1:])",
        new="self.posterior_variance + 1e-20",
        check="decoder",
    ),
    Mutant(
        name="beta for its root",
        old="(1.0 - before) * np.sqrt(1.0 - betas) / (1.0 - bar)",
        new="(1.0 - before) * (1.0 - betas) / (1.0 - bar)",
        check="posterior tables",
    ),
    Mutant(
        name="coefficients exchanged",
        old="mean = at(self.posterior_mean_coef1, t, x_t) * x_start\n"
        "        mean = mean + at(self.posterior_mean_coef2, t, x_t) * x_t",
        new="mean = at(self.posterior_mean_coef2, t, x_t) * x_start\n"
        "        mean = mean + at(self.posterior_mean_coef1, t, x_t) * x_t",
        check="posterior mean",
    ),
    Mutant(
        name="deviation for variance",
        old="variance = at(1.0 - self.alphas_cumprod, t, x_start)",
        new="variance = at(self.sqrt_one_minus_alphas_cumprod, t, x_start)",
        check="q_mean_variance",
    ),
]


def _fails(held, mutant):
    (check,) = (c for c in CHECKS if c.name == mutant.check)
    report = examine(held, [check])
    assert not report.ok, str(report)
    assert mutant.cause in report[mutant.check].cause, str(report)


@pytest.mark.parametrize("mutant", SAMPLERS, ids=lambda m: m.name)
def test_wrong_samplers_are_caught(mutant):
    _fails(subject(mutant), mutant)


@pytest.mark.parametrize("mutant", SPACED, ids=lambda m: m.name)
def test_wrong_respacing_is_caught(mutant):
    _fails(subject(mutant, spaced=True), mutant)


@pytest.mark.parametrize("mutant", LOSSES + TABLES, ids=lambda m: m.name)
def test_wrong_losses_and_tables_are_caught(mutant):
    _fails(replace(subject(mutant), samplers=()), mutant)
