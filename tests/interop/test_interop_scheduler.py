"""Plans as schedulers: a pipeline of diffusers gives what `plan.sample` gives, to the bit."""

import copy
import functools
import subprocess
import sys
import warnings

import numpy as np
import pytest
from diffusers_objects import SMALL, diffusers, scheduler, unet_2d

from diffcore import (
    denoisers,
    interop,
    noise,
    oracles,
    plan,
    predictions,
    process,
    samplers,
    schedules,
    times,
)
from diffcore.interop.plan_run import PlanRun, starts

torch = pytest.importorskip("torch")

LINEAR = schedules.linear()
COSINE = schedules.interpolate(schedules.cosine(1000))
FLOW = schedules.flow()
EPS, V, VELOCITY, EDM = predictions.EPS, predictions.V, predictions.VELOCITY, predictions.Edm(0.5)


@pytest.fixture(scope="module")
def network():
    """Its outputs are small, so that few pixels end beyond [-1, 1], where pipelines clip."""
    return faint(unet_2d())


def faint(made):
    with torch.no_grad():
        for p in made.conv_out.parameters():
            p.mul_(0.1)
    return made


def on_flow(planner, n=4, **parameters):
    return planner(FLOW, times.trailing(FLOW, n), **parameters)


def restarted():
    grid = times.trailing(LINEAR, 5)
    interval = samplers.Interval(t_min=grid[3], t_max=grid[1], repetitions=2)
    return samplers.restart(LINEAR, samplers.heun, grid, interval)


PLANS = {
    **{
        name: (planner(LINEAR, times.trailing(LINEAR, 5)), LINEAR, V, {})
        for name, planner in samplers.PLANNERS.items()
        if name not in ("flow_euler", "flow_heun", "runge_kutta")
    },
    "ddim with noise": (
        samplers.ddim(LINEAR, times.leading(LINEAR, 5), eta=0.7),
        LINEAR,
        predictions.X_0,
        {"threshold": denoisers.Clip()},
    ),
    "runge_kutta": (on_flow(samplers.runge_kutta, 2), FLOW, VELOCITY, {}),
    "flow_heun": (on_flow(samplers.flow_heun), FLOW, VELOCITY, {}),
    "restart": (restarted(), LINEAR, V, {}),
    "the noise predicted": (samplers.ddpm(LINEAR, (300, 200, 100, 0)), LINEAR, EPS, {}),
    "unipc of order 3": (
        samplers.unipc(COSINE, times.karras(COSINE, 6, sigma_max=50.0), order=3),
        COSINE,
        V,
        {},
    ),
    "respaced": (
        samplers.dpm_solver_pp(
            schedules.respace(LINEAR, range(100, 1001, 100)), (10, 7, 4, 1, 0), order=2
        ),
        schedules.respace(LINEAR, range(100, 1001, 100)),
        V,
        {},
    ),
    "dynamic thresholds": (
        samplers.dpm_solver_pp(LINEAR, times.trailing(LINEAR, 4)),
        LINEAR,
        V,
        {"threshold": denoisers.DynamicThreshold(0.9)},
    ),
}


def by_the_loop(network, made, schedule, predicts, options, batch=2, dtype=torch.float32, eps=None):
    """What `plan.sample` makes of the same network, from a generator of the same seed."""
    generator = torch.Generator().manual_seed(4)
    start = torch.randn((batch, 3, 8, 8), generator=generator, dtype=dtype)
    counts = not isinstance(schedule, schedules.ContinuousSchedule) or schedule is COSINE
    denoise = denoisers.denoiser(
        lambda x, t: network(x, t, return_dict=False)[0],
        schedule,
        predicts,
        timestep="index" if counts else "time",
        time_scale=1.0 if counts else 1000.0,
        **options,
    )
    with torch.no_grad():
        return plan.sample(denoise, made, start, noise.as_noise(generator))


def by_a_pipeline(pipeline, steps, batch=2, **arguments):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        batch_size=batch,
        generator=torch.Generator().manual_seed(4),
        num_inference_steps=steps,
        output_type="pt",
        **arguments,
    ).images


def as_image(x):
    """What a pipeline makes of a sample; enough of it must not be clipped for a test to see it."""
    assert (x.abs() < 1).float().mean() > 0.3
    return (x / 2 + 0.5).clamp(0, 1)


