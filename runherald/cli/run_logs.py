"""`runherald run logs`: what a run printed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from runherald.cli.grid import text
from runherald.cli.options import add_server, client_of
from runherald.cli.output import add_output, print_answer
from runherald.clock import from_micros

if TYPE_CHECKING:
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `logs`."""
    parser = commands.add_parser("logs", help="what a run printed", description="Print the last lines of a run's log.")
    parser.add_argument("run_id", metavar="RUN")
    parser.add_argument("-n", "--tail", type=int, default=1_000, metavar="N", help="so many lines (default 1000)")
    add_output(parser)
    add_server(parser)
    # Lines are for grep and less as they are: here the default is text in a pipe as well.
    parser.set_defaults(run=show_logs, output="table")


def show_logs(args: argparse.Namespace) -> int:
    """Print the end of a run's log."""
    with client_of(args) as client:
        lines = client.logs(args.run_id, tail=args.tail)
    answer = [
        {"file": line.file, "number": line.number, "time": from_micros(line.time), "stream": line.stream, "text": line.text}
        for line in lines
    ]
    print_answer(args, answer, table=lambda: text([line.text for line in lines]))
    return 0
