"""Schedules and prediction types by configuration, against the schedulers they come from."""

import json
import math
from functools import partial

import mpmath
import numpy as np
import pytest
from diffusers_objects import scheduler

from diffcore import interop, predictions, process, schedules
from diffcore.interop.schedules import RULES

EPS32 = float(np.finfo(np.float32).eps)

BETAS = np.linspace(0.003, 0.3, 40)
DISCRETE = {
    "linear": ("DDPMScheduler", {}),
    "linear of another length": ("DDPMScheduler", {"num_train_timesteps": 50, "beta_end": 0.3}),
    "scaled linear": ("DDIMScheduler", {"beta_schedule": "scaled_linear", "beta_end": 0.012}),
    "cosine": ("DDPMScheduler", {"beta_schedule": "squaredcos_cap_v2"}),
    "sigmoid": ("DDPMScheduler", {"beta_schedule": "sigmoid"}),
    "laplace": ("DDPMScheduler", {"beta_schedule": "laplace"}),
    "betas": ("DDPMScheduler", {"trained_betas": BETAS.tolist()}),
    "unCLIP's cosine": ("UnCLIPScheduler", {}),
    "latent consistency": ("LCMScheduler", {}),
    "shifted": ("CogVideoXDDIMScheduler", {}),
}
ZERO = {
    "linear": ("DDIMScheduler", {"rescale_betas_zero_snr": True}),
    "scaled linear": (
        "DDPMScheduler",
        {"beta_schedule": "scaled_linear", "beta_end": 0.012, "rescale_betas_zero_snr": True},
    ),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_alpha_bar_is_theirs_to_their_precision(name):
    theirs = scheduler(*DISCRETE[name])
    ours = interop.schedule(theirs)
    wanted = theirs.alphas_cumprod.double().numpy()
    # A float32 running product of T factors, each rounded, of betas that are themselves.
    steps = np.arange(1, ours.T + 1)
    np.testing.assert_array_less(np.abs(ours.alpha_bar[1:] / wanted - 1), 2 * EPS32 * steps + 2e-7)
    assert len(theirs.betas) == ours.T


def test_cosine_is_within_the_tables_promise_of_fifty_digits():
    ours = interop.schedule(scheduler("DDPMScheduler", {"beta_schedule": "squaredcos_cap_v2"}))
    with mpmath.workdps(50):
        for t in (1, 2, 500, 998):
            angle = [(mpmath.mpf(k) / 1000 + mpmath.mpf(8) / 1000) / (1 + mpmath.mpf(8) / 1000)
                     for k in (t, 0)]  # fmt: skip
            wanted = (
                mpmath.cos(angle[0] * mpmath.pi / 2) / mpmath.cos(angle[1] * mpmath.pi / 2)
            ) ** 2
            assert abs(ours.alpha_bar[t] / float(wanted) - 1) < 1e-12
            assert abs(ours.one_minus_alpha_bar[t] / float(1 - wanted) - 1) < 1e-12


def test_laplace_by_fifty_digits():
    ours = interop.schedule({"beta_schedule": "laplace", "num_train_timesteps": 100})
    with mpmath.workdps(50):

        def kept(k):
            t = mpmath.mpf(k) / 100
            sign = 1 if t <= 0.5 else -1
            log_snr = (
                -sign * mpmath.log(1 - 2 * abs(mpmath.mpf(1) / 2 - t) + mpmath.mpf("1e-6")) / 2
            )
            snr = mpmath.exp(log_snr)
            return mpmath.sqrt(snr / (1 + snr))

        for t in (1, 2, 30, 50, 51, 80, 99):
            assert abs(ours.beta[t] / float(1 - kept(t) / kept(t - 1)) - 1) < 1e-12


@pytest.mark.parametrize("name", ZERO)
def test_zero_terminal_snr_is_theirs(name):
    theirs = scheduler(*ZERO[name])
    ours = interop.schedule(theirs)
    wanted = theirs.alphas_cumprod.double().numpy()
    assert ours.alpha_bar[-1] == 0.0
    # sqrt(alpha_bar) differs by what their float32 sums leave at the noisy end.
    np.testing.assert_allclose(ours.alpha[1:], np.sqrt(wanted), atol=1000 * EPS32, rtol=0)
    plain = interop.schedule({**theirs.config, "rescale_betas_zero_snr": False})
    assert np.max(np.abs(plain.alpha[1:] - np.sqrt(wanted))) > 0.005


@pytest.mark.parametrize("name", DISCRETE)
def test_add_noise_is_q_sample_one_time_later(name):
    torch = pytest.importorskip("torch")
    theirs = scheduler(*DISCRETE[name])
    ours = interop.schedule(theirs)
    generator = torch.Generator().manual_seed(0)
    x_0, eps = (torch.randn((3, 2, 4), generator=generator) for _ in range(2))
    steps = torch.tensor([0, ours.T // 2, ours.T - 1])
    # UnCLIP's has the same, but that it looks for another step's index.
    noised = theirs.add_noise(x_0, eps, steps)
    got = process.q_sample(ours, x_0, steps + 1, eps)
    np.testing.assert_allclose(got.numpy(), noised.numpy(), atol=3e-4)
    wrong = process.q_sample(ours, x_0, steps, eps)
    assert np.max(np.abs(wrong.numpy() - noised.numpy())) > 3e-3


def test_config_object_mapping_and_path_are_one(tmp_path):
    theirs = scheduler("DDPMScheduler", {"beta_schedule": "squaredcos_cap_v2"})
    wanted = schedules.cosine(1000)
    theirs.save_pretrained(tmp_path / "pipeline" / "scheduler")
    path = tmp_path / "pipeline" / "scheduler" / "scheduler_config.json"
    for source in (
        theirs,
        theirs.config,
        dict(theirs.config),
        path,
        path.parent,
        str(path.parent.parent),
    ):
        assert interop.schedule(source) == wanted
        assert interop.prediction(source) is predictions.EPS


def test_a_schedule_so_made_is_written_and_read_back():
    for name, (kind, arguments) in {**DISCRETE, **ZERO}.items():
        ours = interop.schedule(scheduler(kind, arguments))
        again = schedules.from_config(json.loads(json.dumps(ours.config)))
        np.testing.assert_array_equal(again.log_alpha_bar, ours.log_alpha_bar, err_msg=name)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching_has_the_flow_and_its_network_the_noise_level(shift):
    theirs = scheduler("FlowMatchEulerDiscreteScheduler", {"shift": shift})
    ours = interop.schedule(theirs)
    assert ours == schedules.flow()
    assert interop.prediction(theirs) is predictions.VELOCITY
    # What the network is told over 1000 is the time here: they add noise by it.
    torch = pytest.importorskip("torch")
    told = theirs.timesteps[[10, 500]]
    x_0, eps = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [1.0]])
    got = process.q_sample(ours, x_0, told / 1000, eps)
    np.testing.assert_allclose(got.numpy(), theirs.scale_noise(x_0, told, eps).numpy(), atol=1e-6)


def test_flow_sigmas_of_a_multistep_scheduler():
    config = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
    theirs = scheduler("UniPCMultistepScheduler", config)
    assert interop.schedule(theirs) == schedules.flow()
    assert interop.prediction(theirs) is predictions.VELOCITY


@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_edm_has_its_levels_and_its_preconditioning(name):
    torch = pytest.importorskip("torch")
    theirs = scheduler(name, {"sigma_max": 60.0, "sigma_data": 0.7})
    ours, predicts = interop.schedule(theirs), interop.prediction(theirs)
    assert ours == schedules.edm(60.0)
    generator = torch.Generator().manual_seed(0)
    x, output = (torch.randn((1, 5), generator=generator) for _ in range(2))
    for sigma in (0.01, 0.7, 50.0):
        wanted = theirs.precondition_outputs(x, output, sigma)
        np.testing.assert_allclose(
            predicts.x_0(ours, output, x, sigma).numpy(), wanted.numpy(), rtol=1e-5, atol=1e-6
        )
        scaled, told = predicts.inputs(ours, x, sigma)
        np.testing.assert_allclose(scaled, theirs.precondition_inputs(x, sigma), rtol=1e-6)
        assert told == pytest.approx(float(theirs.precondition_noise(torch.tensor(sigma))), 1e-5)


def test_variance_exploding():
    theirs = scheduler("ScoreSdeVeScheduler", {"sigma_max": 50.0})
    assert interop.schedule(theirs) == schedules.ve(0.01, 50.0)
    assert interop.prediction(theirs) is predictions.SCORE


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"prediction_type": "epsilon"}, predictions.EPS),
        ({"prediction_type": "sample"}, predictions.X_0),
        ({"prediction_type": "v_prediction"}, predictions.V),
        ({}, predictions.EPS),
        ({"predict_epsilon": False}, predictions.X_0),
        ({"predict_epsilon": True}, predictions.EPS),
    ],
)
def test_what_the_network_predicts(config, wanted):
    assert interop.prediction({"beta_schedule": "linear", **config}) is wanted


