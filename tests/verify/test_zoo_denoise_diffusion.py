"""Right DenoiseDiffusion objects hold, whatever the seed; each wrong one fails, and says why."""

from dataclasses import replace

import mutants
import pytest
from mutants import Mutant

from diffcore import verify
from diffcore.verify import libraries
from diffcore.verify.adapters import denoise_diffusion
from diffcore.verify.checking import examine
from diffcore.verify.checks import CHECKS
from diffcore.verify.outcome import Verdict

torch = pytest.importorskip("torch")

FILE = "denoise_diffusion.py"
T = 12
KINDS = ("DenoiseDiffusion", "PosteriorDiffusion")


def made(kind, mutant=None):
    return getattr(mutants.module(FILE, mutant), kind)(torch.nn.Identity(), T, "cpu")


def subject(kind, mutant=None):
    target = made(kind, mutant)
    assert denoise_diffusion.matches(target)
    return denoise_diffusion.subject(target, library=libraries.of("torch"), ranks=(4, 2, 3, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_one_holds_for_twenty_seeds(kind):
    held = subject(kind)
    report = examine(held)
    assert report.ok, str(report)
    applied = {r.check for r in report.results if r.verdict is Verdict.HOLDS}
    assert applied >= {"alpha_bar", "q_sample", "plan", "loss weight", "loss times"}
    drawing = [c for c in CHECKS if c.name.startswith("loss")]
    for seed in range(1, 20):
        report = examine(replace(held, seed=seed, samplers=()), drawing)
        assert report.ok, f"seed {seed}: {report}"


@pytest.mark.parametrize("kind", KINDS)
def test_its_network_is_its_own_afterwards(kind):
    target = made(kind)
    name = "eps_model" if kind == "DenoiseDiffusion" else "x0_model"
    own = getattr(target, name)
    assert verify.check(target, library="torch").ok
    assert getattr(target, name) is own


def test_what_the_network_says_can_be_claimed_otherwise():
    target = made("DenoiseDiffusion")
    assert not verify.check(target, library="torch", predicts="x_0").ok
    with pytest.raises(ValueError, match="objective must be 'simple' or 'posterior_mean'"):
        verify.check(target, library="torch", objective="vlb")


EPS = [
    Mutant(
        name="noise at t = 1",
        old="noise = torch.randn_like(xt) * (t > 0).reshape(-1, *[1] * (xt.ndim - 1))\n"
        "        return mean + gather(self.sigma2, t, xt) ** 0.5 * noise\n\n"
        "    def loss(self, x0, noise=None):\n        t = torch.randint(0, self.n_steps, (x0.shape",
        new="noise = torch.randn_like(xt)\n"
        "        return mean + gather(self.sigma2, t, xt) ** 0.5 * noise\n\n"
        "    def loss(self, x0, noise=None):\n        t = torch.randint(0, self.n_steps, (x0.shape",
        check="plan",
        cause="noise in its last step",
    ),
    Mutant(
        name="beta for sqrt beta",
        old="return mean + gather(self.sigma2, t, xt) ** 0.5 * noise\n\n"
        "    def loss(self, x0, noise=None):\n        t = torch.randint(0, self.n_steps, (x0.shape",
        new="return mean + gather(self.sigma2, t, xt) * noise\n\n"
        "    def loss(self, x0, noise=None):\n        t = torch.randint(0, self.n_steps, (x0.shape",
        check="plan",
        cause="it is beta where the noise's weight belongs",
    ),
    Mutant(
        name="eps over sigma^2",
        old="(xt - beta / (1 - bar) ** 0.5 * eps)",
        new="(xt - beta / (1 - bar) * eps)",
        check="variance",
    ),
    Mutant(
        name="one time for the whole batch",
        old="t = torch.randint(0, self.n_steps, (x0.shape[0],), device=x0.device)\n"
        "        if noise is None:\n            noise = torch.randn_like(x0)\n"
        "        xt = self.q_sample(x0, t, noise)\n        return torch.nn",
        new="t = torch.randint(0, self.n_steps, (1,), device=x0.device).expand(len(x0))\n"
        "        if noise is None:\n            noise = torch.randn_like(x0)\n"
        "        xt = self.q_sample(x0, t, noise)\n        return torch.nn",
        check="loss times",
        cause="one time for the whole batch",
    ),
    Mutant(
        name="the network told t + 1",
        old="mse_loss(noise, self.eps_model(xt, t))",
        new="mse_loss(noise, self.eps_model(xt, t + 1))",
        check="loss input",
        cause="told a time beyond 1..12",
    ),
    Mutant(
        name="absolute errors",
        old="mse_loss(noise, self.eps_model(xt, t))",
        new="l1_loss(noise, self.eps_model(xt, t))",
        check="loss weight",
        cause="the mean of |e|, not of e^2",
    ),
    Mutant(
        name="alpha_bar for alpha",
        old="* eps) / (1 - beta) ** 0.5",
        new="* eps) / bar**0.5",
        check="mean",
    ),
    Mutant(
        name="small variance on the wrong side",
        old="self.sigma2 = self.beta",
        new="self.sigma2 = self.beta / (1 - self.alpha_bar)",
        check="sigma2",
    ),
    Mutant(
        name="product of the betas",
        old="torch.cumprod(1.0 - self.beta, dim=0)",
        new="torch.cumprod(1.0 - self.beta**2, dim=0)",
        check="alpha_bar",
    ),
    Mutant(
        name="variance for deviation in q_sample",
        old="return mean + variance**0.5 * eps\n\n    def p_sample(self, xt, t):\n        beta",
        new="return mean + variance * eps\n\n    def p_sample(self, xt, t):\n        beta",
        check="loss input",
        cause="the square of sigma_t where the weight sigma_t of eps belongs",
    ),
    Mutant(
        name="time 1 never drawn",
        old="torch.randint(0, self.n_steps, (x0.shape[0],)",
        new="torch.randint(1, self.n_steps, (x0.shape[0],)",
        check="loss times",
        cause="it never draws time 1",
    ),
    Mutant(
        name="time T never drawn",
        old="torch.randint(0, self.n_steps, (x0.shape[0],)",
        new="torch.randint(0, self.n_steps - 1, (x0.shape[0],)",
        check="loss times",
        cause=f"it never draws time {T}",
    ),
    Mutant(
        name="times that lean to the early ones",
        old="(x0.shape[0],), device=x0.device)",
        new="(x0.shape[0],), device=x0.device)\n"
        "        t = torch.minimum(t, torch.randint(0, self.n_steps + 9, t.shape))",
        check="loss times",
        cause="not uniform",
    ),
    Mutant(
        name="told another time",
        old="self.eps_model(xt, t))",
        new="self.eps_model(xt, (t - 1).clamp(min=0)))",
        check="loss input",
    ),
    Mutant(
        name="another noise in xt",
        old="xt = self.q_sample(x0, t, noise)\n        return torch",
        new="xt = self.q_sample(x0, t)\n        return torch",
        check="loss input",
        cause="another noise",
    ),
    Mutant(
        name="x_0 for eps",
        old="mse_loss(noise, self",
        new="mse_loss(x0, self",
        check="loss target",
        cause="its target is x_0 where eps belongs",
    ),
    Mutant(
        name="sum over the elements",
        old="self.eps_model(xt, t))\n\n\nclass",
        new='self.eps_model(xt, t), reduction="sum")\n\n\nclass',
        check="loss weight",
        cause="it sums over the batch of 3 and a sample's 12 elements",
    ),
    Mutant(
        name="no gradient",
        old="self.eps_model(xt, t))\n\n\nclass",
        new="self.eps_model(xt, t).detach())\n\n\nclass",
        check="loss gradient",
    ),
]

X_0 = [
    Mutant(
        name="KL over the deviation",
        old="(2.0 * gather(self.clipped, t, xt))",
        new="(2.0 * gather(self.clipped, t, xt) ** 0.5)",
        check="loss weight",
    ),
    Mutant(
        name="KL without its half",
        old="(2.0 * gather(self.clipped, t, xt))",
        new="gather(self.clipped, t, xt)",
        check="loss weight",
        cause="twice",
    ),
    Mutant(
        name="L_simple instead",
        old="kl = (self.posterior_mean(x0, xt, t) - guess) ** 2 "
        "/ (2.0 * gather(self.clipped, t, xt))",
        new="kl = (x0 - self.x0_model(xt, t)) ** 2",
        check="loss weight",
        cause="1 on the error of x_0",
    ),
    Mutant(
        name="weight of x_0 without its root",
        old="self.at_x0 = beta * before**0.5 / (1.0 - bar)",
        new="self.at_x0 = beta * before / (1.0 - bar)",
        check="mean",
    ),
    Mutant(
        name="weight of x_t of alpha_bar",
        old="self.at_xt = (1.0 - before) * (1.0 - beta) ** 0.5 / (1.0 - bar)",
        new="self.at_xt = (1.0 - before) * bar**0.5 / (1.0 - bar)",
        check="mean",
    ),
    Mutant(
        name="alpha_bar_prev of t = 1 not 1",
        old="torch.cat([torch.ones_like(bar[:1]), bar[:-1]])",
        new="torch.cat([bar[:1], bar[:-1]])",
        check="mean",
    ),
]


def _fails(kind, mutant):
    (check,) = (c for c in CHECKS if c.name == mutant.check)
    report = examine(subject(kind, mutant), [check])
    assert not report.ok, str(report)
    assert mutant.cause in report[mutant.check].cause, str(report)


@pytest.mark.parametrize("mutant", EPS, ids=lambda m: m.name)
def test_wrong_code_around_a_network_of_eps_is_caught(mutant):
    _fails("DenoiseDiffusion", mutant)


@pytest.mark.parametrize("mutant", X_0, ids=lambda m: m.name)
def test_wrong_code_around_a_network_of_x_0_is_caught(mutant):
    _fails("PosteriorDiffusion", mutant)