def by_steps(network, theirs, dtype=torch.float32):
    """The same as a pipeline does, but that nothing is clipped."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn((2, 3, 8, 8), generator=generator, dtype=dtype)
    theirs.set_timesteps()
    with torch.no_grad():
        for t in theirs.timesteps:
            output = network(x, t, return_dict=False)[0]
            x = theirs.step(output, t, x, generator=generator).prev_sample
    return x


@pytest.mark.parametrize("name", PLANS)
def test_a_pipeline_runs_it_as_the_loop_does(name, network):
    made, schedule, predicts, options = PLANS[name]
    theirs = interop.scheduler(made, schedule, predicts=predicts, **options)
    got = by_a_pipeline(diffusers.DDPMPipeline(network, theirs), made.evaluations)
    wanted = by_the_loop(network, made, schedule, predicts, options)
    assert torch.equal(got, as_image(wanted))
    assert torch.equal(by_steps(network, theirs), wanted)


def test_a_wrong_weight_would_be_seen(network):
    made = samplers.unipc(LINEAR, times.trailing(LINEAR, 5))
    stages = list(made.stages)
    stages[2] = plan.Stage(**{**vars(stages[2]), "m": tuple(1.001 * m for m in stages[2].m)})
    wrong = plan.Plan("wrong", tuple(stages))
    theirs = interop.scheduler(wrong, LINEAR, predicts=V)
    got = by_a_pipeline(diffusers.DDPMPipeline(network, theirs), made.evaluations)
    wanted = as_image(by_the_loop(network, made, LINEAR, V, {}))
    assert (got - wanted).abs().max() > 1e-5


def test_learned_variances():
    network = faint(unet_2d(out_channels=6))
    made = samplers.ddpm(LINEAR, times.trailing(LINEAR, 5), variance="learned")
    options = {"learned_variance": True}
    theirs = interop.scheduler(made, LINEAR, predicts=V, **options)
    got = by_a_pipeline(diffusers.DDPMPipeline(network, theirs), 5)
    assert torch.equal(got, as_image(by_the_loop(network, made, LINEAR, V, options)))
    theirs = interop.scheduler(made, LINEAR, predicts=V)
    theirs.set_timesteps(5)
    x = torch.zeros((1, 3, 2, 2))
    with pytest.raises(ValueError, match="learned_variance must be True"):
        theirs.step(x, theirs.timesteps[0], x)


def test_theirs_and_ours_are_one_sampler(network):
    """DDIM by their scheduler and by ours, in their pipeline; grid, end and clipping alike."""
    theirs = scheduler(
        "DDIMScheduler",
        {"clip_sample": False, "timestep_spacing": "trailing", "prediction_type": "v_prediction"},
    )
    made = samplers.ddim(LINEAR, times.trailing(LINEAR, 20))
    ours = interop.scheduler(made, interop.schedule(theirs), predicts=interop.prediction(theirs))
    pipeline = diffusers.DDPMPipeline(network, theirs)
    wanted = by_a_pipeline(pipeline, 20)
    assert ours.timesteps.tolist() == theirs.timesteps.tolist()
    pipeline.scheduler = ours
    np.testing.assert_allclose(by_a_pipeline(pipeline, 20), wanted, atol=2e-5)
    assert ((wanted > 0) & (wanted < 1)).float().mean() > 0.5


def test_ddim_pipeline_takes_the_schedule_and_may_be_given_the_plan(network):
    """It makes a DDIMScheduler of any scheduler's config; the plan is put in its place after."""
    made = samplers.unipc(LINEAR, times.trailing(LINEAR, 5), start="lower")
    ours = interop.scheduler(made, LINEAR, predicts=V)
    pipeline = diffusers.DDIMPipeline(network, ours)
    assert type(pipeline.scheduler) is diffusers.DDIMScheduler
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    np.testing.assert_allclose(
        pipeline.scheduler.alphas_cumprod, LINEAR.alpha_bar[1:], rtol=1e-4, atol=1e-7
    )
    pipeline.scheduler = ours
    wanted = as_image(by_the_loop(network, made, LINEAR, V, {}))
    assert torch.equal(by_a_pipeline(pipeline, 5), wanted)
    with pytest.raises(ValueError, match=r"eta is the plan's to say, got 0\.5"):
        by_a_pipeline(pipeline, 5, eta=0.5)
    noisy = samplers.ddim(LINEAR, times.trailing(LINEAR, 5), eta=0.5)
    pipeline.scheduler = interop.scheduler(noisy, LINEAR, predicts=V)
    wanted = as_image(by_the_loop(network, noisy, LINEAR, V, {}))
    assert torch.equal(by_a_pipeline(pipeline, 5, eta=0.5), wanted)


