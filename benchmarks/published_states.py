"""Published samplers that lose digits, end in NaN or stand at wrong levels, each beside ours."""

import diffusers
import numpy as np
import torch

from diffcore import noise, oracles, plan, samplers, schedules, times
from peers import Finding, X, number

import data_diffusers as on_data  # isort: skip
import level_diffusers as on_levels  # isort: skip
import noise_convergence as flow  # isort: skip
import noise_diffusers as on_noise  # isort: skip


def unipc_at_data() -> Finding:
    """bh1 in the step to sigma = 0."""
    theirs = diffusers.UniPCMultistepScheduler(
        prediction_type="sample", solver_type="bh1", final_sigmas_type="zero"
    )
    theirs.set_timesteps(10)
    schedule = on_data.schedule_of(theirs)
    end = on_data.theirs(theirs)[0][-1]
    made = samplers.unipc(schedule, on_data.times_of(theirs, 0), 2, "bh1")
    ours = on_data.ours(made, schedule, [])[-1]
    return Finding(
        "diffusers `UniPCMultistepScheduler`, bh1, final_sigmas_type zero",
        "B(h) = infinity, times 0, in the step to sigma = 0",
        "samples that are not a number",
        f"{np.mean(np.isnan(end)):.0%}",
        f"{np.mean(np.isnan(ours)):.0%}",
    )


def cancellation() -> list[Finding]:
    """Powers of log(sigma) subtracted in float32."""
    steps, found = 200, []
    theirs = diffusers.SASolverScheduler(
        prediction_type="sample", predictor_order=3, corrector_order=4, tau_func=lambda t: 0.5
    )
    theirs.set_timesteps(steps)
    schedule, grid = on_data.schedule_of(theirs), on_data.times_of(theirs, 1)
    made = samplers.sa_solver(
        schedule, grid, 3, 4, 0.5, "published", start="lower", lower_order_end=True
    )
    states, draws = on_data.theirs(theirs)
    wanted = on_data.ours(made, schedule, draws)
    denoise = oracles.gaussian(schedule, on_data.MEAN, on_data.VARIANCE)
    low = plan.sample(
        denoise, made, on_data.start().astype(np.float32), lambda x, k: draws[k - 1].astype("f4")
    )
    found.append(
        Finding(
            f"diffusers `SASolverScheduler`, orders 3 and 4, {steps} steps",
            "integrals as differences of powers of lambda, in float32",
            "off the same plan in float64",
            number(float(np.max(np.abs(states[-1] - wanted[-1])))),
            number(float(np.max(np.abs(low - wanted[-1])))),
        )
    )
    deis = diffusers.DEISMultistepScheduler(solver_order=3)
    deis.set_timesteps(steps)
    called = on_noise.whole_times(deis)
    linear = on_noise.LINEAR
    gaussian = oracles.gaussian(linear, 0.3, 0.2)
    end = on_noise.states(deis, linear, called, gaussian, X)[-1]
    made = samplers.deis(linear, (*called, 1), 3, start="lower")
    wide = plan.sample(gaussian, made, X)
    found.append(
        Finding(
            f"diffusers `DEISMultistepScheduler`, order 3, {steps} steps",
            "integrals as differences of rho log(rho)^2, in float32",
            "off the same plan in float64",
            number(on_noise.relative(end, wide)),
            number(on_noise.relative(plan.sample(gaussian, made, X.astype(np.float32)), wide)),
        )
    )
    return found


