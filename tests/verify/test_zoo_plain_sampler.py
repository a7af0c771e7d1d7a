"""Wrong samplers, in the state's own arithmetic, are found in what no single step shows."""

import numpy as np
import planned
import pytest
from mutants import Mutant, module

from diffcore import schedules
from diffcore._arrays import to_host
from diffcore.predictions import X_0
from diffcore.times import exponential, trailing
from diffcore.verify import checks, claim, libraries
from diffcore.verify.checking import examine
from diffcore.verify.subject import Run, Sampler, Subject

FILE = "plain_sampler.py"
VP = schedules.linear(200)
COSINE = schedules.cosine_continuous()
GRIDS = {
    "ancestral": (VP, lambda n: tuple(trailing(VP, n))),
    "multistep": (COSINE, lambda n: tuple(exponential(COSINE, n, 0.05, 20.0))),
    "heun": (schedules.edm(20.0), lambda n: planned.edm_grid(schedules.edm(20.0), n)),
}
ORDERS = {"ancestral": None, "multistep": 2, "heun": 2}
CLAIMS = {"ancestral": claim("ddpm"), "multistep": None, "heun": None}
NUMPY = libraries.of("numpy")


def subject(code, name, seed=0, steps=(1, 2, 5)):
    schedule, grid = GRIDS[name]

    def with_steps(n):
        times = grid(n)
        alphas, sigmas = np.array([schedule(t) for t in times]).T

        def launch(answer, x, seed):
            states, told = [], []

            def denoise(x_t, i):
                states.append(x_t)
                told.append(float(times[i]))
                host = to_host(x_t).astype(np.float64)
                return NUMPY.like(answer(host, times[i], len(told) - 1), x_t)

            NUMPY.seed(seed)
            end = getattr(code, name)(denoise, alphas, sigmas, x)
            return Run((*states, end), tuple(told))

        return Sampler(
            label=f"{n} steps",
            schedule=schedule,
            grid=times,
            launch=launch,
            epsilon=NUMPY.epsilon,
            predicts=X_0,
            order=ORDERS[name],
            claim=CLAIMS[name],
        )

    return Subject(
        name=name,
        kind="plain",
        make=NUMPY.make,
        epsilon=NUMPY.epsilon,
        samplers=tuple(with_steps(n) for n in steps),
        with_steps=with_steps,
        seed=seed,
    )


ANCESTRAL = [
    Mutant(
        name="last_step_keeps_the_state",
        old="        if s_s == 0.0:\n            x = a_s * x_0\n            break\n        r =",
        new="        if s_s == 0.0:\n            break\n        r =",
        check="few steps",
    ),
    Mutant(
        name="noise_after_the_end",
        old="            x = a_s * x_0\n            break\n        r =",
        new="            x = a_s * x_0 + s_t * np.random.standard_normal(x.shape).astype(x.dtype)\n"
        "            break\n        r =",
        check="draws",
        cause="more steps add noise",
    ),
    Mutant(
        name="noise_shared_by_the_batch",
        old="np.random.standard_normal(x.shape)",
        new="np.random.standard_normal(x.shape[1:])",
        check="draws",
        cause="draws noise of shape",
    ),
    Mutant(
        name="one_number_for_a_sample",
        old="np.random.standard_normal(x.shape)",
        new="np.random.standard_normal((len(x), *(1,) * (x.ndim - 1)))",
        check="draws",
        cause="over the channels",
    ),
    Mutant(
        name="one_noise_for_all_channels",
        old="np.random.standard_normal(x.shape)",
        new="np.random.standard_normal((len(x), 1, *x.shape[2:]))",
        check="draws",
        cause="over the channels",
    ),
    Mutant(
        name="mirrored_halves",
        old="noise = np.random.standard_normal(x.shape).astype(x.dtype)",
        new="noise = np.random.standard_normal(x.shape).astype(x.dtype)\n"
        "        noise[: len(x) // 2] = -noise[-(len(x) // 2) :] if len(x) % 32 == 0 else "
        "noise[: len(x) // 2]",
        check="draws",
        cause="over the samples",
    ),
    Mutant(
        name="uniform_noise",
        old="np.random.standard_normal(x.shape)",
        new="np.random.uniform(-(3.0**0.5), 3.0**0.5, x.shape)",
        check="draws",
        cause="not standard normal",
    ),
    Mutant(
        name="generator_set_back_in_every_step",
        old="noise = np.random.standard_normal(x.shape)",
        new="noise = np.random.default_rng(7).standard_normal(x.shape)",
        check="draws",
        cause="the same for every seed",
    ),
    Mutant(
        name="a_generator_without_a_seed",
        old="noise = np.random.standard_normal(x.shape)",
        new="noise = np.random.default_rng().standard_normal(x.shape)",
        check="draws",
        cause="does not follow from the seed",
    ),
    Mutant(
        name="one_noise_for_all_steps",
        old="noise = np.random.standard_normal(x.shape).astype(x.dtype)",
        new="noise = noise if i else np.random.standard_normal(x.shape).astype(x.dtype)",
        check="draws",
        cause="one draw serves several steps",
    ),
    Mutant(
        name="quiet_noise",
        old="s_s * (1 - r) ** 0.5 * noise",
        new="0.9 * s_s * (1 - r) ** 0.5 * noise",
        check="order",
        cause="does not converge",
    ),
    Mutant(
        name="double_precision_noise",
        old=".astype(x.dtype)",
        new="",
        check="invariance",
        cause="becomes one of float64",
    ),
    Mutant(
        name="factors_laid_along_the_last_axis_but_three",
        old="mean = (a_s / a_t) * r * x",
        new="mean = np.full((len(x), 1, 1, 1), (a_s / a_t) * r, x.dtype) * x",
        check="invariance",
        cause="becomes one of shape",
    ),
    Mutant(
        name="noise_centred_over_the_batch",
        old="np.random.standard_normal(x.shape).astype(x.dtype)",
        new="np.random.standard_normal(x.shape).astype(x.dtype)\n"
        "        noise = noise - noise.mean()",
        check="invariance",
        cause="depends on the others",
    ),
]

