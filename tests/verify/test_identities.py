"""The table of identities: right formulas hold on every library, each wrong one is found."""

import math
from dataclasses import replace

import numpy as np
import pytest

from diffcore import gaussians, noise, predictions, process, samplers, verify
from diffcore.plan import Plan
from diffcore.process import Gaussian
from diffcore.verify.identities import forward
from diffcore.verify.identities.table import example


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
def test_every_identity_holds(library):
    pytest.importorskip(library)
    rows = verify.table([library])
    assert len(rows) == len(verify.IDENTITIES)
    assert [row for row in rows if not row.holds] == []


def test_identities_hold_in_low_precision():
    torch = pytest.importorskip("torch")
    like = torch.zeros(1, dtype=torch.float32)
    for identity in verify.IDENTITIES:
        assert identity.error(like) <= identity.bound * 2.0**-23, identity.name


def test_an_identity_is_stated_once():
    names = [identity.name for identity in verify.IDENTITIES]
    assert len(set(names)) == len(names)
    assert all(identity.error.__doc__ for identity in verify.IDENTITIES)


def _posterior_of_mean_0(schedule, x_0, x_t, t, s=None):
    mean, variance = RIGHT["q_posterior"](schedule, x_0, x_t, t, s)
    return Gaussian(mean - 0.01 * x_t, variance)


def _posterior_of_the_transitions_variance(schedule, x_0, x_t, t, s=None):
    mean, _ = RIGHT["q_posterior"](schedule, x_0, x_t, t, s)
    return RIGHT["q_transition"](schedule, x_0, t - 1 if s is None else s, t)._replace(mean=mean)


def _posterior_of_nan(schedule, x_0, x_t, t, s=None):
    mean, variance = RIGHT["q_posterior"](schedule, x_0, x_t, t, s)
    return Gaussian(mean, variance * (math.nan if t == 2 else 1.0))


def _transition_of_beta(schedule, x_s, s, t):
    mean, variance = RIGHT["q_transition"](schedule, x_s, s, t)
    return Gaussian(mean, variance * variance)


def _eta_outside_the_root(schedule, times, eta=0.0):
    made = RIGHT["ddim"](schedule, times, 0.0)
    noisy = RIGHT["ddim"](schedule, times, eta)
    pairs = zip(made.stages, noisy.stages, strict=True)
    return Plan("wrong", tuple(replace(a, z=b.z) for a, b in pairs))


def _no_last_step(schedule, times, eta=0.0):
    made = RIGHT["ddim"](schedule, times, eta)
    return Plan("wrong", made.stages[:-1])


def _kl_reversed(mean_1, variance_1, mean_2, variance_2):
    return RIGHT["kl"](mean_2, variance_2, mean_1, variance_1)


def _density_without_its_constant(x, mean, variance):
    return RIGHT["log_density"](x, mean, variance) + 0.5 * math.log(2.0 * math.pi)


def _bins_of_1_over_255(x, mean, variance):
    return RIGHT["discretised_log_likelihood"](x, mean, variance, bin_width=1.0 / 255.0)


def _native_noise(seed):
    rng = np.random.default_rng(seed)
    return lambda like, step: like + 0.0 * like + rng.standard_normal()


RIGHT = {
    "q_posterior": process.q_posterior,
    "q_transition": process.q_transition,
    "ddim": samplers.ddim,
    "kl": gaussians.kl,
    "log_density": gaussians.log_density,
    "discretised_log_likelihood": gaussians.discretised_log_likelihood,
}
WRONG = [
    (process, "q_posterior", _posterior_of_mean_0, {"Bayes", "product", "bound"}),
    (process, "q_posterior", _posterior_of_the_transitions_variance, {"Bayes", "product", "bound"}),
    (process, "q_posterior", _posterior_of_nan, {"Bayes", "product"}),
    (process, "q_transition", _transition_of_beta, {"composition", "Bayes", "product"}),
    (samplers, "ddim", _eta_outside_the_root, {"DDIM(1)", "marginals"}),
    (samplers, "ddim", _no_last_step, {"DDIM(1)", "recovery"}),
    (gaussians, "kl", _kl_reversed, {"KL", "bound"}),
    (gaussians, "log_density", _density_without_its_constant, {"density"}),
    (gaussians, "discretised_log_likelihood", _bins_of_1_over_255, {"bins"}),
    (noise, "portable", _native_noise, {"noise"}),
]


@pytest.mark.parametrize(
    ("module", "name", "wrong", "found_by"), WRONG, ids=[wrong.__name__ for _, _, wrong, _ in WRONG]
)
def test_a_wrong_formula_is_found(monkeypatch, module, name, wrong, found_by):
    monkeypatch.setattr(module, name, wrong)
    like = example("numpy")
    failing = {i.name for i in verify.IDENTITIES if not i.error(like) <= i.bound * 2.0**-52}
    assert failing >= found_by


def test_a_prediction_inverted_wrongly_is_found(monkeypatch):
    class WrongSign(predictions.Prediction):
        def x_0(self, schedule, output, x_t, t):
            return super().x_0(schedule, -output, x_t, t)

    monkeypatch.setitem(predictions.NAMES, "v", WrongSign("v", predictions.V.mix))
    assert forward.pivot(example("numpy")) > 1e-3


def test_the_table_as_text():
    rows = [
        verify.Row(
            identity="one", statement="a = a", library="numpy", error=0.0, bound=1e-15, epsilons=5
        ),
        verify.Row(
            identity="one", statement="a = a", library="torch", error=1e-9, bound=1e-15, epsilons=5
        ),
        verify.Row(
            identity="two", statement="b", library="numpy", error=math.nan, bound=1.0, epsilons=0
        ),
    ]
    assert [row.holds for row in rows] == [True, False, False]
    lines = verify.format_table(rows).splitlines()
    assert lines[0].split() == ["identity", "numpy", "torch", "bound"]
    assert lines[2].split() == ["one", "a", "=", "a", "0.0e+00", "1.0e-09", "FAILS", "5", "eps"]
    assert lines[3].split() == ["two", "b", "nan", "FAILS", "0", "eps"]
    assert lines[-1] == "1 of 3 hold, 2 FAIL"


def test_unknown_libraries_are_named():
    with pytest.raises(ValueError, match=r"library must be one of numpy, torch.*got 'nmpy'"):
        verify.table(["nmpy"])
