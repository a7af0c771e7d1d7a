"""`diffcore verify`: hold somebody's diffusion code against the reference."""

import argparse
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._arguments import at_least, number
from ._outputs import reserve
from ._planners import SYNTAX, sampler
from ._targets import importable, imported, require_arguments, require_known

if TYPE_CHECKING:
    from ..verify import Claim, Report

LIBRARIES = ("numpy", "torch", "jax", "array_api_strict", "cupy")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    verify = commands.add_parser(
        "verify",
        help="hold somebody's diffusion code against the reference",
        description="Hold diffusion code against the reference: a step scheduler, a "
        "GaussianDiffusion or DenoiseDiffusion object, a sampler function or class, or a "
        "diffcore.verify.Target of plain functions, recognised by its shape. Prints what holds "
        "and what fails, where, and the likely cause. Exit status 0 where all hold, 1 where a "
        "check fails, 2 where it could not run.",
    )
    verify.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="module:Name of a class, function or instance; what is of no known kind but can be "
        "called is called, for what it returns",
    )
    verify.add_argument(
        "--kwargs",
        type=_mapping,
        default={},
        metavar="JSON",
        help="an object of arguments: of the class or of what is called, or further arguments of "
        "a sampler function",
    )
    verify.add_argument(
        "--claims",
        type=sampler,
        metavar="SAMPLER",
        help=f"what it claims to be: {SYNTAX} (default: what its name says, if anything)",
    )
    verify.add_argument(
        "--order", type=at_least(1), metavar="N", help="the order of convergence that it declares"
    )
    verify.add_argument(
        "--library",
        choices=LIBRARIES,
        help="of its arrays (default: found from its module's imports)",
    )
    verify.add_argument(
        "--epsilon",
        type=_positive,
        metavar="X",
        help="of its arithmetic, where that is coarser than its arrays",
    )
    verify.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="of what the checks draw (default: 0)",
    )
    verify.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON, too")
    verify.add_argument(
        "--html", type=Path, metavar="FILE", help="write it as one web page with plots, too"
    )
    verify.add_argument("--force", action="store_true", help="overwrite the files where they exist")
    verify.add_argument(
        "--path",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder to import the module from (default: the current one)",
    )
    verify.add_argument("--list", action="store_true", help="list the checks, and do nothing else")
    verify.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report, write its files; 0 where all hold, else 1."""
    if args.list:
        return _list()
    if args.target is None:
        raise ValueError("TARGET must be given: module:Name of what to verify")
    _reserve(args)
    with importable(args.path):
        try:
            report = _checked(args)
        except SystemExit as error:  # Its status is not ours to leave with.
            raise ValueError(f"TARGET {args.target} ends the program") from error
    if not report.held and not report.failures:
        raise ValueError(f"TARGET {args.target} is a {report.kind} without anything to check")
    print(report)
    _write(args, report)
    return 0 if report.ok else 1


def _list() -> int:
    from ..verify.checks import CHECKS

    width = max(len(check.name) for check in CHECKS)
    for check in CHECKS:
        print(f"{check.name:<{width}}  {check.identity}")
    return 0


def _reserve(args: argparse.Namespace) -> None:
    if args.json is not None and args.json == args.html:
        raise ValueError(f"--json and --html must be two files, got {args.json} twice")
    for path in (args.json, args.html):
        if path is not None:
            reserve(path, args.force)
    if args.html is not None:
        from .._optional import optional

        optional("matplotlib", "plot")


def _write(args: argparse.Namespace, report: "Report") -> None:
    from .._files import write_atomically

    for path, written in ((args.json, report.to_json), (args.html, report.to_html)):
        if path is not None:
            write_atomically(path, written().encode())
            print(path)


def _checked(args: argparse.Namespace) -> "Report":
    """The report; what does not belong to a kind but can be called is called first."""
    from .. import verify
    from ..verify.adapters import ADAPTERS
    from ..verify.adapters.function import adaptive

    target, kwargs = imported(args.target), dict(args.kwargs)
    adapter = next((a for a in ADAPTERS if a.matches(target)), None)
    if adapter is None and callable(target) and not adaptive(target):
        require_arguments(args.target, target, kwargs)
        target, kwargs = target(**kwargs), {}
    options = kwargs
    if adapter is not None and kwargs:
        taken = inspect.signature(adapter.subject).parameters
        if "kwargs" in taken:
            options = {"kwargs": kwargs}
        else:
            require_known(target, taken, kwargs)
    return verify.check(
        target,
        claims=_claim(args.claims),
        order=args.order,
        library=args.library,
        epsilon=args.epsilon,
        seed=args.seed,
        **options,
    )


def _claim(named: tuple[str, dict[str, Any]] | None) -> "Claim | None":
    """The claim, tried once, so that a parameter out of range is named before anything runs."""
    from ..schedules import edm
    from ..verify import claim

    if named is None:
        return None
    name, parameters = named
    made = claim(name, **parameters)
    try:
        made.planner(edm(), (10.0, 5.0, 2.0, 1.0, 0.0))
    except (TypeError, ValueError) as error:
        raise ValueError(f"--claims {name}: {error}") from error
    return made


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be JSON, got {text!r}: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'must be an object such as {{"a": 1}}, got {text}')
    return value


def _positive(text: str) -> float:
    value = number(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 1, got {text}")
    return value
