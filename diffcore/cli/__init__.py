"""The command line: train, sample, invert, evaluate, plot, info, identities, verify, demo.

Each command is a module with `add(commands)`, which declares its arguments, and a function that
runs it and returns the exit status. What a command needs beyond the core is imported when it runs,
so that `--help` answers at once.

Exit status: 0, or 1 where a check that was asked for fails, 2 for an error (one line on stderr),
130 after Ctrl-C.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from . import demo, evaluate, identities, info, invert, plot, sample, train, verify

COMMANDS = (train, sample, invert, evaluate, plot, info, identities, verify, demo)
INTERRUPTED = 130
"""128 + SIGINT, what a shell reports for a command that Ctrl-C ended."""
BROKEN_PIPE = 141


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"diffcore: error: {_one_line(message)} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = _Parser(
        prog="diffcore",
        description="Denoising diffusion: train, sample, look, and check the arithmetic.",
    )
    top.add_argument("--version", action="version", version=f"diffcore {__version__}")
    top.add_argument(
        "--traceback", action="store_true", help="show where an error came from, for a bug report"
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default the process', and return its exit status."""
    traceback = False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal knows no "é", print "?"
    try:
        try:
            args = parser().parse_args(argv)
            traceback = args.traceback
            status = int(args.run(args))
        except SystemExit as stop:  # argparse, after --help or an error of its own
            status = int(stop.code or 0)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("diffcore: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`diffcore info | head`); leave nothing for the exit to flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if traceback:
            raise
        print(f"diffcore: error: {describe(error)}", file=sys.stderr)
        return 2
    return status


def describe(error: Exception) -> str:
    """`error` in one line: the message alone where it is written for the user."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return _one_line(f"{error.filename}: {error.strerror}")
    if isinstance(error, ValueError | TypeError | OSError | ImportError) and str(error):
        return _one_line(str(error))
    return _one_line(f"{type(error).__name__}: {error} (diffcore --traceback COMMAND shows where)")


def _one_line(text: str) -> str:
    return " ".join(text.split())
