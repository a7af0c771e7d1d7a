"""What `diffcore verify` finds in published samplers: every finding explained and reproduced.

    python benchmarks/verify.py        # prints the table and writes results/verify.md

The schedulers of diffusers, each in every configuration by itself (`findings_diffusers`), and the
samplers of k-diffusion and azula (`findings_samplers`). Two schedulers need torchsde, which comes
with k-diffusion.
"""

import platform
import sys
from importlib.metadata import version

import findings_diffusers
import findings_samplers
from timing import RESULTS, markdown

HEADER = ("code", "checks that fail", "kind", "what it does", "reproduced by its own code alone")


def main() -> int:
    """Print the table and write it; 1 where a check fails and nobody knows why."""
    others = findings_samplers.rows()  # Soon over, and it says what to install.
    found = [*findings_diffusers.rows(), *others]
    rows = [[cell.replace("|", "\\|").strip() for cell in _shown(row)] for row in found]
    unknown = findings_samplers.unexplained(found)
    different = {(row.code.split()[0], row.kind, row.finding) for row in found}
    kinds = {
        name: sum(kind == name for _, kind, _ in different)
        for name in ("bug", "limit", "convention")
    }
    versions = ", ".join(f"{name} {version(name)}" for name in ("diffusers", "torch", "numpy"))
    text = (
        "# What `diffcore verify` finds in published samplers\n\n"
        f"{kinds['bug']} bugs, {kinds['limit']} limits, {kinds['convention']} conventions, each "
        "counted once in however many classes of a package it is; "
        f"{len(unknown)} failures without an explanation. Where no check is named all hold.\n\n"
        f"{markdown(HEADER, rows)}\n\n"
        "A bug: the code does not do what it says. A limit: it does, and what it does is less than "
        "one may think. A convention: it does something else than the paper or the planner here of "
        "that name, and says so. A configuration is an option of the class, a number of steps, or "
        "what was done before; each is run by itself. The last column is what the code alone "
        "shows, in a few lines that know nothing of this project: `benchmarks/reproduced_"
        "by_whole_times.py`, `reproduced_by_sigmas.py`, `reproduced_diffusers.py`, "
        "`findings_k_diffusion.py`, `findings_azula.py`.\n\n"
        f"`python benchmarks/verify.py`. {versions}, Python {platform.python_version()}.\n"
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "verify.md").write_text(text, encoding="utf-8")
    return int(bool(unknown))


def _shown(row: findings_samplers.Row) -> tuple[str, ...]:
    return (row.code, row.fails or "none", row.kind, row.finding, row.reproduced)


if __name__ == "__main__":
    sys.exit(main())
