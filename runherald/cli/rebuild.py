"""`runherald rebuild`: history made again from the log, or compared with it."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from runherald.cli import serving
from runherald.cli.grid import Grid, Head, text
from runherald.cli.output import add_output, print_answer

if TYPE_CHECKING:
    from runherald.cli.options import Commands
    from runherald.settings import Settings
    from runherald.sinks.connection import HistoryDatabase
    from runherald.streams.log import Log
    from runherald.streams.rebuild.rebuild import Differences


def register(commands: Commands) -> None:
    """Add `rebuild`."""
    parser = commands.add_parser(
        "rebuild",
        help="make history again from the log, or compare",
        description="Make history's tables again from the log, and put them in the place of the old ones. With --diff only compare, and "
        "name what differs. A data folder must be at rest: stop its server first. Exit status of --diff: 0 equal, 1 not.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--diff", action="store_true", help="compare only; changes nothing")
    what.add_argument(
        "--new-log", action="store_true", help="the log was emptied or replaced: go on with it, behind the history that there is"
    )
    parser.add_argument("--data", metavar="DIR", help="folder of the embedded log and history (./runherald-data)")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="before the exchange wait for workers to stop (0)")
    parser.add_argument("--cluster", default="", metavar="NAME", help="history's cluster, if its tables are replicated")
    serving.add_connections(parser)
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, or rebuild.

    Raises:
        FolderHeld: a server runs on the data folder.
        Unreachable: the log or history does not answer.
        LogReplaced: the log ends before what history holds.
        ProcessorsRun: workers run, and did not stop in the time.
    """
    from runherald.streams.group_members import running
    from runherald.streams.rebuild.rebuild import compare, rebuild

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    settings = serving.settings_of(args)
    with ExitStack() as stack:
        log, history = _open(stack, settings)
        if args.new_log:
            return _go_on(args, log, history, settings)
        if args.diff:
            found = compare(log, history, cluster=args.cluster, say=_say)
        else:
            found = rebuild(
                log, history, running=lambda groups: running(settings.log, groups), wait_seconds=args.wait, cluster=args.cluster, say=_say
            )
    print_answer(args, _answer(found, exchanged=not args.diff), table=lambda: _grids(found, exchanged=not args.diff))
    return 0 if found.equal or not args.diff else 1


def _go_on(args: argparse.Namespace, log: Log, history: HistoryDatabase, settings: Settings) -> int:
    from runherald.clock import system_clock
    from runherald.streams.group_members import running
    from runherald.streams.rebuild.former import go_on

    anew = go_on(log, history, running=lambda groups: running(settings.log, groups), clock=system_clock, say=_say, cluster=args.cluster)
    words = [f"{name} begins at the beginning of this log" for name in anew]
    print_answer(args, {"begin_anew": anew}, table=lambda: text(words, "History stays, behind what this log says:"))
    return 0


def _open(stack: ExitStack, settings: Settings) -> tuple[Log, HistoryDatabase]:
    from runherald.cli.parts import check_schema, open_history
    from runherald.errors import InvalidInput
    from runherald.sinks.damaged_parts import DamagedPartsWatch
    from runherald.streams.embedded_log import FILE
    from runherald.streams.log import open_log

    if settings.log == "embedded" and not (settings.data / FILE).exists():
        raise InvalidInput(f"--data: there is no log in {settings.data}; name the data folder of a server")
    log = stack.enter_context(closing(open_log(settings.log, folder=settings.data)))
    history = stack.enter_context(closing(open_history(settings)))
    check_schema(history)
    if history.embedded:  # tables are merged right after they were exchanged
        stack.enter_context(DamagedPartsWatch(history))
    return log, history


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _answer(found: Differences, *, exchanged: bool) -> object:
    return {
        "equal": found.equal,
        "rebuilt": exchanged,
        "differences": found.count,
        "tables": found.tables,
        "sources": found.sources,
        "left": found.left,
    }


def _grids(found: Differences, *, exchanged: bool) -> list[Grid]:
    counts = Grid(
        heads=(
            Head("TABLE", keep=True),
            *(Head(name, right=True) for name in ("STORED", "EXPECTED", "MISSING", "UNEXPECTED", "CHANGED", "OPEN")),
        ),
        rows=[
            [each.table, *(str(number) for number in (each.stored, each.expected, each.missing, each.unexpected, each.changed, each.open))]
            for each in found.tables
        ],
        note=_verdict(found, exchanged=exchanged),
    )
    named = [
        [
            each.table,
            " ".join(f"{name}={value}" for name, value in each.key.items()),
            each.kind,
            each.column,
            _cell(each.stored),
            _cell(each.expected),
        ]
        for table in found.tables
        for each in table.examples
    ]
    heads = (Head("TABLE"), Head("KEY"), Head("KIND"), Head("COLUMN"), Head("STORED"), Head("EXPECTED"))
    skipped = [f"{each.table} was not compared: {each.skipped}" for each in found.tables if each.skipped]
    return [counts, *([Grid(heads=heads, rows=named)] if named else []), *([text(skipped)] if skipped else [])]


def _verdict(found: Differences, *, exchanged: bool) -> str:
    if found.equal:
        return "history is what the log makes of it" + ("; its tables were exchanged for fresh ones" if exchanged else "")
    return f"{found.count} rows differed, and are as the log says now" if exchanged else f"{found.count} rows differ"


def _cell(value: str | None) -> str:
    return "—" if value is None else value
