"""The command line: `runherald COMMAND …`.

Each command's module has `register`, which adds its parser and says what runs: `handler(args)`, returning the exit status. What is heavy
to import (the terminal's tables, the database, the broker) is imported in the handlers, so that `--help` and completion answer at once.

Exit status: 0 done; 1 the answer is no; 2 wrong use; 3 the server, Kafka or ClickHouse cannot be reached; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import cast

from runherald.cli import dead_letters, dev, migrate, options, query, rebuild, rules, run, status, sync, topics, up, worker
from runherald.errors import RunheraldError

COMMANDS = (up, run, query, status, sync, rules, dead_letters, worker, topics, migrate, rebuild, dev)

INTERRUPTED = 130

Handler = Callable[[argparse.Namespace], int]


def entry() -> None:
    """Run the command line and end the process with its exit status."""
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as end:  # argparse has said what is wrong, or has shown the help
        return end.code if isinstance(end.code, int) else 2
    try:
        status = cast("Handler", args.run)(args)
        sys.stdout.flush()
    except RunheraldError as error:
        return _report(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_is_gone()
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="runherald", description="Run history and mail alerts for training runs.")
    parser.add_argument("--version", action=_Version)
    options.add_server(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    return parser


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], **_: object) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help="say the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"runherald {version('runherald')}\n")
        parser.exit()


def _report(error: RunheraldError) -> int:
    sys.stderr.write(f"runherald: {' '.join(str(error).split())}\n")
    return error.exit_status


def _reader_is_gone() -> int:
    # `runherald run list | head`: no fault, but the interpreter would complain when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
