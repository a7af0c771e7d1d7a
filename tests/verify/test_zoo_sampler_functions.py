"""Sampler functions: the right ones pass on every grid and option, each wrong one is found out."""

import pytest
from mutants import Mutant, module
from verdicts import alarms, result, subject

from diffcore import verify
from diffcore.verify.adapters import function

pytest.importorskip("torch")

FILE = "sampler_functions.py"
RIGHT = (
    "sample_euler",
    "sample_heun",
    "sample_euler_ancestral",
    "sample_dpmpp_2m",
    "sample_dpmpp_2m_sde",
    "sample_lms",
    "sample_dpm_fast",
)
LABELS = ("5 steps", "5 steps, eta=0.5", "6 calls")
MUTANTS = (
    (
        "sample_euler",
        Mutant(
            name="noise added as a difference of levels",
            old="torch.sqrt(raised**2 - sigma**2)",
            new="(raised - sigma)",
            check="variance",
        ),
    ),
    (
        "sample_euler",
        Mutant(
            name="churn not shared among the steps",
            old="min(s_churn / steps, math.sqrt(2) - 1)",
            new="min(s_churn, math.sqrt(2) - 1)",
            check="calls",
        ),
    ),
    (
        "sample_euler",
        Mutant(
            name="the network is told the level before the churn",
            old="x_0 = model(x, sigma)\n        if callback is not None:",
            new="x_0 = model(x, sigmas[i])\n        if callback is not None:",
            check="calls",
        ),
    ),
    (
        "sample_euler",
        Mutant(
            name="a step from the level before the churn",
            old="(sigmas[i + 1] - sigma) * slope",
            new="(sigmas[i + 1] - sigmas[i]) * slope",
            check="variance",
        ),
    ),
    (
        "sample_euler",
        Mutant(
            name="levels in float32",
            old="        sigma = sigmas[i]\n",
            new="        sigma = sigmas[i].float().double()\n",
            check="calls",
        ),
    ),
    (
        "sample_heun",
        Mutant(
            name="Euler's slope, the second call in vain",
            old="(first + second) / 2",
            new="first",
            check="plan",
        ),
    ),
    (
        "sample_heun",
        Mutant(
            name="the second call on the old state",
            old="model(guess, after, **extra)",
            new="model(x, after, **extra)",
            check="variance",
        ),
    ),
    (
        "sample_euler_ancestral",
        Mutant(
            name="missing square root",
            old="eta * sigma_next * torch.sqrt(1 - (sigma_next / sigma) ** 2)",
            new="eta * sigma_next * (1 - (sigma_next / sigma) ** 2)",
            check="plan",
        ),
    ),
    (
        "sample_euler_ancestral",
        Mutant(
            name="levels subtracted, not their squares",
            old="torch.sqrt(sigma_next**2 - up**2)",
            new="sigma_next - up",
            check="variance",
        ),
    ),
    (
        "sample_euler_ancestral",
        Mutant(
            name="noise of the level left",
            old="noise(sigma, after) * s_noise * up",
            new="noise(sigma, after) * s_noise * sigma",
            check="variance",
        ),
    ),
    (
        "sample_euler_ancestral",
        Mutant(
            name="eta within the root",
            old="eta * sigma_next * torch.sqrt(1 - (sigma_next / sigma) ** 2)",
            new="sigma_next * torch.sqrt(eta * (1 - (sigma_next / sigma) ** 2))",
            check="plan",
            cause="share of the variance",
        ),
    ),
    (
        "sample_dpmpp_2m",
        Mutant(
            name="ratio of the steps inverted",
            old="* h / (2 * gap)",
            new="* gap / (2 * h)",
            check="plan",
        ),
    ),
    (
        "sample_dpmpp_2m",
        Mutant(
            name="the step to data forgotten",
            old="            return x_0\n        h = torch.log(sigma / after)\n        aim = x_0\n",
            new="            pass\n        h = torch.log(sigma / after)\n        aim = x_0\n",
            check="runs",
        ),
    ),
    (
        "sample_dpmpp_2m",
        Mutant(
            name="no second order",
            old="aim = x_0 + (x_0 - previous) * h / (2 * gap)",
            new="aim = x_0",
            check="plan",
            cause="order 1",
        ),
    ),
    (
        "sample_dpmpp_2m",
        Mutant(
            name="the history kept from run to run",
            old="def sample_dpmpp_2m(model, x, sigmas):\n    previous, gap = None, None\n",
            new="def sample_dpmpp_2m(model, x, sigmas, kept=[]):\n"
            "    first = model\n"
            "    def model(y, sigma):\n"
            "        kept.append(first(y, sigma))\n"
            "        return kept[-1]\n"
            "    previous, gap = (kept[-1], 1.0) if kept else (None, None)\n",
            check="runs",
        ),
    ),
    (
        "sample_dpmpp_2m_sde",
        Mutant(
            name="eta left out of the decay",
            old="torch.exp(-eta * h) * x",
            new="torch.exp(-h) * x",
            check="variance",
        ),
    ),
    (
        "sample_dpmpp_2m_sde",
        Mutant(
            name="half of the exponent of the noise",
            old="torch.expm1(-2 * eta * h)",
            new="torch.expm1(-eta * h)",
            check="variance",
        ),
    ),
    (
        "sample_dpmpp_2m_sde",
        Mutant(
            name="levels inverted",
            old="x = after / sigma * torch.exp",
            new="x = sigma / after * torch.exp",
            check="variance",
        ),
    ),
    (
        "sample_dpmpp_2m_sde",
        Mutant(
            name="wrong sign of one type's slope",
            old="(1 + torch.expm1(-decay) / decay) * slope",
            new="(1 - torch.expm1(-decay) / decay) * slope",
            check="plan",
        ),
    ),
    (
        "sample_lms",
        Mutant(
            name="a root at its own node",
            old="polynomial * other",
            new="polynomial * own",
            check="variance",
        ),
    ),
    (
        "sample_lms",
        Mutant(
            name="no end to the polynomial",
            old="        if after == 0:\n            return x_0\n        nodes",
            new="        nodes",
            check="plan",
            cause="goes on",
        ),
    ),
    (
        "sample_dpm_fast",
        Mutant(
            name="an inner level half way",
            old="third, two = sigma * torch.exp(-h / 3)",
            new="third, two = sigma * torch.exp(-h / 2)",
            check="variance",
        ),
    ),
    (
        "sample_dpm_fast",
        Mutant(
            name="1 / (2 r_2) for 1 / r_2",
            old="after * 1.5 * (torch",
            new="after * 0.75 * (torch",
            check="plan",
        ),
    ),
)


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_passes(name):
    report = verify.check(getattr(module(FILE), name))
    assert report.ok, str(report)


@pytest.mark.parametrize("name", RIGHT)
def test_no_seed_gives_a_false_alarm(name):
    made = subject(function, getattr(module(FILE), name))
    labels = [s.label for s in made.samplers if s.label in LABELS]
    assert alarms(made, labels, range(1, 20)) == []


@pytest.mark.parametrize(("name", "mutant"), MUTANTS, ids=[m.name for _, m in MUTANTS])
def test_each_mutant_is_found(name, mutant):
    found = result(subject(function, getattr(module(FILE, mutant), name)), mutant.check)
    assert found.verdict is verify.Verdict.FAILS
    assert mutant.cause in found.cause
