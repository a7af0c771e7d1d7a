"""The shape of the package: floors, light imports, names, and a wheel that works elsewhere."""

import ast
import importlib
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import diffcore

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "diffcore"
FLOORS = [
    "_arrays _files _optional _step_control",
    "_arguments _tensors",
    "schedules",
    "process",
    "predictions",
    "gaussians",
    "noise",
    "times",
    "plan",
    "moments",
    "samplers",
    "adaptive",
    "denoisers",
    "guidance",
    "tasks",
    "oracles",
    "losses",
    "likelihood",
    "unet",
    "checkpoint",
    "interop",
    "verify",
    "training",
    "cli",
    "__main__",
]
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names.split()}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(tree: ast.AST, module: str) -> Iterator[str]:
    """The full names of everything that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def dotted(path: Path) -> str:
    """The name to resolve relative imports against; a package counts as its __init__ module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def broken_floors(name: str, source: str) -> list[str]:
    """The imports of module `name` (such as diffcore.plan) that point up or sideways."""
    own = name.split(".")[1]
    if own == "__init__":
        return []
    return [
        target
        for target in imported(ast.parse(source), name)
        if target.startswith("diffcore.")
        and (other := target.split(".")[1]) != own
        and FLOOR.get(other, -1 if other == "__version__" else len(FLOORS)) >= FLOOR[own]
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda p: dotted(p))
def test_imports_point_down(path):
    assert broken_floors(dotted(path), path.read_text()) == []


def test_an_import_that_points_up_is_found():
    assert broken_floors("diffcore.process", "from .plan import Plan") == ["diffcore.plan.Plan"]
    assert broken_floors("diffcore.samplers.ddim", "from ..cli import main") == [
        "diffcore.cli.main"
    ]
    assert broken_floors("diffcore.plan", "from . import process, unet") == ["diffcore.unet"]
    assert broken_floors("diffcore.plan", "def f():\n    import diffcore.cli") == ["diffcore.cli"]


@pytest.mark.parametrize("path", modules(), ids=lambda p: dotted(p))
def test_only_one_module_knows_array_api_compat_and_only_the_rim_the_backends(path):
    names = {n.split(".")[0] for n in imported(ast.parse(path.read_text()), dotted(path))}
    assert "array_api_compat" not in names or path.name == "_arrays.py"
    assert not {n for n in names if n.startswith("diffcore_")} or path.parent.name == "cli"


# What each part of a backend may import besides NumPy and diffcore; folders name the most specific.
RIM = {
    "diffcore_torch": {"torch"},
    "diffcore_reference": set(),
    "diffcore_reference/device.py": {"cupy"},
    "diffcore_reference/kernels/cpu": {"llvmlite", "numba", "scipy", "threadpoolctl"},
    "diffcore_reference/kernels/gpu": {"cupy"},
}
BACKENDS = ROOT / "backends"


def strangers(path: str, source: str) -> set[str]:
    """The packages that a backend's module imports and may not."""
    place = max((p for p in RIM if path == p or path.startswith(f"{p}/")), key=len)
    own = path.partition("/")[0]
    name = path.removesuffix(".py").replace("/", ".")
    found = {n for n in imported(ast.parse(source), name) if n.partition(".")[0] != own}
    tops = {n.partition(".")[0] for n in found}
    private = {n for n in found if n.startswith(("diffcore._", "diffcore.cli"))}
    private = {n for n in private if not n.startswith("diffcore._optional")}
    return private | (tops - sys.stdlib_module_names - {"numpy", "diffcore"} - RIM[place])


def test_a_backend_imports_its_own_libraries_alone():
    paths = sorted(BACKENDS.rglob("*.py"))
    assert len(paths) > 20
    for path in paths:
        where = path.relative_to(BACKENDS).as_posix()
        assert strangers(where, path.read_text()) == set(), where


def test_an_import_that_is_not_a_backends_own_is_found():
    unet = "diffcore_reference/unet.py"
    assert strangers(unet, "import torch") == {"torch"}
    assert strangers(unet, "import numba") == {"numba"}
    assert strangers("diffcore_reference/kernels/cpu/a.py", "import numba") == set()
    assert strangers(unet, "from diffcore_torch.unet import UNet") == {"diffcore_torch"}
    assert strangers(unet, "from diffcore._arrays import expand") == {"diffcore._arrays.expand"}
    assert strangers(unet, "from .kernels.arrays import Arrays") == set()


