"""Classes that step around a denoiser: the right ones pass, each wrong one is found out."""

import pytest
from mutants import Mutant, module
from verdicts import alarms, result, subject

from diffcore import verify
from diffcore.verify.adapters import step_class

FILE = "step_class.py"
RIGHT = (
    "DDPMSampler",
    "DDIMSampler",
    "EulerSampler",
    "HeunSampler",
    "LMSSampler",
    "DPMpp2MSampler",
)
LABELS = ("5 steps", "5 steps, eta=0.5", "5 steps, loud")
MUTANTS = (
    (
        "EulerSampler",
        Mutant(
            name="one time too few",
            old="self.stop, self.steps + 1)",
            new="self.stop, self.steps)",
            check="calls",
            cause="0 times, the plan 1",
        ),
    ),
    (
        "EulerSampler",
        Mutant(
            name="the times of a step exchanged",
            old="x = self.step(x, t, s)",
            new="x = self.step(x, s, t)",
            check="calls",
        ),
    ),
    (
        "EulerSampler",
        Mutant(
            name="SNR inverted",
            old="alpha_s, sigma_s = self.denoiser.schedule(s)\n        return alpha_s * (x_t",
            new="sigma_s, alpha_s = self.denoiser.schedule(s)\n        return alpha_s * (x_t",
            check="mean",
        ),
    ),
    (
        "DDIMSampler",
        Mutant(
            name="eta within the root",
            old="fresh = self.eta * math.sqrt(1 - ",
            new="fresh = math.sqrt(self.eta) * math.sqrt(1 - ",
            check="plan",
            cause="share of the variance",
        ),
    ),
    (
        "DDIMSampler",
        Mutant(
            name="noise beside all of eps",
            old="kept = sigma_s * math.sqrt(1 - fresh**2)",
            new="kept = sigma_s",
            check="variance",
        ),
    ),
    (
        "DDIMSampler",
        Mutant(
            name="alpha_t for alpha_s",
            old="return alpha_s * x_0 + kept",
            new="return alpha_t * x_0 + kept",
            check="mean",
        ),
    ),
    (
        "DDIMSampler",
        Mutant(
            name="sigma_t for sigma_s",
            old="+ sigma_s * fresh *",
            new="+ sigma_t * fresh *",
            check="variance",
        ),
    ),
    (
        "DDPMSampler",
        Mutant(
            name="the transition's variance for the posterior's",
            old="variance = beta * sigma_s**2 / sigma_t**2",
            new="variance = beta / ratio**2",
            check="variance",
        ),
    ),
    (
        "DDPMSampler",
        Mutant(
            name="missing square root",
            old="mean + math.sqrt(variance) *",
            new="mean + variance *",
            check="variance",
        ),
    ),
    (
        "DDPMSampler",
        Mutant(
            name="beta of a schedule that preserves variance",
            old="beta = sigma_t**2 - ratio**2 * sigma_s**2",
            new="beta = 1 - ratio**2",
            check="mean",
        ),
    ),
    (
        "EulerSampler",
        Mutant(
            name="eps with alpha forgotten",
            old="(x - alpha * self.denoiser(x, time).mean) / sigma",
            new="(x - self.denoiser(x, time).mean) / sigma",
            check="mean",
        ),
    ),
    (
        "EulerSampler",
        Mutant(
            name="levels in float32",
            old="        return (x - alpha * self.denoiser(x, time).mean) / sigma",
            new="        return (x - alpha * self.denoiser(x, time).mean) / np.float32(sigma)",
            check="plan",
        ),
    ),
    (
        "HeunSampler",
        Mutant(
            name="the second slope at the first time",
            old="second = self.slope(guess, s)",
            new="second = self.slope(guess, t)",
            check="calls",
        ),
    ),
    (
        "HeunSampler",
        Mutant(
            name="the first slope twice",
            old="(first + second) / 2)",
            new="(first + first) / 2)",
            check="order",
            cause="order 1",
        ),
    ),
    (
        "LMSSampler",
        Mutant(
            name="the history not cleared",
            old="        self.history = []\n        return super()",
            new="        return super()",
            check="plan",
        ),
    ),
    (
        "LMSSampler",
        Mutant(
            name="the sign of the step before",
            old="(2 * (here - before))",
            new="(2 * (before - here))",
            check="order",
        ),
    ),
    (
        "LMSSampler",
        Mutant(
            name="even steps taken for granted",
            old="mean = slope + (there - here) / (2 * (here - before)) * (slope - old)",
            new="mean = 1.5 * slope - 0.5 * old",
            check="plan",
        ),
    ),
    (
        "DPMpp2MSampler",
        Mutant(
            name="ratio of the steps inverted",
            old="h / (2 * gap)",
            new="gap / (2 * h)",
            check="plan",
        ),
    ),
    (
        "DPMpp2MSampler",
        Mutant(
            name="half of log SNR without its alpha",
            old="h = math.log(alpha_s / sigma_s) - math.log(alpha_t / sigma_t)",
            new="h = math.log(sigma_t / sigma_s)",
            check="mean",
        ),
    ),
    (
        "DPMpp2MSampler",
        Mutant(
            name="the wrong side of the line",
            old="aim = x_0 + h",
            new="aim = x_0 - h",
            check="order",
            cause="order 1",
        ),
    ),
)


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_passes(name):
    report = verify.check(getattr(module(FILE), name))
    assert report.ok, str(report)


@pytest.mark.parametrize("name", RIGHT)
def test_no_seed_gives_a_false_alarm(name):
    made = subject(step_class, getattr(module(FILE), name))
    labels = [s.label for s in made.samplers if s.label in LABELS]
    assert alarms(made, labels, range(1, 20)) == []


@pytest.mark.parametrize(("name", "mutant"), MUTANTS, ids=[m.name for _, m in MUTANTS])
def test_each_mutant_is_found(name, mutant):
    found = result(subject(step_class, getattr(module(FILE, mutant), name)), mutant.check)
    assert found.verdict is verify.Verdict.FAILS
    assert mutant.cause in found.cause
