"""What a network predicts, and the one pivot between all of them: the pair (x_0, eps).

Every target is a mix p x_0 + q eps, and x_t = alpha x_0 + sigma eps. Two linear equations, so with
D = alpha q - sigma p

    x_0 = (q x_t - sigma output) / D        eps = (alpha output - p x_t) / D

    EPS       p = 0, q = 1                        Ho et al. 2020, eq. 11
    X_0       p = 1, q = 0                        Ho et al. 2020, section 3.2
    V         p = -sigma, q = alpha               Salimans & Ho 2022, section 4
    SCORE     p = 0, q = -1 / sigma               Song et al. 2021, eq. 7
    VELOCITY  p = -1, q = 1                       Liu et al. 2023, eq. 1
    MEAN      the posterior mean of x_{t-1}       Ho et al. 2020, eq. 7
    Edm       (x_0 - c_skip x) / c_out            Karras et al. 2022, eq. 8

Where D = 0 the output says nothing of the other half: eps at alpha = 0 has no x_0, x_0 at sigma = 0
has no eps. At such a time, given as a number, a ValueError says so; in arrays it gives inf or NaN.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ._arguments import positive, require_time
from ._arrays import A, Array, expand, is_number, linear_combination, namespace, require_like
from .process import level, posterior
from .schedules import Schedule


class Pivot(NamedTuple):
    """The pair that every prediction determines: x_t = alpha x_0 + sigma eps."""

    x_0: Any
    eps: Any


class Mix(NamedTuple):
    """The weights of a target p x_0 + q eps: Python floats, or arrays that broadcast."""

    p: Any
    q: Any


@dataclass(frozen=True)
class Prediction:
    """A parametrisation of the denoiser, by the mix of x_0 and eps that is its target.

    Arrays have shape (batch, ...); a time is a number or has shape (batch,); results keep the
    library, dtype and device of the data.
    """

    name: str
    mix: Callable[[Schedule, Any, Array], Mix]
    parameters: tuple[tuple[str, float], ...] = ()

    @property
    def config(self) -> Mapping[str, Any]:
        """A JSON-able description; `from_config` reads it back."""
        return {"kind": self.name, **dict(self.parameters)}

    def target(self, schedule: Schedule, x_0: A, t: Any, eps: A) -> A:
        """What the network should put out at x_t = alpha x_0 + sigma eps; of x_0's shape."""
        require_like("eps", eps, "x_0", x_0)
        require_time("t", t, "x_0", x_0)
        return linear_combination(self.mix(schedule, t, x_0), (x_0, eps))

    def x_0(self, schedule: Schedule, output: A, x_t: A, t: Any) -> A:
        """The x_0 that the network's output stands for; of x_t's shape."""
        require_like("output", output, "x_t", x_t)
        require_time("t", t, "x_t", x_t)
        p, q = self.mix(schedule, t, x_t)
        if is_number(q) and q == 0.0:
            return linear_combination((1.0 / p,), (output,))
        sigma, determinant = self._determinant("x_0", schedule, t, x_t)
        return linear_combination((q / determinant, -(sigma / determinant)), (x_t, output))

    def eps(self, schedule: Schedule, output: A, x_t: A, t: Any) -> A:
        """The eps that the network's output stands for; of x_t's shape."""
        require_like("output", output, "x_t", x_t)
        require_time("t", t, "x_t", x_t)
        p, q = self.mix(schedule, t, x_t)
        if is_number(p) and p == 0.0:
            return linear_combination((1.0 / q,), (output,))
        alpha = level(schedule, t, x_t).alpha
        _, determinant = self._determinant("eps", schedule, t, x_t)
        return linear_combination((alpha / determinant, -(p / determinant)), (output, x_t))

    def pivot(self, schedule: Schedule, output: A, x_t: A, t: Any) -> Pivot:
        """Both halves; ValueError where either is not defined."""
        return Pivot(
            self.x_0(schedule, output, x_t, t),
            self.eps(schedule, output, x_t, t),
        )

    def inputs(self, schedule: Schedule, x_t: A, t: Any) -> tuple[A, Any]:
        """The array and the time to give the network; Edm scales both, others neither."""
        if isinstance(self.mix, EdmMix):
            return self.mix.inputs(schedule, x_t, t)
        return x_t, t

    def error_scale(self, schedule: Schedule, t: Any, like: Array) -> Any:
        """k = (D / sigma)^2, for which |output error|^2 = k |x_0 error|^2 at a given x_t.

        A Python float, or an array that broadcasts against `like`. inf at sigma = 0.
        """
        sigma, determinant = self._determinant("", schedule, t, like)
        if is_number(sigma) and sigma == 0.0:
            return float("inf")
        return (determinant / sigma) * (determinant / sigma)

    def _determinant(self, half: str, schedule: Schedule, t: Any, like: Array) -> tuple[Any, Any]:
        alpha, sigma = level(schedule, t, like)
        p, q = self.mix(schedule, t, like)
        determinant = alpha * q - sigma * p
        if half and is_number(determinant) and determinant == 0.0:
            raise ValueError(
                f"{half} is not defined by a prediction of {self.name} at t = {t}, "
                f"where alpha = {alpha:g} and sigma = {sigma:g}"
            )
        return sigma, determinant


