"""What the README says is so."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from diffcore import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_ten_lines_run_and_draw_the_gaussian():
    (code,) = blocks("python")
    names: dict = {}
    exec(code, names)
    samples = names["samples"]
    assert samples.shape == (4, 3, 32, 32)
    assert samples.dtype == np.float32
    # 12,288 draws of N(0.5, 0.1), up to the error of 50 first-order steps.
    assert samples.mean() == pytest.approx(0.5, abs=0.02)
    assert samples.std() == pytest.approx(0.1**0.5, rel=0.1)
    assert names["x_t"].std() > 0.5


def test_they_run_with_another_library_by_its_import_alone():
    torch = pytest.importorskip("torch")
    (code,) = blocks("python")
    here, there = {}, {}
    exec(code, here)
    exec(code.replace("import numpy as np", "import torch as np"), there)
    assert isinstance(there["samples"], torch.Tensor)
    np.testing.assert_allclose(there["samples"], here["samples"], atol=1e-5)


def test_every_command_parses():
    commands = [
        line.partition("#")[0]
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("diffcore ")
    ]
    assert len(commands) >= 5
    for command in commands:
        if "--list" not in command:
            cli.parser().parse_args(shlex.split(command)[1:])


def test_every_file_and_module_is_there():
    for path in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"^\| (`.*?`) \|", README, flags=re.MULTILINE):
        for module in re.findall(r"`(\w+)`", name):
            assert list((ROOT / "diffcore").glob(f"{module}*")), module
