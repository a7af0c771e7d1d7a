"""The adapter of sampler functions: what it recognises, claims, tries and hands over."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from mutants import module
from verdicts import result, subject

from diffcore.verify import Verdict, check, claim, libraries
from diffcore.verify.adapters import function, names
from diffcore.verify.adapters.network import Network


def euler(model, x, sigmas, order=1, callback=None, extra_args=None):
    if order > 2:
        raise ValueError("order must be 1 or 2")
    for i in range(len(sigmas) - 1):
        x_0 = model(x, sigmas[i], **(extra_args or {}))
        if callback is not None:
            callback({"i": i, "x": x, "sigma": sigmas[i], "denoised": x_0})
        x = x_0 + sigmas[i + 1] / sigmas[i] * (x - x_0)
    return x


def told_late(model, x, sigmas, callback=None):
    for i in range(len(sigmas) - 1):
        x_0 = model(x, sigmas[i])
        x = x_0 + sigmas[i + 1] / sigmas[i] * (x - x_0)
        if callback is not None:
            callback({"i": i, "x": x, "sigma": sigmas[i], "denoised": x_0})
    return x


def told_the_next(model, x, sigmas, callback=None, extra_args=None):
    for i in range(len(sigmas) - 1):
        x_0 = model(x, sigmas[i])
        if callback is not None:
            callback({"i": i, "x": x, "sigma": sigmas[i + 1], "denoised": x_0})
        x = x_0 + sigmas[i + 1] / sigmas[i] * (x - x_0)
    return x


def drawn(model, x, sigmas, rng, eta=1.0):
    """Ancestral, with a generator that it is given."""
    for sigma, after in pairwise(sigmas.tolist()):
        x_0 = model(x, sigma)
        share = min(1.0, eta * eta * (1.0 - (after / sigma) ** 2))
        kept = after * math.sqrt(1.0 - share)
        fresh = rng.standard_normal(x.shape).astype(x.dtype)
        x = x_0 + kept / sigma * (x - x_0) + after * math.sqrt(share) * fresh
    return x


def between(model, x, sigma_min, sigma_max, n):
    """Even in log sigma, of order 1: levels of its own."""
    levels = np.geomspace(sigma_max, sigma_min, n + 1).tolist()
    for sigma, after in pairwise(levels):
        x_0 = model(x, sigma)
        x = x_0 + after / sigma * (x - x_0)
    return x


def test_it_is_told_by_its_first_arguments():
    assert function.matches(euler)
    assert function.matches(between)
    assert not function.matches(lambda model, x: x)
    assert not function.matches(lambda model, x, sigma_min, sigma_max: x)
    assert not function.matches(np.ones(3))


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("sample_euler", {"s_churn": 0.0, "s_noise": 1.0}, claim("euler")),
        ("sample_heun", {"s_churn": 0.5}, claim("heun", s_churn=0.5)),
        ("HeunSampler", {}, claim("heun")),
        ("sample_dpm_2", {}, claim("dpm2")),
        ("sample_dpm_2_ancestral", {"eta": 0.5}, claim("dpm2_ancestral", eta=0.5)),
        ("sample_lms", {"order": 3}, claim("lms", start="lower", order=3)),
        ("sample_lms", {"order": 7}, None),
        ("sample_dpmpp_2m", {}, claim("dpm_solver_pp", start="lower", order=2)),
        ("sample_dpmpp_2m_sde", {"eta": 1.0}, claim("dpm_solver_pp_sde", order=2)),
        ("sample_dpmpp_2m_sde", {"s_noise": 1.1}, None),
        ("sample_dpmpp_3m_sde", {"eta": 0.0}, claim("dpm_solver_pp", order=3, start="lower")),
        ("sample_dpmpp_sde", {"eta": 0.5}, None),
        ("sample_unipc", {}, claim("unipc")),
        ("xEABSampler", {"order": 2}, claim("dpm_solver_pp", start="lower")),
        ("sample_something", {}, None),
    ],
)
def test_claims_follow_from_names(name, options, wanted):
    assert names.claimed(name, options) == wanted


def test_a_claim_takes_the_options_that_its_planner_has():
    base = claim("euler_ancestral")
    assert names.varied(base, {"eta": 0.5}) == claim("euler_ancestral", eta=0.5)
    assert names.varied(base, {"r": 0.5}) is None
    assert names.varied(claim("ddim"), {"eta": 2.0}) is None  # It refuses that.


def test_the_claim_given_stands_before_the_name():
    pytest.importorskip("torch")
    right = module("sampler_functions.py").sample_heun
    made = subject(function, right, claim=claim("dpm2"))
    assert all(s.claim == claim("dpm2") for s in made.samplers)
    found = result(made, "plan")
    assert found.verdict is Verdict.FAILS
    assert found.cause == "it is heun"


def test_options_are_tried_unless_refused_or_given():
    labels = [s.label for s in subject(function, euler, claim=claim("lms")).samplers]
    assert "5 steps, order=2" in labels
    assert "5 steps, order=3" not in labels
    assert not any("order" in s.label for s in subject(function, euler, order=2).samplers[:4])
    given = subject(function, drawn, claim=claim("euler_ancestral"), eta=0.5)
    assert not any("eta=" in s.label for s in given.samplers)


def test_grids_end_at_data_and_above():
    made = subject(function, euler)
    ends = {s.label: s.grid[-1] for s in made.samplers}
    assert ends["5 steps, uneven"] == 0.0
    assert ends["5 steps that end above 0"] > 0.0
    assert {len(s.grid) - 1 for s in made.samplers} == {1, 2, 5, 10}
    assert made.with_steps(7).grid[-1] > 0.0


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (told_late, "callback's 'x' in step 2 is no state that the network saw"),
        (told_the_next, "callback's 'sigma' in step 0 is not that of its 'x'"),
    ],
)
def test_a_callback_tells_the_call(target, words):
    found = result(subject(function, target), "options")
    assert found.verdict is Verdict.FAILS
    assert found.where == "callback"
    assert words.split(" in step")[0] in found.cause


def test_a_callback_and_extra_arguments_that_are_right_pass():
    assert result(subject(function, euler), "options").verdict is Verdict.HOLDS
    assert "extra_args" in [o.label for o in subject(function, euler).options]


def test_extra_arguments_must_reach_the_network():
    options = {o.label: o for o in subject(function, told_the_next).options}
    with pytest.raises(ValueError, match="extra_args do not reach call 0"):
        options["extra_args"].attempt()


def test_a_generator_of_numpy_is_handed_over():
    report = check(drawn, claims="euler_ancestral")
    assert report.ok, str(report)


def test_levels_of_its_own():
    report = check(between, claims="ddim")
    assert report.ok, str(report)
    assert check(between).ok


def test_a_key_and_loops_of_jax():
    jax = pytest.importorskip("jax")

    def scanned(model, x, sigmas, key):
        def step(carry, levels):
            x, key = carry
            sigma, after = levels
            key, own = jax.random.split(key)
            x_0 = model(x, sigma)
            up = after * jax.numpy.sqrt(1.0 - (after / sigma) ** 2)
            down = jax.numpy.sqrt(jax.numpy.maximum(after**2 - up**2, 0.0))
            noise = jax.random.normal(own, x.shape, x.dtype)
            return (x_0 + down / sigma * (x - x_0) + up * noise, key), None

        return jax.lax.scan(step, (x, key), (sigmas[:-1], sigmas[1:]))[0][0]

    made = function.subject(
        scanned, library=libraries.of("jax"), claim=claim("euler_ancestral"), steps=(2,)
    )
    few = replace(made, samplers=made.samplers[:1], with_steps=None)
    for name in ("calls", "variance", "plan"):
        assert result(few, name).verdict is Verdict.HOLDS


def test_a_network_told_two_times_refuses():
    network = Network(lambda x_t, t, k: x_t, libraries.of("numpy"))
    network(np.ones((2, 1)), np.array([3.0, 3.0]))
    assert network.times == [3.0]
    with pytest.raises(ValueError, match="told 2 times at once"):
        network(np.ones((2, 1)), np.array([3.0, 2.0]))


def to_the_end(model, x, low, high, rtol=0.05):
    """Steps of Euler's method, halved while they differ from Heun's by more than rtol."""
    sigma, steps = high, 0.5
    while sigma > low:
        after = max(sigma * (1.0 - steps), low)
        slope = (x - model(x, sigma)) / sigma
        near = x + slope * (after - sigma)
        other = (near - model(near, after)) / after
        error = abs(after - sigma) * np.max(np.abs(other - slope)) / (1e-3 + np.max(np.abs(x)))
        if error < rtol:
            x, sigma = near, after
        steps = min(0.5, steps * (0.5 if error >= rtol else 2.0))
    return x


def test_samplers_whose_steps_depend_on_the_state_are_refused():
    def ends(model, x, sigma_min, sigma_max, rtol=0.05):
        return to_the_end(model, x, sigma_min, sigma_max, rtol)

    def sigmas_given(model, x, sigmas):
        return to_the_end(model, x, float(sigmas[-2]), float(sigmas[0]))

    assert function.adaptive(ends)
    assert not function.adaptive(euler)
    with pytest.raises(TypeError, match="ends picks its noise levels as it goes, and adaptive"):
        check(ends, library="numpy")
    found = check(sigmas_given, library="numpy", steps=(5,))["runs"]
    assert found.verdict is Verdict.FAILS
    assert "adaptive samplers" in found.cause


def test_a_function_without_a_signature_is_no_sampler():
    assert not function.matches(min)
    assert not function.adaptive(min)
    with pytest.raises(TypeError, match="target must be one of"):
        check(min)