def require_prediction(predicts: Any) -> None:
    """Raise TypeError unless `predicts` is a prediction."""
    if not isinstance(predicts, Prediction):
        raise TypeError(f"predicts must be a Prediction such as EPS, got {predicts!r}")


def _eps_mix(schedule: Schedule, t: Any, like: Array) -> Mix:
    return Mix(0.0, 1.0)


def _x_0_mix(schedule: Schedule, t: Any, like: Array) -> Mix:
    return Mix(1.0, 0.0)


def _v_mix(schedule: Schedule, t: Any, like: Array) -> Mix:
    alpha, sigma = level(schedule, t, like)
    return Mix(-sigma, alpha)


def _score_mix(schedule: Schedule, t: Any, like: Array) -> Mix:
    sigma = level(schedule, t, like).sigma
    if is_number(sigma) and sigma == 0.0:
        raise ValueError(f"t must have sigma > 0 for the score to exist, got t = {t}")
    return Mix(0.0, -1.0 / sigma)


def _velocity_mix(schedule: Schedule, t: Any, like: Array) -> Mix:
    return Mix(-1.0, 1.0)


def _mean_mix(schedule: Schedule, t: Any, like: Array) -> Mix:
    alpha, sigma = level(schedule, t, like)
    at_x_0, at_x_t, _ = (expand(c, like) for c in posterior(schedule, t, None, like))
    return Mix(at_x_0 + at_x_t * alpha, at_x_t * sigma)


@dataclass(frozen=True)
class EdmMix:
    """EDM's preconditioning at any alpha, by x = x_t / alpha and noise level sigma / alpha.

    With n^2 = sigma^2 + alpha^2 sigma_data^2: c_skip x = alpha sigma_data^2 x_t / n^2,
    c_out = sigma sigma_data / n, c_in x = x_t / n, c_noise = log(sigma / alpha) / 4.
    """

    sigma_data: float

    def __call__(self, schedule: Schedule, t: Any, like: Array) -> Mix:
        alpha, sigma = level(schedule, t, like)
        norm = self._norm(alpha, sigma)
        return Mix(sigma / (norm * self.sigma_data), -self.sigma_data * (alpha / norm))

    def inputs(self, schedule: Schedule, x_t: A, t: Any) -> tuple[A, Any]:
        alpha, sigma = level(schedule, t, x_t)
        return (1.0 / self._norm(alpha, sigma)) * x_t, -0.125 * schedule.log_snr_at(t, x_t)

    def _norm(self, alpha: Any, sigma: Any) -> Any:
        square = sigma * sigma + (alpha * self.sigma_data) * (alpha * self.sigma_data)
        return square**0.5 if is_number(square) else namespace(square).sqrt(square)


def Edm(sigma_data: float = 0.5) -> Prediction:
    """EDM's preconditioned network F, for data of standard deviation `sigma_data`."""
    sigma_data = positive("sigma_data", sigma_data)
    return Prediction("edm", EdmMix(sigma_data), (("sigma_data", sigma_data),))


EPS = Prediction("eps", _eps_mix)
X_0 = Prediction("x_0", _x_0_mix)
V = Prediction("v", _v_mix)
SCORE = Prediction("score", _score_mix)
VELOCITY = Prediction("velocity", _velocity_mix)
MEAN = Prediction("mean", _mean_mix)

NAMES = {p.name: p for p in (EPS, X_0, V, SCORE, VELOCITY, MEAN)}


def from_config(config: str | Mapping[str, Any]) -> Prediction:
    """The prediction of that name, or that `prediction.config` describes."""
    if not isinstance(config, str | Mapping):
        raise TypeError(f"prediction must be a name or a mapping, got {config!r}")
    parameters = {"kind": config} if isinstance(config, str) else dict(config)
    kind = parameters.pop("kind", None)
    if kind == "edm" and set(parameters) <= {"sigma_data"}:
        return Edm(**parameters)
    if not isinstance(kind, str) or kind not in NAMES or parameters:
        raise ValueError(f"prediction must be one of {', '.join(NAMES)}, edm; got {config!r}")
    return NAMES[kind]
