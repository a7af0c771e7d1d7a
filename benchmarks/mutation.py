"""Do the tests notice? Runs them on mutants of the core, each with one small change.

    python benchmarks/mutation.py                                  all, to mutation.jsonl
    python benchmarks/mutation.py "diffcore/process.py" -- tests/test_process.py -k "not jax"
    python benchmarks/mutation.py --fresh --only names.txt -- tests/test_schedules.py

One process collects the tests, learns which lines each one runs, and forks a child for each mutant.
The child installs the mutant and runs the tests that reach its lines, those first that have killed
most there and then the shortest, until one fails. What comes out is appended to a file of JSON
lines, one a mutant; a mutant that the file has is not run again. What tests build when they are
collected is built without the mutant: --fresh mutates the module before that, at the price of a
collection for each mutant. At the end stand the table of results and the mutants that live and are
not explained in results/mutation.md. What is mutated, and by which tests, is in pyproject.toml.
"""

import argparse
import collections
import json
import random
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from core_mutants import Mutant, all_mutants
from mutant_runs import Run, arguments, fresh

KILLED = ("killed", "timeout", "crash")
EXPLAINED = Path(__file__).parent / "results" / "mutation.md"


def table(results: dict[str, dict[str, Any]], mutants: Sequence[Mutant]) -> str:
    """Markdown: what became of the mutants, by part of the core; and those that need explaining."""
    explained = EXPLAINED.read_text() if EXPLAINED.exists() else ""
    rows: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    alive = []
    for mutant in mutants:
        status = results.get(mutant.name, {}).get("status", "not run")
        kind = mutant.rule or status.partition(" (")[0]
        if mutant.rule is None and status.partition(" (")[0] not in KILLED and status != "not run":
            kind = "equivalent" if mutant.site in explained else "alive"
            alive += [mutant.site] if kind == "alive" else []
        row = mutant.path.split("/")[1].removesuffix(".py")
        rows[row][kind if mutant.rule is None else "not counted"] += 1
    lines = ["| module | mutants | not counted | killed | by time | not explained | not run |"]
    for name, count in sorted(rows.items()):
        shown = [count[k] for k in ("not counted", "killed", "timeout", "alive", "not run")]
        shown[0] += count["equivalent"]
        lines.append(f"| {name} | {count.total()} | {' | '.join(map(str, shown))} |")
    return "\n".join([*lines, "", *sorted(alive)])


def main() -> None:
    configured = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=configured["only_mutate"], help="to mutate")
    parser.add_argument("--out", default="mutation.jsonl", help="the results, appended")
    parser.add_argument("--baseline", default="", help="where to keep what the tests reach")
    parser.add_argument("--budget", type=float, default=1e9, help="seconds of tests a mutant")
    parser.add_argument("--minutes", type=float, default=1e9, help="minutes for all mutants")
    parser.add_argument("--seed", type=int, help="run them in random order, for a sample")
    parser.add_argument("--only", default="", help="file of mutants' names, one a line")
    parser.add_argument("--fresh", action="store_true", help="mutate before the tests are read")
    parser.add_argument("--preload", default="numpy", help="with --fresh: modules imported once")
    parser.add_argument("--examples", type=int, default=15, help="of each property-based test")
    here = sys.argv[1:]
    cut = here.index("--") if "--" in here else len(here)
    options = parser.parse_args(here[:cut])
    options.tests = here[cut + 1 :] or configured["pytest_add_cli_args_test_selection"]
    settings.register_profile(
        "mutants",
        max_examples=options.examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    every = [m for m in all_mutants(options.paths) if options.fresh or m.scope]
    mutants = [m for m in every if m.rule is None]
    if options.only:
        names = set(Path(options.only).read_text().split("\n"))
        mutants = [m for m in mutants if m.name in names]
    if options.seed is not None:
        random.Random(options.seed).shuffle(mutants)
    out = Path(options.out)
    done = read(out)
    mutants = [m for m in mutants if m.name not in done]
    print(f"{len(mutants)} mutants to run")
    if options.fresh:
        fresh(mutants, options)
    elif mutants:
        pytest.main(arguments(options), plugins=[Run(mutants, options)])
    print(table(read(out), every))


def read(out: Path) -> dict[str, dict[str, Any]]:
    """The results by mutants' names; of several the last."""
    lines = out.read_text().splitlines() if out.exists() else []
    return {result["name"]: result for result in map(json.loads, lines)}


if __name__ == "__main__":
    main()
