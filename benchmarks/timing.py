"""Timing by ratio: interleaved rounds in rotating order, each sample long enough to be read.

The clock of a busy machine drifts, so only ratios within one round are kept: the median over the
rounds, with the least and the greatest.
"""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("results")
Call = Callable[[], object]


def seconds(calls: Mapping[str, Call], rounds: int = 9, sample: float = 0.1) -> dict[str, list]:
    """Seconds of one call for each of `calls`, once a round, after a warm-up.

    sample: how many seconds of repeated calls make one reading.
    """
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        once = max(time.perf_counter() - start, 1e-7)
        repeats[name] = max(1, round(sample / once))
    readings: dict[str, list] = {name: [] for name in calls}
    names = list(calls)
    for k in range(rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            start = time.perf_counter()
            for _ in range(repeats[name]):
                calls[name]()
            readings[name].append((time.perf_counter() - start) / repeats[name])
    return readings


def ratio(ours: Sequence[float], peer: Sequence[float]) -> tuple[float, float, float]:
    """The median, the least and the greatest of the rounds' ratios ours / peer."""
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def recipe(packages: Sequence[str], rounds: int) -> str:
    """What a reader needs to make the numbers again."""
    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} absent")
    command = " ".join(["python", *map(os.path.relpath, sys.argv[:1]), *sys.argv[1:]])
    return (
        f"`{command}`: {rounds} interleaved rounds, medians of paired ratios (least to greatest). "
        f"{processor()}, {os.cpu_count()} cores, OMP_NUM_THREADS="
        f"{os.environ.get('OMP_NUM_THREADS', 'unset')}, Python {platform.python_version()}, "
        f"{', '.join(versions)}."
    )


def processor() -> str:
    """The processor's model, where the system says it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows]
    head = [cell.ljust(w) for cell, w in zip(header, widths, strict=True)]
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in [head, ["-" * w for w in widths], *lines]
    )
