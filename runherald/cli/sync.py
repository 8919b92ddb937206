"""`runherald sync`: send what killed processes left in their journals, and what offline runs say."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from runherald.cli.grid import Grid, Head
from runherald.cli.options import add_server, settings_of
from runherald.cli.output import add_output, format_of, print_answer, to_data
from runherald.cli.words import plain
from runherald.errors import InvalidInput, RunFailed, Unreachable

if TYPE_CHECKING:
    from runherald.cli.options import Commands
    from runherald.producers.shipping.sync import JournalSynced, SyncReport
    from runherald.producers.shipping.transport import Transport
    from runherald.settings import Settings


def register(commands: Commands) -> None:
    """Add `sync`."""
    parser = commands.add_parser(
        "sync",
        help="send what killed runs left behind, and what offline runs say",
        description="Send the journals of processes that ended before all was sent, and of offline runs (RUNHERALD_URL=offline),"
        " live ones too. Other live processes send theirs themselves.",
    )
    parser.add_argument("--every", action="store_true", help="also those that were meant for another server")
    parser.add_argument("--follow", action="store_true", help="go on until interrupted, and print what is sent as it is sent")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=sync)


def sync(args: argparse.Namespace) -> int:
    """Send journals and print what became of each; status 1 when some of it was refused or cannot be read, 3 when it could not be sent."""
    from runherald.producers.shipping.destination import open_transport

    settings = settings_of(args)
    transport = open_transport(url=settings.url, token=settings.token, log=settings.log)
    try:
        return _follow(args, settings, transport) if args.follow else _once(args, settings, transport)
    finally:
        transport.close()


def _once(args: argparse.Namespace, settings: Settings, transport: Transport) -> int:
    from runherald.producers.shipping.destination import destination_of
    from runherald.producers.shipping.sync import sync as send

    report = send(settings.home, transport, destination=destination_of(url=settings.url, log=settings.log), every=args.every)
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


def _follow(args: argparse.Namespace, settings: Settings, transport: Transport) -> int:
    from runherald.producers.shipping.destination import destination_of
    from runherald.producers.shipping.sync import follow

    form = args.output or ("table" if format_of(args) == "table" else "jsonl")
    if form not in ("table", "jsonl") or args.jmespath:
        raise InvalidInput("sync --follow: prints a line as things happen; use -o table or -o jsonl, without --query")
    write = _write_line if form == "table" else _write_json
    feed = follow(settings.home, transport, destination=destination_of(url=settings.url, log=settings.log), every=args.every)
    with closing(feed):
        for journal in feed:
            write(journal)
            sys.stdout.flush()
    return 0


def _write_line(journal: JournalSynced) -> None:
    said = (
        journal.run_id,
        journal.state,
        f"{journal.events} events",
        f"{journal.rejected} refused" if journal.rejected else "",
        journal.reason,
    )
    sys.stdout.write(plain("  ".join(part for part in said if part)) + "\n")


def _write_json(journal: JournalSynced) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(to_data(journal)).decode() + "\n")


def _grid(report: SyncReport) -> Grid:
    heads = (Head("RUN", keep=True), Head("STATE"), Head("EVENTS", right=True), Head("REFUSED", right=True), Head("WHY"))
    rows = [(journal.run_id, journal.state, str(journal.events), str(journal.rejected), journal.reason) for journal in report.journals]
    return Grid(heads=heads, rows=rows, note=f"{report.events} events sent" if rows else "nothing was left behind")
