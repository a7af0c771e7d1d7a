"""Schedules, weights and samplers to and from other libraries.

schedule, prediction      what a scheduler's configuration says, at full precision
scheduler_config          the way back
flow_times                the grid of a flow-matching scheduler
scheduler                 any plan as a scheduler that diffusers' pipelines accept
read_unet_2d, ...         diffusers' `UNet2DModel` and our UNet, the same weights under other names
read_pipeline, ...        a whole folder of such a network and its scheduler, as a checkpoint
from_openai_unet, ...     improved-diffusion's and guided-diffusion's UNet
shifted_times             a network that counts its times otherwise

Everything but `scheduler` works on NumPy arrays and files alone; `scheduler` imports diffusers.
"""

from .flow_times import flow_times
from .network_times import shifted_times
from .openai_unet import from_openai_unet, to_openai_unet
from .pipeline import read_pipeline, write_pipeline
from .predictions import prediction
from .scheduler import scheduler
from .scheduler_config import scheduler_config
from .schedules import schedule
from .unet_2d import from_unet_2d, read_unet_2d, to_unet_2d, write_unet_2d
from .unet_2d_config import unet_2d_config, unet_config

__all__ = [
    "flow_times",
    "from_openai_unet",
    "from_unet_2d",
    "prediction",
    "read_pipeline",
    "read_unet_2d",
    "schedule",
    "scheduler",
    "scheduler_config",
    "shifted_times",
    "to_openai_unet",
    "to_unet_2d",
    "unet_2d_config",
    "unet_config",
    "write_pipeline",
    "write_unet_2d",
]
