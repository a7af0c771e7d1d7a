"""`diffcore identities`: check the identities of diffusion on several array libraries."""

import argparse
import importlib.util

LIBRARIES = ("numpy", "torch", "array_api_strict")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    identities = commands.add_parser(
        "identities",
        help="check the identities of diffusion and print their largest errors",
        description="Check the identities that the arithmetic has to fulfil, on each array "
        "library, and print the largest error of each beside its bound. Exit status 1 where one "
        "does not hold.",
    )
    identities.add_argument(
        "--library",
        nargs="+",
        dest="libraries",
        metavar="NAME",
        help=f"array libraries by module name (default: those installed of {', '.join(LIBRARIES)})",
    )
    identities.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table; 0 where everything holds."""
    return 0 if report(args.libraries or installed()) else 1


def installed() -> list[str]:
    """Those of `LIBRARIES` that are installed."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]


def report(libraries: list[str]) -> bool:
    """Print the table of identities on `libraries`; whether all hold."""
    from ..verify import format_table, table

    rows = table(libraries)
    print(format_table(rows))
    return all(row.holds for row in rows)
