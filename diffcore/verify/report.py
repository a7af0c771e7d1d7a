"""The report of a verification: every check's result, as text, JSON or one web page."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import text
from .coefficients import Coefficients
from .outcome import Point, Result, Verdict


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
        return self._of(Verdict.FAILS)

    @property
    def held(self) -> tuple[Result, ...]:
        """The results that hold."""
        return self._of(Verdict.HOLDS)

    @property
    def others(self) -> tuple[Result, ...]:
        """The results of checks that are not applicable."""
        return self._of(Verdict.NOT_APPLICABLE)

    def __getitem__(self, check: str) -> Result:
        """The result of the check of that name. Raises KeyError for another."""
        for result in self.results:
            if result.check == check:
                return result
        raise KeyError(check)

    def to_json(self) -> str:
        """The report as JSON.

        An object of `format` (1), `ok`, `target`, `kind` and `results`, a list of objects with the
        fields of `Result`: a curve is [name, [[at, error, bound], ...]], `coefficients` an object
        or null. Numbers that are not finite are the words "inf", "-inf" and "nan". `from_json`
        gives the same report back.
        """
        plain = _plain(asdict(self))
        return json.dumps({"format": 1, "ok": self.ok, **plain}, allow_nan=False)

    @classmethod
    def from_json(cls, written: str) -> "Report":
        """The report that `to_json` wrote. Raises ValueError that says what is wrong."""
        try:
            data = json.loads(written)
            if data["format"] != 1:
                raise ValueError("its format is not 1")
            results = tuple(_result(result) for result in data["results"])
            return cls(target=data["target"], kind=data["kind"], results=results)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"text must be a report's JSON: {error}") from None

    def to_html(self) -> str:
        """The report as one self-contained web page, with plots and tables of weights.

        Raises ImportError where matplotlib, of the extra `plot`, is not installed.
        """
        from . import page

        return page.html(self.target, self.kind, self.results)

    def __str__(self) -> str:
        return text.report(self.target, self.kind, self.results)

    def _of(self, verdict: Verdict) -> tuple[Result, ...]:
        return tuple(r for r in self.results if r.verdict is verdict)


def _plain(value: Any) -> Any:
    """A value for JSON: tuples as lists, infinities and NaN as words."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value - value != 0.0:
        return str(value)
    return value


def _result(data: Mapping[str, Any]) -> Result:
    """A result of what `_plain` made of it."""
    fields = dict(data)
    numbers = {name: _number(fields.pop(name)) for name in ("error", "bound")}
    curves = tuple(
        (name, tuple(Point(*map(_number, point)) for point in points))
        for name, points in fields.pop("curves")
    )
    table = fields.pop("coefficients")
    return Result(
        **fields | {"verdict": Verdict(fields["verdict"])},
        **numbers,
        curves=curves,
        coefficients=None if table is None else Coefficients.from_plain(_numbers(table)),
    )


def _numbers(value: Any) -> Any:
    """The numbers of a table again, wherever they are words."""
    if isinstance(value, dict):
        return {
            k: v if k in ("label", "rows", "columns") else _numbers(v) for k, v in value.items()
        }
    return [_numbers(item) for item in value] if isinstance(value, list) else _number(value)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
