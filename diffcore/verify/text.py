"""A report as text for a terminal: what fails first, with its place and cause; 100 columns."""

import textwrap
from collections.abc import Iterator, Sequence

from .outcome import Result, Verdict

WIDTH = 100


def report(target: str, kind: str, results: Sequence[Result]) -> str:
    """The text: a summary, the failures, what holds, and the names of what is not applicable."""
    failed, held, other = (
        [r for r in results if r.verdict is verdict]
        for verdict in (Verdict.FAILS, Verdict.HOLDS, Verdict.NOT_APPLICABLE)
    )
    width = max((len(r.check) for r in results), default=0)
    lines = [_ends(f"{target} ({kind})", summary(len(failed), len(held))), "=" * WIDTH]
    for result in failed:
        lines += ["", *_failure(result, width)]
    if held:
        lines += [""]
    for result in held:
        lines += _holding(result, width)
    if other:
        names = "not applicable: " + ", ".join(map(unasked, other))
        lines += ["", *textwrap.wrap(names, WIDTH, subsequent_indent="  ")]
    return "\n".join(lines)


def summary(failed: int, held: int) -> str:
    """How many checks fail and hold, in words."""
    holds = f"{held or 'none'} hold" + "s" * (held < 2)
    if failed:
        return f"{failed} fail{'s' * (failed == 1)}, {holds}"
    return f"all {held} hold" if held > 1 else holds if held else "nothing to check"


def unasked(result: Result) -> str:
    """A check that is not applicable, and why, where that is told."""
    return f"{result.check} ({result.note})" if result.note else result.check


def sizes(result: Result) -> str:
    """The error and its bound, in few letters."""
    if result.error is None or result.bound is None:
        return ""
    if result.bound == 0.0:
        return "exact" if result.error == 0.0 else f"{result.error:.3g} of 0"
    return f"{result.error:.1e} of {result.bound:.1e}"


def _failure(result: Result, width: int) -> Iterator[str]:
    yield _ends(f"FAILS  {result.check:<{width}}  {result.identity}", "")
    parts = [("error", error(result)), ("at", result.where)]
    parts += [("cause", result.cause), ("note", result.note)]
    for name, words in parts:
        if words:
            yield from textwrap.wrap(
                words,
                WIDTH,
                initial_indent=f"{'':<9}{name:<7}",
                subsequent_indent=" " * 16,
                break_long_words=False,
            )


def error(result: Result) -> str:
    """The error and its bound, in words."""
    if result.error is None or result.bound is None:
        return ""
    if result.bound == 0.0:
        return f"{result.error:.3g}, where none is allowed"
    return f"{result.error:.3g}, allowed {result.bound:.3g}"


def _holding(result: Result, width: int) -> Iterator[str]:
    yield _ends(f"holds  {result.check:<{width}}  {result.identity}", sizes(result))
    if result.note:
        indent = " " * (9 + width)
        yield from textwrap.wrap(
            result.note, WIDTH, initial_indent=indent, subsequent_indent=indent
        )


def _ends(left: str, right: str) -> str:
    """Two texts at both ends of a line; on two lines where they do not fit."""
    room = WIDTH - len(left) - len(right)
    if room >= 2 or not right:
        return left + " " * room * bool(right) + right
    return f"{left}\n{right:>{WIDTH}}"