LINEAR = {"beta_schedule": "linear", "num_train_timesteps": 10, "beta_start": 0.1, "beta_end": 0.2}
EDM = {"sigma_max": 1.0, "sigma_data": 0.5, "prediction_type": "epsilon"}


@pytest.mark.parametrize(
    ("read", "config", "message"),
    [
        ("schedule", {**LINEAR, "beta_schedule": "exp"}, "beta_schedule = 'exp' is not supported"),
        ("schedule", {**LINEAR, "beta_end": None}, "must have the key 'beta_end'"),
        ("schedule", {"beta_schedule": "linear"}, "must have the key 'num_train_timesteps'"),
        ("schedule", {**LINEAR, "timestep_type": "continuous"}, "timestep_type = 'continuous'"),
        ("schedule", {"shift": 1.0, "invert_sigmas": True}, "invert_sigmas = True is not"),
        ("schedule", {"scaler": 1.0, "s": 0.008}, "must have the key .*; its keys are scaler, s"),
        ("schedule", {**LINEAR, "trained_betas": [0.1, 1.5]}, "betas must be in"),
        ("schedule", {"snr": 0.1, "sigma_max": 3.0}, "must have the key 'sigma_min'"),
        ("prediction", {**LINEAR, "prediction_type": "trigflow"}, "prediction_type = 'trigflow'"),
        ("prediction", {**LINEAR, "prediction_type": "flow_prediction"}, "prediction_type = 'fl"),
        ("prediction", {"shift": 1.0, "prediction_type": "epsilon"}, "prediction_type = 'epsilon'"),
        ("prediction", {**EDM, "prediction_type": "v_prediction"}, "'v_prediction' is not supp"),
    ],
)
def test_what_is_unsupported_is_named(read, config, message):
    with pytest.raises(ValueError, match=message):
        getattr(interop, read)(config)


