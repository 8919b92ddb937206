"""`runherald sync`: send what killed processes left in their journals."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from runherald.cli.grid import Grid, Head
from runherald.cli.options import add_server, settings_of
from runherald.cli.output import add_output, print_answer
from runherald.errors import RunFailed, Unreachable

if TYPE_CHECKING:
    from runherald.cli.options import Commands
    from runherald.producers.shipping.sync import SyncReport


def register(commands: Commands) -> None:
    """Add `sync`."""
    parser = commands.add_parser(
        "sync",
        help="send what killed runs left behind",
        description="Send the journals of processes that ended before all was sent. Those of live processes are left to them.",
    )
    parser.add_argument("--every", action="store_true", help="also those that were meant for another server")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=sync)


def sync(args: argparse.Namespace) -> int:
    """Send journals and print what became of each; status 1 when some of it was refused or cannot be read, 3 when it could not be sent."""
    from runherald.producers.shipping.destination import destination_of, open_transport
    from runherald.producers.shipping.sync import sync as send

    settings = settings_of(args)
    transport = open_transport(url=settings.url, token=settings.token, log=settings.log)
    try:
        destination = "" if args.every else destination_of(url=settings.url, log=settings.log)
        report = send(settings.home, transport, destination=destination)
    finally:
        transport.close()
    print_answer(args, report.journals, table=lambda: _grid(report))
    waiting = [journal for journal in report.journals if journal.state == "waiting"]
    if waiting:
        raise Unreachable(f"{len(waiting)} of {len(report.journals)} journals could not be sent: {waiting[0].reason}")
    unreadable = [journal for journal in report.journals if journal.state == "unreadable"]
    if unreadable:
        raise RunFailed(
            f"{unreadable[0].path}: cannot be read ({unreadable[0].reason}); {len(unreadable)} such journals were left as they are"
        )
    if report.rejected:
        raise RunFailed(f"{report.rejected} of {report.events} events were refused; each stands with its reason in rejected.jsonl")
    return 0


def _grid(report: SyncReport) -> Grid:
    heads = (Head("RUN", keep=True), Head("STATE"), Head("EVENTS", right=True), Head("REFUSED", right=True), Head("WHY"))
    rows = [(journal.run_id, journal.state, str(journal.events), str(journal.rejected), journal.reason) for journal in report.journals]
    return Grid(heads=heads, rows=rows, note=f"{report.events} events sent" if rows else "nothing was left behind")