def pndm() -> list[Finding]:
    """PNDMScheduler: its times, its ends."""
    linear, found = on_noise.LINEAR, []

    def made(n, spacing, offset, **options):
        scheduler = diffusers.PNDMScheduler(
            skip_prk_steps=True, timestep_spacing=spacing, steps_offset=offset, **options
        )
        scheduler.set_timesteps(n)
        scheduler.alphas_cumprod = torch.tensor(linear.alpha_bar[1:])
        if not options:
            scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
        whole = sorted({int(i) + 1 for i in scheduler._timesteps}, reverse=True)
        return scheduler, on_noise.whole_times(scheduler), (*whole, 0 if options else 1)

    scheduler, called, visited = made(30, "trailing", 0)
    alpha, sigma = linear(visited[0])
    x, point = alpha * 0.5 + sigma * X, oracles.point_mass(linear, 0.5)
    wanted = oracles.gaussian_flow(linear, 0.5, 0.0, x, visited[0], visited[-1])
    end = on_noise.states(scheduler, linear, called, point, x)[-1]
    ours = plan.sample(point, samplers.plms(linear, visited), x)
    found.append(
        Finding(
            "diffusers `PNDMScheduler`, 30 trailing steps",
            "steps by 1000 // n, whatever the next time is at which it calls",
            "error on a point mass, whose flow is straight",
            number(float(np.max(np.abs(end - wanted)))),
            number(float(np.max(np.abs(ours - wanted)))),
        )
    )
    scheduler, called, visited = made(20, "leading", 0)
    mixture = oracles.mixture(linear, *flow.MIXTURE)
    states = on_noise.states(scheduler, linear, called, mixture, X)
    last = [p.x for p in plan.iterate(mixture, samplers.plms(linear, visited[:-1]), X)]
    found.append(
        Finding(
            "diffusers `PNDMScheduler`, steps_offset 0 (its default)",
            "the last step goes from a level to the same level, after a call",
            "what the last call changes",
            number(float(np.max(np.abs(states[-1] - states[-2])))),
            number(float(np.max(np.abs(last[-1] - last[-2])))),
        )
    )
    scheduler, called, visited = made(20, "leading", 0, set_alpha_to_one=True)
    gaussian = oracles.gaussian(linear, 0.3, 0.2)
    wanted = oracles.gaussian_flow(linear, 0.3, 0.2, X, visited[0], 0)
    end = on_noise.states(scheduler, linear, called, gaussian, X)[-1]
    ours = plan.sample(gaussian, samplers.plms(linear, visited), X)
    found.append(
        Finding(
            "diffusers `PNDMScheduler`, set_alpha_to_one",
            "extrapolates eps in the step to sigma = 0, where the denoised x_0 is known",
            "error on the exact flow",
            number(float(np.max(np.abs(end - wanted)))),
            number(float(np.max(np.abs(ours - wanted)))),
        )
    )
    return found


def lms_at_data() -> Finding:
    """The step of LMS to sigma = 0."""
    theirs = diffusers.LMSDiscreteScheduler()
    theirs.set_timesteps(112)  # Evenly spaced times that are whole.
    linear, called = on_noise.LINEAR, on_noise.whole_times(theirs)
    denoise = oracles.gaussian(linear, 0.3, 0.2)
    scaled = X / linear(called[0]).alpha
    end = on_noise.states(theirs, linear, called, denoise, scaled)[-1]
    ours = plan.sample(denoise, samplers.lms(linear, (*called, 0), start="lower"), X)
    wanted = oracles.gaussian_flow(linear, 0.3, 0.2, X, called[0], 0)
    return Finding(
        "diffusers `LMSDiscreteScheduler`, k-diffusion's LMS, the step to sigma = 0",
        "extrapolates eps, where ours takes the denoised x_0; which is nearer depends on the data",
        "error on the exact flow, 112 steps",
        f"{np.max(np.abs(end - wanted)):.3g}",
        f"{np.max(np.abs(ours - wanted)):.3g}",
    )


def ancestral() -> list[Finding]:
    """Long steps of ancestral sampling."""
    found = []
    for name, planner, steps, config in (
        ("EulerAncestral", samplers.euler_ancestral, 4, {"beta_schedule": "squaredcos_cap_v2"}),
        ("KDPM2Ancestral", samplers.dpm2_ancestral, 8, {"beta_schedule": "squaredcos_cap_v2"}),
    ):
        theirs = on_levels.scheduler(
            f"{name}DiscreteScheduler", steps, timestep_spacing="linspace", **config
        )
        schedule, denoise = on_levels.edm(theirs)
        y = on_levels.start(theirs)
        draw = torch.Generator().manual_seed(1)
        end = on_levels.run(theirs, y, denoise, generator=draw)[-1]
        made = planner(schedule, on_levels.times(theirs))
        ours = plan.sample(denoise, made, y.double().numpy()[:, None], noise.portable(0))
        found.append(
            Finding(
                f"diffusers `{name}DiscreteScheduler`, cosine betas, {steps} steps",
                "sigma_down^2 = sigma_s^2 - sigma_up^2 in float32, which a long step makes "
                "negative",
                "samples that are not a number",
                f"{np.mean(np.isnan(end)):.0%}",
                f"{np.mean(np.isnan(ours)):.0%}",
            )
        )
    return found


def churn() -> list[Finding]:
    """Noise that is added after the denoiser was called."""
    found = []
    for name in ("EulerDiscreteScheduler", "EDMEulerScheduler"):
        theirs = on_levels.scheduler(name, 20)
        schedule, _ = on_levels.edm(theirs)
        grid = on_levels.times(theirs)
        denoise = oracles.point_mass(schedule, 0.0)
        y = on_levels.start(theirs, 20_000)
        draw = torch.Generator().manual_seed(1)
        states = on_levels.run(theirs, y, denoise, s_churn=8.0, generator=draw)
        made = samplers.euler(schedule, grid, s_churn=8.0)
        x = y.double().numpy()[:, None]
        # The last state at a level above 0.
        last = [p.x for p in plan.iterate(denoise, made, x, noise.portable(0)) if p.stage.m][-2]
        found.append(
            Finding(
                f"diffusers `{name}`, s_churn 8",
                "calls the denoiser before the churn's noise is added, EDM's algorithm 2 after",
                "deviation / sigma at the end, for a point mass (1 is right)",
                number(float(np.std(states[-2])) / grid[-2]),
                number(float(np.std(last)) / grid[-2]),
            )
        )
    return found


