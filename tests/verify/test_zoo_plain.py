"""Plain functions: right ones pass, and each wrong formula is found by the check that is named."""

from dataclasses import replace

import pytest
from mutants import Mutant, module

from diffcore import verify
from diffcore.verify import Target, claim
from diffcore.verify.adapters import functions
from diffcore.verify.checks import CHECKS
from diffcore.verify.libraries import of

TABLES = (
    *("alpha_bar_prev", "alpha_bar_next", "sqrt_alpha_bar", "sqrt_one_minus_alpha_bar"),
    *("log_one_minus_alpha_bar", "sqrt_recip_alpha_bar", "sqrt_recipm1_alpha_bar"),
    *("posterior_variance", "posterior_log_variance_clipped"),
    *("posterior_mean_x_0", "posterior_mean_x_t", "sigma2"),
)
FORWARD = ("q_sample", "q_mean_variance", "q_posterior", "q_transition", "guide", "step", "loss")


def target(file, mutant=None):
    made = module(file, mutant)
    given = {name: getattr(made, name) for name in FORWARD if hasattr(made, name)}
    if file == "plain_strict.py":
        return Target(alpha_bar=made.alpha_bar, T=made.T + 1, first=0, predicts="v", **given)
    if file == "plain_torch.py":
        return Target(beta=made.beta, alpha_bar=made.alpha_bar, **given)
    tables = {name: getattr(made, name) for name in TABLES}
    return Target(betas=made.betas, alpha_bar=made.alpha_bar, tables=tables, **given)


CLAIMS = {"plain_torch.py": claim("ddpm"), "plain_strict.py": claim("ddim", eta=0.5)}
FILES = ("plain_numpy.py", "plain_torch.py", "plain_strict.py")

