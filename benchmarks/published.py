"""Where published sampler code deviates from ours, measured, and who is right by the oracle.

    python benchmarks/published.py        # prints the table and writes results/published.md

Each line runs the code that it speaks of, on data whose flow is known exactly, with the exact
denoiser. The tests in tests/samplers hold the same deviations, and that the rest of each agrees.
"""

import platform
from importlib.metadata import version

import published_orders
import published_states
from timing import RESULTS, markdown


def main() -> None:
    """Print the table and write it."""
    header = ("code", "what it does", "measure", "theirs", "ours")
    found = [*published_orders.findings(), *published_states.findings()]
    rows = [[cell.replace("|", "\\|") for cell in finding] for finding in found]
    versions = ", ".join(f"{name} {version(name)}" for name in ("diffusers", "torch", "numpy"))
    text = (
        "# Where published samplers deviate\n\n"
        f"{markdown(header, rows)}\n\n"
        "Each figure is measured: the code named runs on data whose flow is known in closed form, "
        "with the exact denoiser, beside the plan of ours; the oracle decides. Orders are fitted "
        "over step counts on VP-linear, between times that hide no term of the error. "
        "In everything else the two agree to the rounding of their tables, which the tests in "
        "`tests/samplers` hold. Where a published method falls short of its order, ours has it "
        'too: by `formula="published"`, the start of LMS by `start="lower"`, PNDM\'s as `plms`.\n\n'
        f"`python benchmarks/published.py`. {versions}, Python {platform.python_version()}; "
        "the figures do not depend on the machine but for the last digits.\n"
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "published.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
