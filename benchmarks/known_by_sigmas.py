"""What is known of diffusers' schedulers that go by a table of noise levels."""

import reproduced_by_sigmas as alone
import reproduced_diffusers as reproduced
from known_diffusers import (
    KDPM2,
    LOST,
    MULTISTEP,
    ROUNDED,
    SIGMAS,
    STEPPED,
    WASTED,
    Known,
    attempt,
    differ,
    fixed,
    told,
)

BY_SIGMAS = (
    Known(
        (*MULTISTEP, "DPMSolverSinglestepScheduler"),
        ("q_sample", "batches", "arrays"),
        "",
        "bug",
        "`add_noise` before `set_timesteps`, as in training, finds the place of a timestep in a "
        "falling list and takes the level there of a rising one: that of the time mirrored",
        alone.noise_of_a_fresh_one,
    ),
    Known(
        ("DEISMultistepScheduler", "SASolverScheduler"),
        STEPPED,
        "use_karras_sigmas|use_exponential_sigmas|use_beta_sigmas|use_flow_sigmas",
        "bug",
        WASTED + "; the timesteps are rounded to whole ones too",
        differ(use_karras_sigmas=True),
    ),
    Known(
        SIGMAS + KDPM2,
        STEPPED,
        "use_karras_sigmas|use_exponential_sigmas|use_beta_sigmas|use_lu_lambdas",
        "limit",
        ROUNDED,
        told(use_karras_sigmas=True),
    ),
    Known(
        SIGMAS,
        STEPPED,
        "use_flow_sigmas",
        "limit",
        "1000 sigma is cut to a whole number for the network, which is told another level than "
        "that of its state",
        told(use_flow_sigmas=True, prediction_type="flow_prediction"),
    ),
    Known(
        ("CosineDPMSolverMultistepScheduler",),
        ("options", "runs"),
        "final_sigmas_type=sigma_min",
        "bug",
        "asks its Brownian path for the noise between a level and itself, which never ends",
        attempt(6, final_sigmas_type="sigma_min"),
    ),
    Known(
        ("CosineDPMSolverMultistepScheduler",),
        ("spacing", "few steps"),
        "1 step",
        "bug",
        "the default's levels for one step are sigma_min alone, where the state to start from has "
        "noise of sigma_max",
        fixed(alone.levels_for_one_step),
    ),
    Known(
        (
            "EulerDiscreteScheduler",
            "EDMEulerScheduler",
            "EDMDPMSolverMultistepScheduler",
            "CosineDPMSolverMultistepScheduler",
        ),
        STEPPED,
        "final_sigmas_type=sigma_min",
        "limit",
        WASTED,
        differ(final_sigmas_type="sigma_min"),
    ),
    Known(
        ("EulerDiscreteScheduler", "EDMEulerScheduler"),
        STEPPED,
        "s_churn",
        "bug",
        "calls the network before the churn's noise is added, EDM's algorithm 2 after",
        alone.churned,
    ),
    Known(
        ("EulerDiscreteScheduler",),
        (*STEPPED, "options"),
        "log_linear",
        "bug",
        "n + 2 levels for n timesteps: the network is told other times than those of its states, "
        "and the last of the noise is never taken out",
        fixed(alone.levels_of_log_linear),
    ),
    Known(
        ("FlowMatchEulerDiscreteScheduler",),
        STEPPED,
        "s_churn",
        "bug",
        "`s_churn`, `s_tmin`, `s_tmax` and `s_noise` are accepted and not used",
        lambda name: reproduced.unused(name, s_churn=2.0, s_noise=3.0),
    ),
    Known(
        ("FlowMatchHeunDiscreteScheduler",),
        STEPPED,
        "s_churn",
        "bug",
        "adds EDM's churn to a state (1 - t) x_0 + t eps without shrinking its x_0, and goes on "
        "from the level before",
        fixed(alone.churned_flow),
    ),
    Known(
        ("FlowMatchLCMScheduler",),
        ("order",),
        "",
        "convention",
        "all noise is drawn afresh in every step, as for a distilled network: no order",
        fixed(alone.noise_drawn_afresh),
    ),
    Known(
        ("EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler"),
        (*LOST, "clipping"),
        "squaredcos_cap_v2|2 steps|1 step|3 steps",
        "bug",
        "sigma_down^2 = sigma_s^2 - sigma_up^2 in float32, of which a long step leaves no digit, "
        "or a negative number",
        lambda name: alone.long_step(name, 4 if name.startswith("Euler") else 8),
    ),
    Known(
        ("LMSDiscreteScheduler",),
        STEPPED,
        "from step",
        "bug",
        "with `set_begin_index` it takes the order, and the weights, for outputs that it has not",
        fixed(alone.part_of_lms),
    ),
    Known(
        ("LMSDiscreteScheduler",),
        ("plan", "few steps"),
        "",
        "convention",
        "extrapolates eps in the step to sigma = 0, where the planner here takes the denoised x_0",
        fixed(alone.newest_of_the_last_step),
    ),
    Known(
        ("DPMSolverMultistepScheduler",),
        ("runs", "options"),
        "sde-dpmsolver, & solver_order=3",
        "bug",
        "an algorithm and an order that are not there, and not refused",
        attempt(8, algorithm_type="sde-dpmsolver", solver_order=3, final_sigmas_type="sigma_min"),
    ),
    Known(
        ("EDMDPMSolverMultistepScheduler",),
        ("runs", "options"),
        "solver_order=3",
        "bug",
        "an algorithm and an order that are not there, and not refused",
        attempt(8, algorithm_type="sde-dpmsolver++", solver_order=3),
    ),
    Known(
        ("CosineDPMSolverMultistepScheduler",),
        ("runs", "options"),
        "solver_order=3",
        "limit",
        "order 3, which its documentation does not offer, is not refused",
        attempt(8, solver_order=3),
    ),
    Known(
        ("DPMSolverMultistepScheduler",),
        ("plan",),
        "sde-dpmsolver++ & solver_order=3",
        "bug",
        "the second difference has the wrong sign: ... - 0.5 where the integral has ... + 0.5",
        fixed(alone.sign_of_third_order),
    ),
    Known(
        ("DPMSolverMultistepScheduler",),
        ("variance",),
        "sde-dpmsolver",
        "limit",
        "holds eps where the SDE's x_0 is what hardly changes: in long steps the variance is far "
        "from the marginal's; it is deprecated",
        fixed(alone.spread_of_noise_prediction),
    ),
    Known(
        SIGMAS,
        ("runs",),
        "variance_type=learned_range",
        "bug",
        "takes the first three channels of a network that says the variance too, however many the "
        "state has, or draws noise for all of them",
        lambda name: reproduced.attempt(
            name, 8, (6, 3) if name.startswith("SA") else (8, 4), variance_type="learned_range"
        ),
    ),
    Known(
        ("SASolverScheduler",),
        ("options",),
        "variance_type=learned",
        "bug",
        "draws noise for the channels of the variance",
        attempt(8, (6, 3), variance_type="learned"),
    ),
    Known(
        ("UniPCMultistepScheduler",),
        ("runs", "options"),
        "bh1",
        "bug",
        "B(h) = infinity, times 0, in the step to sigma = 0",
        attempt(6, solver_type="bh1"),
    ),
    Known(
        ("UniPCMultistepScheduler",),
        ("runs", "options"),
        "lower_order_final=False",
        "bug",
        "the order is not lowered in the step to sigma = 0, where `DPMSolverMultistepScheduler` "
        "lowers it always",
        attempt(6, lower_order_final=False),
    ),
    Known(
        ("UniPCMultistepScheduler",),
        ("runs", "options"),
        "predict_x0=False",
        "bug",
        "a step to sigma = 0 that holds eps: infinity times 0; `DPMSolverMultistepScheduler` "
        "refuses it in words",
        attempt(6, predict_x0=False),
    ),
    Known(
        ("DPMSolverSinglestepScheduler",),
        ("plan",),
        "solver_order=3",
        "limit",
        "calls wherever the grid's times fall, with a formula for calls at 1/3 and 2/3 of a step",
        fixed(alone.second_state_of_third_order),
    ),
)
"""In order: the first that explains a failure is taken."""
