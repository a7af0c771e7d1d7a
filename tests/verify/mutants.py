"""Wrong code for the verifier to find: correct code with one small change of its text."""

import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ZOO = Path(__file__).parent / "zoo"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A realistic error: `old` becomes `new` in a file of the zoo, and `check` must fail.

    cause: words that the likely cause must contain.
    """

    name: str
    old: str
    new: str
    check: str
    cause: str = ""


def module(file: str, mutant: Mutant | None = None) -> Any:
    """The zoo's file as a fresh module; with a mutant, changed in the one place it names."""
    text = (ZOO / file).read_text()
    if mutant is not None:
        assert text.count(mutant.old) == 1, f"{mutant.name}: found {text.count(mutant.old)} times"
        text = text.replace(mutant.old, mutant.new)
    made = types.ModuleType(f"zoo_{Path(file).stem}_{mutant.name if mutant else 'right'}")
    exec(compile(text, file, "exec"), made.__dict__)
    return made
