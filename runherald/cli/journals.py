"""`runherald journals`: what is kept on this machine, and how it is carried to another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runherald.cli.grid import Grid, Head
from runherald.cli.options import add_config, settings_of
from runherald.cli.output import add_output, print_answer
from runherald.errors import InvalidInput, RunFailed

if TYPE_CHECKING:
    from runherald.cli.options import Commands
    from runherald.producers.journal.bundle import JournalCarried
    from runherald.producers.journal.listing import JournalListed


def register(commands: Commands) -> None:
    """Add `journals`."""
    parser = commands.add_parser(
        "journals",
        help="list, export and import the journals of this machine",
        description="What runs said on this machine and was not sent yet; `runherald sync` sends it.",
    )
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listed = kinds.add_parser("list", help="show the journals of this machine")
    listed.set_defaults(run=show)
    exported = kinds.add_parser("export", help="write journals into a file, to be imported on another machine")
    exported.add_argument("file", type=Path, metavar="FILE", help="a new file")
    exported.add_argument("run_ids", nargs="*", metavar="RUN", help="only these runs; all if none is named")
    exported.set_defaults(run=export)
    imported = kinds.add_parser("import", help="take the journals of such a file in, for `runherald sync` to send")
    imported.add_argument("file", type=Path, metavar="FILE", help="a file of `runherald journals export`")
    imported.set_defaults(run=take_in)
    for kind in (listed, exported, imported):
        add_output(kind)
        add_config(kind)


def show(args: argparse.Namespace) -> int:
    """Print the journals."""
    from runherald.producers.journal.listing import list_journals

    journals = list_journals(settings_of(args).home)
    print_answer(args, journals, table=lambda: _listed(journals))
    return 0


def export(args: argparse.Namespace) -> int:
    """Write journals into a file; status 1 where some cannot be read."""
    from runherald.producers.journal.bundle import export_journals

    try:
        carried = export_journals(settings_of(args).home, args.file, args.run_ids)
    except OSError as error:
        raise InvalidInput(f"{args.file}: cannot be written ({error.strerror}); name another file") from None
    return _answer(args, carried)


def take_in(args: argparse.Namespace) -> int:
    """Take journals in."""
    from runherald.producers.journal.bundle import import_journals

    try:
        carried = import_journals(settings_of(args).home, args.file)
    except OSError as error:
        raise InvalidInput(f"{error.filename or args.file}: {error.strerror}; nothing is lost, import it again") from None
    return _answer(args, carried)


def _answer(args: argparse.Namespace, carried: Sequence[JournalCarried]) -> int:
    print_answer(args, list(carried), table=lambda: _carried(carried))
    unreadable = [one for one in carried if one.state == "unreadable"]
    if unreadable:
        raise RunFailed(f"{len(unreadable)} of {len(carried)} journals cannot be read: {unreadable[0].reason}")
    return 0


def _listed(journals: Sequence[JournalListed]) -> Grid:
    heads = (
        *(Head("RUN", keep=True), Head("STATE"), Head("DESTINATION")),
        *(Head("WAITING", right=True), Head("BYTES", right=True), Head("WHY")),
    )
    rows = [(one.run_id, one.state, one.destination, str(one.waiting), str(one.bytes), one.reason) for one in journals]
    waiting = sum(one.waiting for one in journals)
    return Grid(heads=heads, rows=rows, note=f"{waiting} records wait; `runherald sync` sends those of ended processes" if rows else "none")


def _carried(carried: Sequence[JournalCarried]) -> Grid:
    heads = (Head("RUN", keep=True), Head("PRODUCER"), Head("STATE"), Head("BYTES", right=True), Head("WHY"))
    rows = [(one.run_id, one.producer, one.state, str(one.bytes), one.reason) for one in carried]
    return Grid(heads=heads, rows=rows, note="" if rows else "no journals")
