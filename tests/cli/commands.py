"""Running the command line, in this process or its own, and the smallest networks to run it on."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from diffcore import checkpoint, predictions, schedules
from diffcore.cli import main
from diffcore.unet import UNetConfig, parameters

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
    "OMP_NUM_THREADS": "1",
}
ANIMALS = ("cat", "dog", "owl")
TINY_RUN = (
    "unet.width=8",
    "unet.groups=4",
    "unet.heads=2",
    "unet.blocks=1",
    "training.batch=8",
    "evaluation.log_every=2",
    "evaluation.loss_every=4",
    "evaluation.loss_images=16",
    "evaluation.samples_every=4",
    "evaluation.samples=10",
    "evaluation.steps=2",
    "evaluation.tensorboard=false",
)
"""What makes the recipe of the digits train in a second or so."""


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> Result:
    """The command in this process."""
    capsys.readouterr()
    status = main([str(word) for word in words])
    return Result(status, *capsys.readouterr())


def good(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    """The output of a command that must succeed."""
    result = run(capsys, *words)
    assert result.status == 0, result.err
    return result.out


# A shell's background jobs ignore SIGINT, and so does what they start unless it is told not to.
INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from diffcore.cli import main; sys.exit(main())"
)


def start(
    *words: Any, interruptible: bool = False, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """The command in a process of its own, as the shell starts it."""
    how = ["-c", INTERRUPTIBLE] if interruptible else ["-m", "diffcore"]
    return subprocess.Popen(
        [sys.executable, *how, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **(environment or {})},
    )


def python(code: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, cwd=cwd
    )


def assert_one_line(result: Result, *named: str) -> None:
    """An error as the user is to see it: status 2, one line, and it names what is wrong."""
    assert result.status == 2
    assert result.err.startswith("diffcore: error: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1, result.err
    assert "Traceback" not in result.err
    for name in named:
        assert name in result.err, result.err


def pixels(path: Path) -> np.ndarray:
    """A picture's (the first one of an animation)."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def write_checkpoint(path: Path, *, classes: tuple[str, ...] = (), **fields: Any) -> Path:
    """A network of random weights for grey images of 4 x 4; its average is other weights."""
    unet = UNetConfig(
        **{
            "image_size": 4,
            "channels": 1,
            "width": 8,
            "multipliers": (1,),
            "blocks": 1,
            "attention": (),
            "middle_attention": False,
            "groups": 4,
            "classes": len(classes),
            **fields,
        }
    )

    def weights(seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        shapes = {name: p.shape for name, p in parameters(unet).items()}
        return {k: 0.3 * rng.standard_normal(s, dtype=np.float32) for k, s in shapes.items()}

    checkpoint.save(
        path,
        checkpoint.Checkpoint(
            unet=unet,
            schedule=schedules.cosine(20),
            predicts=predictions.V,
            weights=weights(0),
            ema=weights(1),
            step=1234,
            training={"recipe": "tiny", "classes": list(classes)},
        ),
    )
    return path
