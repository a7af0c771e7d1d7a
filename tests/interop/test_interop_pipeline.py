"""Whole folders, and the schedules and grids of schedulers, there and back."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from diffusers_objects import diffusers, scheduler, unet_2d

from diffcore import checkpoint, denoisers, interop, noise, plan, predictions, samplers, schedules
from diffcore.unet import UNetConfig, parameters

torch = pytest.importorskip("torch")

SMALL = UNetConfig(width=8, multipliers=(1, 2), image_size=8, attention=(4,), groups=4, blocks=1)
DDPM = {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction"}


def a_pipeline(name="DDPMScheduler", **options):
    network = unet_2d()
    with torch.no_grad():
        for p in network.conv_out.parameters():
            p.mul_(0.1)
    return diffusers.DDPMPipeline(network, scheduler(name, options))


def a_checkpoint(**changes):
    unet = changes.pop("unet", SMALL)
    rng = np.random.default_rng(0)
    weights = {
        name: (0.1 * rng.standard_normal(p.shape) + (p.init == "ones")).astype(np.float32)
        for name, p in parameters(unet).items()
    }
    given = {"unet": unet, "schedule": schedules.linear(), "predicts": predictions.V, **changes}
    return checkpoint.Checkpoint(weights=weights, **given)


def images(pipeline, steps=6):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        batch_size=2,
        generator=torch.Generator().manual_seed(4),
        num_inference_steps=steps,
        output_type="pt",
    ).images


def samples(path, made, threshold=None):
    """What our own backend makes of a checkpoint's file, from the same draws."""
    from diffcore_torch.loading import load

    generator = torch.Generator().manual_seed(4)
    start = torch.randn((2, 3, 8, 8), generator=generator)
    denoise = load(path, device="cpu").denoise(threshold=threshold)
    return plan.sample(denoise, made, start, noise.as_noise(generator))


