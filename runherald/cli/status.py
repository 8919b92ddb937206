"""`runherald status`: what the server runs and how far it is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from runherald.api import DAMAGE_REMEDY
from runherald.cli.grid import Grid, Head, pairs
from runherald.cli.options import add_server, client_of
from runherald.cli.output import add_output, print_answer
from runherald.cli.words import duration, local_time, plain

if TYPE_CHECKING:
    from runherald.api import NoticeBalance, ProcessorStatus, ServerStatus
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `status`."""
    parser = commands.add_parser(
        "status", help="what the server runs", description="Say what the server runs and how far its processors are."
    )
    parser.add_argument("--partitions", action="store_true", help="show each partition, not only their sum")
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=show_status)


def show_status(args: argparse.Namespace) -> int:
    """Print the server's status."""
    with client_of(args) as client:
        status = client.status()
    print_answer(args, status, table=lambda: _grids(client.url, status, each=args.partitions))
    return 0


def _grids(url: str, status: ServerStatus, *, each: bool) -> list[Grid]:
    head = pairs(
        [
            ("server", f"{url}, version {status.version}"),
            ("log", status.log),
            ("history", status.history),
            ("notices", ", ".join(f"{count} {state}" for state, count in sorted(status.notices.items())) or "none"),
            ("balance", _balance(status.balance)),
            ("dead letters", _letters(status)),
            *(
                (f"{table} damaged", f"{parts} parts could not be read. What to do: {DAMAGE_REMEDY}")
                for table, parts in status.set_aside.items()
            ),
            *((f"{stop.processor} stopped", f"{plain(stop.reason)}. What to do: {stop.remedy}") for stop in status.stops),
        ]
    )
    letters = [
        (plain(count.processor), plain(count.error), *map(str, (count.open, count.replayed, count.failed_again)))
        for count in status.letters
    ]
    right = (Head(name, right=True) for name in ("OPEN", "REPLAYED", "FAILED AGAIN"))
    grids = [Grid(heads=(Head("DEAD LETTERS OF"), Head("REASON"), *right), rows=letters)] if letters else []
    lag = _partitions(status) if each else _processors(status)
    return [head, *grids, lag] if lag.rows else [head, *grids]


def _processors(status: ServerStatus) -> Grid:
    right = (Head(name, right=True) for name in ("PARTITIONS", "COMMITTED", "END", "LAG", "OLDEST WAITS"))
    rows = [
        (part.processor, part.topic, *map(str, (part.partitions, part.committed, part.end, part.lag)), duration(_age(part)))
        for part in status.processors
    ]
    return Grid(heads=(Head("PROCESSOR"), Head("TOPIC"), *right), rows=rows)


def _partitions(status: ServerStatus) -> Grid:
    right = (Head(name, right=True) for name in ("PARTITION", "COMMITTED", "END", "LAG"))
    rows = [
        (part.processor, part.topic, *map(str, (part.partition, part.committed, part.end, part.lag)), local_time(part.oldest_time))
        for part in status.partitions
    ]
    return Grid(heads=(Head("PROCESSOR"), Head("TOPIC"), *right, Head("OLDEST OF")), rows=rows)


def _age(processor: ProcessorStatus) -> float | None:
    return None if processor.oldest_time is None else processor.age_seconds


def _balance(balance: NoticeBalance) -> str:
    known = f"{balance.decided} decided"
    if balance.under_way:
        known += f", {balance.under_way} under way"
    if not balance.difference:
        return f"{known}, difference 0"
    return f"{known}, DIFFERENCE {balance.difference}: {balance.missing} missing, {balance.undecided} never decided"


def _letters(status: ServerStatus) -> str:
    made = sum(count.open + count.replayed + count.failed_again for count in status.letters)
    return f"{status.dead_letters} open of {made}; see `runherald dead-letters list`" if made else str(status.dead_letters)
