"""A scheduler that clips or thresholds the denoised x_0, beside the same one that does not.

Dynamic thresholding of a sample of one pixel is clipping to [-1, 1]: its quantile is |x_0|.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ...subject import Clipped, Sampler
from .configurations import Way, refuses
from .running import Setup
from .shape import Recipe, parameters

STEPS = 4


def clipped_ways(whole: Recipe, sampler: Callable[[Way], Sampler]) -> Iterator[Clipped]:
    """Each way of clipping that it has and does not refuse."""
    plain = sampler(Way("unclipped", Setup(recipe=whole.linear(), steps=STEPS)))
    takes = parameters(whole.kind.step)  # type: ignore[attr-defined]
    own: list[dict[str, Any]] = [{}]
    if "use_clipped_model_output" in takes:
        own.append({"use_clipped_model_output": True})
    for options in _kinds(whole):
        most = float(options.get("clip_sample_range", 1.0))
        change = partial(np.clip, a_min=-most, a_max=most)
        for arguments in own:
            words = ", ".join(f"{k}={v}" for k, v in {**options, **arguments}.items())
            setup = Setup(recipe=whole.linear().but(**options), steps=STEPS, arguments=arguments)
            if not refuses(setup, tuple(options)):
                yield Clipped(sampler(Way(words, setup)), plain, change)


def _kinds(whole: Recipe) -> Iterator[dict[str, Any]]:
    if "clip_sample" in whole.takes:
        ranged = "clip_sample_range" in whole.takes
        for most in (1.0, 2.0) if ranged else (1.0,):
            yield {"clip_sample": True, **({"clip_sample_range": most} if ranged else {})}
    if "thresholding" in whole.takes:
        yield {
            "thresholding": True,
            **({"sample_max_value": 2.0} if "sample_max_value" in whole.takes else {}),
        }
