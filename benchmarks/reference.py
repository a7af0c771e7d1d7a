"""The reference backend against PyTorch eager, channels last, on the same CPU threads.

    python benchmarks/reference.py --threads 1 2

One process each, for their pools of threads disturb one another; readings are interleaved in
rotating order, and ratios are of the same round. Both start from the same weights and see the same
batches; a step is all of it: noise, forward, backward, clipping, AdamW, average. Memory is the most
that a process has held at once, less what it held before its first step.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from timing import RESULTS, markdown, ratio, recipe

SIZES: dict[str, dict[str, Any]] = {
    "8x8x1": {"width": 32, "multipliers": [1, 2], "attention": [4], "heads": 4, "groups": 8},
    "28x28x1": {"width": 32, "multipliers": [1, 2, 2], "attention": [7], "heads": 4, "groups": 8},
    "32x32x3": {"width": 64, "multipliers": [1, 2, 2, 2], "attention": [16], "heads": 4},
}
BACKENDS = ("torch", "reference")
SAMPLE = 0.4
"""Seconds of one reading."""


def held() -> int:
    """Bytes of this process that lie in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def calls(backend: str, size: str, batch: int) -> dict[str, Callable[[], Any]]:
    """What is timed."""
    from diffcore.training.draws import Batch
    from diffcore.training.recipe import Recipe
    from diffcore.training.stepper import Task
    from diffcore.unet import UNetConfig

    side, _, channels = map(int, size.split("x"))
    made = Recipe()
    config = UNetConfig(image_size=side, channels=channels, **SIZES[size])
    task = Task.of(made, config)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, channels, side, side), dtype=np.float32).clip(-1, 1)
    t = rng.integers(1, 1001, batch)
    given = Batch(x_0=x, t=t, labels=None, seed=1, step=1)
    if backend == "torch":
        import torch

        from diffcore_torch.stepper import TorchStepper

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        stepper: Any = TorchStepper(task, torch.device("cpu"))
        times = torch.from_numpy(t)

        def forward() -> Any:
            with torch.no_grad():
                return stepper.network(images, times)

    else:
        from diffcore_reference.device import chosen_kernels
        from diffcore_reference.stepper import ReferenceStepper

        stepper = ReferenceStepper(task, chosen_kernels("cpu"))

        def forward() -> Any:
            return stepper.network(images, t)

    images = stepper.array(x)
    return {"forward": forward, "step": lambda: stepper.step(given, 1e-4, 0.999)}


def work(backend: str, size: str, batch: int) -> None:
    """A worker: readings on request, one line each."""
    made = calls(backend, size, batch)
    before = held()
    start = time.perf_counter()
    for call in made.values():
        call()
    first = time.perf_counter() - start
    for call in made.values():
        call()
    print(json.dumps(first), flush=True)
    for line in sys.stdin:
        name, repeats = json.loads(line)
        cpu, start = time.process_time(), time.perf_counter()
        for _ in range(repeats):
            made[name]()
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        print(json.dumps([wall / repeats, cpu / repeats, peak]), flush=True)


class Worker:
    """A process of one backend. first: seconds of its first forward pass and step together."""

    def __init__(
        self, backend: str, size: str, batch: int, threads: int = 1, **environment: str
    ) -> None:
        limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", backend, size, str(batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **dict.fromkeys(limits, str(threads)), **environment},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.asked, self.told = self.process.stdin, self.process.stdout
        self.first: float = json.loads(self.told.readline())

    def __call__(self, name: str, repeats: int) -> list[float]:
        """Seconds of the wall and of the processor, and the peak of memory so far."""
        print(json.dumps([name, repeats]), file=self.asked, flush=True)
        answer: list[float] = json.loads(self.told.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self.asked.close()
        self.process.wait()


def compare(size: str, batch: int, threads: int, rounds: int) -> list[str]:
    """A row of the table."""
    workers = {name: Worker(name, size, batch, threads) for name in BACKENDS}
    row = [size, str(batch)]
    peaks = dict.fromkeys(BACKENDS, 0.0)
    for call in ("forward", "step"):
        once = {name: workers[name](call, 1)[0] for name in BACKENDS}
        repeats = {name: max(1, round(SAMPLE / once[name])) for name in BACKENDS}
        walls: dict[str, list[float]] = {name: [] for name in BACKENDS}
        cpus: dict[str, list[float]] = {name: [] for name in BACKENDS}
        for k in range(rounds):
            for name in BACKENDS if k % 2 else BACKENDS[::-1]:
                wall, cpu, peak = workers[name](call, repeats[name])
                walls[name].append(wall)
                cpus[name].append(cpu)
                peaks[name] = max(peaks[name], peak)
        middle, least, greatest = ratio(walls["torch"], walls["reference"])
        busy = ratio(cpus["torch"], cpus["reference"])[0]
        ours = statistics.median(walls["reference"]) * 1e3
        row += [f"{middle:.2f} ({least:.2f} to {greatest:.2f})", f"{busy:.2f}", f"{ours:.1f}"]
    row += [f"{peaks[name] / 2**20:.0f}" for name in ("reference", "torch")]
    for worker in workers.values():
        worker.close()
    print("  ".join(row), flush=True)
    return row


def compiling() -> str:
    """The first call without, and with, what Numba keeps of earlier processes."""
    with tempfile.TemporaryDirectory() as folder:
        firsts = []
        for _ in range(2):
            worker = Worker("reference", "28x28x1", 1, NUMBA_CACHE_DIR=folder)
            firsts.append(worker.first)
            worker.close()
    return (
        f"First forward pass and step of a process, 28x28x1: {firsts[0]:.0f} s where Numba "
        f"compiles, {firsts[1]:.1f} s where it has kept what it compiled."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--worker", nargs=3, metavar=("BACKEND", "SIZE", "BATCH"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    given = parser.parse_args()
    if given.worker:
        backend, size, batch = given.worker
        return work(backend, size, int(batch))
    head = ["images", "batch"]
    for call in ("forward", "step"):
        head += [f"{call}: speed over PyTorch's", "by processor time", "ms"]
    head += ["peak, MiB", "PyTorch's"]
    tables = []
    for threads in given.threads:
        print(f"threads: {threads}", flush=True)
        sizes = [(size, batch) for size in given.sizes for batch in given.batches]
        rows = [compare(size, batch, threads, given.rounds) for size, batch in sizes]
        tables.append(f"Threads of each: {threads}\n\n{markdown(head, rows)}")
    if given.dry:
        return None
    text = (
        "# The reference backend on a CPU\n\n"
        "How many times as fast as PyTorch eager, channels last: median of paired ratios "
        "(least to greatest).\n\n"
        + "\n\n".join([*tables, compiling()])
        + f"\n\n{recipe(('torch', 'numpy', 'numba', 'scipy'), given.rounds)}\n"
    )
    (RESULTS / "reference.md").write_text(text)
    return None


if __name__ == "__main__":
    main()