def as_images(x):
    assert (x.abs() < 1).float().mean() > 0.3
    return (x / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("flat", [False, True])
def test_a_pipeline_of_theirs_samples_here(flat, tmp_path):
    """Their sampler on their network against ours on the converted checkpoint, through files."""
    theirs = a_pipeline(**DDPM, clip_sample=False, timestep_spacing="trailing")
    theirs.save_pretrained(tmp_path / "theirs")
    folder = tmp_path / "theirs"
    if flat:
        for part in ("unet", "scheduler"):
            for path in (folder / part).iterdir():
                path.rename(folder / path.name)
            (folder / part).rmdir()
    made = interop.read_pipeline(folder)
    assert made.schedule == interop.schedule(theirs.scheduler)
    assert made.predicts is predictions.V
    checkpoint.save(tmp_path / "ours.safetensors", made)
    grid = (*(int(t) + 1 for t in theirs.scheduler.timesteps[::200]), 0)
    assert grid[0] == 1000
    ours = samples(tmp_path / "ours.safetensors", samplers.ddpm(made.schedule, grid))
    np.testing.assert_allclose(as_images(ours), images(theirs, 5), atol=3e-5)


def test_a_checkpoint_of_ours_samples_there(tmp_path):
    made = a_checkpoint()
    checkpoint.save(tmp_path / "ours.safetensors", made)
    interop.write_pipeline(tmp_path / "theirs", made)
    theirs = diffusers.DDPMPipeline.from_pretrained(tmp_path / "theirs")
    grid = samplers.ddpm(made.schedule, (1000, 800, 600, 400, 200, 0))
    ours = samples(tmp_path / "ours.safetensors", grid, threshold=denoisers.Clip())
    theirs.scheduler = scheduler(
        "DDPMScheduler", {**theirs.scheduler.config, "timestep_spacing": "trailing"}
    )
    np.testing.assert_allclose(as_images(ours), images(theirs, 5), atol=3e-5)
    again = interop.read_pipeline(tmp_path / "theirs")
    assert again.schedule == made.schedule
    for name, array in made.weights.items():
        np.testing.assert_allclose(again.weights[name], array, atol=3e-7)


def test_an_off_by_one_of_the_time_would_be_seen(tmp_path):
    made = a_checkpoint()
    grid = samplers.ddpm(made.schedule, (1000, 800, 600, 400, 200, 0))
    results = []
    for by in (0.0, -1.0):
        weights = interop.shifted_times(made.unet, made.weights, by)
        path = tmp_path / f"{by}.safetensors"
        checkpoint.save(path, a_checkpoint_like(made, weights))
        results.append(samples(path, grid))
    assert float((results[0] - results[1]).abs().max()) > 3e-4


def a_checkpoint_like(made, weights):
    return checkpoint.Checkpoint(
        unet=made.unet, schedule=made.schedule, predicts=made.predicts, weights=weights
    )


def test_the_flow_goes_both_ways(tmp_path):
    theirs = a_pipeline("FlowMatchEulerDiscreteScheduler", shift=3.0)
    theirs.save_pretrained(tmp_path / "theirs")
    made = interop.read_pipeline(tmp_path / "theirs")
    checkpoint.save(tmp_path / "ours.safetensors", made)
    grid = interop.flow_times(tmp_path / "theirs", 6)
    ours = samples(tmp_path / "ours.safetensors", samplers.flow_euler(made.schedule, grid))
    np.testing.assert_allclose(as_images(ours), images(theirs), atol=3e-5)
    interop.write_pipeline(tmp_path / "back", made)
    back = diffusers.DDPMPipeline.from_pretrained(tmp_path / "back")
    back.scheduler = theirs.scheduler
    np.testing.assert_allclose(images(back), images(theirs), atol=1e-6)


def test_the_average_is_written_unless_the_weights_are_asked_for(tmp_path):
    made = a_checkpoint()
    ema = {name: 2.0 * array for name, array in made.weights.items()}
    both = checkpoint.Checkpoint(
        unet=made.unet,
        schedule=made.schedule,
        predicts=made.predicts,
        weights=made.weights,
        ema=ema,
    )
    for weights, factor in (("ema", 2.0), ("raw", 1.0)):
        interop.write_pipeline(tmp_path / weights, both, weights=weights)
        again = interop.read_pipeline(tmp_path / weights)
        np.testing.assert_array_equal(
            again.weights["output.weight"], factor * made.weights["output.weight"]
        )
    with pytest.raises(ValueError, match="weights must be 'ema' or 'raw'"):
        interop.write_pipeline(tmp_path, both, weights="average")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unet": replace(SMALL, classes=10)}, "classes must be 0"),
        ({"unet": replace(SMALL, condition_channels=3)}, "condition_channels must be 0"),
        (
            {"schedule": schedules.edm(), "predicts": predictions.Edm()},
            "schedule must be discrete or flow: DDPMPipeline does not scale",
        ),
        ({"schedule": schedules.vp_linear()}, "schedule must be discrete, flow or edm"),
        ({"predicts": predictions.SCORE}, "predicts must be one of eps, x_0, v on a discrete"),
        ({"predicts": predictions.VELOCITY}, "predicts must be one of eps, x_0, v on a discrete"),
        ({"schedule": schedules.flow()}, "predicts must be one of velocity on the flow, got v"),
        ({"schedule": schedules.edm()}, "predicts must be one of edm on EDM's schedule, got v"),
        (
            {"schedule": schedules.respace(schedules.linear(), (1, 500, 1000))},
            "schedule must count its network's steps, got one respaced",
        ),
        (
            {"schedule": schedules.shift(schedules.flow(), 3.0)},
            "schedule must be discrete, flow or edm, got 'shift'",
        ),
    ],
)
def test_what_has_no_pipeline_is_named(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        interop.write_pipeline(tmp_path, a_checkpoint(**changes))
    assert not any(tmp_path.iterdir())


def test_a_variance_exploding_pipeline_is_refused(tmp_path):
    a_pipeline("ScoreSdeVeScheduler").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="schedule must be one of betas, flow or edm"):
        interop.read_pipeline(tmp_path)


