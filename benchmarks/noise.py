"""The portable noise beside the generators that libraries bring: time per million normals.

    python benchmarks/noise.py            # prints a table and writes results/noise.md

One thread, float32, on the CPU. Each library has a process of its own, so that the thread pools do
not meet; within it a round draws from every source, in an order that rotates.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys

from diffcore import noise
from timing import RESULTS, Call, markdown, ratio, recipe, seconds

SHAPES = ((128, 3, 64, 64), (16, 3, 32, 32), (1, 3, 32, 32))
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
Contest = tuple[str, Call, Call]
"""A peer's name, the portable source's draw and the peer's: both return when the array is there."""


def numpy_contests(shape: tuple[int, ...]) -> list[Contest]:
    """Against NumPy's ziggurat."""
    import numpy as np

    like, source, rng = np.zeros(shape, np.float32), noise.portable(0), np.random.default_rng(0)
    return [
        (
            "NumPy Generator.standard_normal",
            lambda: source(like, 1),
            lambda: rng.standard_normal(shape, dtype=np.float32),
        )
    ]


def torch_contests(shape: tuple[int, ...]) -> list[Contest]:
    """Against PyTorch's vectorised Box-Muller."""
    import torch

    torch.set_num_threads(1)
    like, source, rng = torch.zeros(shape), noise.portable(0), torch.Generator().manual_seed(0)
    return [
        ("torch.randn", lambda: source(like, 1), lambda: torch.randn(shape, generator=rng)),
    ]


def jax_contests(shape: tuple[int, ...]) -> list[Contest]:
    """Against JAX's inverse error function, called eagerly and under jit."""
    import jax
    import jax.numpy as jnp

    like, source = jnp.zeros(shape, jnp.float32), noise.portable(0)
    native = noise.as_noise(jax.random.key(0))
    compiled, rival = jax.jit(source), jax.jit(native)
    return [
        (
            "jax.random.normal",
            lambda: source(like, 1).block_until_ready(),
            lambda: native(like, 1).block_until_ready(),
        ),
        (
            "jax.random.normal, both under jit",
            lambda: compiled(like, 1).block_until_ready(),
            lambda: rival(like, 1).block_until_ready(),
        ),
    ]


CONTESTS = {"numpy": numpy_contests, "torch": torch_contests, "jax": jax_contests}


def measure(library: str, rounds: int) -> list[list[str]]:
    """The table's rows of one library, timed in this process."""
    rows = []
    for shape in SHAPES:
        scale = 1e9 / math.prod(shape)
        for name, portable, native in CONTESTS[library](shape):
            found = seconds({"portable": portable, "native": native}, rounds)
            ours, peer = found["portable"], found["native"]
            middle, least, greatest = ratio(ours, peer)
            rows.append(
                [
                    name,
                    "x".join(map(str, shape)),
                    f"{middle:.2f} ({least:.2f} to {greatest:.2f})",
                    f"{statistics.median(ours) * scale:.1f}",
                    f"{statistics.median(peer) * scale:.1f}",
                ]
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--library", choices=CONTESTS, help="time one alone and print JSON")
    arguments = parser.parse_args()
    if arguments.library:
        print(json.dumps(measure(arguments.library, arguments.rounds)))
        return
    os.environ.update(ONE_THREAD)
    rows, load = [], os.getloadavg()[1]
    for library in CONTESTS:
        command = [sys.executable, __file__, "--library", library]
        command += ["--rounds", str(arguments.rounds)]
        rows += json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    header = ["peer", "shape", "time, portable / peer", "portable, ms a million", "peer"]
    text = (
        f"# The portable noise against native generators\n\n{markdown(header, rows)}\n\n"
        "The portable source gives the same bits in every library and rows that do not depend on "
        "their batch; its peers do neither. Small arrays show what a call costs.\n\n"
        f"{recipe(['numpy', 'torch', 'jax', 'array-api-compat'], arguments.rounds)} "
        f"Load average at the start: {load:.1f}; ratios bear other work on the machine, "
        "milliseconds do not.\n"
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "noise.md").write_text(text)


if __name__ == "__main__":
    main()
