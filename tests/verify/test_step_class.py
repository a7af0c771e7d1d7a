"""The adapter of classes around a denoiser: what it recognises, makes, and takes for levels."""

import copy
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from mutants import module
from verdicts import result, subject

from diffcore import schedules
from diffcore.verify import Verdict, check, claim
from diffcore.verify.adapters import step_class
from diffcore.verify.levels import told

ZOO = module("step_class.py")


def bent(t):
    """alpha above 1, sigma above 0 at t = 0."""
    return 2.0 - 1.5 * t, 0.1 + t * t


def denoiser(x_t, t):
    return SimpleNamespace(mean=0.0 * x_t)


class Backwards:
    """Time 0 is noise and time 1 is data; one call to the class and no `step`."""

    def __init__(self, denoiser, steps=10):
        self.denoiser = denoiser
        self.timesteps = np.linspace(0.0, 1.0, steps + 1).tolist()

    def __call__(self, x):
        for t, s in pairwise(self.timesteps):
            alpha_t, sigma_t = self.denoiser.schedule(t)
            alpha_s, sigma_s = self.denoiser.schedule(s)
            x_0 = self.denoiser(x, t).mean
            x = alpha_s * x_0 + sigma_s / sigma_t * (x - alpha_t * x_0)
        return x


class Fixed:
    """Five steps, whatever is asked; `step` alone."""

    def __init__(self, denoiser):
        self.denoiser = denoiser

    @property
    def timesteps(self):
        return np.linspace(1.0, 0.0, 6).astype(np.float32)

    def step(self, x_t, t, s):
        alpha_t, sigma_t = self.denoiser.schedule(t)
        alpha_s, sigma_s = self.denoiser.schedule(s)
        x_0 = self.denoiser(x_t, t).mean
        return alpha_s * x_0 + sigma_s / sigma_t * (x_t - alpha_t * x_0)


class Multistep(ZOO.Sampler):
    """Without a step that could be called."""

    def __call__(self, x_T):
        return ZOO.DPMpp2MSampler.__call__(self, x_T)


def test_it_is_told_by_its_denoiser():
    assert step_class.matches(ZOO.DDIMSampler)
    assert step_class.matches(ZOO.DDIMSampler(denoiser))
    assert step_class.matches(Fixed)
    assert not step_class.matches(SimpleNamespace)
    assert not step_class.matches(SimpleNamespace(denoiser=denoiser))
    assert not step_class.matches(lambda denoiser: denoiser)


def test_time_may_run_either_way():
    report = check(Backwards, claims="ddim", schedule=lambda t: bent(1.0 - t))
    assert report.ok, str(report)


def test_an_instance_is_copied_and_keeps_its_own_options():
    source = SimpleNamespace(schedule=bent)
    own = ZOO.DDIMSampler(source, eta=1.0, steps=3)
    before = copy.copy(vars(own))
    made = subject(step_class, own)
    assert all(s.claim == claim("ddim", eta=1.0) for s in made.samplers)
    assert all(s.schedule(0.0) == bent(0.0) for s in made.samplers)
    report = check(own)
    assert report.ok, str(report)
    assert vars(own) == before


def test_fixed_steps_are_kept_with_float32_levels():
    made = subject(step_class, Fixed(SimpleNamespace(schedule=bent)), claim=claim("euler"))
    assert {len(s.grid) - 1 for s in made.samplers} == {5}
    assert made.samplers[0].epsilon >= np.finfo(np.float32).eps
    for name in ("calls", "mean", "variance", "plan"):
        assert result(made, name).verdict is Verdict.HOLDS


def test_a_step_that_is_not_there_is_not_called():
    labels = [s.label for s in subject(step_class, Multistep).samplers]
    assert "5 steps, run twice" in labels
    assert "5 steps, by step" not in labels
    assert "5 steps, by step" in [s.label for s in subject(step_class, ZOO.EulerSampler).samplers]


def test_options_are_tried_unless_refused_or_given():
    labels = {s.label for s in subject(step_class, ZOO.LMSSampler).samplers}
    assert "5 steps, order=1" in labels
    assert "5 steps, order=3" not in labels
    made = subject(step_class, ZOO.DDIMSampler, eta=0.5)
    assert all(s.claim == claim("ddim", eta=0.5) for s in made.samplers)
    assert not any("eta" in s.label for s in made.samplers)


def test_without_a_schedule_it_is_run_on_several():
    labels = [s.label for s in subject(step_class, ZOO.EulerSampler).samplers]
    assert {"5 steps, exploding", "5 steps, loud"} <= set(labels)
    given = [s.label for s in subject(step_class, ZOO.EulerSampler, schedule=bent).samplers]
    assert not {"5 steps, exploding", "5 steps, loud"} & set(given)


def test_a_schedule_of_ours_is_asked_itself():
    flow = schedules.flow()
    made = subject(step_class, ZOO.EulerSampler, schedule=flow, start=0.9)
    assert all(s.schedule is flow for s in made.samplers)


def test_told_levels_are_those_of_the_function():
    made = told(bent, 1.0)
    assert made(0.25) == bent(0.25)
    alpha, sigma = made(np.array([0.25, 1.0]))
    np.testing.assert_array_equal(alpha, [1.625, 0.5])
    np.testing.assert_array_equal(sigma, [0.1 + 0.0625, 1.1])
    assert made.log_snr_at(0.5) == pytest.approx(2.0 * np.log(1.25 / 0.35), rel=1e-15)
    assert made.time_at(made.log_snr_at(0.3)) == pytest.approx(0.3, rel=1e-12)
    with pytest.raises(ValueError, match="known by its levels alone"):
        made.curve.split(np, 0.0)
