"""The report of a verification: every check's result, as text, JSON or one web page."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from .outcome import Result, Verdict


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was checked and what came of it."""

    target: str
    kind: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether no check fails; with nothing that applied, nothing was shown."""
        return not self.failures and any(r.verdict is Verdict.HOLDS for r in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that fail."""
        return tuple(r for r in self.results if r.verdict is Verdict.FAILS)

    def __getitem__(self, check: str) -> Result:
        """The result of the check of that name. Raises KeyError for another."""
        for result in self.results:
            if result.check == check:
                return result
        raise KeyError(check)

    def to_json(self) -> str:
        """The report as JSON, numbers that are not finite as words."""
        return json.dumps({"format": 1, "ok": self.ok, **_plain(asdict(self))}, allow_nan=False)

    def __str__(self) -> str:
        lines = [f"{self.target} ({self.kind})", ""]
        width = max(len(r.check) for r in self.results)
        for r in self.results:
            size = "" if r.error is None else f"{r.error:.1e} of {r.bound:.1e}"
            lines.append(f"{r.check:<{width}}  {r.verdict:<14}  {size:<18}  {r.identity}")
            if r.verdict is Verdict.FAILS:
                lines.append(f"{'':<{width}}    at {r.where}")
                if r.cause:
                    lines.append(f"{'':<{width}}    likely cause: {r.cause}")
            if r.note:
                lines.append(f"{'':<{width}}    {r.note}")
        held = sum(r.verdict is Verdict.HOLDS for r in self.results)
        lines += ["", f"{held} hold, {len(self.failures)} fail"]
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    """A value for JSON: tuples as lists, infinities and NaN as words."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value not in (value, float("inf"), -float("inf")):
        return str(value)
    return value
