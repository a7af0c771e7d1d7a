"""One estimate of x_0, as the output of a network of any prediction type."""

import math

import numpy as np
from conftest import namespace_of

from diffcore import process
from diffcore.predictions import EPS, SCORE, VELOCITY, X_0, Edm, V

# MEAN needs a discrete schedule, and is added where there is one.
PREDICTIONS = [EPS, X_0, V, SCORE, VELOCITY, Edm(0.5)]
MACHINE = {np.dtype(d): np.finfo(d).eps for d in ("float64", "float32")}
LN_2 = math.log(2.0)


def output_for(prediction, schedule, guess, x_t, t):
    """What a network of this type puts out where its estimate of x_0 is `guess`."""
    alpha, sigma = process.level(schedule, t, x_t)
    return prediction.target(schedule, guess, t, (x_t - alpha * guess) / sigma)


def compiled(function, *arrays):
    """`function` of the NumPy `arrays` under jax.jit and torch.compile(fullgraph=True)."""
    import jax
    import torch

    namespace_of("jax")
    jitted = jax.jit(function)(*(jax.numpy.asarray(a) for a in arrays))
    torch._dynamo.reset()
    whole = torch.compile(function, fullgraph=True, backend="eager")
    traced = whole(*(torch.as_tensor(a) for a in arrays))
    torch._dynamo.reset()
    return np.asarray(jitted), traced.numpy()
