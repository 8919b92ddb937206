"""`runherald status`: what the server runs and how far it is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from runherald.cli.grid import Grid, Head, pairs
from runherald.cli.options import add_server, client_of
from runherald.cli.output import add_output, print_answer
from runherald.cli.words import plain

if TYPE_CHECKING:
    from runherald.api import ServerStatus
    from runherald.cli.options import Commands


def register(commands: Commands) -> None:
    """Add `status`."""
    parser = commands.add_parser(
        "status", help="what the server runs", description="Say what the server runs and how far its processors are."
    )
    add_output(parser)
    add_server(parser)
    parser.set_defaults(run=show_status)


def show_status(args: argparse.Namespace) -> int:
    """Print the server's status."""
    with client_of(args) as client:
        status = client.status()
    print_answer(args, status, table=lambda: _grids(client.url, status))
    return 0


def _grids(url: str, status: ServerStatus) -> list[Grid]:
    head = pairs(
        [
            ("server", f"{url}, version {status.version}"),
            ("log", status.log),
            ("history", status.history),
            ("notices", ", ".join(f"{count} {state}" for state, count in sorted(status.notices.items())) or "none"),
            ("dead letters", _letters(status)),
            *((f"{stop.processor} stopped", f"{plain(stop.reason)}. What to do: {stop.remedy}") for stop in status.stops),
        ]
    )
    heads = (
        Head("PROCESSOR"),
        Head("TOPIC"),
        *(Head(name, right=True) for name in ("PARTITIONS", "COMMITTED", "END", "LAG")),
    )
    totals: dict[tuple[str, str], list[int]] = {}
    for part in status.partitions:
        total = totals.setdefault((part.processor, part.topic), [0, 0, 0, 0])
        for index, number in enumerate((1, part.committed, part.end, part.lag)):
            total[index] += number
    rows = [[processor, topic, *map(str, total)] for (processor, topic), total in sorted(totals.items())]
    letters = [
        (plain(count.processor), plain(count.error), *map(str, (count.open, count.replayed, count.failed_again)))
        for count in status.letters
    ]
    right = (Head(name, right=True) for name in ("OPEN", "REPLAYED", "FAILED AGAIN"))
    grids = [Grid(heads=(Head("DEAD LETTERS OF"), Head("REASON"), *right), rows=letters)] if letters else []
    return [head, *grids, Grid(heads=heads, rows=rows)] if rows else [head, *grids]


def _letters(status: ServerStatus) -> str:
    made = sum(count.open + count.replayed + count.failed_again for count in status.letters)
    return f"{status.dead_letters} open of {made}; see `runherald dead-letters list`" if made else str(status.dead_letters)
