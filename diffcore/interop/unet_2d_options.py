"""The options of `UNet2DModel`: their defaults, and those that have one value in networks here."""

from collections.abc import Mapping
from typing import Any

DEFAULTS: Mapping[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (224, 448, 672, 896),
    "layers_per_block": 2,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "num_class_embeds": None,
}
FIXED: Mapping[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "class_embed_type": (None,),
    "num_train_timesteps": (None,),
}
"""What has one value in `UNetConfig`'s networks, by any of its names."""

KINDS = {
    "DownBlock2D": ("convolution", False),
    "UpBlock2D": ("convolution", False),
    "ResnetDownsampleBlock2D": ("residual", False),
    "ResnetUpsampleBlock2D": ("residual", False),
    "AttnDownBlock2D": (None, True),
    "AttnUpBlock2D": (None, True),
}
"""(resampling, attention) of a level by its block's type; None: what `downsample_type` says."""

RESAMPLE = {"conv": "convolution", "resnet": "residual"}

WIDTH = "time_embedding_dim"
"""What must be four times the first level's channels, or left out."""