NUMPY = [
    Mutant(
        name="a float32 running product",
        old="np.cumprod(1.0 - betas)",
        new="np.cumprod((1.0 - betas).astype('float32')).astype('float64')",
        check="alpha_bar",
        cause="float32's digits in a wider table",
    ),
    Mutant(
        name="the product of roots",
        old="np.cumprod(1.0 - betas)",
        new="np.cumprod(np.sqrt(1.0 - betas))",
        check="alpha_bar",
        cause="it is alpha where alpha_bar belongs",
    ),
    Mutant(
        name="a sum for the product",
        old="np.cumprod(1.0 - betas)",
        new="np.clip(1.0 - np.cumsum(betas), 1e-3, None)",
        check="levels",
        cause="alpha_bar must fall",
    ),
    Mutant(
        name="no product",
        old="np.cumprod(1.0 - betas)",
        new="1.0 - betas",
        check="alpha_bar",
        cause="it is 1 - beta where alpha_bar belongs",
    ),
    Mutant(
        name="a product that starts at t = 2",
        old="np.cumprod(1.0 - betas)",
        new="np.append(np.cumprod((1.0 - betas)[1:]), 0.01)",
        check="alpha_bar",
    ),
    Mutant(
        name="a product that starts at data",
        old="np.cumprod(1.0 - betas)",
        new="np.append(0.9999, np.cumprod(1.0 - betas)[:-1])",
        check="alpha_bar",
        cause="off by one in time: its entries are those of t - 1",
    ),
    Mutant(
        name="alpha_bar before t = 1 not 1",
        old="np.append(1.0, alpha_bar[:-1])",
        new="np.append(alpha_bar[0], alpha_bar[:-1])",
        check="tables",
        cause="right but at t = 1, where t - 1 is data",
    ),
    Mutant(
        name="alpha_bar_next shifted the wrong way",
        old="np.append(alpha_bar[1:], 0.0)",
        new="np.append(0.0, alpha_bar[1:])",
        check="tables",
    ),
    Mutant(
        name="no root of alpha_bar",
        old="sqrt_alpha_bar = np.sqrt(alpha_bar)",
        new="sqrt_alpha_bar = alpha_bar",
        check="tables",
        cause="it is alpha_bar where sqrt_alpha_bar belongs",
    ),
    Mutant(
        name="sigma of the time before",
        old="sqrt_one_minus_alpha_bar = np.sqrt(1.0 - alpha_bar)",
        new="sqrt_one_minus_alpha_bar = np.sqrt(1.0 - alpha_bar_prev)",
        check="q_sample",
        cause="off by one in time: its entries are those of t - 1",
    ),
    Mutant(
        name="the logarithm of alpha_bar",
        old="np.log(1.0 - alpha_bar)\nsqrt_recip",
        new="np.log(alpha_bar)\nsqrt_recip",
        check="tables",
        cause="it is log alpha_bar where log_one_minus_alpha_bar belongs",
    ),
    Mutant(
        name="1 / alpha_bar without its root",
        old="np.sqrt(1.0 / alpha_bar)",
        new="1.0 / alpha_bar",
        check="tables",
        cause="it is 1 / alpha_bar where sqrt_recip_alpha_bar belongs",
    ),
    Mutant(
        name="1 taken off outside the root",
        old="np.sqrt(1.0 / alpha_bar - 1.0)",
        new="np.sqrt(1.0 / alpha_bar) - 1.0",
        check="tables",
    ),
    Mutant(
        name="the posterior variance of t + 1's alpha_bar",
        old="betas * (1.0 - alpha_bar_prev) / (1.0 - alpha_bar)",
        new="betas * (1.0 - alpha_bar) / (1.0 - alpha_bar_next)",
        check="posterior tables",
        cause="the posterior variance of t + 1's alpha_bar",
    ),
    Mutant(
        name="the clip of the log variance at the wrong end",
        old="np.append(posterior_variance[1], posterior_variance[1:])",
        new="np.append(posterior_variance[1:], posterior_variance[-1])",
        check="posterior tables",
        cause="off by one in time: its entries are those of t + 1",
    ),
    Mutant(
        name="the log variance clipped where it need not be",
        old="np.append(posterior_variance[1], posterior_variance[1:])",
        new="np.maximum(posterior_variance, 0.05)",
        check="posterior tables",
    ),
    Mutant(
        name="the log variance at t = 1 from beta",
        old="np.append(posterior_variance[1], posterior_variance[1:])",
        new="np.append(betas[0], posterior_variance[1:])",
        check="posterior tables",
        cause="right but at t = 1",
    ),
    Mutant(
        name="alpha_bar for alpha_bar_prev in the weight of x_0",
        old="betas * np.sqrt(alpha_bar_prev)",
        new="betas * np.sqrt(alpha_bar)",
        check="posterior mean",
        cause="with alpha_bar for alpha_bar of t - 1",
    ),
    Mutant(
        name="alpha_bar for 1 - beta in the weight of x_t",
        old="(1.0 - alpha_bar_prev) * np.sqrt(1.0 - betas)",
        new="(1.0 - alpha_bar_prev) * np.sqrt(alpha_bar)",
        check="posterior mean",
        cause="with alpha_bar for 1 - beta",
    ),
    Mutant(
        name="the deviation for the variance",
        old="sigma2 = posterior_variance",
        new="sigma2 = np.sqrt(posterior_variance)",
        check="sigma2",
        cause="the square root of the posterior variance",
    ),
    Mutant(
        name="off by one in q_sample",
        old="pick(sqrt_alpha_bar, t, x_0)\n    noise",
        new="pick(sqrt_alpha_bar, t - 1, x_0)\n    noise",
        check="q_sample",
        cause="off by one in time: its entries are those of t - 1",
    ),
    Mutant(
        name="the variance for sigma",
        old="noise = pick(sqrt_one_minus_alpha_bar,",
        new="noise = pick(1.0 - alpha_bar,",
        check="q_sample",
        cause="it is 1 - alpha_bar where sqrt_one_minus_alpha_bar belongs",
    ),
    Mutant(
        name="eps with the wrong sign",
        old="signal * x_0 + noise * eps",
        new="signal * x_0 - noise * eps",
        check="q_sample",
        cause="it is -sigma where",
    ),
    Mutant(
        name="eps drawn inside",
        old="signal * x_0 + noise * eps",
        new="signal * x_0 + noise * np.random.standard_normal(eps.shape).astype(eps.dtype)",
        check="q_sample",
    ),
    Mutant(
        name="one time for the whole batch",
        old="table[t].reshape",
        new="table[t[:1]].reshape",
        check="q_sample",
    ),
    Mutant(
        name="times laid along the last axis",
        old="reshape((-1,) + (1,) * (like.ndim - 1))",
        new="reshape((1,) * (like.ndim - 1) + (-1,))",
        check="q_sample",
    ),
    Mutant(
        name="images alone",
        old="reshape((-1,) + (1,) * (like.ndim - 1))",
        new="reshape((-1, 1, 1, 1))",
        check="batches",
        cause="for data of shape",
    ),
    Mutant(
        name="the dtype of the tables",
        old=".astype(like.dtype)",
        new="",
        check="arrays",
        cause="the dtype becomes float64",
    ),
    Mutant(
        name="x_0 overwritten",
        old="return signal * x_0 + noise * eps",
        new="x_0 *= signal\n    x_0 += noise * eps\n    return x_0",
        check="arrays",
        cause="changes x_0 in place",
    ),
    Mutant(
        name="sigma for the variance",
        old="variance = pick(1.0 - alpha_bar, t, x_0)",
        new="variance = pick(sqrt_one_minus_alpha_bar, t, x_0)",
        check="q_mean_variance",
        cause="it is sigma where one_minus_alpha_bar belongs",
    ),
    Mutant(
        name="the mean without a root",
        old="mean = pick(sqrt_alpha_bar, t, x_0) * x_0",
        new="mean = pick(alpha_bar, t, x_0) * x_0",
        check="q_mean_variance",
        cause="it is alpha_bar where sqrt_alpha_bar belongs",
    ),
    Mutant(
        name="x_0 and x_t exchanged",
        old="pick(posterior_mean_x_0, t, x_0) * x_0 + pick(posterior_mean_x_t, t, x_t) * x_t",
        new="pick(posterior_mean_x_0, t, x_0) * x_t + pick(posterior_mean_x_t, t, x_t) * x_0",
        check="posterior mean",
        cause="it is the posterior's weight of x_t where posterior_mean_x_0 belongs",
    ),
    Mutant(
        name="the logarithm for the variance",
        old="return mean, pick(posterior_variance, t, x_t), pick",
        new="return mean, pick(posterior_log_variance_clipped, t, x_t), pick",
        check="posterior variance",
        cause="it is log the posterior variance where posterior_variance belongs",
    ),
    Mutant(
        name="beta for the posterior variance",
        old="return mean, pick(posterior_variance, t, x_t), pick",
        new="return mean, pick(betas, t, x_t), pick",
        check="posterior variance",
        cause="it is beta where posterior_variance belongs",
    ),
    Mutant(
        name="the deviation of q(x_t | x_s)",
        old="np.sqrt(kept) * x_s, 1.0 - kept",
        new="np.sqrt(kept) * x_s, np.sqrt(1.0 - kept)",
        check="composition",
    ),
    Mutant(
        name="a guidance scale that counts from 0",
        old="unconditional + scale * (conditional - unconditional)",
        new="conditional + scale * (conditional - unconditional)",
        check="guidance",
        cause="its scale counts from 0",
    ),
    Mutant(
        name="the branches exchanged",
        old="unconditional + scale * (conditional - unconditional)",
        new="conditional + scale * (unconditional - conditional)",
        check="guidance",
        cause="conditional and unconditional are exchanged",
    ),
    Mutant(
        name="the difference with the wrong sign",
        old="unconditional + scale * (conditional - unconditional)",
        new="unconditional + scale * (unconditional - conditional)",
        check="guidance",
        cause="the difference with the wrong sign",
    ),
]
TORCH = [
    Mutant(
        name="the product of betas",
        old="torch.cumprod(alpha, dim=0)",
        new="torch.cumprod(beta, dim=0)",
        check="alpha_bar",
    ),
    Mutant(
        name="the variance for sigma",
        old="mean + variance.sqrt() * eps",
        new="mean + variance * eps",
        check="q_sample",
        cause="it is 1 - alpha_bar where sqrt_one_minus_alpha_bar belongs",
    ),
    Mutant(
        name="alpha_bar_prev at the last step",
        old="before = torch.where(first, torch.ones_like(bar), gather(alpha_bar, (t - 1)"
        ".clamp(min=0), x_t))",
        new="before = gather(alpha_bar, (t - 1).clamp(min=0), x_t)",
        check="posterior variance",
        cause="right but at t = 1, where t - 1 is data",
    ),
    Mutant(
        name="the weight of x_t without its root",
        old="(1.0 - b).sqrt() * (1.0 - before)",
        new="(1.0 - b) * (1.0 - before)",
        check="posterior mean",
        cause="the weight of x_t with no root",
    ),
    Mutant(
        name="eps over the variance",
        old="b / (1.0 - bar).sqrt() * output",
        new="b / (1.0 - bar) * output",
        check="plan",
    ),
    Mutant(
        name="the mean not scaled back",
        old="* output) / (1.0 - b).sqrt()",
        new="* output)",
        check="mean",
    ),
    Mutant(
        name="alpha_bar of the time before in the step",
        old="bar, b = alpha_bar[t], beta[t]",
        new="bar, b = alpha_bar[t - 1], beta[t]",
        check="plan",
    ),
    Mutant(
        name="the variance for the deviation of the noise",
        old="variance.sqrt() * torch.randn_like(x)",
        new="variance * torch.randn_like(x)",
        check="variance",
    ),
    Mutant(
        name="the large variance",
        old="variance = b * (1.0 - before) / (1.0 - bar)\n    if",
        new="variance = b\n    if",
        check="plan",
        cause="it has the large variance",
    ),
    Mutant(
        name="noise forgotten at t = 2",
        old="if t > 0:",
        new="if t > 1:",
        check="variance",
    ),
    Mutant(
        name="a loss that sums a sample's elements",
        old="square.flatten(1).mean(1)",
        new="square.flatten(1).sum(1)",
        check="loss weight",
    ),
    Mutant(
        name="a loss that means over the batch",
        old="square.flatten(1).mean(1)",
        new="square.mean(0).flatten().mean()[None].expand(len(x_0))",
        check="loss samples",
    ),
    Mutant(
        name="x_0 for the target eps",
        old="(eps - network(x_t, t))",
        new="(x_0 - network(x_t, t))",
        check="loss target",
    ),
    Mutant(
        name="a loss that tells the network the time before",
        old="network(x_t, t)) ** 2",
        new="network(x_t, t - 1)) ** 2",
        check="loss input",
        cause="every time is off by -1",
    ),
    Mutant(
        name="a loss on a state of x_0 alone",
        old="x_t = q_sample(x_0, t, eps)",
        new="x_t = q_mean_variance(x_0, t)[0]",
        check="loss input",
    ),
    Mutant(
        name="the wrong sign of u",
        old="scale * conditional + (1.0 - scale)",
        new="scale * conditional + (1.0 + scale)",
        check="guidance",
    ),
]
STRICT = [
    Mutant(
        name="1 taken off the root",
        old="xp.sqrt(1.0 - bar)",
        new="1.0 - xp.sqrt(bar)",
        check="q_sample",
        cause="",
    ),
    Mutant(
        name="an index that starts at 1",
        old="bar = alpha_bar(t)[",
        new="bar = alpha_bar(xp.where(t > 0, t - 1, t))[",
        check="q_sample",
        cause="off by one in time: its entries are those of t - 1",
    ),
    Mutant(
        name="the variance of q(x_t | x_s) without its scale",
        old="sigma_t**2 - scale**2 * sigma_s**2",
        new="sigma_t**2 - sigma_s**2",
        check="composition",
        cause="does not lead from",
    ),
    Mutant(
        name="sigma_s for sigma_t",
        old="alpha_t * x_t - sigma_t * v",
        new="alpha_t * x_t - sigma_s * v",
        check="mean",
    ),
    Mutant(
        name="fresh noise that takes no share of the old",
        old="xp.sqrt(sigma_s**2 - noise**2) * eps",
        new="sigma_s * eps",
        check="variance",
    ),
    Mutant(
        name="eta times the variance",
        old="xp.sqrt(fresh)",
        new="fresh",
        check="plan",
    ),
    Mutant(
        name="the wrong sign in eps of v",
        old="sigma_t * x_t + alpha_t * v",
        new="sigma_t * x_t - alpha_t * v",
        check="mean",
    ),
    Mutant(
        name="the network told the next time",
        old="v = model(x_t, t)",
        new="v = model(x_t, s)",
        check="calls",
    ),
    Mutant(
        name="a scale from 0",
        old="(scale - 1.0)",
        new="scale",
        check="guidance",
        cause="its scale counts from 0",
    ),
]
MUTANTS = [
    (file, mutant)
    for file, mutants in zip(FILES, (NUMPY, TORCH, STRICT), strict=True)
    for mutant in mutants
]


