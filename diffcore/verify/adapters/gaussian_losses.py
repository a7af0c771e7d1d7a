"""The losses of a GaussianDiffusion object: `training_losses`, `_vb_terms_bpd`, `calc_bpd_loop`.

MSE is L_simple, and with a learned variance the hybrid; RESCALED_MSE is the hybrid with the bound's
term times T / 1000. KL is the bound's term, RESCALED_KL times T.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..._arrays import constant, namespace, to_host
from ...predictions import MEAN
from ..subject import Loss
from .kinds import Kind

Network = Callable[[Any, tuple[float, ...]], Any]
"""network(x_t, times) -> its output, native, at a time for each sample."""


def losses(kinds: Sequence[Kind]) -> dict[str, Loss]:
    """Every loss of the first kind; of the others those that could differ, by their label."""
    own, *others = kinds
    made = dict(_of(own))
    for kind in others:
        for name, loss in _of(kind):
            if name == "vlb" or (name == "simple" and kind.within == own.within):
                made[f"{name}, {kind.label}"] = loss
    return made


def _of(kind: Kind) -> Iterator[tuple[str, Loss]]:
    target, T = kind.target, kind.steps.schedule.T
    if hasattr(target, "training_losses"):
        yield from _trained(kind)
    if hasattr(target, "_vb_terms_bpd"):
        yield "vlb", Loss(of=_term(kind), predicts=kind.predicts, variance=kind.within)
    if hasattr(target, "_prior_bpd"):
        yield "prior", Loss(of=target._prior_bpd)
    if hasattr(target, "calc_bpd_loop"):

        def total(network: Network, x_0: Any) -> Any:
            model = _model(network, kind)
            return target.calc_bpd_loop(model, x_0, clip_denoised=False)["total_bpd"]

        yield "bpd", Loss(of=total, predicts=kind.predicts, variance=kind.within)
    for name, scale in (("KL", 1.0), ("RESCALED_KL", float(T))):
        other = kind.varied(loss_type=name)
        if other is not None:
            yield (
                f"vlb, {name}",
                Loss(
                    of=_trained_term(other),
                    predicts=kind.predicts,
                    variance=kind.within,
                    scale=scale,
                ),
            )


def _trained(kind: Kind) -> Iterator[tuple[str, Loss]]:
    """L_simple, and the hybrid."""
    simple = kind.varied(loss_type="MSE", model_var_type="FIXED_SMALL")
    if simple is None:
        simple = kind
    yield "simple", Loss(of=_training(simple), predicts=kind.predicts, own_eps=True, each=True)
    for name, scale in (("MSE", 1.0), ("RESCALED_MSE", kind.steps.schedule.T / 1000.0)):
        hybrid = kind.varied(loss_type=name, model_var_type="LEARNED_RANGE")
        # The posterior mean's own error is not the bound's where the variance is 0.
        if hybrid is not None and kind.predicts is not MEAN:
            of = _training(hybrid)
            yield f"hybrid, {name}", Loss(of=of, predicts=kind.predicts, scale=scale)


def _training(kind: Kind) -> Callable[..., Any]:
    """training_losses as loss(network, x_0, times, eps)."""

    def loss(network: Network, x_0: Any, times: Sequence[float], eps: Any) -> Any:
        model = _model(network, kind, learned=False)
        found = kind.target.training_losses(model, x_0, kind.steps.index(times), noise=eps)
        return found["loss"]

    return loss


def _term(kind: Kind) -> Callable[..., Any]:
    def term(network: Network, x_0: Any, x_t: Any, times: Sequence[float]) -> Any:
        model = _model(network, kind)
        found = kind.target._vb_terms_bpd(
            model, x_0, x_t, kind.steps.index(times), clip_denoised=False
        )
        return found["output"]

    return term


def _trained_term(kind: Kind) -> Callable[..., Any]:
    """The same by training_losses, whose noise is what makes x_t of x_0."""

    def term(network: Network, x_0: Any, x_t: Any, times: Sequence[float]) -> Any:
        levels = [kind.steps.schedule(t) for t in times]
        column = (-1, *(1,) * (x_0.ndim - 1))
        alpha, sigma = (np.reshape(c, column) for c in zip(*levels, strict=True))
        eps = constant((to_host(x_t) - alpha * to_host(x_0)) / sigma, x_0)
        model = _model(network, kind)
        found = kind.target.training_losses(model, x_0, kind.steps.index(times), noise=eps)
        return found["loss"]

    return term


def _model(network: Network, kind: Kind, learned: bool = True) -> Any:
    """The network as the object calls it; learned: whether to add what it learns of variances."""
    says = kind.learned() if learned else None

    def model(x_t: Any, told: Any, **_: Any) -> Any:
        times = tuple(kind.steps.time(float(t)) for t in to_host(told).reshape(-1))
        out = network(x_t, times)
        if says is None:
            return out
        column = (-1, *(1,) * (x_t.ndim - 1))
        values = np.reshape([says(kind.steps.level_time(t)) for t in times], column)
        rest = constant(np.broadcast_to(values, x_t.shape), x_t)
        return namespace(x_t).concat([out, rest], axis=1)

    return model
