"""Step schedulers: the right ones pass, each wrong one is found by the check named."""

import pytest
from mutants import Mutant, module
from verdicts import alarms, result, subject

from diffcore import verify
from diffcore.verify.adapters import scheduler

FILE = "step_scheduler.py"
RIGHT = (
    "DDIMScheduler",
    "DDPMScheduler",
    "EulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
)
DDIM, DDPM, EULER, MULTISTEP = RIGHT
MUTANTS = (
    (
        DDIM,
        "spacing",
        Mutant(
            name="the next time is a fixed step off",
            old="return self.alphas_cumprod[self.timesteps[k]]",
            new="return self.alphas_cumprod[max(int(t) - 40 // len(self.timesteps), 0)]",
            check="mean",
        ),
    ),
    (
        DDIM,
        "steps",
        Mutant(
            name="alpha_bar of the first time at the end",
            old="one if set_alpha_to_one else self.alphas_cumprod[0]",
            new="self.alphas_cumprod[0]",
            check="plan",
            cause="its last level is that of time 1",
        ),
    ),
    (
        DDIM,
        "arguments",
        Mutant(
            name="eta once, not squared",
            old="variance = eta**2 * (1 - then)",
            new="variance = eta * (1 - then)",
            check="plan",
        ),
    ),
    (
        DDIM,
        "arguments",
        Mutant(
            name="the noise's share is not taken from eps",
            old="(1 - then - variance).clamp(min=0.0)",
            new="(1 - then).clamp(min=0.0)",
            check="variance",
        ),
    ),
    (
        DDIM,
        "arguments",
        Mutant(
            name="variance for deviation",
            old="previous = previous + variance.sqrt() * torch.randn(",
            new="previous = previous + variance * torch.randn(",
            check="variance",
        ),
    ),
    (
        DDIM,
        "prediction",
        Mutant(
            name="the sign of v",
            old="return alpha * x - sigma * output, sigma * x + alpha * output",
            new="return alpha * x + sigma * output, sigma * x - alpha * output",
            check="predictions",
            cause="puts out v",
        ),
    ),
    (
        DDIM,
        "prediction",
        Mutant(
            name="eps of the wrong branch",
            old="return output, (x - alpha * output) / sigma",
            new="return output, output",
            check="predictions",
            cause="puts out x_0",
        ),
    ),
    (
        DDIM,
        "steps",
        Mutant(
            name="trailing off by one",
            old="steps = np.round(np.arange(T, 0, -T / n)) - 1",
            new="steps = np.round(np.arange(T, 0, -T / n)) % T",
            check="spacing",
        ),
    ),
    (
        DDIM,
        "clipping",
        Mutant(
            name="clipped to [0, 1]",
            old="x_0 = x_0.clamp(-1.0, 1.0)\n            eps",
            new="x_0 = x_0.clamp(0.0, 1.0)\n            eps",
            check="clipping",
            cause="within [-1, 1]",
        ),
    ),
    (
        DDIM,
        "clipping",
        Mutant(
            name="eps of the x_0 before it was clipped",
            old="            eps = (sample - now.sqrt() * x_0) / (1 - now).sqrt()\n",
            new="",
            check="clipping",
            cause="beyond [-1, 1]",
        ),
    ),
    (
        DDIM,
        "steps",
        Mutant(
            name="noise weighs 1 - alpha_bar",
            old="return bar.sqrt() * x_0 + (1 - bar).sqrt() * noise",
            new="return bar.sqrt() * x_0 + (1 - bar) * noise",
            check="q_sample",
        ),
    ),
    (
        DDIM,
        "steps",
        Mutant(
            name="float32 running product",
            old="torch.cumprod(1.0 - self.betas, 0)",
            new="torch.cumprod((1.0 - self.betas).float(), 0).double()",
            check="alpha_bar",
        ),
    ),
    (
        DDIM,
        "options",
        Mutant(
            name="an option that raises",
            old='elif kind == "linspace":\n            steps = np.linspace(0, T - 1, n)',
            new='elif kind == "linspace":\n            steps = np.linspce(0, T - 1, n)',
            check="options",
        ),
    ),
    (
        DDPM,
        "steps",
        Mutant(
            name="beta's root for the posterior's",
            old="variance = small if",
            new="variance = beta if",
            check="plan",
            cause="large variance",
        ),
    ),
    (
        DDPM,
        "steps",
        Mutant(
            name="noise at the last step",
            old="        if not last:\n",
            new="        if True:\n            variance = variance.clamp(min=1e-3)\n",
            check="exactness",
        ),
    ),
    (
        DDPM,
        "steps",
        Mutant(
            name="the variance clipped to a least value",
            old="mean = mean + variance.sqrt() * noise",
            new="mean = mean + variance.clamp(min=0.3).sqrt() * noise",
            check="variance",
        ),
    ),
    (
        DDPM,
        "steps",
        Mutant(
            name="beta of one training step",
            old="beta = 1 - now / then",
            new="beta = self.betas[timestep]",
            check="mean",
        ),
    ),
    (
        EULER,
        "state",
        Mutant(
            name="step index not reset",
            old="        self.sigmas = torch.cat([levels, torch.zeros(1, dtype=torch.float64)])\n"
            "        self.begin, self.index = 0, None\n",
            new="        self.sigmas = torch.cat([levels, torch.zeros(1, dtype=torch.float64)])\n",
            check="runs",
        ),
    ),
    (
        EULER,
        "steps",
        Mutant(
            name="sigma_s for sigma_t",
            old="slope = (sample - x_0) / now",
            new="slope = (sample - x_0) / (then + 1e-3)",
            check="variance",
        ),
    ),
    (
        EULER,
        "steps",
        Mutant(
            name="the network's input not scaled",
            old="return sample / (self.sigmas[self.index] ** 2 + 1).sqrt()",
            new="return sample / (self.sigmas[self.index] + 1)",
            check="mean",
        ),
    ),
    (
        EULER,
        "state",
        Mutant(
            name="begin index ignored",
            old="            self.index = self.begin\n",
            new="            self.index = 0\n",
            check="mean",
        ),
    ),
    (
        EULER,
        "steps",
        Mutant(
            name="starts from standard noise",
            old="return float(self.sigmas[0])",
            new="return 1.5",
            check="spacing",
            cause="another variance",
        ),
    ),
    (
        MULTISTEP,
        "state",
        Mutant(
            name="history not cleared",
            old="        self.begin, self.index = 0, None\n        self.last = None\n",
            new="        self.begin, self.index = 0, None\n",
            check="state",
            cause="left over",
        ),
    ),
    (
        MULTISTEP,
        "ends",
        Mutant(
            name="first order forgotten at the end",
            old="short = self.config.lower_order_final and len(self.timesteps) < 15",
            new="short = False",
            check="plan",
        ),
    ),
    (
        MULTISTEP,
        "steps",
        Mutant(
            name="the slope's step ratio upside down",
            old="slope = (x_0 - x_0_then) / ((now - then) / h)",
            new="slope = (x_0 - x_0_then) * ((now - then) / h)",
            check="plan",
        ),
    ),
    (
        MULTISTEP,
        "steps",
        Mutant(
            name="the midpoint's half forgotten",
            old="previous = previous - 0.5 * a_s",
            new="previous = previous - a_s",
            check="plan",
        ),
    ),
    (
        MULTISTEP,
        "method",
        Mutant(
            name="a sign in the exact integral",
            old="(torch.expm1(-h) / h + 1.0)",
            new="(torch.expm1(-h) / h - 1.0)",
            check="plan",
        ),
    ),
    (
        MULTISTEP,
        "steps",
        Mutant(
            name="alpha_t for alpha_s",
            old="previous = s_s / s_t * sample - a_s * torch.expm1(-h) * x_0",
            new="previous = s_s / s_t * sample - a_t * torch.expm1(-h) * x_0",
            check="mean",
        ),
    ),
)


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_one_passes(name):
    report = verify.check(getattr(module(FILE), name))
    assert report.ok, str(report)
    assert report.kind == "step scheduler"
    for check in ("plan", "mean", "state", "predictions", "spacing", "options"):
        assert report[check].verdict is verify.Verdict.HOLDS, check


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_one_passes_whatever_is_drawn(name):
    made = subject(scheduler, getattr(module(FILE), name), parts=("steps",))
    assert alarms(made, ("2 steps",), range(20)) == []


