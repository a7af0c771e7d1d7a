"""v^T dx_0/dx_t of a trained network, by its own backward pass.

The denoised x_0 = a x_t + b F(c x_t, t) is linear in x_t but for the network F, so that

    v^T dx_0/dx_t = a v + c F'(c x_t)^T (b v)

with a, b and c those of what the network predicts, at the time t.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np

from diffcore.likelihood import Pullback
from diffcore.plan import Denoised
from diffcore.training.trained import Trained

from .unet import UNet


def pullback(trained: Trained, labels: Any = None, condition: Any = None) -> Pullback:
    """The vector-Jacobian products of a trained network's denoiser, for `diffcore.likelihood`.

    trained: of this backend. labels, condition: as for `Trained.denoise`. What a call remembers is
    kept for as long as its vjp is.
    """
    schedule, predicts = trained.schedule, trained.predicts
    by_hand = cast(UNet, trained.network)

    def of(x_t: Any, t: float) -> tuple[Any, Callable[[Any], Any]]:
        pulls: list[Callable[[Any], Any]] = []

        def network(*arguments: Any) -> Any:
            output, pull = by_hand.run(*arguments)
            pulls.append(pull)
            return output

        here = replace(trained, network=network)
        output = here.differentiable(labels, condition=condition)(x_t, t)
        x_0 = output.x_0 if isinstance(output, Denoised) else output
        # On the host and in float64: the device need not be waited for.
        one, zero = np.ones((1, 1)), np.zeros((1, 1))
        a = float(predicts.x_0(schedule, zero, one, t)[0, 0])
        b = float(predicts.x_0(schedule, one, zero, t)[0, 0])
        c = float(predicts.inputs(schedule, one, t)[0][0, 0])

        def vjp(v: Any) -> Any:
            of_output = b * v
            if trained.unet.learned_variance:
                of_output = _beside_zeros(of_output)
            return a * v + c * pulls[0](of_output)

        return x_0, vjp

    return of


def _beside_zeros(dy: Any) -> Any:
    """The gradient of an output whose second half, the variance, has none."""
    both = dy.repeat(2, axis=1)
    n = dy.shape[1]
    both[:, :n], both[:, n:] = dy, 0
    return both