@pytest.mark.parametrize("file", FILES)
def test_right_functions_pass(file):
    report = verify.check(target(file), claims=CLAIMS.get(file))
    assert report.ok, str(report)
    assert report.kind == "plain functions"


@pytest.mark.parametrize("file", FILES)
def test_no_false_alarm_under_any_seed(file):
    made = target(file)
    subject = replace(functions.subject(made, library=of(made.library)), samplers=())
    draws = [check for check in CHECKS if check.name in ("batches", "arrays", "guidance")]
    for seed in range(20):
        assert verify.examine(replace(subject, seed=seed), draws).ok


@pytest.mark.parametrize(
    ("file", "mutant"), MUTANTS, ids=[f"{file[6:-3]}: {mutant.name}" for file, mutant in MUTANTS]
)
def test_a_wrong_formula_is_found(file, mutant):
    report = verify.check(target(file, mutant), claims=CLAIMS.get(file))
    assert mutant.check in [result.check for result in report.failures], str(report)
    assert mutant.cause in report[mutant.check].cause, report[mutant.check].cause


def test_every_check_of_plain_functions_convicts_someone():
    named = {mutant.check for _, mutant in MUTANTS}
    modules = ("tables", "forward", "posterior", "arrays", "guidance")
    own = {c.name for c in CHECKS if c.run.__module__.rpartition(".")[2] in modules}
    assert own - named == {"terminal"}
