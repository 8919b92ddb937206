"""`runherald run logs`: the lines of a run's log."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from runherald.cli.grid import text
from runherald.cli.options import add_server, client_of
from runherald.cli.output import add_output, print_answer
from runherald.clock import from_micros

if TYPE_CHECKING:
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `logs`."""
    parser = commands.add_parser("logs", help="the lines of a run's log", description="Print the last lines of a run's log.")
    parser.add_argument("run_id", metavar="RUN", help="id, as `runherald run list` shows it")
    parser.add_argument("-n", "--tail", type=int, default=1_000, metavar="N", help="so many lines (default 1000)")
    # Lines are for grep and less as they are: here the default is text in a pipe as well.
    add_output(parser, default="table")
    add_server(parser)
    parser.set_defaults(run=show_logs)


def show_logs(args: argparse.Namespace) -> int:
    """Print the end of a run's log."""
    with client_of(args) as client:
        lines = client.logs(args.run_id, tail=args.tail)
    answer = [
        {"file": line.file, "number": line.number, "time": from_micros(line.time), "stream": line.stream, "text": line.text}
        for line in lines
    ]
    print_answer(args, answer, table=lambda: text([line.text for line in lines]))
    if not lines:
        sys.stderr.write(f"runherald: no line of run {args.run_id} has arrived\n")
    return 0