def tables() -> list[Finding]:
    """Noise levels and times that are not what they are called."""
    multi = diffusers.DPMSolverMultistepScheduler()
    multi.set_timesteps(timesteps=[999, 0])
    alpha, sigma = on_noise.LINEAR(1)
    theirs = float(multi.sigmas[1])
    ours = float(np.float32(sigma / alpha))
    karras = diffusers.DEISMultistepScheduler(use_karras_sigmas=True)
    karras.set_timesteps(10)
    kdpm2 = on_levels.scheduler("KDPM2DiscreteScheduler", 10, use_karras_sigmas=True)
    bar = kdpm2.alphas_cumprod
    table = ((1 - bar) / bar).sqrt().numpy()
    told = np.append(kdpm2.timesteps[:1], kdpm2.timesteps[2::2]).astype(int)
    off = np.max(np.abs(table[told] / on_levels.times(kdpm2)[:-1] - 1.0))
    terminal = on_levels.scheduler(
        "EulerAncestralDiscreteScheduler", 5, rescale_betas_zero_snr=True
    )
    levels = [schedules.flow()(t).sigma for t in times.trailing(schedules.flow(), 10)]
    zero = schedules.zero_terminal_snr(schedules.scaled_linear())
    return [
        Finding(
            "diffusers' schedulers, sigma / alpha of the least noise, linear betas",
            "1 - alpha_bar in float32, alpha_bar next to 1",
            "relative error",
            number(abs(theirs * alpha / sigma - 1.0)),
            number(abs(ours * alpha / sigma - 1.0)),
        ),
        Finding(
            "diffusers `DEISMultistepScheduler` and others, use_karras_sigmas, final sigma_min",
            "the last two noise levels are one, so that a call is wasted",
            "noise levels that differ",
            f"{len(set(karras.sigmas.tolist()))} of {len(karras.sigmas)}",
            f"{len(set(levels))} of {len(levels)}",
        ),
        Finding(
            "diffusers `KDPM2DiscreteScheduler`, use_karras_sigmas",
            "tells the network the whole time next to the noise level",
            "noise level off what the network is told",
            number(float(off)),
            "0 (any time)",
        ),
        Finding(
            "diffusers, rescale_betas_zero_snr",
            "alpha_bar = 2^-24 at the last time, so that x_0 is divided by 2^-12",
            "sigma / alpha at the last time (infinite is right)",
            number(on_levels.times(terminal)[0]),
            "inf" if zero.alpha[-1] == 0.0 else number(zero.sigma[-1] / zero.alpha[-1]),
        ),
    ]


def stochastic_flow() -> Finding:
    """stochastic_sampling of flow matching: how much of a state's noise the next one keeps."""

    def kept(n):
        theirs = on_levels.scheduler("FlowMatchEulerDiscreteScheduler", n, stochastic_sampling=True)
        t, s = on_levels.times(theirs)[:2]
        # For x_0 = 0 the state is noise alone and the velocity x / t; twice with the same draw.
        ends = []
        for x in (torch.zeros(1), torch.ones(1)):
            theirs.set_timesteps(n)
            draw = torch.Generator().manual_seed(1)
            ends.append(theirs.step(x / t, theirs.timesteps[0], x, generator=draw).prev_sample)
        return float(ends[1] - ends[0]) * t / s

    def ours(n):
        schedule = schedules.flow()
        stage = samplers.euler_ancestral(schedule, np.linspace(0.9, 0.1, n + 1).tolist()).stages[0]
        return sum(stage.x) * schedule(stage.time).sigma / schedule(stage.time_next).sigma

    return Finding(
        "diffusers `FlowMatchEulerDiscreteScheduler`, stochastic_sampling",
        "all noise is drawn afresh in every step: no process as steps shrink",
        "share of the noise that a step keeps, of 1000 steps (1 is right)",
        number(abs(kept(1000))),
        number(ours(1000)),
    )


def findings() -> list[Finding]:
    """Every line of this sort."""
    return [
        unipc_at_data(),
        *cancellation(),
        *pndm(),
        lms_at_data(),
        *ancestral(),
        *churn(),
        stochastic_flow(),
        *tables(),
    ]
