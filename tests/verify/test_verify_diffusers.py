"""diffusers' schedulers: those that are right pass, those that deviate fail in the check for it."""

import warnings

import pytest
from verdicts import result, subject

from diffcore import verify
from diffcore.verify.adapters import scheduler

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers

pytestmark = pytest.mark.filterwarnings("ignore")  # What others' code warns of is not asked.
RIGHT = (
    "DDIMScheduler",
    "DDPMScheduler",
    "EDMDPMSolverMultistepScheduler",
    "EDMEulerScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
    "SASolverScheduler",
    "TCDScheduler",
)
ONLY_ADD_NOISE = (
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
)
DEVIATE = (
    ("DDIMScheduler", "spacing", {}, "mean", "x_0"),
    ("DDIMScheduler", "clipping", {}, "clipping", "clip_sample=True"),
    ("DDPMScheduler", "options", {}, "options", "variance_type=fixed_large_log"),
    ("DEISMultistepScheduler", "levels", {}, "spacing", "use_karras_sigmas"),
    ("DPMSolverMultistepScheduler", "levels", {}, "calls", "use_karras_sigmas"),
    ("DPMSolverSinglestepScheduler", "method", {}, "plan", "solver_order=3"),
    ("EDMEulerScheduler", "arguments", {}, "variance", "s_churn=2"),
    ("EulerDiscreteScheduler", "arguments", {}, "variance", "s_churn=2"),
    ("EulerDiscreteScheduler", "levels", {}, "calls", "log_linear"),
    (
        "EulerAncestralDiscreteScheduler",
        "steps",
        {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "linspace"},
        "runs",
        "4 steps",
    ),
    ("FlowMatchEulerDiscreteScheduler", "arguments", {}, "plan", "s_churn=2"),
    ("FlowMatchHeunDiscreteScheduler", "arguments", {}, "mean", "s_churn=2"),
    ("PNDMScheduler", "prediction", {}, "predictions", "v_prediction"),
    ("PNDMScheduler", "spacing", {"skip_prk_steps": True}, "mean", "linspace"),
    ("PNDMScheduler", "steps", {}, "spacing", "5 steps"),
    ("PNDMScheduler", "ends", {"skip_prk_steps": True}, "plan", "set_alpha_to_one"),
    ("SASolverScheduler", "options", {}, "options", "variance_type=learned"),
    ("UniPCMultistepScheduler", "ends", {}, "runs", "lower_order_final=False"),
    ("UniPCMultistepScheduler", "steps", {"solver_type": "bh1"}, "runs", "5 steps"),
)


def of(name, part, kwargs=None):
    made = getattr(diffusers, name)
    return subject(scheduler, made, kwargs=kwargs, parts=(part,), steps=(5, 4))


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_ones_pass(name):
    report = verify.check(getattr(diffusers, name), parts=("steps", "prediction"), steps=(5,))
    assert report.ok, str(report)


@pytest.mark.parametrize("name", ONLY_ADD_NOISE)
def test_noise_added_before_the_timesteps_are_set_is_reversed_in_time(name):
    """All else passes. Training calls `add_noise` of a fresh object."""
    report = verify.check(getattr(diffusers, name), parts=("steps", "prediction"), steps=(5,))
    assert [failure.check for failure in report.failures] == ["q_sample"], str(report)
    assert "reversed in time" in report["q_sample"].cause


@pytest.mark.parametrize(("name", "part", "kwargs", "check", "where"), DEVIATE)
def test_deviations_are_found(name, part, kwargs, check, where):
    found = result(of(name, part, kwargs), check)
    assert found.verdict is verify.Verdict.FAILS
    assert where in found.where, found.where


@pytest.mark.parametrize(("kind", "fails"), [("dpmsolver++", False), ("sde-dpmsolver++", True)])
def test_the_sign_in_the_sde_of_order_3(kind, fails):
    kwargs = {"solver_order": 3, "algorithm_type": kind}
    found = result(of("DPMSolverMultistepScheduler", "steps", kwargs), "plan")
    assert (found.verdict is verify.Verdict.FAILS) == fails


def test_a_partial_schedule_of_lms_takes_weights_for_outputs_that_it_has_not():
    found = result(of("LMSDiscreteScheduler", "state"), "variance")
    assert found.verdict is verify.Verdict.FAILS
    assert "from step 2 of 5" in found.where


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("DDIMInverseScheduler", "those of DDIMInverseScheduler rise"),
        ("CMStochasticIterativeScheduler", "is a consistency model's"),
        ("RePaintScheduler", "needs 'original_image' too"),
        ("IPNDMScheduler", "IPNDMScheduler has neither"),
        ("HeliosScheduler", "HeliosScheduler raises KeyError"),
        ("MiniMaxH3Scheduler", "counts from noise at 0, is not read"),
    ],
)
def test_what_is_no_sampler_by_levels_is_refused_in_words(name, message):
    with pytest.raises(ValueError, match=message):
        verify.check(getattr(diffusers, name))
