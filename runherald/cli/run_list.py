"""`runherald run list` and `run children`: tables of runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runherald.cli.grid import Grid, Head
from runherald.cli.options import add_server, client_of
from runherald.cli.output import add_output, print_answer
from runherald.cli.words import duration, first_line, short_time
from runherald.status import Status

if TYPE_CHECKING:
    from runherald.api import RunView
    from runherald.cli.options import Commands
    from runherald.producers.server.client import ApiClient

PAGE = 200
"""Runs asked for at once."""

STATUSES = tuple(status.value for status in Status)


def register(commands: Commands) -> None:
    """Add `list` and `children`."""
    parser = commands.add_parser("list", help="runs, newest first", description="List runs, newest first.")
    parser.add_argument("-e", "--experiment", default="", metavar="NAME", help="only of this experiment")
    parser.add_argument(
        "-s", "--status", default="", type=_status, choices=STATUSES, metavar="STATUS", help="only in this status, such as Failed"
    )
    parser.add_argument("-t", "--tag", default="", metavar="KEY[=VALUE]", help="only with this tag")
    parser.add_argument("--parent", default="", metavar="RUN", help="only children of this run")
    parser.add_argument("--root-only", action="store_true", help="no children")
    parser.add_argument("-n", "--limit", type=_count, default=100, metavar="N", help="at most so many (default 100)")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=list_runs)

    parser = commands.add_parser("children", help="the runs below a run", description="List the children of a run.")
    parser.add_argument("run_id", metavar="RUN", help="id, as `runherald run list` shows it")
    parser.add_argument("-r", "--recursive", action="store_true", help="and their children")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=list_children)


def list_runs(args: argparse.Namespace) -> int:
    """Print runs, newest first."""
    with client_of(args) as client:
        runs, more = _read(client, args)
    print_answer(args, runs, table=lambda: runs_grid(runs))
    if more:
        sys.stderr.write(f"runherald: there are more than {args.limit} runs; --limit shows more\n")
    return 0


def _read(client: ApiClient, args: argparse.Namespace) -> tuple[list[RunView], bool]:
    """Return the runs asked for, page by page up to the limit, and whether there are more."""
    runs: list[RunView] = []
    cursor = ""
    while True:
        page = client.list_runs(
            experiment=args.experiment,
            status=args.status,
            parent=args.parent,
            root_only=args.root_only,
            tag=args.tag,
            cursor=cursor,
            limit=min(PAGE, args.limit - len(runs)),
        )
        runs += page.runs
        cursor = page.next
        if not cursor or len(runs) >= args.limit:
            return runs, bool(cursor)


def list_children(args: argparse.Namespace) -> int:
    """Print the children of a run."""
    with client_of(args) as client:
        children = client.children(args.run_id, recursive=args.recursive)
    print_answer(args, children, table=lambda: runs_grid(children))
    return 0


def runs_grid(runs: Sequence[RunView], title: str = "") -> Grid:
    """Return the table of runs; why one failed stands at the end of its row."""
    heads = (
        Head("RUN", keep=True),
        Head("NAME"),
        Head("EXPERIMENT"),
        Head("STATUS", keep=True),
        Head("CAUSE"),
        Head("STARTED", keep=True),
        Head("DURATION", keep=True, right=True),
        Head("ERROR"),
    )
    return Grid(heads=heads, rows=[_row(run) for run in runs], title=title, note="" if runs else "no runs")


def _row(run: RunView) -> tuple[str, ...]:
    return (
        run.run_id,
        run.display_name,
        run.experiment_name,
        run.status,
        run.cause,
        short_time(run.start_time or run.created_time),
        duration(run.duration_seconds),
        _why(run),
    )


def _why(run: RunView) -> str:
    if run.error:
        return first_line(run.error.error.message)
    return first_line(run.message) if run.status in (Status.FAILED, Status.NOT_RESPONDING) else ""


def _status(text: str) -> str:
    """Return a status however its letters are written; argparse refuses what is none."""
    return next((name for name in STATUSES if name.casefold() == text.casefold()), text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("is not a whole number from 1 to 1000000")
    return int(text)
