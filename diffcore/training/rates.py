"""The two rates that change from update to update, counted k = 0, 1, ...

    learning rate   lr_k = peak min(1, (k + 1) / warmup),  then constant or half a cosine to 0
    EMA             d_k  = min(decay, (1 + k) / (10 + k)),  ema_k = d_k ema_{k-1} + (1 - d_k) w_k

(Ho et al. 2020, section 4 and appendix B, with the warm-up of TensorFlow's
ExponentialMovingAverage.) With a constant decay of 0.9999 the first thousands of averages are
mostly the untrained start; the warm-up makes d_k small at first, so that early samples show what
has been learnt so far.
"""

import math


def learning_rate(
    step: int, peak: float, warmup: int, steps: int, decay: str = "constant"
) -> float:
    """The rate of update number `step`, from 0: linear up to `peak`, then `decay`.

    decay: "constant", or "cosine", half a cosine from the end of the warm-up down to 0 at `steps`.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if decay == "constant":
        return peak
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def ema_decay(step: int, decay: float) -> float:
    """d_k for update number `step`, from 0."""
    return min(decay, (1 + step) / (10 + step))


def ema_has_caught_up(step: int, decay: float) -> bool:
    """Whether d_k has reached `decay`, so that the average is as slow as it will be."""
    return ema_decay(step, decay) >= decay