@pytest.mark.parametrize("planner", ["dpm_solver_pp", samplers.dpm_solver_pp])
def test_a_planner_plans_for_any_number_of_steps(planner, network):
    theirs = interop.scheduler(
        schedule=LINEAR, predicts=V, planner=planner, parameters={"order": 3}
    )
    pipeline = diffusers.DDPMPipeline(network, theirs)
    for n in (7, 4):
        made = samplers.dpm_solver_pp(LINEAR, times.trailing(LINEAR, n), order=3)
        wanted = as_image(by_the_loop(network, made, LINEAR, V, {}))
        assert torch.equal(by_a_pipeline(pipeline, n), wanted)
        assert len(theirs.timesteps) == made.evaluations == theirs.num_inference_steps


def test_a_plan_has_its_number_of_steps():
    theirs = interop.scheduler(samplers.heun(LINEAR, (900, 500, 0)), LINEAR, predicts=EPS)
    assert theirs.timesteps.tolist() == [899, 499, 499]
    with pytest.raises(ValueError, match=r"num_inference_steps must be 3, .* got 10; give planner"):
        theirs.set_timesteps(10)
    theirs.set_timesteps(3, device="cpu")
    theirs.set_timesteps()


def test_a_run_begins_anew():
    """Nothing is left over from a run that was broken off."""
    made = samplers.unipc(LINEAR, times.trailing(LINEAR, 5))
    theirs = interop.scheduler(made, LINEAR, predicts=EPS)

    def run(steps):
        theirs.set_timesteps()
        x = torch.ones((2, 3))
        for t in theirs.timesteps[:steps]:
            x = theirs.step(0.5 * x, t, x).prev_sample
        return x

    whole = run(6)
    run(3)
    assert theirs.step_index == 3
    assert torch.equal(run(6), whole)
    with pytest.raises(ValueError, match="the plan has ended"):
        theirs.step(whole, None, whole)


def test_edm_scales_and_tells_its_own_time():
    schedule = schedules.edm(80.0)
    made = samplers.heun(schedule, times.karras(schedule, 6, sigma_max=80.0))
    theirs = interop.scheduler(made, schedule, predicts=EDM)
    assert theirs.init_noise_sigma == 80.0
    sigmas = [stage.time for stage in made.stages]
    np.testing.assert_allclose(theirs.timesteps, np.log(sigmas) / 4, rtol=1e-6)
    target = torch.tensor([[0.3, -0.7]])

    def network(x, t):
        """EDM's F of a point mass, by its definition: x is scaled, t is log(sigma) / 4."""
        sigma = torch.exp(4.0 * t)
        skip, out = 0.25 / (sigma**2 + 0.25), 0.5 * sigma / (sigma**2 + 0.25) ** 0.5
        return (target - skip * x * (sigma**2 + 0.25) ** 0.5) / out

    x = theirs.init_noise_sigma * torch.tensor([[0.4, -1.1]])
    theirs.set_timesteps(made.evaluations)
    for t in theirs.timesteps:
        x = theirs.step(network(theirs.scale_model_input(x, t), t), t, x).prev_sample
    np.testing.assert_allclose(x, target, atol=2e-5)
    theirs.set_timesteps(made.evaluations)
    theirs.scale_model_input(x, theirs.timesteps[0])
    x = theirs.step(x, theirs.timesteps[0], x).prev_sample
    with pytest.raises(ValueError, match="sample must go through scale_model_input"):
        theirs.step(x, theirs.timesteps[1], x)


def test_flow_tells_a_thousand_times_the_time():
    theirs = interop.scheduler(on_flow(samplers.euler), FLOW, predicts=VELOCITY)
    assert theirs.timesteps.tolist() == [1000, 750, 500, 250]
    own = interop.scheduler(on_flow(samplers.euler), FLOW, predicts=VELOCITY, time_scale=1.0)
    assert own.timesteps.tolist() == [1.0, 0.75, 0.5, 0.25]
    here = interop.scheduler(
        samplers.ddim(LINEAR, (1000, 500, 0)), LINEAR, predicts=EPS, timestep="time"
    )
    assert here.timesteps.tolist() == [1000, 500]
    assert here.timesteps.dtype == torch.int64


