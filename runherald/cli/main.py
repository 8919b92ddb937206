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

from runherald.cli import (
    compute,
    dead_letters,
    dev,
    exec,
    journals,
    migrate,
    options,
    query,
    rebuild,
    rules,
    run,
    status,
    sync,
    topics,
    up,
    worker,
)
from runherald.errors import InvalidInput, RunheraldError

COMMANDS = (up, run, exec, compute, query, status, sync, journals, rules, dead_letters, worker, topics, migrate, rebuild, dev)

EXIT_STATUS = "Exit status: 0 done; 1 the answer is no; 2 wrong use; 3 a server, Kafka or ClickHouse cannot be reached; 130 interrupted."

INTERRUPTED = 130

Handler = Callable[[argparse.Namespace], int]


def entry() -> None:
    """Run the command line and end the process with its exit status."""
    _open_standard_streams()
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
    except ModuleNotFoundError as error:
        return _not_installed(error)
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="runherald", description="Run history and mail alerts for training runs.", epilog=EXIT_STATUS)
    parser.add_argument("--version", action=_Version)
    options.add_server(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    return parser


def _open_standard_streams() -> None:
    """Open what the caller closed (`>&-`): the next file would get its number, and what a program prints would go into that."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115  # it is the process's, to its end


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


def _not_installed(error: ModuleNotFoundError) -> int:
    """Say which of the optional packages are missing: the base install is the SDK alone."""
    if error.name is None or error.name.partition(".")[0] == "runherald":
        raise error
    sys.stderr.write(
        f"runherald: this command needs the package {error.name!r}; "
        "install runherald[cli] to ask a server, runherald[embedded] to run one, runherald[all] for everything\n"
    )
    return InvalidInput.exit_status


def _reader_is_gone() -> int:
    # `runherald run list | head`: no fault, but the interpreter would complain when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
