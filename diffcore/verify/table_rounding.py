"""How far rounding may move the tables of a discrete schedule.

A running product of t factors 1 - beta_i, each rounded, is off by at most gamma_{nt} = n t u
(Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1), and 1 - alpha_bar
by that over 1 - alpha_bar. Everything else follows from these two.
"""

from dataclasses import dataclass

import numpy as np

from .._arrays import Host
from .digits import Exact

ROUNDINGS = 2.0
"""Of a factor, in units of epsilon: of beta, of 1 - beta and of the product, and one to spare."""

SINGLE = 2.0**-23
"""The epsilon of float32, whose running product is what spoils a float64 table."""


@dataclass(frozen=True)
class Drift:
    """What a running product may lose; arrays over the times 0..T.

    product: of alpha_bar, relative. rest: of 1 - alpha_bar, relative. beta: of a beta, relative.
    """

    exact: Exact
    epsilon: float
    product: Host
    rest: Host
    beta: Host

    def bound(self, name: str, times: list[int]) -> Host:
        """How far each entry of the table of that name may be off at these times."""
        t = np.array(times, dtype=int)
        value = np.abs(self.exact.host(name, times))
        value[~np.isfinite(value)] = 0.0
        before = np.maximum(t - 1, 0)
        step = self.rest[before] + self.rest[t] + self.beta[t]
        shares = {
            "beta": self.beta[t],
            "alpha_bar": self.product[t],
            "alpha_bar_prev": self.product[before],
            "alpha_bar_next": self.product[np.minimum(t + 1, self.exact.T)],
            "one_minus_alpha_bar": self.rest[t],
            "sqrt_alpha_bar": 0.5 * self.product[t] + self.epsilon,
            "sqrt_one_minus_alpha_bar": _root(self.rest[t]) + self.epsilon,
            "sqrt_recip_alpha_bar": 0.5 * self.product[t] + 2.0 * self.epsilon,
            # 1 / alpha_bar - 1 is (1 - alpha_bar) / alpha_bar.
            "sqrt_recipm1_alpha_bar": _root(self.rest[t] + self.product[t]) + 2.0 * self.epsilon,
            "posterior_variance": step,
            "posterior_mean_x_0": 0.5 * self.product[before] + self.rest[t] + self.beta[t],
            "posterior_mean_x_t": step,
        }
        if name == "log_one_minus_alpha_bar":
            return _logarithm(self.rest[t]) + self.epsilon * value
        if name == "posterior_log_variance_clipped":
            later = np.minimum(np.maximum(t, 2), self.exact.T)
            step = self.rest[np.maximum(later - 1, 1)] + self.rest[later] + self.beta[later]
            return _logarithm(step) + self.epsilon * value
        bound: Host = shares[name] * value
        if name == "posterior_mean_x_t":
            bound[t == 1] = self.epsilon
        if name == "posterior_variance":
            bound[t == 1] = self.epsilon * self.exact.host("beta", [1])[0]
        return bound


def drift(exact: Exact, epsilon: float, beta_epsilon: float = 0.0) -> Drift:
    """What tables of that epsilon may lose; `beta_epsilon` is that of the betas, as stored."""
    times = range(1, exact.T + 1)
    alpha_bar, beta = exact.host("alpha_bar", range(exact.T + 1)), exact.host("beta", times)
    with np.errstate(divide="ignore"):
        logs = np.where(alpha_bar > 0.0, -np.log(alpha_bar), 0.0)
    lost = np.full(exact.T, ROUNDINGS * epsilon)
    # 1 - beta of a beta that is rounded itself; nothing is lost where it is 0.
    lost += beta_epsilon * np.divide(beta, 1.0 - beta, out=np.zeros_like(beta), where=beta < 1.0)
    product = np.append(0.0, np.cumsum(lost)) + epsilon * logs
    difference = exact.host("sqrt_one_minus_alpha_bar", range(exact.T + 1)) ** 2
    rest = np.zeros_like(product)
    rest[1:] = (product[1:] * alpha_bar[1:] + epsilon) / difference[1:] + epsilon
    # A beta that was made as 1 - alpha_bar_t / alpha_bar_{t-1} loses what cancels there.
    cancels = np.zeros_like(beta) if exact.from_betas else (1.0 - beta) / beta
    own = 4.0 * epsilon * (1.0 + cancels)
    return Drift(exact, epsilon, product, rest, np.append(0.0, own))


def _root(share: Host) -> Host:
    """The relative error of a square root of what is off by `share`."""
    result: Host = 1.0 - np.sqrt(1.0 - np.minimum(share, 1.0))
    return result


def _logarithm(share: Host) -> Host:
    """The error of a logarithm of what is off by `share`; infinite where all digits are lost."""
    with np.errstate(divide="ignore"):
        result: Host = -np.log1p(-np.minimum(share, 1.0))
    return result
