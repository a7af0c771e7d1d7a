"""The discrete schedules at 50 digits, from their papers' definitions: an oracle for the tables."""

from functools import cache

import mpmath as mp

mp.mp.dps = 50
DIGITS = mp.mpf


def linear(T, beta_start=1e-4, beta_end=0.02):
    start, end = mp.mpf(beta_start), mp.mpf(beta_end)
    return [start + (end - start) * i / max(T - 1, 1) for i in range(T)]


def squared_line(T, beta_start, beta_end):
    return [b**2 for b in linear(T, mp.sqrt(mp.mpf(beta_start)), mp.sqrt(mp.mpf(beta_end)))]


def scaled_linear(T, beta_start=0.00085, beta_end=0.012):
    return squared_line(T, beta_start, beta_end)


def quadratic(T, beta_start=1e-4, beta_end=0.02):
    return squared_line(T, beta_start, beta_end)


def constant(T, beta=0.02):
    return [mp.mpf(beta)] * T


def cosine(T, offset=0.008, max_beta=0.999, min_beta=0.0):
    s = mp.mpf(offset)

    def f(t):
        return mp.cos((mp.mpf(t) / T + s) / (1 + s) * mp.pi / 2) ** 2

    betas = [1 - f(t) / f(t - 1) for t in range(1, T + 1)]
    return [max(min(b, mp.mpf(max_beta)), mp.mpf(min_beta)) for b in betas]


def sigmoid(T, start=-3.0, end=3.0, tau=1.0, max_beta=0.999):
    def s(a):
        return 1 / (1 + mp.exp(-mp.mpf(a) / mp.mpf(tau)))

    def alpha_bar(t):
        at = mp.mpf(start) + mp.mpf(t) / T * (mp.mpf(end) - mp.mpf(start))
        return (s(end) - s(at)) / (s(end) - s(start))

    betas = [1 - alpha_bar(t) / alpha_bar(t - 1) for t in range(1, T + 1)]
    return [min(b, mp.mpf(max_beta)) for b in betas]


BETAS = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "quadratic": quadratic,
    "constant": constant,
    "cosine": cosine,
    "sigmoid": sigmoid,
}


def alpha_bar_of(betas):
    """alpha_bar at times 0..T."""
    result = [mp.mpf(1)]
    for beta in betas:
        result.append(result[-1] * (1 - beta))
    return result


def zero_terminal(alpha_bar):
    """Lin et al. 2024, algorithm 1, on alpha_bar at times 0..T."""
    root = [mp.sqrt(a) for a in alpha_bar]
    first, last = root[1], root[-1]
    return [mp.mpf(1)] + [((s - last) * first / (first - last)) ** 2 for s in root[1:]]


def shifted(alpha_bar, factor):
    """log SNR lowered by 2 log(factor): SNR divided by factor^2."""
    return [a / (a + (1 - a) * mp.mpf(factor) ** 2) for a in alpha_bar]


def tables(alpha_bar):
    """Every table of a discrete schedule, by its textbook formula on alpha_bar at times 0..T."""
    T = len(alpha_bar) - 1
    beta = [mp.mpf(0)] + [1 - alpha_bar[t] / alpha_bar[t - 1] for t in range(1, T + 1)]
    variance = [mp.mpf(0)] + [
        beta[t] * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) for t in range(1, T + 1)
    ]
    return {
        "beta": beta,
        "alpha_bar": alpha_bar,
        "one_minus_alpha_bar": [1 - a for a in alpha_bar],
        "alpha": [mp.sqrt(a) for a in alpha_bar],
        "sigma": [mp.sqrt(1 - a) for a in alpha_bar],
        "log_snr": [
            mp.inf if a == 1 else -mp.inf if a == 0 else mp.log(a / (1 - a)) for a in alpha_bar
        ],
        "posterior_variance": variance,
        "posterior_log_variance_clipped": [mp.log(variance[max(t, 2)]) for t in range(T + 1)],
        "posterior_mean_x_0": [mp.mpf(1)]
        + [mp.sqrt(alpha_bar[t - 1]) * beta[t] / (1 - alpha_bar[t]) for t in range(1, T + 1)],
        "posterior_mean_x_t": [mp.mpf(0)]
        + [
            mp.sqrt(1 - beta[t]) * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
            for t in range(1, T + 1)
        ],
    }


@cache
def reference(kind, T=1000):
    """The exact tables of a kind of schedule with its default parameters."""
    if kind == "zero_terminal_snr":
        return tables(zero_terminal(alpha_bar_of(linear(T))))
    if kind == "shift":
        return tables(shifted(alpha_bar_of(linear(T)), 3.0))
    if kind == "respace":
        whole = alpha_bar_of(linear(T))
        return tables([whole[t] for t in range(0, T + 1, T // 20)])
    return tables(alpha_bar_of(BETAS[kind](T)))


def relative_errors(table, exact):
    """|table - exact| / |exact| per entry; equal infinities and zeros count as 0."""
    errors = []
    for value, wanted in zip(table, exact, strict=True):
        if mp.isinf(wanted) or wanted == 0:
            errors.append(0.0 if mp.mpf(float(value)) == wanted else float("inf"))
        else:
            errors.append(float(abs((mp.mpf(float(value)) - wanted) / wanted)))
    return errors
