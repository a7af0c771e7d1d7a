"""The checks: each asks one thing of a subject."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..outcome import Outcome
from ..subject import Subject
from . import (
    arrays,
    bound,
    bound_total,
    clipping,
    decoder,
    draws,
    exactness,
    forward,
    guidance,
    hybrid,
    invariance,
    loss_times,
    losses,
    options,
    order,
    posterior,
    running,
    spacing,
    state,
    step_count,
    steps,
    tables,
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A statement, and how to measure what a subject makes of it.

    run: yields an outcome for everything measured, none where the check is not applicable. needs:
    what of the target it then lacks, where its name does not tell.
    """

    name: str
    identity: str
    run: Callable[[Subject], Iterable[Outcome]]
    needs: str = ""


CHECKS = (
    Check(
        name="levels",
        identity="1 >= alpha_bar_t > alpha_bar_{t+1} >= 0, beta > 0",
        run=tables.levels,
    ),
    Check(name="alpha_bar", identity="alpha_bar_t = prod (1 - beta_i)", run=tables.product),
    Check(name="terminal", identity="zero terminal SNR is exactly 0", run=tables.terminal),
    Check(name="tables", identity="roots and logarithms of alpha_bar", run=tables.derived),
    Check(name="posterior tables", identity="q(x_{t-1} | x_t, x_0) by Bayes", run=tables.posterior),
    Check(name="sigma2", identity="beta_t, or the posterior variance", run=tables.sigma2),
    Check(name="q_sample", identity="x_t = alpha_t x_0 + sigma_t eps", run=forward.sample),
    Check(
        name="q_mean_variance",
        identity="q(x_t | x_0) = N(alpha_t x_0, sigma_t^2)",
        run=forward.mean_variance,
    ),
    Check(
        name="composition",
        identity="q(x_s | x_0) then q(x_t | x_s) is q(x_t | x_0)",
        run=forward.composition,
    ),
    Check(
        name="posterior mean",
        identity="weights of q(x_{t-1} | x_t, x_0) by Bayes",
        run=posterior.mean,
    ),
    Check(
        name="posterior variance",
        identity="1 / the sum of the precisions",
        run=posterior.variance,
    ),
    Check(name="batches", identity="a batch is its samples one by one", run=arrays.batches),
    Check(name="arrays", identity="dtype, device and inputs are kept", run=arrays.kept),
    Check(name="guidance", identity="w c + (1 - w) u", run=guidance.guidance),
    Check(name="options", identity="every option works, or says no", run=options.options),
    Check(name="runs", identity="every configuration ends in numbers", run=running.runs),
    Check(name="linear", identity="states are linear in x_T, x_0 and noise", run=running.linear),
    Check(name="calls", identity="the network is told the state's time", run=steps.calls),
    Check(name="spacing", identity="n steps are n levels, ever lower", run=spacing.spacing),
    Check(name="state", identity="a used object does as a fresh one", run=state.state),
    Check(name="predictions", identity="eps, v and x_0 are one network", run=state.predictions),
    Check(name="mean", identity="w(x_T) alpha_T + w(x_0) = alpha_t", run=steps.mean),
    Check(name="variance", identity="deviation of x_t given x_0 = sigma_t", run=steps.variance),
    Check(name="plan", identity="every weight is the exact plan's", run=steps.plan),
    Check(
        name="exactness",
        identity="a point mass ends in x_0, without noise x_t = alpha_t x_0 + sigma_t eps",
        run=exactness.exactness,
    ),
    Check(
        name="few steps",
        identity="n = 1, 2, 3 steps end in x_0",
        run=step_count.step_count,
        needs="a number of steps to choose",
    ),
    Check(
        name="order",
        identity="errors fall as n^-order on Gaussian data",
        run=order.order,
        needs="a number of steps to choose",
    ),
    Check(
        name="invariance",
        identity="batch, order, shape and dtype change no element",
        run=invariance.invariance,
    ),
    Check(name="draws", identity="noises are N(0, 1), each element's own", run=draws.draws),
    Check(
        name="clipping", identity="a clipped run is the run on clipped x_0", run=clipping.clipping
    ),
    Check(name="loss input", identity="the network sees alpha x_0 + sigma eps", run=losses.inputs),
    Check(name="loss target", identity="a network without error has no loss", run=losses.target),
    Check(name="loss weight", identity="an error e costs w(t) mean(e^2)", run=losses.weight),
    Check(name="loss samples", identity="each sample has its own loss", run=losses.samples),
    Check(name="loss gradient", identity="d loss / d output = 2 w(t) e / n", run=losses.gradient),
    Check(
        name="hybrid",
        identity="L_simple + the bound's term, its gradient the variance's",
        run=hybrid.hybrid,
    ),
    Check(name="vlb", identity="KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))", run=bound.vlb),
    Check(name="decoder", identity="-log p(x_0 | x_1) is a bin's mass", run=decoder.decoder),
    Check(name="prior", identity="KL(q(x_T | x_0) || N(0, 1))", run=bound_total.prior),
    Check(name="bpd", identity="the sum of the bound's terms", run=bound_total.total),
    Check(name="loss times", identity="drawn times are uniform", run=loss_times.drawn_times),
)
"""Every check, in the order in which a report lists them."""