def test_half_precision_samples_keep_a_float32_state():
    made = samplers.ddim(LINEAR, times.trailing(LINEAR, 50))
    denoise = oracles.gaussian(LINEAR, 0.3, 0.2)
    target = plan.sample(denoise, made, torch.ones((1, 4)))
    theirs = interop.scheduler(made, LINEAR, predicts=predictions.X_0)
    distances = []
    for keep in (True, False):
        theirs.set_timesteps(50)
        x = torch.ones((1, 4), dtype=torch.bfloat16)
        for t, stage in zip(theirs.timesteps, made.stages, strict=True):
            kept = theirs._last[0]
            state = x.float() if kept is None else kept
            x_0 = denoise(state, stage.time)
            x = theirs.step(x_0, t, x if keep else x.clone()).prev_sample
            assert x.dtype == torch.bfloat16
        distances.append(float((x.float() - target).abs().max()))
    assert distances[0] <= 2**-8 * float(target.abs().max())


def test_half_precision_samples_are_given_float32_noise():
    made = samplers.ddpm(LINEAR, (900, 500, 0))
    theirs = interop.scheduler(made, LINEAR, predicts=predictions.X_0)
    x = torch.ones((1, 4), dtype=torch.bfloat16)
    got = theirs.step(0.5 * x, 899, x, generator=torch.Generator().manual_seed(0)).prev_sample
    z = torch.randn((1, 4), generator=torch.Generator().manual_seed(0))
    stage = made.stages[0]
    wanted = stage.x[0] * x.float() + stage.m[0] * 0.5 + stage.z * z
    np.testing.assert_array_equal(got.float(), wanted.bfloat16().float())


def test_a_pipeline_may_change_the_sample():
    """What the pipeline hands over is the state, whatever was handed to it."""
    made = samplers.ddim(LINEAR, (1000, 600, 300, 0))
    theirs = interop.scheduler(made, LINEAR, predicts=predictions.X_0)
    theirs.set_timesteps(3)
    x, x_0 = torch.ones((1, 2)), torch.full((1, 2), 0.2)
    theirs.step(x_0, 999, x)
    changed = torch.tensor([[5.0, -3.0]])
    got = theirs.step(x_0, 599, changed).prev_sample
    stage = made.stages[1]
    np.testing.assert_allclose(got, stage.x[0] * changed + stage.m[0] * x_0, rtol=1e-6)


def test_it_may_begin_where_nothing_before_is_needed():
    grid = times.trailing(LINEAR, 5)
    single = interop.scheduler(samplers.heun(LINEAR, grid), LINEAR, predicts=EPS)
    assert starts(single.plan) == [0, 2, 4, 6, 8]
    single.set_timesteps()
    x = torch.ones((1, 2))
    # The second of the two calls at this time is a step's first.
    single.step(x, single.timesteps[1], x)
    assert single.step_index == 3
    single.set_timesteps()
    single.set_begin_index(4)
    single.step(x, single.timesteps[4], x)
    assert (single.begin_index, single.step_index) == (4, 5)
    several = interop.scheduler(samplers.dpm_solver_pp(LINEAR, grid), LINEAR, predicts=EPS)
    several.set_timesteps()
    with pytest.raises(ValueError, match="cannot begin at timestep 399"):
        several.step(x, several.timesteps[3], x)


@pytest.mark.parametrize(
    ("second", "found"),
    [
        ({"x": (1.0,), "m": (0.5,)}, [0, 1]),
        ({"x": (0.0, 1.0), "m": (0.5,)}, [0]),
        ({"x": (1.0,), "m": (0.0, 0.5)}, [0]),
        ({"x": (1.0, 0.0), "m": (0.5, 0.0)}, [0, 1]),
    ],
)
def test_states_and_outputs_of_before_are_both_missed(second, found):
    stages = (plan.Stage(3, 2, (1.0,), (0.5,)), plan.Stage(2, 1, **second))
    assert starts(plan.Plan("two", stages)) == found