@pytest.mark.parametrize(("name", "part", "mutant"), MUTANTS, ids=lambda v: getattr(v, "name", v))
def test_the_wrong_one_is_found(name, part, mutant):
    made = subject(scheduler, getattr(module(FILE, mutant), name), parts=(part,))
    found = result(made, mutant.check)
    assert found.verdict is verify.Verdict.FAILS, str(found)
    assert mutant.cause in found.cause, found.cause


def test_an_instance_is_checked_as_it_was_made():
    made = module(FILE).DDIMScheduler(num_train_timesteps=20, prediction_type="v_prediction")
    report = verify.check(made, parts=("steps",), steps=(3,))
    assert report.ok
    with pytest.raises(TypeError, match="kwargs must be given for a class"):
        verify.check(made, kwargs={"num_train_timesteps": 30})


def test_a_claim_is_taken_at_its_word():
    made = module(FILE).DDPMScheduler
    assert verify.check(made, claims=verify.claim("ddim", eta=1.0), parts=("steps",))["plan"].error
    wrong = verify.check(made, claims="euler", parts=("steps",), steps=(4,))["plan"]
    assert wrong.verdict is verify.Verdict.FAILS


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="parts must be of steps, spacing"):
        verify.check(module(FILE).DDIMScheduler, parts=("all",))

    class Asks(module(FILE).DDIMScheduler):
        def step(self, model_output, timestep, sample, mask):
            raise NotImplementedError

    with pytest.raises(ValueError, match="that of Asks needs 'mask' too"):
        verify.check(Asks)
