"""Between two noises, and near one, without leaving what the model has seen.

    slerp                  sin((1 - w) theta) / sin(theta) a + sin(w theta) / sin(theta) b
    variance_preserving    ((1 - w) a + w b) / sqrt((1 - w)^2 + w^2)
    perturbed              sqrt(1 - amount^2) a + amount b

theta is the angle between a and b (Shoemake 1985, "Animating rotation with quaternion curves";
Song, Meng & Ermon 2021, appendix D.5, for DDIM). Noise has length sqrt(d), of which the straight
line between two falls short: its variance is (1 - w)^2 + w^2. Of two independent standard normal
noises the last two make one that is standard normal itself; slerp does nearly, since theta is
nearly pi / 2.

Interpolate or vary the state that a deterministic plan starts from, an inverted image's say.
"""

from typing import Any

from .._arrays import A, beside, epsilon, is_number, linear_combination, namespace, require_like


def slerp(a: A, b: A, w: Any) -> A:
    """From a at w = 0 to b at w = 1 along the great circle, each sample by itself.

    a, b: (batch, ...), of one shape and dtype. w: a number or an array (batch,) of that dtype, any
    real value.
    Samples of different lengths are mixed by the same weights. Where a and b are parallel it is the
    straight line; so it is where one is 0 or they are opposite, when no circle is the shortest.
    """
    require_like("b", b, "a", a)
    xp = namespace(a)
    axes = tuple(range(1, a.ndim))

    def length(x: Any) -> Any:
        return xp.sqrt(xp.sum(x * x, axis=axes, keepdims=True))

    def direction(x: Any) -> Any:
        size = length(x)
        return x / xp.where(size > 0.0, size, xp.ones_like(size))

    along_a, along_b = direction(a), direction(b)
    # Kahan's angle, which keeps its digits where a and b are nearly parallel.
    theta = 2.0 * xp.atan2(length(along_a - along_b), length(along_a + along_b))
    sine = xp.sin(theta)
    nothing = (length(a) == 0.0) | (length(b) == 0.0)
    straight = nothing | (sine < 8.0 * epsilon(a))
    divisor = xp.where(straight, xp.ones_like(sine), sine)
    end = beside("w", w, "a", a)
    start = 1.0 - end
    first = xp.where(straight, start + 0.0 * sine, xp.sin(start * theta) / divisor)
    second = xp.where(straight, end + 0.0 * sine, xp.sin(end * theta) / divisor)
    return linear_combination((first, second), (a, b))


def variance_preserving(a: A, b: A, w: Any) -> A:
    """From a at w = 0 to b at w = 1, of variance 1 throughout where a and b are independent noise.

    a, b: of one shape and dtype. w: a number or an array (batch,) of that dtype.
    """
    require_like("b", b, "a", a)
    end = beside("w", w, "a", a)
    start = 1.0 - end
    square = start * start + end * end
    norm = square**0.5 if is_number(square) else namespace(square).sqrt(square)
    return linear_combination((start / norm, end / norm), (a, b))


def perturbed(x: A, eps: A, amount: float) -> A:
    """A variation of the noise x: the share `amount` of fresh noise eps, of x's variance.

    amount: in [0, 1], 0 for x itself and 1 for eps itself. Raises ValueError otherwise.
    """
    require_like("eps", eps, "x", x)
    if not is_number(amount) or not 0.0 <= amount <= 1.0:
        raise ValueError(f"amount must be in [0, 1], got {amount!r}")
    share = float(amount)
    return linear_combination(((1.0 - share * share) ** 0.5, share), (x, eps))