def test_starts_by_running_the_rest():
    """A call is a start where the rest of the plan runs, and gives the same as from the whole."""
    for made, *_ in PLANS.values():
        if made.stochastic:
            continue
        whole = {}
        run = PlanRun(made, 0)
        x = np.ones((1, 2))
        while run.stage is not None:
            whole[run.position] = x
            x, _ = run.step(x, np.tanh(x), None)
        for start in starts(made):
            run, y = PlanRun(made, start), whole[start]
            while run.stage is not None:
                y, _ = run.step(y, np.tanh(y), None)
            np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    ("schedule", "predicts", "told", "found"),
    [
        (LINEAR, EPS, [0, 499, 999], [1, 500, 1000]),
        (schedules.respace(LINEAR, (100, 700, 1000)), EPS, [99, 699, 999], [1, 2, 3]),
        (COSINE, EPS, [0.5, 499.25], [1.5, 500.25]),
        (FLOW, VELOCITY, [0.0, 250.0, 1000.0], [0.0, 0.25, 1.0]),
        (schedules.edm(80.0), EDM, [float(np.log(3.0) / 4)], [3.0]),
    ],
)
def test_add_noise_is_the_forward_process(schedule, predicts, told, found):
    grid = (schedule.T, 0) if hasattr(schedule, "T") else (schedule.curve.t_max, 0)
    theirs = interop.scheduler(samplers.ddim(schedule, grid), schedule, predicts=V) if (
        predicts is not EDM
    ) else interop.scheduler(samplers.ddim(schedule, grid), schedule, predicts=EDM)  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    x_0, eps = (torch.randn((len(told), 3, 2), generator=generator) for _ in range(2))
    got = theirs.add_noise(x_0, eps, torch.tensor(told))
    for row, t in enumerate(found):
        wanted = process.q_sample(schedule, x_0[row : row + 1], t, eps[row : row + 1])
        np.testing.assert_allclose(got[row : row + 1], wanted, rtol=1e-5, atol=1e-6)
    one = theirs.add_noise(x_0, eps, torch.tensor(told[-1:]))
    np.testing.assert_allclose(one[-1], got[-1], rtol=1e-6)


def test_add_noise_knows_the_schedules_times_alone():
    theirs = interop.scheduler(samplers.ddim(LINEAR, (9, 0)), LINEAR, predicts=EPS)
    x = torch.zeros((1, 2))
    with pytest.raises(ValueError, match=r"timesteps must be those of the schedule, got 0\.5"):
        theirs.add_noise(x, x, torch.tensor([0.5]))


SAVED = {
    "a plan": {"plan": samplers.sa_solver(LINEAR, times.trailing(LINEAR, 5))},
    "a planner": {"planner": "heun", "parameters": {"s_noise": 1.0}, "grid": "leading"},
    "thresholds": {"planner": samplers.ddim, "threshold": denoisers.DynamicThreshold(0.9)},
}


@pytest.mark.parametrize("name", SAVED)
def test_saved_and_loaded_it_is_the_same(name, tmp_path, network):
    ours = interop.scheduler(schedule=LINEAR, predicts=V, **SAVED[name])
    pipeline = diffusers.DDPMPipeline(network, ours)
    wanted = by_a_pipeline(pipeline, 5)
    pipeline.save_pretrained(tmp_path)
    loaded = diffusers.DDPMPipeline.from_pretrained(tmp_path)
    assert type(loaded.scheduler) is type(ours)
    assert torch.equal(by_a_pipeline(loaded, 5), wanted)
    for again in (
        type(ours).from_pretrained(tmp_path, subfolder="scheduler"),
        type(ours).from_config(ours.config),
        copy.deepcopy(ours),
    ):
        assert torch.equal(by_a_pipeline(diffusers.DDPMPipeline(network, again), 5), wanted)
    assert interop.schedule(tmp_path).T == 1000


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("planner", functools.partial(samplers.ddim, eta=0.5)),
        ("grid", lambda schedule, n: times.trailing(schedule, n)),
        ("threshold", torch.tanh),
    ],
)
def test_what_has_no_name_is_not_saved(argument, value, tmp_path):
    arguments = {"planner": "ddim", argument: value}
    ours = interop.scheduler(schedule=LINEAR, predicts=EPS, **arguments)
    ours.set_timesteps(3)
    with pytest.raises(ValueError, match=f"{argument} must have a name to be saved"):
        ours.save_pretrained(tmp_path)


