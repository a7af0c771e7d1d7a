"""What `diffcore verify` finds in the schedulers of diffusers, and what each finding is.

`rows` runs every scheduler in every configuration, each by itself, and says of each check that
fails which finding explains it. A finding is reproduced by code that knows nothing of this package
(`reproduced_by_whole_times`, `reproduced_by_sigmas`). Its kind is as in `findings_samplers`: bug,
limit or convention.

    python benchmarks/findings_diffusers.py [class ...]
"""

import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any, NamedTuple

import reproduced_diffusers as reproduced
from diffcore import verify
from diffcore.verify import libraries
from diffcore.verify.adapters import scheduler
from diffcore.verify.subject import Subject
from findings_samplers import Row
from known_by_sigmas import BY_SIGMAS
from known_by_whole_times import BY_WHOLE_TIMES
from known_diffusers import CLASSES, NOT_VERIFIED, OF_ANOTHER_KIND, Known

KNOWN = (*BY_WHOLE_TIMES, *BY_SIGMAS)


class Failure(NamedTuple):
    """A check that fails, and for which configuration."""

    check: str
    where: str
    cause: str


def rows(classes: Iterable[str] = CLASSES) -> list[Row]:
    """Every line of the table: those of each class that is verified, then why others are not."""
    warnings.simplefilter("ignore")
    found = [row for name in classes for row in _rows(name)]
    code = f"diffusers {version('diffusers')}"
    others = [
        Row(f"{code} `{name}`", "not verified", "", words, "")
        for name, words in OF_ANOTHER_KIND.items()
    ]
    return [*found, *sorted([*map(_refused, NOT_VERIFIED), *others])]


def _rows(name: str) -> Iterator[Row]:
    failures, count = failures_of(name)
    left = list(failures)
    code = f"diffusers {version('diffusers')} `{name}`, {count} configurations"
    if not failures:
        yield Row(code, "", "", "", "")
    for known in KNOWN:
        mine = [f for f in left if explains(known, name, f)]
        left = [f for f in left if f not in mine]
        if mine:
            checks = ", ".join(dict.fromkeys(f.check for f in mine))
            places = list(dict.fromkeys(f.where for f in mine if f.where))
            more = f", and {len(places) - 1} more" if len(places) > 1 else ""
            where = f"{code}: {places[0]}{more}" if known.where else code
            yield Row(where, checks, known.kind, known.words, known.reproduce(name))
    for failure in left:
        yield Row(f"{code}: {failure.where}", failure.check, "", "", failure.cause)


def explains(known: Known, name: str, failure: Failure) -> bool:
    """Whether a failure of the class is what is known."""
    here = failure.where
    return (
        name in known.classes
        and failure.check in known.checks
        and all(any(word in here for word in part.split("|")) for part in known.words_of_place)
    )


def failures_of(name: str) -> tuple[list[Failure], int]:
    """Every check that fails, for each configuration by itself, and the number of these."""
    made = scheduler.subject(getattr(reproduced.diffusers, name), library=libraries.of("torch"))
    found = list(_failed(replace(made, samplers=(), options=(), clipped=())))
    for option in made.options:
        found += _failed(_bare(made, options=(option,)))
    for clipped in made.clipped:
        found += [
            f._replace(where=clipped.sampler.label)
            for f in _failed(_bare(made, clipped=(clipped,)))
        ]
    for sampler in made.samplers:
        alone = _bare(made, samplers=(replace(sampler, group=""),))
        found += [f._replace(where=sampler.label) for f in _failed(alone)]
    for group in ("state", "predictions"):
        members = [s for s in made.samplers if s.group == group]
        for other in members[1:]:
            pair = _bare(made, samplers=(members[0], other))
            found += [f._replace(where=other.label) for f in _failed(pair) if f.check == group]
    return found, len(made.samplers)


def _bare(made: Subject, **parts: Any) -> Subject:
    nothing: dict[str, Any] = {
        "samplers": (),
        "options": (),
        "clipped": (),
        "tables": {},
        "schedule": None,
        "q_sample": None,
        "with_steps": None,
        "visits": None,
    }
    return replace(made, **{**nothing, **parts})


def _failed(subject: Subject) -> list[Failure]:
    report = verify.examine(subject)
    return [Failure(r.check, r.where, r.cause) for r in report.failures]


def _refused(name: str) -> Row:
    try:
        verify.check(getattr(reproduced.diffusers, name), parts=("steps",))
    except (TypeError, ValueError) as error:
        words = str(error).splitlines()[0]
        return Row(f"diffusers {version('diffusers')} `{name}`", "not verified", "", words, "")
    return Row(f"diffusers {version('diffusers')} `{name}`", "runs", "", "", "")


def unexplained(found: Iterable[Row]) -> list[Row]:
    """The lines of checks that fail where nothing is known."""
    return [row for row in found if row.fails and not row.finding]


def main() -> None:
    """Print the lines, of all classes or of those that are named."""
    for row in rows(sys.argv[1:] or CLASSES):
        print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
