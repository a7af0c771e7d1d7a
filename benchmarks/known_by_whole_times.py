"""What is known of diffusers' schedulers that go by whole times: DDIM, DDPM, PNDM and the like."""

import reproduced_by_whole_times as alone
import reproduced_diffusers as reproduced
from known_diffusers import DDIMS, LOST, NEXT, STEPPED, WASTED, Known, attempt, fixed

BY_WHOLE_TIMES = (
    Known(
        DDIMS,
        STEPPED,
        "timestep_spacing=|rescale_betas_zero_snr|7 steps",
        "bug",
        NEXT,
        lambda name: alone.steps_elsewhere(name, timestep_spacing="linspace", clip_sample=False),
    ),
    Known(
        ("CogVideoXDDIMScheduler",),
        ("alpha_bar", "levels", "tables"),
        "",
        "limit",
        "`betas` are those before the shift of the SNR, `alphas_cumprod` after it",
        fixed(alone.stale_betas),
    ),
    Known(
        ("CogVideoXDDIMScheduler",),
        ("plan", "exactness", "variance", "draws"),
        "step(eta",
        "bug",
        "`eta` is accepted and not used",
        lambda name: reproduced.unused(name, eta=1.0),
    ),
    Known(
        ("DDIMScheduler", "DDIMParallelScheduler"),
        ("clipping",),
        "",
        "convention",
        "a clipped x_0 goes on with the eps of the one before it was clipped, unless "
        "`use_clipped_model_output`: the state does not hold the noise of its level",
        alone.direction_of_clipped,
    ),
    Known(
        ("DDPMScheduler", "DDPMParallelScheduler"),
        ("options", "runs"),
        "fixed_large_log",
        "bug",
        "takes the square root of a logarithm",
        attempt(4, variance_type="fixed_large_log"),
    ),
    Known(
        ("UnCLIPScheduler",),
        ("runs", "few steps", "spacing"),
        "1 step",
        "bug",
        "divides by n - 1",
        attempt(1),
    ),
    Known(
        ("UnCLIPScheduler",),
        (*STEPPED, "predictions", "few steps", "state"),
        "",
        "limit",
        "betas beside 1 - alpha_bar in float32, which has lost three digits where these are small",
        fixed(alone.digits_of_unclip),
    ),
    Known(
        ("PNDMScheduler",),
        ("runs", "few steps"),
        "1 step|2 steps|3 steps",
        "limit",
        "its Runge-Kutta start needs four steps, and says so by an error of shapes",
        attempt(2),
    ),
    Known(
        ("PNDMScheduler",),
        (*STEPPED, "predictions"),
        "v_prediction|prediction_type=sample",
        "bug",
        "takes the mean of what the network puts out at several times, and only then makes eps of "
        "it: right for eps, but v means another thing at each time",
        fixed(alone.means_of_v),
    ),
    Known(
        ("PNDMScheduler",),
        STEPPED,
        "timestep_spacing=trailing|timestep_spacing=linspace|rescale|leading",
        "bug",
        NEXT,
        lambda name: alone.steps_elsewhere(name, timestep_spacing="linspace", skip_prk_steps=True),
    ),
    Known(
        ("PNDMScheduler",),
        ("plan", "linear"),
        "set_alpha_to_one",
        "convention",
        "extrapolates eps in the step to sigma = 0, where the denoised x_0 is known",
        fixed(alone.last_step_of_plms),
    ),
    Known(
        ("PNDMScheduler",),
        (*LOST, "state"),
        "",
        "bug",
        WASTED + ", with steps_offset = 0, its default",
        fixed(alone.last_step_of_pndm),
    ),
    Known(
        ("TCDScheduler", "CogVideoXDDIMScheduler"),
        ("clipping",),
        "",
        "bug",
        "`clip_sample` and `thresholding` are accepted and not used",
        reproduced.unclipped,
    ),
    Known(
        ("TCDScheduler", "LCMScheduler"),
        ("options", "runs"),
        "rescale_betas_zero_snr",
        "limit",
        "eps says nothing of x_0 at alpha = 0: a network that puts out eps is not refused",
        attempt(4, rescale_betas_zero_snr=True),
    ),
)
"""In order: the first that explains a failure is taken."""