def test_a_tuple_or_an_object():
    ours = interop.scheduler(samplers.ddim(LINEAR, (9, 0)), LINEAR, predicts=predictions.X_0)
    x, x_0 = torch.ones((1, 2)), torch.full((1, 2), 0.25)
    ours.set_timesteps()
    made = ours.step(x_0, 8, x)
    ours.set_timesteps()
    pair = ours.step(x_0, 8, x, return_dict=False)
    assert torch.equal(made.prev_sample, pair[0])
    assert torch.equal(made.pred_original_sample, pair[1])
    assert torch.equal(pair[0], x_0)


PLAN = samplers.ddim(LINEAR, (9, 0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "either plan or planner must be given"),
        ({"plan": PLAN, "planner": "ddim"}, ValueError, "either plan or planner must be given"),
        ({"plan": 3}, TypeError, "plan must be a Plan, got int"),
        ({"plan": PLAN, "parameters": {"eta": 1.0}}, ValueError, "parameters must be left out"),
        ({"planner": "euler_maruyama"}, ValueError, "planner must be one of ddpm"),
        ({"planner": "ddim", "grid": "log"}, ValueError, "grid must be one of beta"),
        ({"plan": PLAN, "threshold": 0.9}, TypeError, "threshold must be a function"),
        ({"plan": PLAN, "schedule": "linear"}, TypeError, "schedule must be a schedule of diff"),
        ({"plan": PLAN, "predicts": "epsilon"}, ValueError, "prediction must be one of eps"),
        ({"plan": PLAN, "timestep": "step"}, ValueError, "timestep must be 'time' or 'index'"),
        ({"plan": PLAN, "time_scale": 0.0}, ValueError, "time_scale must be positive"),
        ({"plan": plan.stack([PLAN, PLAN])}, ValueError, "plan must not be a stack"),
        (
            {"plan": samplers.ddpm(LINEAR, (1, 5, 0))},
            ValueError,
            "plan must call the denoiser in its first stage, 'ddpm' does not",
        ),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        interop.scheduler(**{"schedule": LINEAR, "predicts": EPS, **arguments})


def test_steps_are_checked():
    ours = interop.scheduler(schedule=LINEAR, predicts=EPS, planner="ddim")
    x = torch.zeros((1, 2))
    with pytest.raises(ValueError, match="set_timesteps must be called before a step"):
        ours.step(x, 1, x)
    with pytest.raises(ValueError, match="num_inference_steps must be given for a planner"):
        ours.set_timesteps()
    with pytest.raises(
        ValueError, match=r"n must be a whole number of steps in 1\.\.1000, got 2\.5"
    ):
        ours.set_timesteps(2.5)
    ours.set_timesteps(4)
    ours.step(x, 999, x)
    with pytest.raises(ValueError, match=r"timestep must be 749\.0, which is due, got 500"):
        ours.step(x, 500, x)
    ours.set_timesteps(4)
    ours.set_begin_index(4)
    with pytest.raises(ValueError, match="cannot begin at step 4"):
        ours.step(x, 999, x)


def test_it_has_what_a_scheduler_has():
    ours = interop.scheduler(samplers.ddim(LINEAR, (1000, 0)), LINEAR, predicts=EPS)
    assert len(ours) == 1000
    assert ours.init_noise_sigma == LINEAR.sigma[1000]
    assert ours.config.prediction_type == "epsilon"
    assert ours.order == 1
    np.testing.assert_array_equal(ours.alphas_cumprod, LINEAR.alpha_bar[1:])
    assert not hasattr(
        interop.scheduler(on_flow(samplers.euler), FLOW, predicts=VELOCITY), "alphas_cumprod"
    )
    assert isinstance(ours, diffusers.SchedulerMixin)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "PlanScheduler" in repr(ours)
    assert SMALL["sample_size"] == 8


def test_nothing_is_imported_before_it_is_needed():
    """And where diffusers is missing, the error says how to get it; files are read without it."""
    code = """
import sys
from diffcore import interop, predictions, samplers, schedules
assert not {"diffusers", "torch", "safetensors"} & set(sys.modules)
interop.unet_config({"sample_size": 64})
interop.schedule({"shift": 1.0})
assert not {"diffusers", "torch"} & set(sys.modules)
sys.modules["diffusers"] = None
schedule = schedules.linear()
plan = samplers.ddim(schedule, (9, 0))
try:
    interop.scheduler(plan, schedule, predicts=predictions.EPS)
except ImportError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert 'diffusers is needed for this: pip install "diffcore[diffusers]"' in result.stdout
