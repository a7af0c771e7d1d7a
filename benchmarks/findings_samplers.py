"""What `diffcore verify` finds in the samplers of azula and k-diffusion, and what each finding is.

`rows` verifies each sampler of these packages. A finding is explained, and reproduced by code that
knows nothing of this package (`findings_azula`, `findings_k_diffusion`). Its kind:

- bug: the code does not do what it says.
- limit: it does, and what it does is less than one may think.
- convention: it does something else than the paper or the planner here of that name, and says so.

    python benchmarks/findings_samplers.py
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import findings_azula as azula
import findings_k_diffusion as k_diffusion
from diffcore import verify


class Row(NamedTuple):
    """A line of the table: one finding of one sampler, or that nothing was found in it.

    fails: the checks that fail. reproduced: what the code alone shows, without this package.
    """

    code: str
    fails: str
    kind: str
    finding: str
    reproduced: str


class Finding(NamedTuple):
    """What is known of a sampler. reproduce: run when the table is made; it says what it saw."""

    kind: str
    words: str
    reproduce: Callable[[], str]


_ONE_STEP = (
    "one step alone, from noise to sigma = 0, raises: the loop's end keeps `h`, which is set in "
    "the other branch only"
)
_MULTISTEP = (
    "starts with Euler's step, whose error of h^2 leaves order 2 of any higher one; the default "
    "order is 2"
)
_NO_NOISE = "divides by sigma_0, or takes its logarithm: it needs a schedule that ends above 0"

K_DIFFUSION: Mapping[str, tuple[Finding, ...]] = {
    "sample_euler": (),
    "sample_euler_ancestral": (),
    "sample_heun": (),
    "sample_dpm_2": (),
    "sample_dpm_2_ancestral": (
        Finding(
            "bug",
            "with an eta so large that sigma_down is 0 (eta = 2) it takes the branch that adds no "
            "noise: the state has none where the network is told sigma; `get_ancestral_step` "
            "bounds sigma_up for such an eta, and the other ancestral samplers do add it",
            k_diffusion.spread_before_the_end,
        ),
    ),
    "sample_lms": (
        Finding(
            "limit",
            "starts with Euler's step, whose error of h^2 leaves order 2 of the declared 4",
            k_diffusion.order_of_lms,
        ),
        Finding(
            "convention",
            "goes on to sigma = 0 as before, where the planner here takes the newest x_0; which is "
            "nearer depends on the data",
            k_diffusion.weight_of_the_old,
        ),
    ),
    "sample_dpm_fast": (),
    "sample_dpmpp_2s_ancestral": (),
    "sample_dpmpp_sde": (),
    "sample_dpmpp_2m": (),
    "sample_dpmpp_2m_sde": (
        Finding("bug", _ONE_STEP, partial(k_diffusion.one_step, "sample_dpmpp_2m_sde")),
    ),
    "sample_dpmpp_3m_sde": (
        Finding("bug", _ONE_STEP, partial(k_diffusion.one_step, "sample_dpmpp_3m_sde")),
        Finding(
            "limit",
            "the term of the second derivative counts half, as in the code that goes with the "
            "paper: with phi_3 = phi_2 / h - 1/2 the integral of lambda^2 is -2 phi_3, and d2 is "
            "already half of the derivative; so it is no method of order 3",
            k_diffusion.parabola,
        ),
    ),
    "sample_dpm_adaptive": (
        Finding(
            "bug",
            "its callback is told the new state and level with the x_0 of the step before",
            k_diffusion.callback_of_adaptive,
        ),
    ),
}

AZULA: Mapping[str, tuple[Finding, ...]] = {
    "DDPMSampler": (),
    "DDIMSampler": (
        Finding(
            "convention",
            "eta is a share of the noise's variance, as its formula says; in the paper it is one "
            "of its deviation, so that the paper's eta is the root of this one",
            azula.share_of_noise,
        ),
    ),
    "EulerSampler": (),
    "HeunSampler": (Finding("limit", _NO_NOISE, partial(azula.without_noise, "HeunSampler")),),
    "ItoSampler": (
        Finding(
            "limit",
            "adds the whole noise of a step after its drift, as its formula says, in the last step "
            "too: what is left at the end is of the last but one level, and the law is met to "
            "first order; DDPM's step has the exact variance of a point mass at the same cost",
            partial(azula.one_point, "ItoSampler", 64),
        ),
    ),
    "zABSampler": (Finding("limit", _MULTISTEP, partial(azula.above_order_2, "zABSampler")),),
    "vABSampler": (Finding("limit", _MULTISTEP, partial(azula.above_order_2, "vABSampler")),),
    "zEABSampler": (Finding("limit", _NO_NOISE, partial(azula.without_noise, "zEABSampler")),),
    "xEABSampler": (Finding("limit", _NO_NOISE, partial(azula.without_noise, "xEABSampler")),),
    "REABSampler": (
        Finding(
            "bug",
            "its last line has sqrt(alpha_s^2 + sigma_t^2) where its formula has sigma_s: order 1 "
            "for the declared 2, and a point mass is missed; on standard normal data, where the "
            "integral is 0, nothing shows",
            lambda: (
                f"{azula.one_letter()}; data that is always 1 " + azula.one_point("REABSampler", 8)
            ),
        ),
        Finding("limit", _NO_NOISE, partial(azula.without_noise, "REABSampler")),
    ),
    "PCSampler": (),
}


def rows() -> list[Row]:
    """Every line. Raises ImportError that says what to install where a package is missing."""
    return [
        *_rows("k-diffusion", k_diffusion.sampling(), K_DIFFUSION),
        *_rows("azula", azula.part("sample"), AZULA),
    ]


def unexplained(found: list[Row]) -> list[Row]:
    """The lines of checks that fail where nothing is known of the sampler."""
    return [row for row in found if row.fails and not row.finding]


def _rows(package: str, module: Any, known: Mapping[str, tuple[Finding, ...]]) -> Iterator[Row]:
    for name, findings in known.items():
        code = f"{package} {_version(package)} `{name}`"
        fails = _fails(getattr(module, name))
        for kind, words, reproduce in findings:
            yield Row(code, fails, kind, words, reproduce())
        if not findings:
            yield Row(code, fails, "", "", "")


def _fails(target: Any) -> str:
    """The checks that fail, or that it is of no kind that is verified: adaptive steps."""
    try:
        return ", ".join(result.check for result in verify.check(target).failures)
    except TypeError:
        return "not verified: adaptive"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def main() -> None:
    """Print the lines."""
    for row in rows():
        print(" | ".join(row))


if __name__ == "__main__":
    main()