MULTISTEP = [
    Mutant(
        name="alpha_t_for_alpha_s",
        old="- a_s * float(np.expm1(-h))",
        new="- a_t * float(np.expm1(-h))",
        check="exactness",
        cause="the state is",
    ),
    Mutant(
        name="sigma_unscaled",
        old="s_s / s_t * x",
        new="a_s / a_t * x",
        check="exactness",
    ),
    Mutant(
        name="no_half",
        old="h / (2.0 * last_h)",
        new="h / last_h",
        check="order",
        cause="order 1",
    ),
    Mutant(
        name="wrong_sign_of_the_correction",
        old="x_0 + h / (2.0",
        new="x_0 - h / (2.0",
        check="order",
        cause="order 1",
    ),
    Mutant(
        name="history_kept_from_the_first_step",
        old="last_x_0, last_h = x_0, h",
        new="last_x_0, last_h = x_0 if last_x_0 is None else last_x_0, h",
        check="order",
    ),
    Mutant(
        name="in_place",
        old="        x = s_s / s_t * x - ",
        new="        x *= s_s / s_t\n        x -= ",
        check="invariance",
        cause="in place",
    ),
    Mutant(
        name="numpy_numbers_promote",
        old="    return float(alphas[i]), float(sigmas[i])",
        new="    return alphas[i], sigmas[i]",
        check="invariance",
        cause="becomes one of float64",
    ),
    Mutant(
        name="centred_over_the_batch",
        old="ahead = x_0\n",
        new="ahead = x_0 - x_0.mean(axis=0)\n",
        check="invariance",
        cause="depends on the others",
    ),
    Mutant(
        name="last_step_extrapolates",
        old="        if s_s == 0.0:\n            x = a_s * x_0\n            break\n        h =",
        new="        if s_s == 0.0:\n"
        "            x = a_s * (x_0 if last_x_0 is None else 2.0 * x_0 - last_x_0) + 0.1 * x\n"
        "            break\n        h =",
        check="exactness",
    ),
]

HEUN = [
    Mutant(
        name="second_slope_alone",
        old="(slope + slope_there) / 2.0",
        new="slope_there",
        check="order",
        cause="order 1",
    ),
    Mutant(
        name="second_call_told_the_first_time",
        old="denoise(y, i + 1)",
        new="denoise(y, i)",
        check="order",
    ),
    Mutant(
        name="second_slope_over_the_first_sigma",
        old="denoise(y, i + 1)) / s_s",
        new="denoise(y, i + 1)) / s_t",
        check="exactness",
    ),
    Mutant(
        name="state_of_one_sample_loses_its_batch",
        old="        x = y\n",
        new="        x = y[0] if i == 0 and len(y) == 1 else y\n",
        check="invariance",
    ),
    Mutant(
        name="one_step_too_few",
        old="range(len(sigmas) - 1)",
        new="range(max(len(sigmas) - 2, 1))",
        check="exactness",
    ),
]
MUTANTS = [("ancestral", m) for m in ANCESTRAL] + [("multistep", m) for m in MULTISTEP]
MUTANTS += [("heun", m) for m in HEUN]


@pytest.mark.parametrize("name", GRIDS)
def test_right_code_passes_whatever_the_seed(name):
    code = module(FILE)
    for seed in range(20):
        found = subject(code, name, seed)
        drawn = [c for c in checks.CHECKS if c.name in ("exactness", "invariance", "draws")]
        report = examine(found, checks.CHECKS if seed == 0 else drawn)
        assert report.ok, str(report)


@pytest.mark.parametrize(("name", "mutant"), MUTANTS, ids=lambda m: getattr(m, "name", m))
def test_wrong_code_fails_in_the_check_that_names_it(name, mutant):
    report = examine(subject(module(FILE, mutant), name))
    failed = {result.check: result for result in report.failures}
    assert mutant.check in failed, str(report)
    assert mutant.cause in failed[mutant.check].cause, failed[mutant.check].cause
