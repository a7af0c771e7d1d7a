"""Runs of the tests on mutants, each in a child forked from a process that has collected them."""

import argparse
import collections
import dataclasses
import gc
import importlib
import json
import mmap
import os
import pickle
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core_mutants import Mutant, install, install_source

FORK_UNSAFE = ("jax", "jaxlib", "dask", "distributed")
"""Not imported before the fork: they start threads."""


class Outcomes:
    """A pytest plugin that says whether the test that ran has failed."""

    failed = False

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.failed = self.failed or bool(report.failed)

    def passes(self, item: Any) -> bool:
        self.failed = False
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self.failed


@dataclasses.dataclass
class Baseline:
    """What each test takes, in seconds, and the lines of the core it runs, without a mutant."""

    seconds: dict[str, float]
    lines: dict[tuple[str, int], set[str]]
    modules: set[str]


class Run:
    """A pytest plugin: the loop over mutants in place of the loop over tests."""

    def __init__(self, mutants: Sequence[Mutant], options: argparse.Namespace) -> None:
        self.mutants = mutants
        self.options = options
        self.outcomes = Outcomes()
        self.kills: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self.progress = mmap.mmap(-1, 8)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        session.config.pluginmanager.register(self.outcomes)
        self.items = {item.nodeid: item for item in session.items}
        self.baseline = self._measured({m.path for m in self.mutants})
        for name in sorted(self.baseline.modules):
            if name.partition(".")[0] not in FORK_UNSAFE:
                try:
                    importlib.import_module(name)
                except Exception as error:
                    print(f"not imported before the fork: {name} ({error})")
        gc.collect()
        gc.freeze()
        started = time.monotonic()
        with open(self.options.out, "a") as out:
            for k, mutant in enumerate(self.mutants):
                if time.monotonic() - started > self.options.minutes * 60:
                    print(f"out of time after {k} mutants")
                    break
                result = self.result(mutant)
                out.write(json.dumps({"name": mutant.name, "change": mutant.change, **result}))
                out.write("\n")
                out.flush()
        return True

    def result(self, mutant: Mutant) -> dict[str, Any]:
        """What becomes of a mutant: killed, timeout, crash, alive or not reached."""
        tests = self._order(mutant)
        if not tests:
            return {"status": "not reached"}
        started = time.monotonic()
        self.progress[:8] = struct.pack("q", -1)
        status = _forked(lambda: self._child(mutant, tests))
        index = struct.unpack("q", self.progress[:8])[0]
        seconds = round(time.monotonic() - started, 3)
        test = tests[index] if index >= 0 else "on import"
        if os.WIFSIGNALED(status):
            signalled = os.WTERMSIG(status)
            late = signalled in (signal.SIGPROF, signal.SIGALRM)
            name = "timeout" if late else f"crash ({signalled})"
            return {"status": name, "test": test, "seconds": seconds}
        code = os.WEXITSTATUS(status)
        if code == 1:
            self.kills[mutant.scope + mutant.path][test] += 1
            self.kills[mutant.path][test] += 1
            return {"status": "killed", "test": test, "tests": index + 1, "seconds": seconds}
        name = {0: "alive", 2: "alive within the time"}[code]
        return {"status": name, "tests": index + 1, "of": len(tests), "seconds": seconds}

    def _order(self, mutant: Mutant) -> list[str]:
        first, last = mutant.scope_lines if mutant.default else mutant.lines
        lines = range(first, last + 1)
        found = (self.baseline.lines.get((mutant.path, k), set()) for k in lines)
        reach = self.items.keys() & set().union(*found)
        here, near = self.kills[mutant.scope + mutant.path], self.kills[mutant.path]
        often = [t for t, _ in here.most_common(6)] + [t for t, _ in near.most_common(6)]
        before = [t for t in dict.fromkeys(often) if t in reach]
        rest = sorted(reach - set(before), key=lambda t: (self.baseline.seconds[t], t))
        return before + rest

    def _child(self, mutant: Mutant, tests: Sequence[str]) -> int:
        try:
            install(mutant)
        except Exception:
            return 1
        spent = time.process_time()
        for k, test in enumerate(tests):
            self.progress[:8] = struct.pack("q", k)
            usual = self.baseline.seconds[test]
            if k and time.process_time() - spent + usual > self.options.budget:
                return 2
            signal.setitimer(signal.ITIMER_PROF, 2.0 + 5.0 * usual)
            signal.setitimer(signal.ITIMER_REAL, 60.0 + 30.0 * usual)
            if not self.outcomes.passes(self.items[test]):
                return 1
        return 0

    def _measured(self, paths: set[str]) -> Baseline:
        """Runs every test that the kept file lacks, in a child; those that fail are left out."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(self.options.baseline or Path(folder) / "baseline")
            known = pickle.loads(file.read_bytes()) if file.exists() else Baseline({}, {}, set())
            status = _forked(lambda: self._measure(paths, file, known))
            if status:
                raise RuntimeError(f"the tests did not run through: {status}")
            return pickle.loads(file.read_bytes())  # type: ignore[no-any-return]

    def _measure(self, paths: set[str], file: Path, known: Baseline) -> int:
        files = {str(Path(p).resolve()): p for p in paths}
        there = set(sys.modules)
        seconds: dict[str, float] = {}
        lines: dict[tuple[str, int], set[str]] = collections.defaultdict(set)
        test = ""

        def trace(frame: Any, event: str, argument: Any) -> Any:
            path = files.get(frame.f_code.co_filename)
            if path is None:
                return None
            lines[path, frame.f_lineno].add(test)
            return trace

        for test, item in self.items.items():
            if test in known.seconds:
                continue
            started = time.process_time()
            sys.settrace(trace)
            fine = self.outcomes.passes(item)
            sys.settrace(None)
            if fine:
                seconds[test] = time.process_time() - started
        for line, reached in lines.items():
            known.lines.setdefault(line, set()).update(reached & seconds.keys())
        known.seconds.update(seconds)
        known.modules.update(set(sys.modules) - there)
        file.write_bytes(pickle.dumps(known))
        return 0


def fresh(mutants: Iterable[Mutant], options: argparse.Namespace) -> None:
    """Runs pytest whole for each mutant, which is there before any test is collected."""
    for name in options.preload.split(","):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with open(options.out, "a") as out:
        for mutant in mutants:
            started = time.monotonic()
            status = _forked(lambda mutant=mutant: _fresh(mutant, options))
            code = os.waitstatus_to_exitcode(status)
            names = {0: "alive", 1: "killed", 2: "killed", 3: "killed", 4: "killed"}
            name = names.get(code, "timeout" if code < 0 else f"exit {code}")
            seconds = round(time.monotonic() - started, 3)
            result = {"name": mutant.name, "change": mutant.change, "status": name}
            out.write(json.dumps({**result, "test": "all", "seconds": seconds}) + "\n")
            out.flush()


def _fresh(mutant: Mutant, options: argparse.Namespace) -> int:
    install_source(mutant)
    signal.setitimer(signal.ITIMER_REAL, 600.0)
    return int(pytest.main([*arguments(options), "-x"]))


def _forked(work: Any) -> int:
    """The wait status of a silent child that does `work` and exits with its result."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            gc.disable()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            code = work()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def arguments(options: argparse.Namespace) -> list[str]:
    known = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    quiet = [*known, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=sys", "--tb=no"]
    return [*quiet, "--hypothesis-profile", "mutants", *options.tests]
