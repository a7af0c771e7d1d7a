"""Schedules, weights and samplers to and from other libraries.

schedule, prediction      what a scheduler's configuration says, at full precision
read_unet_2d, ...         diffusers' `UNet2DModel` and our UNet, the same weights under other names
from_openai_unet, ...     improved-diffusion's and guided-diffusion's UNet
shifted_times             a network that counts its times otherwise
scheduler                 any plan as a scheduler that diffusers' pipelines accept

Nothing here imports another library until a function needs it, and only `scheduler` does.
"""

from .network_times import shifted_times
from .openai_unet import from_openai_unet, to_openai_unet
from .predictions import prediction
from .scheduler import scheduler
from .schedules import schedule
from .unet_2d import from_unet_2d, read_unet_2d, to_unet_2d, write_unet_2d
from .unet_2d_config import unet_2d_config, unet_config

__all__ = [
    "from_openai_unet",
    "from_unet_2d",
    "prediction",
    "read_unet_2d",
    "schedule",
    "scheduler",
    "shifted_times",
    "to_openai_unet",
    "to_unet_2d",
    "unet_2d_config",
    "unet_config",
    "write_unet_2d",
]