SCHEDULES = {
    "linear": schedules.linear(50, 1e-3, 0.2),
    "scaled": schedules.scaled_linear(),
    "quadratic": schedules.quadratic(),
    "cosine": schedules.cosine(200),
    "another cosine": schedules.cosine(200, offset=0.02),
    "sigmoid": schedules.sigmoid(100),
    "zero terminal SNR": schedules.zero_terminal_snr(schedules.linear()),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("predicts", [predictions.EPS, predictions.X_0, predictions.V])
def test_a_schedule_is_written_as_a_config_and_read_again(name, predicts):
    config = interop.scheduler_config(SCHEDULES[name], predicts, learned_variance=True)
    theirs = scheduler("DDPMScheduler", {k: v for k, v in config.items() if k[0] != "_"})
    assert theirs.config.variance_type == "learned_range"
    for source in (config, theirs):
        again = interop.schedule(source)
        # 1 - beta is rounded where betas are written: log alpha_bar takes the sum of that.
        np.testing.assert_allclose(
            again.log_snr[1:], SCHEDULES[name].log_snr[1:], rtol=1e-12, atol=1e-11
        )
        assert interop.prediction(source) is predicts


def test_continuous_ones_too():
    edm = interop.scheduler_config(schedules.edm(60.0), predictions.Edm(0.7))
    theirs = scheduler("EDMEulerScheduler", {k: v for k, v in edm.items() if k[0] != "_"})
    assert interop.schedule(theirs) == schedules.edm(60.0)
    assert interop.prediction(theirs) == predictions.Edm(0.7)
    flow = interop.scheduler_config(schedules.flow(), predictions.VELOCITY)
    assert interop.schedule(flow) == schedules.flow()


FLOWS = {
    "even": ("FlowMatchEulerDiscreteScheduler", {}, None),
    "shifted": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, None),
    "stretched": ("FlowMatchEulerDiscreteScheduler", {"shift_terminal": 0.1, "shift": 2.0}, None),
    "by the image": ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, 0.8),
    "by the image, linear": (
        "FlowMatchEulerDiscreteScheduler",
        {"use_dynamic_shifting": True, "time_shift_type": "linear"},
        2.5,
    ),
    "Heun's": ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}, None),
    "flow sigmas": (
        "DPMSolverMultistepScheduler",
        {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"},
        None,
    ),
    "UniPC's": (
        "UniPCMultistepScheduler",
        {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"},
        None,
    ),
    "latent consistency": ("FlowMatchLCMScheduler", {"shift": 3.0}, None),
    "a flow map's": ("FlowMapEulerDiscreteScheduler", {"shift": 3.0}, None),
}


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("name", FLOWS)
def test_a_flows_grid_is_theirs(name, n):
    kind, options, mu = FLOWS[name]
    if n == 1 and "shift_terminal" in options:
        n = 3  # Theirs divides 0 by 0.
    theirs = scheduler(kind, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs.set_timesteps(n, **({} if mu is None else {"mu": mu}))
    found = interop.flow_times(theirs, n, mu)
    levels = list(dict.fromkeys(theirs.sigmas.double().tolist()))
    below_1 = 1e-6 if name == "UniPC's" else 0.0
    np.testing.assert_allclose(found, levels, atol=3e-7 + below_1)
    samplers.flow_euler(schedules.flow(), found)


@pytest.mark.parametrize(
    ("config", "n", "mu", "message"),
    [
        ({"beta_schedule": "linear"}, 5, None, "source must be of a flow-matching scheduler"),
        ({"shift": 1.0, "use_karras_sigmas": True}, 5, None, "use_karras_sigmas = True is not"),
        ({"shift": 1.0, "use_dynamic_shifting": True}, 5, None, "mu must be given where"),
        ({"shift": 1.0}, 5, 1.0, "mu must be given where"),
        ({"shift": 1.0}, 5, None, "must have the key 'num_train_timesteps'"),
        ({"shift": 0.0}, 5, None, "the shift must be positive"),
        ({"shift": 1.0}, 0, None, "n must be a positive whole number"),
    ],
)
def test_a_grid_that_there_is_not_is_named(config, n, mu, message):
    with pytest.raises(ValueError, match=message):
        interop.flow_times(config, n, mu)