def test_the_cosine_solvers_noise_level_is_not_edms():
    config = {**EDM, "_class_name": "CosineDPMSolverMultistepScheduler"}
    assert interop.prediction(EDM) == predictions.Edm(0.5)
    with pytest.raises(ValueError, match="_class_name = 'CosineDPM"):
        interop.prediction(config)


@pytest.mark.parametrize(
    "name", ["HeliosDMDScheduler", "HeliosScheduler", "MiniMaxH3Scheduler", "PiflowScheduler"]
)
def test_a_flow_with_another_network_is_refused(name, tmp_path):
    """MiniMaxH3's velocity has the other sign, a network of Piflow says several at once."""
    theirs = scheduler(name, {})
    theirs.save_config(tmp_path)
    for source in (theirs, tmp_path):
        for read in (interop.schedule, interop.prediction, partial(interop.flow_times, n=4)):
            with pytest.raises(ValueError, match=f"_class_name = '{name}' is not supported"):
                read(source)


def test_a_consistency_models_output_is_not_edms():
    theirs = scheduler("CMStochasticIterativeScheduler", {})
    assert interop.schedule(theirs) == schedules.edm(80.0)
    with pytest.raises(ValueError, match="must have the key 'prediction_type'"):
        interop.prediction(theirs)


def test_other_sources_are_refused(tmp_path):
    with pytest.raises(TypeError, match="source must be a scheduler with a config"):
        interop.schedule(3)
    with pytest.raises(FileNotFoundError, match="holds no scheduler_config"):
        interop.schedule(tmp_path)
    for text, message in (("[1]", "must hold a JSON object"), ("{", "not JSON")):
        (tmp_path / "scheduler_config.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            interop.schedule(tmp_path)


def test_every_rule_is_held_against_a_published_one():
    tried = {arguments.get("beta_schedule", "linear") for _, arguments in DISCRETE.values()}
    assert tried == set(RULES)
    assert math.isclose(interop.schedule(LINEAR).beta[10], 0.2)