def test_the_reference_backend_begins_with_numpy_alone():
    code = "import diffcore_reference.loading, diffcore_reference.training, sys"
    before = set(python("import sys; print(*sys.modules)").split())
    after = set(python(f"{code}; print(*sys.modules)").split())
    new = {name.split(".")[0] for name in after - before} - sys.stdlib_module_names
    assert not new & {"torch", "diffcore_torch", "numba", "scipy", "cupy"}


def python(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "backends")))},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_diffcore_loads_numpy_and_array_api_compat_alone():
    before = set(python("import sys; print(*sys.modules)").split())
    after = set(python("import sys, diffcore; print(*sys.modules)").split())
    new = {name.split(".")[0] for name in after - before} - sys.stdlib_module_names
    assert new == {"diffcore", "numpy", "array_api_compat"}


def test_all_names_the_modules_that_exist():
    for name in diffcore.__all__:
        assert hasattr(diffcore, name), name
    public = {p.stem for p in PACKAGE.iterdir() if not p.name.startswith(("_", "."))}
    rim = {"cli", "interop", "training", "verify"}
    assert set(diffcore.__all__) == (public & set(FLOOR)) - rim | {"__version__"}


@pytest.mark.parametrize(
    "package",
    [
        "schedules",
        "samplers",
        "unet",
        "losses",
        "noise",
        "plan",
        "times",
        "verify",
        "guidance",
        "tasks",
        "interop",
    ],
)
def test_all_of_a_package_is_sorted_and_there(package):
    module = importlib.import_module(f"diffcore.{package}")
    names = list(module.__all__)
    assert len(names) == len(set(names))
    assert all(hasattr(module, name) for name in names)


def test_every_module_and_public_name_is_documented():
    missing = []
    for path in [*modules(), *sorted((ROOT / "backends").rglob("*.py"))]:
        tree = ast.parse(path.read_text())
        definitions = [
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
        missing += [path.name] * (ast.get_docstring(tree) is None)
        missing += [f"{path.name}: {d.name}" for d in definitions if not ast.get_docstring(d)]
    assert missing == []


def test_the_wheel_holds_the_packages_and_imports_in_a_clean_environment(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert diffcore.__version__ in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    packages = {"diffcore", "diffcore_torch", "diffcore_reference"}
    assert tops == packages
    assert {f"{package}/py.typed" for package in packages} <= set(names)
    assert "diffcore_reference/kernels/gpu/kernels.cu" in names
    recipes = {f"diffcore/training/recipes/{p.name}" for p in PACKAGE.rglob("recipes/*.toml")}
    assert recipes
    assert recipes <= set(names)

    # A new environment with the wheel and the two packages it needs, as they are installed here.
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv").glob("lib*/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for needed in ("numpy", "array_api_compat"):
        there = Path(importlib.import_module(needed).__file__).parent
        (site / needed).symlink_to(there)
        for libraries in there.parent.glob(f"{needed}.libs"):
            (site / libraries.name).symlink_to(libraries)
    alone = (
        "import diffcore; from diffcore import verify; "
        "assert all(row.holds for row in verify.table(['numpy'])); print(diffcore.__file__)"
    )
    # The reference backend needs no more; PyTorch's, the environment that the tests run in.
    by_hand = "import diffcore_reference as b; print(b.__file__)"
    cuda = "from diffcore_reference.kernels import gpu as b; b.source('float32'); print(b.__file__)"
    elsewhere = str(Path(importlib.import_module("torch").__file__).parent.parent)
    torch = f"import sys; sys.path.append({elsewhere!r}); import diffcore_torch as b"
    for code in (alone, by_hand, cuda, f"{torch}; print(b.__file__)"):
        result = subprocess.run(
            [tmp_path / "venv" / "bin" / "python", "-I", "-c", code], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(str(tmp_path))


def test_the_version_is_stated_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "diffcore/__init__.py"
    assert f"## {diffcore.__version__}" in (ROOT / "CHANGELOG.md").read_text()
